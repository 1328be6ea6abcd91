"""The certificate that a service serves: over TLS, or over STARTTLS of six protocols.

It is not verified, but compared with the live version, byte for byte.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.department.settings import Service
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.waiting import TimeIsOver, at_most

#: Seconds for one service, and for all of them together.
SECONDS, ALL_SECONDS = 5.0, 30.0

_MOST_BYTES = 16384

#: The answers that are expected, each with the request that follows, until TLS starts.
_DIALOGUES = {
    "smtp": (("220", "EHLO localhost"), ("250", "STARTTLS"), ("220", "")),  # RFC 3207
    "imap": ((r"\* (OK|PREAUTH)", "a STARTTLS"), ("a OK", "")),  # RFC 9051 §6.2.1
    "pop3": ((r"\+OK", "STLS"), (r"\+OK", "")),  # RFC 2595 §4
    "ftp": (("220", "AUTH TLS"), ("234", "")),  # RFC 4217
}

#: Lines that others follow: with a code and a hyphen; and in IMAP, those before the tagged one.
_GREETING_GOES_ON = r"\d{3}-"
_GOES_ON = r"\d{3}-|\* "

#: extendedRequest with the name 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.14), as message 1.
_LDAP_REQUEST = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_POSTGRES_REQUEST = bytes.fromhex("0000000804d2162f")  # SSLRequest (PostgreSQL manual, §55.7)


@dataclass(frozen=True)
class Served:
    """The answer of a service: its certificate (DER), or why there is none."""

    der: Optional[bytes] = field(default=None, repr=False)
    fault: str = ""


def fetch(services: Sequence[Service]) -> dict[Service, Served]:
    """Connect to all services in parallel; no answer in time is a fault."""
    found: dict[Service, Served] = {}

    def ask(service: Service) -> None:
        found[service] = _served(service)

    with contextlib.suppress(TimeIsOver):
        at_most(ALL_SECONDS, lambda: together(ask, list(dict.fromkeys(services))))
    late = f"no answer within {ALL_SECONDS:g} s of all services together"
    return {service: found.get(service, Served(fault=late)) for service in services}


def _served(service: Service) -> Served:
    try:
        return Served(_get(service, time.monotonic() + SECONDS))
    except socket.timeout:
        fault = f"no answer within {SECONDS:g} s"
    except ssl.SSLError as error:
        fault = f"no TLS: {error.reason or error}"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        fault = foreign(why, 200)
    return Served(fault=fault)


def _get(service: Service, deadline: float) -> Optional[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(service, deadline) as connection:
        if service.starttls:
            _Dialogue(connection, deadline).start_tls(service.starttls)
        connection.settimeout(_left(deadline))
        with context.wrap_socket(connection, server_hostname=service.host) as secured:
            return secured.getpeercert(binary_form=True)


def _connected(service: Service, deadline: float) -> socket.socket:
    """Return a connection to the first address that accepts one; each has its share of the time."""
    found = socket.getaddrinfo(service.host, service.port, type=socket.SOCK_STREAM)
    *others, last = ((str(address[0]), service.port) for *_, address in found)
    for number, place in enumerate(others):
        with contextlib.suppress(OSError):
            return socket.create_connection(place, _left(deadline) / (len(found) - number))
    return socket.create_connection(last, _left(deadline))


def _left(deadline: float) -> float:
    """Return the seconds until the deadline.

    :raises socket.timeout: it has passed
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


class _Dialogue:
    """The dialogue before TLS; nothing is read beyond its end."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def start_tls(self, protocol: str) -> None:
        """Ask for TLS in a protocol of `settings.STARTTLS`.

        :raises ValueError: the service does not offer it
        """
        if protocol == "ldap":
            self._connection.sendall(_LDAP_REQUEST)
            # message id, extendedResponse [APPLICATION 24], its resultCode: success is 0
            if b"\x0a\x01\x00" not in self._ldap_message()[:16]:
                raise ValueError("it refuses StartTLS")
        elif protocol == "postgres":
            self._connection.sendall(_POSTGRES_REQUEST)
            if self._read(1) != b"S":
                raise ValueError("it refuses TLS")
        else:
            goes_on = _GREETING_GOES_ON
            for expected, request in _DIALOGUES[protocol]:
                line = self._line()
                while re.match(goes_on, line):
                    line = self._line()
                if not re.match(expected, line):
                    raise ValueError(f"it does not offer TLS here, but says: {line}")
                if request:
                    self._connection.sendall(f"{request}\r\n".encode())
                goes_on = _GOES_ON

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            self._connection.settimeout(_left(self._deadline))
            more = self._connection.recv(count - len(data))
            if not more:
                raise ValueError("it closed the connection before TLS")
            data += more
        return data

    def _line(self) -> str:
        data = b""
        while not data.endswith(b"\n"):
            data += self._read(1)
            if len(data) > _MOST_BYTES:
                raise ValueError("its answer is too long")
        return data.decode("utf-8", "replace").rstrip("\r\n")

    def _ldap_message(self) -> bytes:
        length = self._read(2)[1]
        if length & 0x80:
            length = int.from_bytes(self._read(length & 0x7F), "big")
        return self._read(min(length, _MOST_BYTES))
