"""RFC 2136 at the update server: addresses, queries, where a name belongs, UPDATE, failover.

Everything that speaks to one name server is here. What its answers mean is in `meaning`; aliases
are followed in `aliases`; the zone's other name servers are polled in `propagation`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, signing
from certbot_tcs_lyon1.dns01.meaning import text

#: Seconds to wait for a reply: by UDP first, then, if none came, by TCP. Together they are the 3 s
#: that a dead server may cost.
UDP_SECONDS = 1.0
TCP_SECONDS = 2.0

#: Seconds to wait for the reply to an UPDATE: the server writes to disk, and may sign the zone.
UPDATE_SECONDS = 15.0

#: EDNS payload (bytes) that passes every path without fragments (DNS flag day 2020).
_PAYLOAD = 1232

#: Queries under way at once; more could overrun a receive buffer.
_UNDER_WAY = 32

#: The rest of a query's header (RFC 1035 §4.1.1: RD=0, one question), and of its question.
_QUERY_HEADER = b"\0\0\0\1\0\0\0\0\0\0"
_TXT_IN = b"\0\x10\0\1"

#: QR, opcode, AA, TC and RCODE; and what they are in an authoritative answer without error.
_FLAGS_THAT_COUNT = 0xFE0F
_AUTHORITATIVE_ANSWER = 0x8400

#: The answers after which the next server is tried (RFC 2136 §4.5, §4.6); any other is final.
_TRY_NEXT = (dns.rcode.SERVFAIL, dns.rcode.NOTIMP)

#: The addresses that have been silent in this process: they are asked last, so that a dead server
#: costs its time-out once in a run and not once for each name and lineage.
_silent: set[tuple[str, int]] = set()


class DnsError(Exception):
    """What went wrong, where, and what to do; the text is for the user."""


class NoAnswer(DnsError):
    """The server could not be reached, or what came back was no DNS reply."""


class Refused(DnsError):
    """Nothing of the UPDATE was applied: the server said no (RFC 2136 §3.2, §3.4), or it could not
    be signed.

    `of_a_name`: one name of the UPDATE may be to blame, and the others would have been taken.
    `claimed`: nobody signed that no, so the UPDATE may have been applied.
    """

    def __init__(self, message: str, of_a_name: bool = False, claimed: bool = False) -> None:
        super().__init__(message)
        self.of_a_name = of_a_name
        self.claimed = claimed


@dataclass(frozen=True)
class Address:
    """One address of a name server. `label` is the name under which the user knows it."""

    ip: str
    port: int
    label: str

    def __str__(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        where = host if self.port == 53 else f"{host}:{self.port}"
        return where if self.label == self.ip else f"{self.label} ({where})"

    @property
    def socket_address(self) -> tuple[str, int]:
        """Address and port, without the name: what makes two of them the same server."""
        return self.ip, self.port

    @property
    def as_configured(self) -> tuple[str, int, str]:
        """Address, port, and the name by which Kerberos may know it."""
        return self.ip, self.port, self.label


@dataclass(frozen=True)
class Zone:
    """A zone that records go into, and the address of the update server that said so.

    `view_key`: that server answers for the zone only where the query is signed with this key
    (views that are chosen by key), so everything else is asked with it, too.
    """

    name: dns.name.Name
    server: Address
    view_key: Optional[SigningKey] = None


@dataclass(frozen=True)
class Alias:
    """The name is an alias (CNAME), or lies under one (DNAME), for `target`."""

    target: dns.name.Name
    kind: str
    server: Address


@dataclass(frozen=True)
class Txt:
    """One TXT record to add or to delete."""

    name: dns.name.Name
    value: str


# Addresses


def _family(server: Address) -> int:
    return socket.AF_INET6 if ":" in server.ip else socket.AF_INET


def addresses_of(endpoint: Endpoint) -> list[Address]:
    """All addresses of a server that is given by name or address, IPv6 and IPv4.

    :raises NoAnswer: the name has no address
    """
    try:
        ip = ipaddress.ip_address(endpoint.host)
    except ValueError:
        return _resolve(endpoint)
    return [Address(str(ip), endpoint.port, str(ip))]


def _resolve(endpoint: Endpoint) -> list[Address]:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"{endpoint.host} has no address here: {meaning.reason(error)}") from None
    unique = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [Address(ip, endpoint.port, endpoint.host) for ip in unique]


def update_addresses(config: DnsServer, problems: list[str]) -> list[Address]:
    """Each address of each update server in turn, those last that have been silent before.

    :param problems: gets a line for each server whose name has no address
    """
    found: list[Address] = []
    for endpoint in config.servers:
        try:
            found += addresses_of(endpoint)
        except NoAnswer as error:
            problems.append(str(error))
    return sorted(dict.fromkeys(found), key=lambda address: address.socket_address in _silent)


# Queries


def ask(
    server: Address, name: dns.name.Name, rdtype: str, key: Optional[SigningKey] = None
) -> dns.message.Message:
    """One query (RD=0) to one address: by UDP, and by TCP if that was truncated or timed out.

    :param key: sign the query, for servers that choose the view by the key
    :raises NoAnswer: no usable reply, the reason in the text
    """
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=_PAYLOAD)
    query.flags &= ~dns.flags.RD
    try:
        if key is not None:
            _sign(query, key, server, name)
        try:
            return dns.query.udp(
                query,
                server.ip,
                timeout=UDP_SECONDS,
                port=server.port,
                ignore_unexpected=True,
                raise_on_truncation=True,
            )
        except (dns.message.Truncated, dns.exception.Timeout):
            return dns.query.tcp(query, server.ip, timeout=TCP_SECONDS, port=server.port)
    except (dns.exception.DNSException, OSError, EOFError) as error:
        if meaning.is_silence(error):
            _silent.add(server.socket_address)
        if isinstance(error, dns.tsig.PeerBadKey) and key is not None:
            signing.forget(key, server.as_configured)
        raise NoAnswer(f"{server}: {meaning.reason(error)}") from None


def glimpse(server: Address, wanted: Mapping[dns.name.Name, Collection[str]]) -> set[dns.name.Name]:
    """The names at which the server's own answers show all wanted TXT values, at a glance.

    Parsing 200 replies takes dnspython a tenth of a second. So the queries are under way together
    on one UDP socket, and a reply is only looked at: is it authoritative, without error, an answer
    to this question, and are the records' bytes in it? What isn't seen here (lost, truncated, not
    there) is to be asked for with `ask`, which knows why.
    """
    seen: set[dns.name.Name] = set()
    names = list(wanted)
    with socket.socket(_family(server), socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
        udp.settimeout(UDP_SECONDS)
        udp.connect(server.socket_address)
        for start in range(0, len(names), _UNDER_WAY):
            _glimpse(udp, {name: wanted[name] for name in names[start : start + _UNDER_WAY]}, seen)
    return seen


def _glimpse(
    udp: socket.socket,
    wanted: Mapping[dns.name.Name, Collection[str]],
    seen: set[dns.name.Name],
) -> None:
    """Ask for all names, and note in `seen` whose records come back.

    :raises OSError: no more replies come
    """
    asked = {}
    for name in wanted:
        question = (name.to_wire() or b"") + _TXT_IN
        header = secrets.token_bytes(2) + _QUERY_HEADER
        asked[header[:2]] = (name, question)
        udp.send(header + question)
    for _ in wanted:
        reply = udp.recv(_PAYLOAD)
        name, question = asked.get(reply[:2], (dns.name.root, b""))
        flags = int.from_bytes(reply[2:4], "big") & _FLAGS_THAT_COUNT
        is_answer = question and reply[12:].lower().startswith(question.lower())
        shown = [_txt_rdata(value) in reply for value in wanted.get(name, ())]
        if is_answer and flags == _AUTHORITATIVE_ANSWER and all(shown):
            seen.add(name)


def _txt_rdata(value: str) -> bytes:
    """A TXT record's data of one string, as in a message: RDLENGTH, its length, itself."""
    data = bytes([len(value)]) + value.encode()
    return len(data).to_bytes(2, "big") + data


