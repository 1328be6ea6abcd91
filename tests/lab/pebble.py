"""Pebble, the ACME server for tests."""

import contextlib
import json
import re
import secrets
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from tests.lab import ports, process, tls
from tests.lab.errors import LabError, PortTaken
from tests.lab.ports import Endpoint

PACKAGE = "pebble"
_REQUEST = re.compile(r"([A-Z]+) (\S+) -> calling handler\(\)")


@dataclass(frozen=True)
class Pebble:
    """A Pebble that runs."""

    directory_url: str
    management_url: str
    ca_bundle: Path
    log: Path
    process: process.Process

    def requests(self) -> list[tuple[str, str]]:
        """The requests so far, as (method, path), oldest first.

        The path is the handler's: `/chalZ/`, `/my-account/` without what follows.
        """
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [(match[1], match[2]) for match in _REQUEST.finditer(text)]

    def management(self, path: str) -> str:
        """What the management interface answers to a GET, e.g. of `/roots/0` (the issuing root)."""
        return _get(self.management_url + path, self.ca_bundle)


def new_hmac_key() -> str:
    """A random EAB HMAC key of 48 bytes in base64url; Pebble refuses padding, and 48 need none.

    Never one that begins with "-": certbot's command line would take it for an option.
    """
    while True:
        key = secrets.token_urlsafe(48)
        if not key.startswith("-"):
            return key


@contextlib.contextmanager
def running(
    folder: Path,
    dns_server: Endpoint,
    eab_keys: Optional[Mapping[str, str]] = None,
    authz_reuse: int = 0,
    validity_days: int = 90,
    domain_blocklist: Sequence[str] = (),
    port: int = 0,
    env: Optional[Mapping[str, str]] = None,
) -> Iterator[Pebble]:
    """Run Pebble in `folder`, asking `dns_server`, until the context ends.

    `eab_keys` is {key id: HMAC key, base64url}; with any, registration requires external account
    binding.
    `authz_reuse` is the chance, in per cent, that a valid authorization is used again for a new
    order.
    `port` 0 is a free one. `env` adds to Pebble's environment (e.g. PEBBLE_WFE_NONCEREJECT).
    """
    program = process.need("pebble", PACKAGE)
    folder.mkdir(parents=True, exist_ok=True)
    files = tls.make(folder / "tls")
    log = folder / "pebble.log"
    with ports.claimed(port) as acme, ports.claimed() as management:
        config = _config(files, acme, management, eab_keys or {}, validity_days, domain_blocklist)
        (folder / "pebble.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        started = process.start(
            "pebble",
            [program, "-config", "pebble.json", "-dnsserver", str(dns_server)],
            folder,
            log,
            {**_environment(authz_reuse), **(env or {})},
        )
        with process.running(started):
            server = Pebble(
                f"https://localhost:{acme}/dir",
                f"https://localhost:{management}",
                files.ca_bundle,
                log,
                started,
            )
            _wait(server)
            yield server


def _config(
    files: tls.ServerTls,
    acme: int,
    management: int,
    eab_keys: Mapping[str, str],
    validity_days: int,
    domain_blocklist: Sequence[str],
) -> dict[str, Any]:
    return {
        "pebble": {
            "listenAddress": f"127.0.0.1:{acme}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(files.certificate.resolve()),
            "privateKey": str(files.private_key.resolve()),
            # Where HTTP-01 and TLS-ALPN-01 would be checked: nobody is there.
            "httpPort": 1,
            "tlsPort": 1,
            "externalAccountBindingRequired": bool(eab_keys),
            "externalAccountMACKeys": dict(eab_keys),
            "domainBlocklist": list(domain_blocklist),
            "certificateValidityPeriod": validity_days * 86400,
        }
    }


def _environment(authz_reuse: int) -> dict[str, str]:
    return {
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_WFE_NONCEREJECT": "0",
        "PEBBLE_AUTHZREUSE": str(authz_reuse),
    }


def _wait(server: Pebble) -> None:
    """Wait for both interfaces. That TLS verifies with our CA proves that it is our Pebble."""

    def answers() -> bool:
        try:
            _get(server.directory_url, server.ca_bundle)
            server.management("/roots/0")
        except OSError:
            return False
        return True

    try:
        process.wait_ready(server.process, answers)
    except LabError as error:
        if "address already in use" in str(error):
            raise PortTaken(str(error)) from error
        raise


def _get(url: str, ca_bundle: Path) -> str:
    context = ssl.create_default_context(cafile=str(ca_bundle))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(url, timeout=1) as response:
        text: str = response.read().decode("utf-8")
        return text
