"""How name servers are asked, and what one process knows of each of them.

A question goes by UDP, from a new port and with a new id each time (RFC 5452), and by TCP after the
second loss. What is no answer to it (another id, another question, no message at all) is passed
over until the time is up: anybody can send that. Questions of one stage are under way together.
"""

from __future__ import annotations

import errno
import ipaddress
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.tsig

from certbot_tcs_lyon1 import waiting
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import signing, transport
from certbot_tcs_lyon1.dns01.records import Address, DnsError, NoAnswer, Refused

#: EDNS payload (bytes) that passes every path without fragments (DNS flag day 2020).
_PAYLOAD = 1232

#: Questions lost by UDP, one after another, after which TCP is asked at once.
_MOST_LOSSES = 4

#: The answers after which the next server is tried (RFC 2136 §4.5, §4.6); any other is final.
TRY_NEXT: Mapping[int, str] = {
    dns.rcode.SERVFAIL: "the zone is not loaded or has expired there, or BIND can't write its "
    "journal",
    dns.rcode.NOTIMP: "it takes no dynamic updates; name the primary (Samba: or the zone is not "
    "its own)",
}

#: No route to any address of the family: this machine has no IPv6 (or no IPv4).
_NO_ROUTE = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


@dataclass(frozen=True)
class Timing:
    """How long is waited, in seconds; always within the bound of the whole, `Servers.end`.

    `first` is for a UDP reply of a server that nothing is known of, then it is three times what it
    took before: not less than `floor`, for a busy server, and not more than `cap`. With `connect`,
    for a TCP connection, a dead server costs 3 s in all. One that has taken the connection is
    alive: it gets `reply` seconds for an answer, and `update` for an UPDATE, which it writes to
    disk and may sign. `unknown` is for the withdrawal of an earlier run's records from a server
    that has answered nothing in this process: the next run tries again. `resolve` is for a name,
    from this system's resolver. `silence` is how long a server, or that resolver, is known to be
    silent: longer than the wait of a zone without any name server. `question` is for one question
    that nothing else bounds.

    `blind` is waited for a zone of which no name server can be asked from here; `blind_again` for
    the same zone's next order, of another lineage: BIND tells its secondaries of a change 5 s after
    the one before (`notify-delay`).
    """

    first: float = 0.5
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
    """What is known of one server: that it has answered anything, seconds that its last reply to a
    query took, UDP losses since then, whether it takes EDNS, and when it was silent."""

    answered: bool = False
    took: Optional[float] = None
    losses: int = 0
    edns: bool = True
    silent_at: Optional[float] = None


