"""How name servers are asked, and what one process knows of each of them.

A question goes by UDP, from a new port and with a new id each time (RFC 5452), and by TCP after the
second loss. What is no answer to it (another id, another question, no message at all) is passed
over until the time is up: anybody can send that. Questions of one stage are under way together.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.tsig

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, signing
from certbot_tcs_lyon1.dns01.records import Address, NoAnswer, Refused

#: EDNS payload (bytes) that passes every path without fragments (DNS flag day 2020).
_PAYLOAD = 1232

#: Questions lost by UDP, one after another, after which TCP is asked at once.
_MOST_LOSSES = 4

#: Seconds that one question may take at most.
_LONGEST = 30.0

#: The answers after which the next server is tried (RFC 2136 §4.5, §4.6); any other is final.
TRY_NEXT = (dns.rcode.SERVFAIL, dns.rcode.NOTIMP)

#: No route to any address of the family: this machine has no IPv6 (or no IPv4).
_NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True)
class Timing:
    """How long is waited, in seconds.

    `first` is for a UDP reply of a server that nothing is known of, then it is three times what it
    took before: not less than `floor`, for a busy server, and not more than `cap`. With `connect`,
    for a TCP connection, a dead server costs 3 s in all. One that has taken the connection is
    alive: it gets `reply` seconds for an answer, and `update` for an UPDATE, which it writes to
    disk and may sign. `unknown` is for an UPDATE to a server that has answered nothing in this
    process. `resolve` is for a name, from this system's resolver. `silence` is how long a server
    that was silent is asked last.
    """

    first: float = 0.5
    floor: float = 0.2
    cap: float = 5.0
    connect: float = 2.0
    reply: float = 10.0
    update: float = 60.0
    unknown: float = 4.0
    resolve: float = 3.0
    silence: float = 60.0


@dataclass
class _Known:
    """What is known of one server: seconds that a reply took, UDP losses since the last reply."""

    took: Optional[float] = None
    losses: int = 0
    edns: bool = True
    silent_at: Optional[float] = None


@dataclass
class Servers:
    """The name servers, as this process has come to know them; all lineages share it.

    `undelivered` holds the journal's entries that could not be withdrawn in this process;
    `waited_blindly` the zones for which there was no name server to ask.
    """

    timing: Timing = Timing()
    undelivered: set[object] = field(default_factory=set)
    waited_blindly: set[dns.name.Name] = field(default_factory=set)
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)
    _resolved: dict[Endpoint, list[Address]] = field(default_factory=dict)

    def _of(self, server: Address) -> _Known:
        return self._known.setdefault(server.socket_address, _Known())

    def has_answered(self, server: Address) -> bool:
        """Whether anything has come back from it in this process."""
        return self._of(server).took is not None

    def is_silent(self, server: Address) -> bool:
        """Whether it was silent a moment ago."""
        silent_at = self._of(server).silent_at
        return silent_at is not None and time.monotonic() - silent_at < self.timing.silence

    def note_silence(self, server: Address) -> None:
        """Remember that a server has cost its whole time-out."""
        self._of(server).silent_at = time.monotonic()

    def note_reply(self, server: Address, seconds: float) -> None:
        """Remember that a server has answered, and how long that took."""
        known = self._of(server)
        known.took, known.silent_at = seconds, None

    # Addresses

    def addresses_of(self, endpoint: Endpoint) -> list[Address]:
        """All addresses of a server that is given by name or address, IPv6 and IPv4.

        :raises NoAnswer: the name has no address, or this system's resolver is silent
        """
        try:
            ip = str(ipaddress.ip_address(endpoint.host))
        except ValueError:
            if endpoint not in self._resolved:
                self._resolved[endpoint] = _resolve(endpoint, self.timing.resolve)
            if not self._resolved[endpoint]:
                raise NoAnswer(f"{endpoint.host} has no address here") from None
            return self._resolved[endpoint]
        return [Address(ip, endpoint.port, ip)]

    # Questions

    def ask(
        self,
        server: Address,
        name: dns.name.Name,
        rdtype: str,
        key: Optional[SigningKey] = None,
        deadline: Optional[float] = None,
        recursive: bool = False,
    ) -> dns.message.Message:
        """One question to one address, which is to answer it itself (RD=0).

        :param recursive: it may ask others (RD=1)
        :param key: sign it; then whoever asks looks whether the reply `had_tsig`
        :param deadline: by `time.monotonic()`
        :raises NoAnswer: no usable reply, the reason in the text
        :raises DnsError: the key can't be used here
        """
        known = self._of(server)
        end = deadline if deadline is not None else time.monotonic() + _LONGEST
        try:
            for edns in dict.fromkeys((known.edns, False)):
                query = _query(server, name, rdtype, key, edns)
                query.flags |= dns.flags.RD if recursive else 0
                reply = self._ask(server, query, known, end)
                if reply.rcode() != dns.rcode.FORMERR:
                    break
                known.edns = False  # RFC 6891 §7
            return reply
        except (dns.exception.DNSException, OSError, EOFError) as error:
            if meaning.is_silence(error):
                self.note_silence(server)
            if isinstance(error, dns.tsig.PeerBadKey) and key is not None:
                signing.forget(key, server.as_configured)
            why = meaning.reason(error)
            no_route = isinstance(error, OSError) and error.errno in _NO_ROUTE
            raise NoAnswer(f"{server}: {why}", reason=why, no_route=no_route) from None

    def _ask(
        self, server: Address, query: dns.message.Message, known: _Known, end: float
    ) -> dns.message.Message:
        reply = self._ask_by_udp(server, query, known, end)
        if reply is not None:
            return reply
        try:
            start = time.monotonic()
            found = read(query, by_tcp(server, query, self.timing.connect, self.timing.reply, end))
            if found is None:
                raise dns.exception.FormError
            self.note_reply(server, time.monotonic() - start)
            return found
        except (ConnectionError, EOFError, dns.exception.FormError):  # no TCP there
            reply = self._ask_by_udp(server, query, known, end)
            if reply is None:
                raise
            return reply

    def _ask_by_udp(
        self, server: Address, query: dns.message.Message, known: _Known, end: float
    ) -> Optional[dns.message.Message]:
        """The reply; None if two questions were lost, or it is truncated."""
        for _ in range(2 if known.losses < _MOST_LOSSES else 0):
            wait = self.timing.first if known.took is None else 3 * known.took
            wait = min(max(wait, self.timing.floor), self.timing.cap, end - time.monotonic())
            query.id = secrets.randbelow(65536)  # and dnspython signs it anew
            try:
                reply, took = _by_udp(server, query, max(wait, self.timing.floor))
            except (socket.timeout, ConnectionError):
                known.losses += 1
                continue
            known.losses = 0
            self.note_reply(server, took)
            return None if reply.flags & dns.flags.TC else reply
        return None


#: The name servers of this process.
SERVERS = Servers()


def update_addresses(section: DnsServer) -> tuple[list[Address], list[str]]:
    """Each address of each update server in turn, those last that were silent; and a line for each
    server whose name has no address."""
    found: list[Address] = []
    problems: list[str] = []
    for endpoint in section.servers:
        try:
            found += SERVERS.addresses_of(endpoint)
        except NoAnswer as error:
            problems.append(str(error))
    return sorted(dict.fromkeys(found), key=SERVERS.is_silent), problems


def _query(
    server: Address, name: dns.name.Name, rdtype: str, key: Optional[SigningKey], edns: bool
) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, use_edns=0 if edns else -1, payload=_PAYLOAD)
    query.flags &= ~dns.flags.RD
    if key is not None:
        try:
            signing.sign(query, key, server.as_configured, name)
        except errors.DnsError as error:
            raise Refused(str(error)) from None
    return query


def _by_udp(
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
    for mac in (query.mac, b""):
        try:
            reply = dns.message.from_wire(wire, keyring=query.keyring, request_mac=mac or b"")
        except dns.tsig.PeerError:
            raise
        except Exception:  # what a hostile packet raises depends on dnspython
            continue
        if not mac and query.keyring is not None and reply.had_tsig:
            return None  # signed for no request
        return reply if query.is_response(reply) else None
    return None


def is_authoritative(reply: dns.message.Message) -> bool:
    """Whether the server answers for this name itself (AA, and no error but NXDOMAIN)."""
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


def _resolve(endpoint: Endpoint, seconds: float) -> list[Address]:
    """A name's addresses as this system resolves them; none after so many seconds, for glibc
    waits longer."""
    found: list[Address] = []

    def resolve() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
            ips = dict.fromkeys(str(answer[4][0]) for answer in answers)
            found.extend(Address(ip, endpoint.port, endpoint.host) for ip in ips)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found)
