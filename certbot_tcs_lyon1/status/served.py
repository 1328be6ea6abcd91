"""The certificate that a service serves: over TLS, or over STARTTLS of six protocols.

It is not verified, but compared with the live version, byte for byte.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.department.settings import Service
from certbot_tcs_lyon1.report import foreign

#: Seconds for one service, and for all of them together.
SECONDS, ALL_SECONDS = 5.0, 30.0

#: The most services that are connected to at the same time.
_AT_ONCE = 32
_MOST_BYTES = 16384

#: extendedRequest with the name 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.14), as message 1.
_LDAP_REQUEST = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_POSTGRES_REQUEST = bytes.fromhex("0000000804d2162f")  # SSLRequest (PostgreSQL manual, §55.7)


@dataclass(frozen=True)
class Served:
    """The answer of a service: its certificate (DER), or why there is none."""

    service: Service
    der: Optional[bytes] = field(default=None, repr=False)
    fault: str = ""


def fetch(services: Sequence[Service]) -> dict[Service, Served]:
    """Connect to all services in parallel; no answer in time is a fault."""
    found: dict[Service, Served] = {}
    waiting = list(dict.fromkeys(services))
    deadline = time.monotonic() + ALL_SECONDS

    def work() -> None:
        while True:
            try:
                service = waiting.pop()
            except IndexError:
                return
            found[service] = _served(service)

    threads = [
        threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(waiting)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {ALL_SECONDS:g} s of all services together"
    return {service: found.get(service, Served(service, fault=late)) for service in services}


def _served(service: Service) -> Served:
    try:
        return Served(service, der=_get(service, time.monotonic() + SECONDS))
    except socket.timeout:
        return Served(service, fault=f"no answer within {SECONDS:g} s")
    except ssl.SSLError as error:
        return Served(service, fault=f"no TLS: {error.reason or error}")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Served(service, fault=foreign(why, 200))


def _get(service: Service, deadline: float) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(service, deadline) as connection:
        if service.starttls:
            _Talk(connection, deadline).start(service.starttls)
        connection.settimeout(_left(deadline))
        with context.wrap_socket(
            connection, server_hostname=service.host, do_handshake_on_connect=False
        ) as secured:
            secured.settimeout(_left(deadline))
            secured.do_handshake()
            der = secured.getpeercert(binary_form=True)
    if not der:
        raise ValueError("it gave no certificate")
    return der


def _connected(service: Service, deadline: float) -> socket.socket:
    """Return a connection to the first address that accepts one; each has its share of the time."""
    found = socket.getaddrinfo(service.host, service.port, type=socket.SOCK_STREAM)
    for tried, (*_, address) in enumerate(found, 1):
        try:
            share = _left(deadline) / (len(found) - tried + 1)
            return socket.create_connection((str(address[0]), service.port), share)
        except OSError:
            if tried == len(found):
                raise
    raise ValueError("it has no address")


def _left(deadline: float) -> float:
    """Return the seconds until the deadline.

    :raises socket.timeout: it has passed
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


class _Talk:
    """The dialogue before TLS; nothing is read beyond its end."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def start(self, protocol: str) -> None:
        """Ask for TLS in a protocol of `settings.STARTTLS`.

        :raises ValueError: the service does not offer it
        """
        if protocol == "smtp":  # RFC 3207
            self._expect("220")
            self._send("EHLO localhost")
            self._expect("250")
            self._send("STARTTLS")
            self._expect("220")
        elif protocol == "imap":  # RFC 9051 §6.2.1
            self._expect("* OK", "* PREAUTH")
            self._send("a STARTTLS")
            self._tagged("a ")
        elif protocol == "pop3":  # RFC 2595 §4
            self._expect("+OK")
            self._send("STLS")
            self._expect("+OK")
        elif protocol == "ftp":  # RFC 4217
            self._expect("220")
            self._send("AUTH TLS")
            self._expect("234")
        elif protocol == "ldap":
            self._connection.sendall(_LDAP_REQUEST)
            self._ldap_answer()
        else:
            self._connection.sendall(_POSTGRES_REQUEST)
            if self._read(1) != b"S":
                raise ValueError("it refuses TLS")

    def _send(self, line: str) -> None:
        self._connection.sendall(line.encode() + b"\r\n")

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

    def _expect(self, *starts: str) -> None:
        """Read an answer (further lines follow a code with a hyphen), and check its beginning."""
        for _ in range(100):
            line = self._line()
            if not (line[:3].isdigit() and line[3:4] == "-"):
                break
        if not line.startswith(starts):
            raise ValueError(f"it does not offer TLS here, but says: {line}")

    def _tagged(self, tag: str) -> None:
        for _ in range(100):
            line = self._line()
            if line.startswith(tag):
                break
        if not line.startswith(f"{tag}OK"):
            raise ValueError(f"it does not offer TLS here, but says: {line}")

    def _ldap_answer(self) -> None:
        head = self._read(2)
        length = head[1]
        if length & 0x80:
            length = int.from_bytes(self._read(length & 0x7F), "big")
        body = self._read(min(length, _MOST_BYTES))
        # message id, extendedResponse [APPLICATION 24], its resultCode: success is 0
        if b"\x0a\x01\x00" not in body[:16]:
            raise ValueError("it refuses StartTLS")