@dataclass(frozen=True)
class Servers:
    """The name servers, as one process has come to know them; all its lineages share it.

    `end` is when an answer has to be there, by `time.monotonic()`: `until` sets it. `undelivered`
    holds what could not be withdrawn in this process, `given_up` the sets of name servers of which
    none could be asked.
    """

    timing: Timing = Timing()
    signer: signing.Signer = field(default_factory=signing.Signer)
    end: Optional[float] = None
    undelivered: set[object] = field(default_factory=set)
    given_up: set[frozenset[Address]] = field(default_factory=set)
    _known: dict[tuple[str, int], _Known] = field(default_factory=dict)
    _resolved: dict[Endpoint, list[Address]] = field(default_factory=dict)
    _resolver: _Known = field(default_factory=_Known)

    def until(self, end: float) -> Servers:
        """The same, asked until then at most."""
        return replace(self, end=end)

    def _end(self) -> float:
        return time.monotonic() + self.timing.question if self.end is None else self.end

    def _of(self, server: Address) -> _Known:
        return self._known.setdefault(server.socket_address, _Known())

    def has_answered(self, server: Address) -> bool:
        """Whether anything has come back from it in this process."""
        return self._of(server).answered

    def is_silent(self, server: Address) -> bool:
        """Whether it has been silent lately."""
        return self._is_silent(self._of(server))

    def _is_silent(self, known: _Known) -> bool:
        silent_at = known.silent_at
        return silent_at is not None and time.monotonic() - silent_at < self.timing.silence

    def note_silence(self, server: Address) -> None:
        """Remember that a server has cost its whole time-out."""
        self._of(server).silent_at = time.monotonic()

    def note_reply(self, server: Address, seconds: float) -> None:
        """Remember that a server has answered a query, and how long that took."""
        known = self._of(server)
        known.answered, known.took, known.silent_at = True, seconds, None

    def note_update(self, server: Address) -> None:
        """Remember that a server has answered an UPDATE; it may still answer no query."""
        self._of(server).answered = True

    # Addresses

    def addresses_of(self, endpoint: Endpoint) -> list[Address]:
        """All addresses of a server that is given by name or address, IPv6 and IPv4.

        :raises NoAnswer: the name has no address, or this system's resolver is silent
        """
        try:
            ip = str(ipaddress.ip_address(endpoint.host))
            return [Address(ip, endpoint.port, ip)]
        except ValueError:
            pass
        found = self._resolved.get(endpoint) or self._resolve(endpoint)
        if not found:
            why, remedy = "", ""
            if self._is_silent(self._resolver):
                why = f": this machine's resolver is silent ({self.timing.resolve:.0f} s)"
                remedy = "See /etc/resolv.conf, or write the address"
            raise NoAnswer(f"{endpoint.host} has no address here{why}", remedy)
        self._resolved[endpoint] = found
        return found

    def _resolve(self, endpoint: Endpoint) -> list[Address]:
        """A name's addresses as this system resolves them; none where that takes longer than
        `resolve`, for glibc waits longer, and then none at once."""
        if self._is_silent(self._resolver):
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
            self._resolver.silent_at = time.monotonic()
            return []

    def update_addresses(self, section: DnsServer) -> tuple[list[Address], list[str]]:
        """Each address of each update server in turn, those last that were silent; and a line for
        each server whose name has no address."""
        found: list[Address] = []
        problems: list[str] = []
        for endpoint in section.servers:
            try:
                found += self.addresses_of(endpoint)
            except NoAnswer as error:
                problems.append(error.cause)
        return sorted(dict.fromkeys(found), key=self.is_silent), problems

    # Questions

    def ask(
        self,
        server: Address,
        name: dns.name.Name,
        rdtype: str,
        key: Optional[SigningKey] = None,
        recursive: bool = False,
    ) -> dns.message.Message:
        """One question to one address, which is to answer it itself (RD=0).

        :param key: sign it; then whoever asks looks whether the reply `had_tsig`
        :param recursive: it may ask others (RD=1)
        :raises NoAnswer: no usable reply, the reason in the text
        :raises DnsError: the key can't be used here
        """
        known = self._of(server)
        end = self._end()
        try:
            for edns in dict.fromkeys((known.edns, False)):
                query = self._query(server, name, rdtype, key, edns)
                query.flags |= dns.flags.RD if recursive else 0
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
            raise NoAnswer(f"{server}: {why}", reason=why, no_route=no_route) from None

    def _query(
        self,
        server: Address,
        name: dns.name.Name,
        rdtype: str,
        key: Optional[SigningKey],
        edns: bool,
    ) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, use_edns=0 if edns else -1, payload=_PAYLOAD)
        query.flags &= ~dns.flags.RD
        if key is not None:
            self.sign(query, key, server, name)
        return query

    def sign(
        self, message: dns.message.Message, key: SigningKey, server: Address, name: dns.name.Name
    ) -> None:
        """Have a message to `server` signed; `name` is any in the zone.

        :raises Refused: it can't be
        """
        try:
            self.signer.sign(message, key, server, name, self._end())
        except DnsError as error:
            raise Refused(error.cause, error.remedy, where=error.where) from None

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
                reply, took = transport.by_udp(server, query, max(wait, self.timing.floor))
            except (socket.timeout, ConnectionError):
                known.losses += 1
                continue
            known.losses = 0
            self.note_reply(server, took)
            return None if reply.flags & dns.flags.TC else reply
        return None
