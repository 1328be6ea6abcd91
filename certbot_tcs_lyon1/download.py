"""One HTTP GET, bounded in time and size: for a CA's directory, a CRL, and ARI.

The server may send 500 MB, one byte per second, or a compressed answer that unpacks to gigabytes.
The URL comes from a certificate, an answer or an option, so only the given schemes are followed,
without a password in the URL, redirects included; and where http is one, no redirect leads from the
internet to this machine or its network, as far as the host name resolves to it before the request.
The proxies of the environment are used, its .netrc is not.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from certbot_tcs_lyon1 import waiting
from certbot_tcs_lyon1.report import foreign

#: Seconds to connect to one address of a server.
CONNECT_SECONDS = 5

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_CHUNK_BYTES = 64 * 1024


class DownloadError(Exception):
    """There is no usable answer; the text says why, without the URL that was asked for."""


@dataclass(frozen=True)
class Answer:
    """The answer to a GET: HTTP status, headers with their names in lower case, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Limits:
    """What a request may cost, and where it may lead.

    :ivar seconds: for all of it, from the resolution of the host name to the last byte
    :ivar most_bytes: of the body
    :ivar schemes: that the URL and redirects may have
    :ivar verify: whether the server's certificate is verified
    :ivar silent_seconds: how long the server may send nothing
    """

    seconds: float
    most_bytes: int
    schemes: Sequence[str] = ("http", "https")
    verify: bool = True
    silent_seconds: float = 30


def get(url: str, headers: Mapping[str, str], limits: Limits) -> Answer:
    """Return the answer to a GET: status 200, or 304 to a conditional request.

    :raises DownloadError: any other answer, or none
    """
    check_url(url, limits.schemes)  # before its host is resolved
    deadline = time.monotonic() + limits.seconds
    try:
        return waiting.at_most(limits.seconds, lambda: _follow(url, headers, limits, deadline))
    except DownloadError:
        raise
    except waiting.TimeIsOver:
        raise DownloadError(f"no whole answer within {limits.seconds:g} s") from None
    except Exception as error:  # whatever requests, urllib3 and http.client raise
        raise DownloadError(foreign(str(error) or type(error).__name__)) from None


def check_url(url: str, schemes: Sequence[str]) -> None:
    """Check that a URL has one of the schemes, a host, and no password.

    :raises DownloadError: it has not
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in schemes and parts.hostname and "@" not in parts.netloc:
            return
    except ValueError:
        pass
    wanted = " or ".join(schemes)
    raise DownloadError(f"only {wanted} without a password is followed")


def _follow(url: str, headers: Mapping[str, str], limits: Limits, deadline: float) -> Answer:
    import requests  # a dependency of certbot's

    # By https only the server itself can redirect; and behind a proxy, names may not resolve here.
    may_lead_inside = "http" not in limits.schemes or _is_inside(url)
    with requests.Session() as session:
        session.auth = lambda request: request  # keeps .netrc's passwords from the server
        # Otherwise requests reads and unpacks the body of a redirect, whatever its size.
        setattr(session, "get_redirect_target", lambda response: None)  # noqa: B010
        for _ in range(_MOST_REDIRECTS + 1):
            left = max(0.1, deadline - time.monotonic())
            with session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, left), min(limits.silent_seconds, left)),
                verify=limits.verify,
            ) as response:
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    return _read(response, limits, deadline)
            url = urljoin(url, location)
            _check_redirect(url, limits.schemes)
            if not may_lead_inside and _is_inside(url):
                raise DownloadError(f"a redirect to this machine or its network: {foreign(url)}")
    raise DownloadError(f"more than {_MOST_REDIRECTS} redirects")


def _check_redirect(url: str, schemes: Sequence[str]) -> None:
    try:
        check_url(url, schemes)
    except DownloadError as error:
        shown = foreign(re.sub("//[^/]*@", "//", url))
        raise DownloadError(f"it redirects to {shown}, and {error}") from None


def _is_inside(url: str) -> bool:
    """Return whether the URL's host has an address that is not global: loopback, private and so on.

    False for a name that cannot be resolved here: the proxy resolves it.
    """
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError):
        return False
    return not all(address.is_global and not address.is_multicast for address in addresses)


def _read(response: Any, limits: Limits, deadline: float) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    if response.status_code not in (200, 304):
        raise DownloadError(f"HTTP status {response.status_code}")
    if headers.get("content-encoding", "identity") != "identity":
        raise DownloadError("the answer is compressed, though that was not asked for")
    length = headers.get("content-length", "")
    expected = int(length) if length.isdigit() else None
    body = bytearray()
    while True:
        if max(len(body), expected or 0) > limits.most_bytes:
            raise DownloadError(f"the answer has more than {limits.most_bytes} bytes")
        chunk = response.raw.read(_CHUNK_BYTES, decode_content=False)
        if time.monotonic() > deadline:
            raise waiting.TimeIsOver
        if not chunk:
            break
        body += chunk
    if response.status_code == 200 and expected not in (None, len(body)):
        raise DownloadError("the answer was cut short")
    return Answer(response.status_code, headers, bytes(body))
