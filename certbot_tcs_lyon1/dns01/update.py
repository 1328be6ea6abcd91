"""RFC 2136 at the update server: addresses, queries, the zone of a name, UPDATE.

Everything that speaks to one name server is here; what a batch of challenges needs is put together
in `challenge`, and the zone's other name servers are polled in `propagation`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from certbot_tcs_lyon1.department import DnsServer, Endpoint
from certbot_tcs_lyon1.dns01 import tsig

#: Seconds to wait for a reply: by UDP first, then, if none came, by TCP. Together the 3 s that a
#: dead server may cost.
UDP_SECONDS = 1.0
TCP_SECONDS = 2.0

#: Seconds to wait for the reply to an UPDATE: the server may write to disk, and sign the zone.
UPDATE_SECONDS = 15.0

#: EDNS payload (bytes) that passes every path without fragments (DNS flag day 2020).
_PAYLOAD = 1232


class DnsError(Exception):
    """What went wrong, where, and what to do; the text is for the user."""


class NoAnswer(DnsError):
    """The server could not be reached, or what came back was no DNS reply."""


class Refused(DnsError):
    """The server answered, and nothing of the UPDATE was applied."""


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


@dataclass(frozen=True)
class Zone:
    """The zone that a record goes into, and the address of the update server that said so."""

    name: dns.name.Name
    server: Address


@dataclass(frozen=True)
class Txt:
    """One TXT record to add or to delete."""

    name: dns.name.Name
    value: str


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
        raise NoAnswer(
            f"{endpoint.host}: this name has no address here ({_reason(error)})"
        ) from None
    unique = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [Address(ip, endpoint.port, endpoint.host) for ip in unique]


def ask(
    server: Address, name: dns.name.Name, rdtype: str, key: Optional[tsig.TsigKey] = None
) -> dns.message.Message:
    """One query (RD=0) to one address: by UDP, and by TCP if that was truncated or timed out.

    :param key: sign the query, for servers that choose the view by the key
    :raises NoAnswer: no usable reply, the reason in the text
    """
    query = dns.message.make_query(name, rdtype, use_edns=0, payload=_PAYLOAD)
    query.flags &= ~dns.flags.RD
    if key is not None:
        _sign(query, key)
    try:
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
        raise NoAnswer(f"{server}: {_reason(error)}") from None


def is_authoritative(reply: dns.message.Message) -> bool:
    """Whether the server answers for this name itself (AA, and no error but NXDOMAIN)."""
    return bool(reply.flags & dns.flags.AA) and reply.rcode() in (
        dns.rcode.NOERROR,
        dns.rcode.NXDOMAIN,
    )


def find_zone(config: DnsServer, name: dns.name.Name) -> Zone:
    """The zone that holds `name`, by one SOA query at the first update server that answers.

    :raises DnsError: no server answers, or none may be asked to write there
    """
    problems: list[str] = []
    for server in update_addresses(config, problems):
        try:
            reply = ask(server, name, "SOA")
        except NoAnswer as error:
            problems.append(str(error))
            continue
        return Zone(_zone_in(reply, server, name, config), server)
    raise NoAnswer(
        f"No update server of [{config.section}] answers for {_text(name)}: {'; '.join(problems)}. "
        "Check the server's name and port, and that the firewall lets this machine reach it by "
        "UDP and TCP."
    )


def update_addresses(config: DnsServer, problems: list[str]) -> Iterable[Address]:
    """Each address of each update server in turn; names without address are told in `problems`."""
    for endpoint in config.servers:
        try:
            yield from addresses_of(endpoint)
        except NoAnswer as error:
            problems.append(str(error))


def _zone_in(
    reply: dns.message.Message, server: Address, name: dns.name.Name, config: DnsServer
) -> dns.name.Name:
    """The owner of the SOA in an answer to a SOA query (RFC 2308 §3), or `config.zone`."""
    if config.zone is not None:
        zone = dns.name.from_text(config.zone)
        if not name.is_subdomain(zone):
            raise Refused(
                f"{_text(name)} is not in the zone {config.zone} that [{config.section}] names"
            )
        return zone
    if is_authoritative(reply):
        for rrset in reply.answer:
            if rrset.rdtype in (dns.rdatatype.CNAME, dns.rdatatype.DNAME):
                kind = dns.rdatatype.to_text(rrset.rdtype)
                target = _text(rrset[0].target)
                raise Refused(
                    f"{_text(rrset.name)} is an alias ({kind} to {target}) at {server}: a record "
                    f"for {_text(name)} cannot be written there"
                )
        for rrset in [*reply.answer, *reply.authority]:
            if rrset.rdtype == dns.rdatatype.SOA:
                return rrset.name
    raise Refused(_not_served(reply, server, name, config))


def _not_served(
    reply: dns.message.Message, server: Address, name: dns.name.Name, config: DnsServer
) -> str:
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.NS:
            others = ", ".join(sorted(_text(record.target) for record in rrset))
            return (
                f"{_text(name)}: {server} has delegated {_text(rrset.name)} to {others}. Give that "
                f"zone a section [dns {_text(rrset.name)}] with the server that takes its updates."
            )
    code = dns.rcode.to_text(reply.rcode())
    return (
        f"{server} of [{config.section}] does not serve {_text(name)} (it answers {code} to a "
        "query for its SOA). Check the server, or ask its administrator: another view may hold "
        "the zone."
    )


def name_server_addresses(zone: Zone, port: int = 53) -> list[Address]:
    """Every address of every name server of the zone, as the update server gives them.

    :param port: where they listen; other than 53 only in tests
    :raises DnsError: the update server does not answer, or gives none
    """
    reply = ask(zone.server, zone.name, "NS")
    names = [record.target for rrset in reply.answer for record in rrset]
    if not is_authoritative(reply) or not names:
        raise Refused(f"{zone.server} gives no name servers for the zone {_text(zone.name)}")
    found: list[Address] = []
    for name in names:
        found += _addresses_of_name_server(zone, name, port)
    if not found:
        listed = ", ".join(map(_text, names))
        raise Refused(
            f"No name server of the zone {_text(zone.name)} has an address here: {listed}"
        )
    return list(dict.fromkeys(found))


def _addresses_of_name_server(zone: Zone, name: dns.name.Name, port: int) -> list[Address]:
    """A and AAAA of one name server: from the update server where it knows, else as this system
    resolves them (that cannot spoil a cache: it is not the challenge's name that is asked for)."""
    ips: list[str] = []
    authoritative = True
    for rdtype in ("AAAA", "A"):
        reply = ask(zone.server, name, rdtype)
        authoritative = authoritative and is_authoritative(reply)
        wanted = dns.rdatatype.from_text(rdtype)
        ips += [
            record.address for rrset in reply.answer for record in rrset if record.rdtype == wanted
        ]
    if ips or authoritative:
        return [Address(ip, port, _text(name)) for ip in ips]
    try:
        return addresses_of(Endpoint(_text(name), port))
    except NoAnswer:
        return []


def add_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> None:
    """Add all records in one signed UPDATE, on condition that none of the names is an alias.

    :raises NoAnswer: no reply came; the UPDATE may have been applied or not
    :raises Refused: the server said no; nothing was applied (RFC 2136 §3.2, §3.4)
    """
    message = _new_update(zone, config)
    for name in dict.fromkeys(record.name for record in records):
        message.absent(name, "CNAME")
    for record in records:
        message.add(record.name, config.ttl, "TXT", f'"{record.value}"')
    _send(message, zone, config)


def delete_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> None:
    """Delete exactly these records (RFC 2136 §2.5.4) in one signed UPDATE; raises as `add_records`.

    A record that isn't there is no error.
    """
    message = _new_update(zone, config)
    for record in records:
        message.delete(record.name, "TXT", f'"{record.value}"')
    _send(message, zone, config)


def _new_update(zone: Zone, config: DnsServer) -> dns.update.UpdateMessage:
    message = dns.update.UpdateMessage(zone.name)
    _sign(message, config.key)
    return message


def _sign(message: dns.message.Message, key: tsig.TsigKey) -> None:
    secret = tsig.to_dnspython(key)
    # dnspython 2.0 wants the key's name even though the key has it.
    message.use_tsig(secret, keyname=secret.name, algorithm=secret.algorithm)


def _send(message: dns.update.UpdateMessage, zone: Zone, config: DnsServer) -> None:
    what = f"{zone.server}, zone {_text(zone.name)}, TSIG key {config.key.name}"
    try:
        reply = dns.query.tcp(message, zone.server.ip, UPDATE_SECONDS, zone.server.port)
    except dns.tsig.PeerError as error:
        raise Refused(f"{what}: {_tsig_trouble(error)}") from None
    except (dns.exception.DNSException, OSError, EOFError) as error:
        raise NoAnswer(f"{what}: {_reason(error)}") from None
    code = dns.rcode.to_text(reply.rcode())
    if not reply.had_tsig:  # dnspython lets it pass
        raise Refused(
            f"{what}: the reply ({code}) to a signed UPDATE is not signed, so it cannot be relied "
            "on. Check the key's name, algorithm and secret with the server's administrator."
        )
    if reply.rcode() != dns.rcode.NOERROR:
        raise Refused(f"{what}: the UPDATE was answered {code}. {_MEANING.get(code, '')}".rstrip())


_MEANING = {
    "NOTAUTH": "This server does not serve the zone, or does not take its updates.",
    "REFUSED": "The key may not write one of these names, or this server takes no updates.",
    "YXRRSET": "A CNAME stands at one of the names.",
}


def _tsig_trouble(error: dns.tsig.PeerError) -> str:
    if isinstance(error, dns.tsig.PeerBadKey):
        return "the server does not know this key name, or knows it with another algorithm (BADKEY)"
    if isinstance(error, dns.tsig.PeerBadSignature):
        return "the secret is not the one that the server has for this key (BADSIG)"
    if isinstance(error, dns.tsig.PeerBadTime):
        return "the clocks of this machine and of the server differ by more than 300 s (BADTIME)"
    return f"the server rejected the signature ({error})"


def _reason(error: BaseException) -> str:
    """A failure of the network in a few words."""
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "the connection was closed before the reply was complete"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return f"not a usable reply ({type(error).__name__})"


def _text(name: dns.name.Name) -> str:
    """A name as users write it, without the final dot."""
    return name.to_text(omit_final_dot=True)
