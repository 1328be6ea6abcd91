"""Sending one message to one address of a name server, and reading the reply; without state."""

from __future__ import annotations

import socket
import time
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.tsig

from certbot_tcs_lyon1.dns01.records import Address

# Else the first reply with such a record of the class ANY would have dnspython take those of the
# class IN for records of an unknown type, too, for the rest of this process.
for _type, _sample in (("A", "127.0.0.1"), ("AAAA", "::1")):
    dns.rdata.from_text("IN", _type, _sample)


def by_udp(
    server: Address, query: dns.message.Message, seconds: float
) -> tuple[dns.message.Message, float]:
    """Send a query by UDP from a new port; return the reply, and the seconds until it came.

    Packets that are no reply to the query are ignored.

    :param seconds: the time-out
    :raises socket.timeout: there was no reply
    :raises OSError: the server can't be reached
    :raises dns.tsig.PeerError: the server rejects the signature
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
    """Send a message by TCP; return the bytes of the reply, to be parsed by `read`.

    :param connect: the time-out of the connection, in seconds
    :param seconds: the time-out of the reply, once connected
    :param end: the deadline of both, by `time.monotonic()`
    :raises OSError: the server can't be reached, or does not answer in time
    :raises EOFError: the connection was closed before the end of the reply
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
    """Parse a reply; return None if it is no reply to this query, or its signature is not valid.

    An unsigned reply to a signed query is returned, with `had_tsig` False, so that its rcode can be
    reported; dnspython 2.9 would reject it.

    :param query: the query or UPDATE, as it was sent
    :raises dns.tsig.PeerError: the server rejects the signature, by a reply that is not verified
    """
    if wire[:2] != query.id.to_bytes(2, "big"):
        return None
    # Without answer and authority nothing is cut: OPT may hold half of the rcode (BADVERS).
    cut = query.keyring is None and any(wire[6:10])
    if cut:  # only answer or SOA are used: parsing no more takes half of the time
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
            return None  # its signature does not cover the query's MAC
        return reply if query.is_response(reply) and _is_class_in(reply) else None
    return None


def _is_class_in(reply: dns.message.Message) -> bool:
    """Return whether all records are of class IN: those of other classes lack its attributes.

    Those of an UPDATE have other classes (RFC 2136 §2.4), which its reply may repeat.
    """
    records = (*reply.answer, *reply.authority)
    is_update = reply.opcode() == dns.opcode.UPDATE
    return is_update or all(rrset.rdclass == dns.rdataclass.IN for rrset in records)


def is_authoritative(reply: dns.message.Message) -> bool:
    """Return whether a reply is authoritative (AA), with the rcode NOERROR or NXDOMAIN."""
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


def reason(error: BaseException) -> str:
    """Return a short description of an exception that sending or reading has raised."""
    if is_silence(error):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "the connection was closed before the reply was complete"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return f"the reply cannot be used ({type(error).__name__})"


def is_silence(error: BaseException) -> bool:
    """Return whether an exception is a time-out, such as of a dead server."""
    return isinstance(error, (dns.exception.Timeout, TimeoutError, socket.timeout))
