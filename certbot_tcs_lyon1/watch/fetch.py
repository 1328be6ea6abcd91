"""One GET, for what a certificate or a CA's directory points to: bounded in time and in size.

The URL is somebody else's word, and with http so is the answer: only http and https, without a
password in it, redirects included; none of them leads from the internet to this machine or its
network, as names resolve before each is followed. The environment's proxies are used, its .netrc
is not.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from certbot_tcs_lyon1 import waiting
from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import foreign

CONNECT_SECONDS = 5
MOST_SECONDS = 30
MOST_BYTES = 64 * 1024 * 1024

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What a server answered; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Asker:
    """Asks for one process, and never again a server that has kept it waiting."""

    def __init__(self) -> None:
        self._slow: set[str] = set()

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        seconds: float = MOST_SECONDS,
        most: int = MOST_BYTES,
    ) -> Answer:
        """What `url` holds, or the answer 304 to a conditional request.

        :param seconds: for all of it, from the names' resolution to the last byte
        :param most: bytes
        :raises WatchError: any other answer, or none
        """
        if not is_allowed(url):
            raise WatchError("only http and https are followed", where=foreign(url))
        server = urlsplit(url).netloc
        if server in self._slow:
            raise WatchError("its server was too slow before in this run", where=url)
        begin = time.monotonic()
        try:
            return _get(url, headers, seconds, most)
        except WatchError:
            if time.monotonic() - begin >= min(CONNECT_SECONDS, seconds):
                self._slow.add(server)
            raise


def _get(url: str, headers: Mapping[str, str], seconds: float, most: int) -> Answer:
    deadline = time.monotonic() + seconds
    try:
        return waiting.at_most(seconds, lambda: _follow(url, headers, deadline, most))
    except WatchError:
        raise
    except waiting.TimeIsOver:
        raise WatchError(f"no answer in {seconds:g} seconds", where=url) from None
    except Exception as error:  # whatever requests, urllib3 and http.client raise
        raise WatchError(foreign(str(error) or type(error).__name__), where=url) from None


def is_allowed(url: str) -> bool:
    """Whether root may ask for it: http or https, a host, no password."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        )
    except ValueError:
        return False


def _follow(url: str, headers: Mapping[str, str], deadline: float, most: int) -> Answer:
    import requests  # certbot's own

    began_inside = _is_inside(url)
    with requests.Session() as session:
        session.auth = lambda request: request  # else .netrc's password goes to that server
        # Else requests reads a redirect's body, whatever its size, and unpacks it.
        setattr(session, "get_redirect_target", lambda response: None)  # noqa: B010
        for _ in range(_MOST_REDIRECTS + 1):
            if not is_allowed(url):
                raise WatchError("only http and https are followed", where=foreign(url))
            left = max(0.1, deadline - time.monotonic())
            with session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, left), left),
            ) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    return _read(response, url, deadline, most)
            url = urljoin(url, location)
            if not began_inside and _is_inside(url):
                raise WatchError("a redirect to this machine or its network", where=foreign(url))
    raise WatchError(f"more than {_MOST_REDIRECTS} redirects", where=foreign(url))


def _is_inside(url: str) -> bool:
    """Whether the URL's host has an address that is none of the internet's.

    A name that can't be resolved here is the proxy's to resolve.
    """
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError):
        return False
    return not all(address.is_global and not address.is_multicast for address in addresses)


def _read(response: Any, url: str, deadline: float, most: int) -> Answer:
    found = {name.lower(): value for name, value in response.headers.items()}
    if response.status_code not in (200, 304):
        raise WatchError(f"the answer is HTTP {response.status_code}", where=url)
    if found.get("content-encoding", "identity") != "identity":
        raise WatchError("the answer is compressed, which was not asked for", where=url)
    length = found.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise WatchError(f"the answer is larger than {most} bytes", where=url)
    chunks, size = [], 0
    while True:
        chunk = response.raw.read(_CHUNK, decode_content=False)
        size += len(chunk)
        if size > most:
            raise WatchError(f"the answer is larger than {most} bytes", where=url)
        if time.monotonic() > deadline:
            raise WatchError("the answer took too long", where=url)
        if not chunk:
            break
        chunks.append(chunk)
    if length.isdigit() and response.status_code == 200 and size != int(length):
        raise WatchError("the answer was cut short", where=url)
    return Answer(response.status_code, found, b"".join(chunks))
