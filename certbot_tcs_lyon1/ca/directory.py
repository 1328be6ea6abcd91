"""The directory of an ACME server (RFC 8555 §7.1.1), by one bounded GET.

Not by acme's client, which reads an answer whatever its size: see `download`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import compat, download, lyon1
from certbot_tcs_lyon1.department.settings import is_under
from certbot_tcs_lyon1.download import DownloadError, Limits
from certbot_tcs_lyon1.errors import ServerError

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: A directory has about 1 kB.
MOST_BYTES = 1 << 20
MOST_SECONDS = 30.0
_SILENT_SECONDS = 10.0


def read(config: NamespaceConfig, server: str) -> dict[str, Any]:
    """Return the directory of an ACME server, requested with certbot's user agent and trust.

    :param server: an https URL
    :raises ServerError: there is none within the limits; its cause says why
    """
    return fetch(server, compat.user_agent(config), not config.no_verify_ssl)[0]


def fetch(server: str, user_agent: str, verify: bool = True) -> tuple[dict[str, Any], str]:
    """Return the directory of an ACME server, and its header Date ("" if it has none).

    :param server: an https URL
    :param verify: whether to verify its certificate
    :raises ServerError: there is none within the limits; its cause says why
    """
    limits = Limits(MOST_SECONDS, MOST_BYTES, ("https",), verify, _SILENT_SECONDS)
    try:
        answer = download.get(server, {"User-Agent": user_agent}, limits)
    except DownloadError as error:
        raise ServerError(str(error), where=server) from None
    return _parse(answer.body, server), answer.headers.get("date", "")


def _parse(body: bytes, server: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("newOrder"), str):
        raise ServerError("its answer is no ACME directory", where=server)
    return found


def meta(found: dict[str, Any], name: str) -> Any:
    """Return an entry of a directory's `meta` object; None if it has none."""
    entries = found.get("meta")
    return entries.get(name) if isinstance(entries, dict) else None


def caa_identities(found: dict[str, Any]) -> list[str]:
    """Return the CA's names for CAA records: `meta.caaIdentities`, [] if the CA gives none."""
    listed = meta(found, "caaIdentities")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def known_caa_identities(server: str) -> list[str]:
    """Return the names in CAA records of a server's CA, for a directory without them."""
    host = urlsplit(server).hostname or ""
    return [name for name in lyon1.CAA_IDENTITIES if is_under(host, name)]