def is_authoritative(reply: dns.message.Message) -> bool:
    """Whether the server answers for this name itself (AA, and no error but NXDOMAIN)."""
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


# Where a name belongs


def locate(config: DnsServer, name: dns.name.Name) -> Union[Zone, Alias]:
    """The zone that `name` lies in, or that it is an alias: by one SOA query at the first update
    server that answers (RFC 2308 §3 puts the zone's SOA into every negative answer).

    :raises DnsError: no server answers, or it may not be asked to write there
    """
    problems: list[str] = []
    for server in update_addresses(config, problems):
        try:
            return locate_at(server, config, name)
        except NoAnswer as error:
            problems.append(str(error))
    raise NoAnswer(
        f"No update server of [{config.section}] answers for {text(name)}: {'; '.join(problems)}. "
        f"Check `server` in [{config.section}], and that the firewall lets this machine reach it "
        "by UDP and TCP."
    )


def locate_at(server: Address, config: DnsServer, name: dns.name.Name) -> Union[Zone, Alias]:
    """As `locate`, at one address: asked plainly first, then with the key, for a signed query
    gets no answer from some hidden primaries, and a plain one the wrong view of others."""
    reply = ask(server, name, "SOA")
    if reply.rcode() == dns.rcode.SERVFAIL:  # BIND's answer to aliases that run in a circle
        reply = ask(server, name, "CNAME")
    if reply.rcode() in _TRY_NEXT:
        raise NoAnswer(f"{server}: answers {dns.rcode.to_text(reply.rcode())}")
    found = _read_location(reply, server, name, None)
    if found is None:
        signed = _ask_signed(server, name, config.key)
        found = None if signed is None else _read_location(signed, server, name, config.key)
    if found is None:
        raise Refused(meaning.not_served(reply, str(server), name, config))
    if isinstance(found, Zone) and config.zone is not None:
        return _configured_zone(found, name, config)
    return found


