"""What most of these tests order, and how; and what kills it."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.lab.certbot import Certbot

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
CERTONLY = ("certonly", "-n", "--authenticator", "tcs-lyon1", "-d", NAME)


def kill(client: Certbot) -> None:
    """Kill -9 the certbot that works in the client's folders."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"{client.folder}/config".encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
