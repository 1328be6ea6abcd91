"""One message to one address of a name server, and what comes back; nothing is remembered here."""

from __future__ import annotations

import socket
import time
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.tsig

from certbot_tcs_lyon1.dns01.records import Address


def by_udp(
    server: Address, query: dns.message.Message, seconds: float
) -> tuple[dns.message.Message, float]:
    """The reply, and how long it took; from a port of its own.

    :raises TimeoutError: none came
    :raises OSError: the server can't be reached
    """
    start = time.monotonic()
    with socket.socket(server.family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(seconds)
        udp.connect(server.socket_address)
        udp.send(query.to_wire())
        while True:
            reply = read(query, udp.recv(65535))
            took = time.monotonic() - start
            if reply is not None:
                return reply, took
            if took >= seconds:
                raise socket.timeout
            udp.settimeout(seconds - took)


def by_tcp(
    server: Address, message: dns.message.Message, connect: float, seconds: float, end: float
) -> bytes:
    """The bytes of what comes back; `read` knows whether they are a reply.

    :param connect: seconds for the connection
    :param seconds: for the reply, then
    :param end: of both, by `time.monotonic()`
    :raises OSError: it can't be reached, or is silent
    :raises EOFError: the connection was closed
    """
    wire = message.to_wire()
    with socket.socket(server.family, socket.SOCK_STREAM) as tcp:
        tcp.settimeout(min(connect, max(end - time.monotonic(), 0.05)))
        tcp.connect(server.socket_address)
        end = max(min(end, time.monotonic() + seconds), time.monotonic() + 0.05)
        tcp.settimeout(end - time.monotonic())
        tcp.sendall(len(wire).to_bytes(2, "big") + wire)
        size = int.from_bytes(_receive(tcp, 2, end), "big")
        return _receive(tcp, size, end)


def _receive(tcp: socket.socket, size: int, end: float) -> bytes:
    data = b""
    while len(data) < size:
        left = end - time.monotonic()
        if left <= 0:
            raise socket.timeout
        tcp.settimeout(left)
        more = tcp.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read(query: dns.message.Message, wire: bytes) -> Optional[dns.message.Message]:
    """The reply in these bytes; None if they are no reply to this query.

    An unsigned reply to a signed query is read as well, and shows that by `had_tsig`: dnspython
    2.9 rejects it, and its code would be lost.

    :raises dns.tsig.PeerError: the server rejects the signature; nobody has signed that
    """
    if wire[:2] != query.id.to_bytes(2, "big"):
        return None
    cut = query.keyring is None
    if cut:  # nobody looks at what follows the answer, or the SOA in its place: half of the work
        authority = bytes(2) if any(wire[6:8]) else wire[8:10]
        wire = wire[:8] + authority + bytes(2) + wire[12:]
    for mac in (query.mac, b""):
        try:
            reply = dns.message.from_wire(
                wire, keyring=query.keyring, request_mac=mac or b"", ignore_trailing=cut
            )
        except dns.tsig.PeerError:
            raise
        except Exception:  # what a hostile packet raises depends on dnspython
            continue
        if not mac and query.keyring is not None and reply.had_tsig:
            return None  # signed for no request
        return reply if query.is_response(reply) and _is_of_the_internet(reply) else None
    return None


def _is_of_the_internet(reply: dns.message.Message) -> bool:
    """Whether every record is of that class: those of others lack its attributes. An UPDATE has
    classes of its own (RFC 2136 §2.4), which a reply to it may repeat."""
    records = (*reply.answer, *reply.authority)
    is_update = reply.opcode() == dns.opcode.UPDATE
    return is_update or all(rrset.rdclass == dns.rdataclass.IN for rrset in records)


def is_authoritative(reply: dns.message.Message) -> bool:
    """Whether the server answers for this name itself (AA, and no error but NXDOMAIN)."""
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


def reason(error: BaseException) -> str:
    """A failure of the network in a few words."""
    if is_silence(error):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "the connection was closed before the reply was complete"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return f"the reply cannot be used ({type(error).__name__})"


def is_silence(error: BaseException) -> bool:
    """Whether a failure cost its whole time-out, as a dead server does."""
    return isinstance(error, (dns.exception.Timeout, TimeoutError, socket.timeout))