def _ask_signed(
    server: Address, name: dns.name.Name, key: SigningKey
) -> Optional[dns.message.Message]:
    try:
        return ask(server, name, "SOA", key)
    except NoAnswer:  # the plain answer counts then
        return None


def _read_location(
    reply: dns.message.Message, server: Address, name: dns.name.Name, key: Optional[SigningKey]
) -> Union[Zone, Alias, None]:
    if not is_authoritative(reply):
        return None
    kind = "DNAME" if any(rr.rdtype == dns.rdatatype.DNAME for rr in reply.answer) else "CNAME"
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.name == name:
            return Alias(rrset[0].target, kind, server)
    for rrset in [*reply.answer, *reply.authority]:
        if rrset.rdtype == dns.rdatatype.SOA:
            return Zone(rrset.name, server, key)
    return None


def _configured_zone(found: Zone, name: dns.name.Name, config: DnsServer) -> Zone:
    zone = dns.name.from_text(config.zone or "")
    if not name.is_subdomain(zone):
        raise Refused(
            f"{text(name)} is not in the zone {config.zone}, which [{config.section}] names. "
            "Take `zone` out of that section, or give the name's zone a section of its own."
        )
    return Zone(zone, found.server, found.view_key)


def name_server_addresses(zone: Zone, port: int = 53) -> list[Address]:
    """Every address of every name server of the zone, as the update server gives them.

    :param port: where they listen; other than 53 only in tests
    :raises DnsError: the update server does not answer, or gives none
    """
    try:
        return _name_server_addresses(zone, port)
    except NoAnswer as error:
        raise NoAnswer(
            f"Zone {text(zone.name)}: {error}. The records were sent, but the update server no "
            "longer answers; try again, then check port 53 (UDP and TCP)."
        ) from None


