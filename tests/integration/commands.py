"""What most of these tests order, and how; and what kills it."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.lab import process
from tests.lab.certbot import Certbot

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
CERTONLY = ("certonly", "-n", "--authenticator", "tcs-lyon1", "-d", NAME)


def kill(client: Certbot) -> None:
    """Kill -9 the certbot that works in the client's folders."""
    for pid, line in process.command_lines():
        if f"{client.folder}/config" in line:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
