"""The certificate that a service serves: over TLS, or over STARTTLS of six protocols.

It is not verified, but compared with the live version, byte for byte.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BufferedReader
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
        return Served(at_most(SECONDS, lambda: _get(service)))
    except (TimeIsOver, socket.timeout):
        fault = f"no answer within {SECONDS:g} s"
    except ssl.SSLError as error:
        fault = f"no TLS: {error.reason or error}"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        fault = foreign(why, 200)
    return Served(fault=fault)


def _get(service: Service) -> Optional[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(service) as connection:
        connection.settimeout(SECONDS)
        if service.starttls:
            with connection.makefile("rb") as file:
                _start_tls(service.starttls, connection, file)
        with context.wrap_socket(connection, server_hostname=service.host) as secured:
            return secured.getpeercert(binary_form=True)


def _connected(service: Service) -> socket.socket:
    """Return a connection to the first address that accepts one; each has its share of the time."""
    found = socket.getaddrinfo(service.host, service.port, type=socket.SOCK_STREAM)
    *others, last = ((str(address[0]), service.port) for *_, address in found)
    for place in others:
        with contextlib.suppress(OSError):
            return socket.create_connection(place, SECONDS / len(found))
    return socket.create_connection(last, SECONDS)


def _start_tls(protocol: str, connection: socket.socket, file: BufferedReader) -> None:
    """Ask for TLS in a protocol of `settings.STARTTLS`.

    :raises ValueError: the service does not offer it
    """
    if protocol == "ldap":
        connection.sendall(_LDAP_REQUEST)
        length = _read(file, 2)[1]
        if length & 0x80:
            length = int.from_bytes(_read(file, length & 0x7F), "big")
        # message id, extendedResponse [APPLICATION 24], its resultCode: success is 0
        if b"\x0a\x01\x00" not in _read(file, min(length, _MOST_BYTES))[:16]:
            raise ValueError("it refuses StartTLS")
    elif protocol == "postgres":
        connection.sendall(_POSTGRES_REQUEST)
        if _read(file, 1) != b"S":
            raise ValueError("it refuses TLS")
    else:
        goes_on = _GREETING_GOES_ON
        for expected, request in _DIALOGUES[protocol]:
            line = _line(file)
            while re.match(goes_on, line):
                line = _line(file)
            if not re.match(expected, line):
                raise ValueError(f"it does not offer TLS here, but says: {line}")
            if request:
                connection.sendall(f"{request}\r\n".encode())
            goes_on = _GOES_ON


def _read(file: BufferedReader, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it closed the connection before TLS")
    return data


def _line(file: BufferedReader) -> str:
    line = file.readline(_MOST_BYTES)
    if not line.endswith(b"\n"):
        raise ValueError("it closed the connection before TLS, or its answer is too long")
    return line.decode("utf-8", "replace").rstrip("\r\n")
