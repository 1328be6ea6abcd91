"""Querying name servers, and what this process knows of each of them.

A query is sent by UDP, each time from a new port and with a new id (RFC 5452), and by TCP after two
losses or a truncated reply. Packets that are no reply to it (another id, another question, not a
DNS message) are ignored until the time-out, since anybody can send them.
"""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.tsig

from certbot_tcs_lyon1 import waiting
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey, is_address
from certbot_tcs_lyon1.dns01 import names, signing, transport
from certbot_tcs_lyon1.dns01.records import Address, NoAnswer

if TYPE_CHECKING:
    from certbot_tcs_lyon1.dns01.journal import Entry

#: EDNS payload size in bytes that avoids fragmentation (DNS flag day 2020).
_PAYLOAD = 1232

#: Consecutive losses by UDP after which a server is queried by TCP at once.
_MOST_LOSSES = 4

#: The rcodes after which the next server is tried (RFC 2136 §4.5, §4.6), with their meaning; any
#: other is final.
_TRY_NEXT: dict[int, str] = {
    dns.rcode.SERVFAIL: "the zone is not loaded or has expired there, or BIND can't write its "
    "journal",
    dns.rcode.NOTIMP: "it takes no dynamic updates; name the primary (Samba: or the zone is not "
    "its own)",
}

#: The errors that mean that this machine has no address of the server's family.
_NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

#: Stands for the system's resolver, of which is known, too, whether it is silent.
_RESOLVER = Address("", 0, "")


def raise_if_try_next(rcode: int, what: str) -> None:
    """Raise the error for a reply after which the next server is tried.

    :param what: was answered, for the message
    :raises NoAnswer: the rcode is one of those
    """
    if rcode in _TRY_NEXT:
        raise NoAnswer(f"{what}: answers {names.rcode(rcode)}: {_TRY_NEXT[rcode]}", replied=True)


@dataclass(frozen=True)
class Timing:
    """Time-outs in seconds; `Servers.end` bounds them all.

    :ivar first: for the first UDP reply of a server; later three times what its last one took
    :ivar floor: the least for a UDP reply, since a server may be busy
    :ivar cap: the most for a UDP reply
    :ivar connect: for a TCP connection, so that a dead server costs 2.8 s in all
    :ivar reply: for a reply by TCP, of a server that has accepted the connection
    :ivar update: for the reply to an UPDATE, which the server writes to disk and may have to sign
    :ivar unknown: for the reply to a deletion, of a server that has answered nothing in this
        process: if there is none, the next run tries again
    :ivar resolve: for the addresses of a name, from the system's resolver
    :ivar silence: how long a server, or that resolver, that gave no answer is taken for silent;
        longer than `blind`, so that the next order of the zone still knows it
    :ivar question: for a query without `Servers.end`
    :ivar blind: waited for a zone of which no name server can be asked from here
    :ivar blind_again: the same, for a later order of the zone: BIND notifies its secondaries of a
        change 5 s after the one before (`notify-delay`)
    """

    first: float = 0.4
    floor: float = 0.2
    cap: float = 5.0
    connect: float = 2.0
    reply: float = 10.0
    update: float = 60.0
    unknown: float = 4.0
    resolve: float = 3.0
    silence: float = 300.0
    question: float = 30.0
    blind: float = 60.0
    blind_again: float = 6.0


@dataclass
class _Known:
    """What is known of one server.

    :ivar answered: it has answered anything in this process
    :ivar took: seconds until its last reply to a query
    :ivar losses: consecutive losses by UDP
    :ivar edns: whether it may support EDNS
    :ivar silent_at: when it last gave no answer, by `time.monotonic()`
    """

    answered: bool = False
    took: Optional[float] = None
    losses: int = 0
    edns: bool = True
    silent_at: Optional[float] = None

    def note_reply(self, seconds: float) -> None:
        """Remember an answer to a query, and how long that took."""
        self.answered, self.took, self.silent_at = True, seconds, None


