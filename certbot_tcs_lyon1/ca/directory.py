"""An ACME server's directory, by one GET that cannot cost more than its bounds.

Not by acme's client, which reads whatever comes: a directory is 1 kB, and a server, or whoever
plays it, may send 500 MB, or one byte each second, or compress the former to little.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urljoin, urlsplit

from certbot_tcs_lyon1 import compat, waiting
from certbot_tcs_lyon1.errors import ServerError
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    import requests
    from certbot.configuration import NamespaceConfig

#: Bytes, and seconds in all and for one step of the connection.
MOST_BYTES = 1 << 20
MOST_SECONDS = 30.0
_STEP_SECONDS = 10.0

_MOST_REDIRECTS = 5

_NO_DIRECTORY = "its answer is no ACME directory"


def read(config: NamespaceConfig, server: str) -> dict[str, Any]:
    """The directory of an ACME server, asked for as certbot would.

    :param server: an https URL
    :raises ServerError: there is none within the bounds; the cause tells why
    """
    return fetch(server, compat.user_agent(config), not config.no_verify_ssl)[0]


def fetch(server: str, user_agent: str, verify: bool = True) -> tuple[dict[str, Any], str]:
    """The directory of an ACME server, and what time it was there (the header Date, or "").

    :param server: an https URL
    :param verify: its certificate
    :raises ServerError: there is none within the bounds; the cause tells why
    """
    try:
        body, date = waiting.at_most(MOST_SECONDS, lambda: _get(server, user_agent, verify))
    except ServerError:
        raise
    except waiting.TimeIsOver:
        raise ServerError(f"no whole answer within {MOST_SECONDS:g} s", where=server) from None
    except Exception as error:  # whatever requests and urllib3 raise
        raise ServerError(foreign(str(error)), where=server) from None
    return _parse(body, server), date


def _get(url: str, user_agent: str, verify: bool) -> tuple[bytes, str]:
    import requests

    headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
    with requests.Session() as session:
        # Else requests reads a redirect's body, whatever its size, and unpacks it.
        setattr(session, "get_redirect_target", lambda reply: None)  # noqa: B010
        for _ in range(_MOST_REDIRECTS + 1):
            reply = session.get(
                url,
                headers=headers,
                stream=True,
                timeout=_STEP_SECONDS,
                allow_redirects=False,
                verify=verify,
            )
            with reply:
                target = _redirect(reply, url)
                if target is None:
                    return _body(reply, url), reply.headers.get("date", "")
                url = target
    raise ServerError(f"more than {_MOST_REDIRECTS} redirects", where=url)


def _redirect(reply: requests.Response, url: str) -> Optional[str]:
    if not reply.is_redirect:
        return None
    target: str = urljoin(url, reply.headers["location"])
    if urlsplit(target).scheme != "https":
        raise ServerError(f"it redirects to {foreign(target)}, which is not https", where=url)
    return target


def _body(reply: requests.Response, url: str) -> bytes:
    if reply.status_code != 200:
        raise ServerError(f"HTTP status {reply.status_code}", where=url)
    if reply.headers.get("content-encoding", "identity") != "identity":
        raise ServerError("its answer is compressed, though that was not asked for", where=url)
    body: bytes = reply.raw.read(MOST_BYTES + 1, decode_content=False)
    if len(body) > MOST_BYTES:
        raise ServerError(f"its answer has more than {MOST_BYTES} bytes", where=url)
    return body


def _parse(body: bytes, server: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("newOrder"), str):
        raise ServerError(_NO_DIRECTORY, where=server)
    return found


def meta(found: dict[str, Any], name: str) -> Any:
    """An entry of a directory's `meta` (RFC 8555 §7.1.1); None if it has none."""
    entries = found.get("meta")
    return entries.get(name) if isinstance(entries, dict) else None


def caa_identities(found: dict[str, Any]) -> list[str]:
    """The names that the CA wants to see in a CAA record (`meta.caaIdentities`)."""
    listed = meta(found, "caaIdentities")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