def _name_server_addresses(zone: Zone, port: int) -> list[Address]:
    reply = ask(zone.server, zone.name, "NS", zone.view_key)
    names = [record.target for rrset in reply.answer for record in rrset]
    if not is_authoritative(reply) or not names:
        raise Refused(
            f"{zone.server} gives no name servers for the zone {text(zone.name)}. Name them in "
            "check_servers, or ask the DNS administrator."
        )
    found: list[Address] = []
    for name in names:
        found += _addresses_of_name_server(zone, name, port)
    if not found:
        raise Refused(
            f"No name server of the zone {text(zone.name)} has an address here: "
            f"{', '.join(map(text, names))}. Name them by address in check_servers."
        )
    return list(dict.fromkeys(found))


def _addresses_of_name_server(zone: Zone, name: dns.name.Name, port: int) -> list[Address]:
    """A and AAAA of one name server: from the update server where it knows, else as this system
    resolves them (that cannot spoil a cache: it is not the challenge's name that is asked for)."""
    ips: list[str] = []
    authoritative = True
    for rdtype in ("AAAA", "A"):
        reply = ask(zone.server, name, rdtype, zone.view_key)
        authoritative = authoritative and is_authoritative(reply)
        wanted = dns.rdatatype.from_text(rdtype)
        ips += [rr.address for rrset in reply.answer for rr in rrset if rr.rdtype == wanted]
    if ips or authoritative:
        return [Address(ip, port, text(name)) for ip in ips]
    try:
        return addresses_of(Endpoint(text(name), port))
    except NoAnswer:
        return []


# UPDATE


def add_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> Zone:
    """Add all records in one signed UPDATE, on condition that none of the names is an alias.

    :returns: the zone with the server that took the UPDATE, where failover led to another
    :raises NoAnswer: no reply came; the UPDATE may have been applied or not
    :raises Refused: the server said no; nothing was applied
    """
    message = dns.update.UpdateMessage(zone.name)
    for name in dict.fromkeys(record.name for record in records):
        message.absent(name, "CNAME")  # else BIND and Knot drop the TXT without a word (§3.4.2.2)
    for record in records:
        message.add(record.name, config.ttl, "TXT", f'"{record.value}"')
    return _send_to_first(message, zone, config, records)


def delete_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> Zone:
    """Delete exactly these records (RFC 2136 §2.5.4) in one signed UPDATE; as `add_records`.

    A record that isn't there is no error.
    """
    message = dns.update.UpdateMessage(zone.name)
    for record in records:
        message.delete(record.name, "TXT", f'"{record.value}"')
    return _send_to_first(message, zone, config, records, claims_count=False)


def _sign(
    message: dns.message.Message, key: SigningKey, server: Address, name: dns.name.Name
) -> None:
    try:
        signing.sign(message, key, server.as_configured, name)
    except errors.DnsError as error:
        raise Refused(str(error)) from None


def _send_to_first(
    message: dns.update.UpdateMessage,
    zone: Zone,
    config: DnsServer,
    records: Sequence[Txt],
    claims_count: bool = True,
) -> Zone:
    """Send to the zone's server, and to the section's others while there is no answer.

    :param claims_count: an unsigned NOERROR is no refusal, because the records are read back
    """
    problems: list[str] = []
    for server in _with_failover(zone, config):
        asked = meaning.Asked(str(server), zone.name, config, [record.name for record in records])
        try:
            if not _send(message, server, asked) and not claims_count:
                raise Refused(meaning.of_claim("NOERROR", asked)[0], claimed=True)
            return Zone(zone.name, server, zone.view_key)
        except NoAnswer as error:
            problems.append(str(error))
    raise NoAnswer(
        f"{' '.join(problems)} Check that the firewall lets this machine reach it by TCP, or ask "
        "the DNS administrator."
    )


def _with_failover(zone: Zone, config: DnsServer) -> Iterator[Address]:
    yield zone.server
    for server in update_addresses(config, []):
        if server.socket_address != zone.server.socket_address:
            yield server