@dataclass(frozen=True)
class Servers:
    """What this process knows of name servers, shared by all its lineages, and how to query them.

    :ivar timing: the time-outs
    :ivar signer: signs queries and UPDATEs
    :ivar end: the deadline for answers, by `time.monotonic()`, which `until` sets
    :ivar undelivered: entries of the journal that could not be withdrawn in this process, which
        are not tried again while `has_answered` of their server is the same as here
    :ivar unreached: likewise, addresses of servers that have not answered a withdrawal
    :ivar given_up: the sets of name servers of a zone of which none could be asked
    """

    timing: Timing = Timing()
    signer: signing.Signer = field(default_factory=signing.Signer)
    end: Optional[float] = None
    undelivered: dict[Entry, bool] = field(default_factory=dict)
    unreached: dict[tuple[str, int], bool] = field(default_factory=dict)
    given_up: set[frozenset[Address]] = field(default_factory=set)
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)
    _resolved: dict[Endpoint, list[Address]] = field(default_factory=dict)

    def until(self, end: float) -> Servers:
        """Return the same servers with another deadline, by `time.monotonic()`."""
        return replace(self, end=end)

    def _end(self) -> float:
        return time.monotonic() + self.timing.question if self.end is None else self.end

    def _known_of(self, server: Address) -> _Known:
        return self._known.setdefault(server.socket_address, _Known())

    def has_answered(self, server: Address) -> bool:
        """Return whether a server has answered anything in this process."""
        return self._known_of(server).answered

    def is_silent(self, server: Address) -> bool:
        """Return whether a server gave no answer lately, within `Timing.silence`."""
        silent_at = self._known_of(server).silent_at
        return silent_at is not None and time.monotonic() - silent_at < self.timing.silence

    def note_silence(self, server: Address) -> None:
        """Remember that a server gave no answer within its time-out."""
        self._known_of(server).silent_at = time.monotonic()

    def note_update(self, server: Address) -> None:
        """Remember that a server has answered an UPDATE; it may still answer no query."""
        self._known_of(server).answered = True

    # Addresses

    def addresses_of(self, endpoint: Endpoint) -> list[Address]:
        """Return all addresses, IPv6 and IPv4, of a server that is given by name or address.

        :raises NoAnswer: the name has no address, or the system's resolver gives no answer
        """
        if is_address(endpoint.host):
            ip = str(ipaddress.ip_address(endpoint.host))
            return [Address(ip, endpoint.port, ip)]
        found = self._resolved.get(endpoint) or self._resolve(endpoint)
        if not found:
            why, remedy = "", ""
            if self.is_silent(_RESOLVER):
                why = f": this machine's resolver is silent ({self.timing.resolve:.0f} s)"
                remedy = "See /etc/resolv.conf, or write the address"
            raise NoAnswer(f"{endpoint.host} has no address here{why}", remedy)
        self._resolved[endpoint] = found
        return found

    def _resolve(self, endpoint: Endpoint) -> list[Address]:
        """Return the addresses from the system's resolver; none if it takes longer than
        `Timing.resolve` (glibc would wait longer), and then none at once for `Timing.silence`.
        """
        if self.is_silent(_RESOLVER):
            return []

        def resolve() -> list[Address]:
            try:
                answers = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
            except (OSError, UnicodeError):
                return []
            ips = dict.fromkeys(str(answer[4][0]) for answer in answers)
            return [Address(ip, endpoint.port, endpoint.host) for ip in ips]

        try:
            return waiting.at_most(self.timing.resolve, resolve)
        except waiting.TimeIsOver:
            self.note_silence(_RESOLVER)
            return []

    def update_addresses(self, section: DnsServer) -> tuple[list[Address], list[str]]:
        """Return the addresses of the section's update servers, in order, silent ones last; and a
        line for each server whose name has no address.
        """
        found: list[Address] = []
        problems: list[str] = []
        for endpoint in section.servers:
            try:
                found += self.addresses_of(endpoint)
            except NoAnswer as error:
                problems.append(error.cause)
        return sorted(dict.fromkeys(found), key=self.is_silent), problems

    # Queries

    def ask(
        self,
        server: Address,
        name: dns.name.Name,
        rdtype: str,
        key: Optional[SigningKey] = None,
        recursive: bool = False,
    ) -> dns.message.Message:
        """Send one query to one address, and return the reply.

        :param rdtype: such as "TXT"
        :param key: signs the query; the reply may still be unsigned, see its `had_tsig`
        :param recursive: ask for recursion (RD=1)
        :raises NoAnswer: there is no usable reply; the cause says why
        :raises Refused: the query can't be signed
        """
        known = self._known_of(server)
        end = self._end()
        try:
            for edns in dict.fromkeys((known.edns, False)):
                use_edns = 0 if edns else -1
                query = dns.message.make_query(name, rdtype, use_edns=use_edns, payload=_PAYLOAD)
                query.flags = dns.flags.RD if recursive else 0
                if key is not None:
                    self.sign(query, key, server, name)
                reply = self._ask(server, query, known, end)
                if reply.rcode() != dns.rcode.FORMERR:
                    break
                known.edns = False  # RFC 6891 §7
            return reply
        except (dns.exception.DNSException, OSError, EOFError) as error:
            if transport.is_silence(error):
                self.note_silence(server)
            if isinstance(error, dns.tsig.PeerBadKey) and key is not None:
                self.signer.forget(key, server)
            why = transport.reason(error)
            no_route = isinstance(error, OSError) and error.errno in _NO_ROUTE
            no_ipv6 = no_route and server.family == socket.AF_INET6
            raise NoAnswer(f"{server}: {why}", reason=why, no_ipv6=no_ipv6) from None

    def sign(
        self, message: dns.message.Message, key: SigningKey, server: Address, name: dns.name.Name
    ) -> None:
        """Have a message to `server` signed when it is sent, as `Signer.sign`."""
        self.signer.sign(message, key, server, name, self._end())

    def _ask(
        self, server: Address, query: dns.message.Message, known: _Known, end: float
    ) -> dns.message.Message:
        reply = self._ask_by_udp(server, query, known, end)
        if reply is not None:
            return reply
        try:
            start = time.monotonic()
            wire = transport.by_tcp(server, query, self.timing.connect, self.timing.reply, end)
            found = transport.read(query, wire)
            if found is None:
                raise dns.exception.FormError
            known.note_reply(time.monotonic() - start)
            return found
        except (ConnectionError, EOFError, dns.exception.FormError):  # the server has no TCP
            reply = self._ask_by_udp(server, query, known, end)
            if reply is None:
                raise
            return reply

    def _ask_by_udp(
        self, server: Address, query: dns.message.Message, known: _Known, end: float
    ) -> Optional[dns.message.Message]:
        """Return the reply; None if it is truncated, or two queries were lost."""
        for _ in range(2 if known.losses < _MOST_LOSSES else 0):
            wait = self.timing.first if known.took is None else 3 * known.took
            wait = min(max(wait, self.timing.floor), self.timing.cap, end - time.monotonic())
            query.id = secrets.randbelow(65536)  # dnspython signs the query again
            try:
                reply, took = transport.by_udp(server, query, max(wait, self.timing.floor))
            except (socket.timeout, ConnectionError):
                known.losses += 1
                continue
            known.losses = 0
            known.note_reply(took)
            return None if reply.flags & dns.flags.TC else reply
        return None