def _send(message: dns.update.UpdateMessage, server: Address, asked: meaning.Asked) -> bool:
    """Send an UPDATE over TCP, once more where the server has lost the Kerberos context.

    :returns: whether the NOERROR is signed; else it is a claim
    :raises NoAnswer: none came, or one after which the next server is tried
    :raises Refused: any other answer, but for
    :raises DnsError: a NOERROR that is not signed, and no echo
    """
    key = asked.config.key
    try:
        return _send_once(message, server, asked)
    except _BadKey as error:
        if not signing.forget(key, server.as_configured):
            raise Refused(error.args[0], True) from None
    try:
        return _send_once(message, server, asked)
    except _BadKey as error:
        raise Refused(error.args[0], True) from None


class _BadKey(Exception):
    """The server does not know the key, or no longer."""


def _send_once(message: dns.update.UpdateMessage, server: Address, asked: meaning.Asked) -> bool:
    tape = _Tape(_family(server), socket.SOCK_STREAM)
    with tape:
        try:
            _sign(message, asked.config.key, server, asked.zone)
            tape.settimeout(TCP_SECONDS)
            tape.connect(server.socket_address)
            tape.setblocking(False)
            reply = dns.query.tcp(message, server.ip, UPDATE_SECONDS, server.port, sock=tape)
        except dns.tsig.PeerBadKey as error:
            raise _BadKey(meaning.of_tsig_error(error, tape.reply(), asked)[0]) from None
        except dns.tsig.PeerError as error:
            raise Refused(*meaning.of_tsig_error(error, tape.reply(), asked)) from None
        except (dns.exception.DNSException, OSError, EOFError) as error:
            heard = tape.reply()
            if signing.is_echo(message, heard):
                return _take_claim(heard, asked)
            unsigned = _read_unsigned(message, heard)
            if unsigned is None:
                if meaning.is_silence(error):
                    _silent.add(server.socket_address)
                raise NoAnswer(f"{asked}: {meaning.reason(error)}.") from None
            reply = unsigned
    if reply.had_tsig and reply.rcode() == dns.rcode.NOERROR:
        return True
    if reply.rcode() in _TRY_NEXT:
        raise NoAnswer(f"{asked}: answers {dns.rcode.to_text(reply.rcode())}.")
    if reply.rcode() == dns.rcode.NOERROR:  # it may have been applied, so it is to be withdrawn
        raise DnsError(meaning.of_update_reply(reply, asked)[0])
    raise Refused(*meaning.of_update_reply(reply, asked))


def _take_claim(heard: bytes, asked: meaning.Asked) -> bool:
    """False for a NOERROR that the server did not sign but echoed our signature with.

    :raises Refused: for an error; no other server is tried, for Samba 4.17 says SERVFAIL so where
        it means REFUSED
    """
    code = dns.rcode.to_text(dns.rcode.Rcode(heard[3] & 15))
    if code == "NOERROR":
        return False
    raise Refused(*meaning.of_claim(code, asked), claimed=True)


def _read_unsigned(message: dns.update.UpdateMessage, wire: bytes) -> Optional[dns.message.Message]:
    """A reply that dnspython rejects because it is not signed, for its code; else None.

    Up to 2.8 dnspython lets such a reply pass, from 2.9 on it raises `FormError`.
    """
    try:
        reply = dns.message.from_wire(wire, keyring=message.keyring, request_mac=b"")
    except (dns.exception.DNSException, EOFError):
        return None
    return reply if message.is_response(reply) and not reply.had_tsig else None


class _Tape(socket.socket):
    """A socket that keeps what it hears: where dnspython raises, the reply would be lost."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)
        self.heard = bytearray()

    def recv(self, *args: int) -> bytes:
        data = super().recv(*args)
        self.heard += data
        return data

    def reply(self) -> bytes:
        """The DNS message so far, without the two bytes of its length."""
        return bytes(self.heard[2:])
