"""Where a record goes: zone, alias, delegation, view; and the zone's name servers."""

from __future__ import annotations

import ipaddress
import logging
from typing import Callable, NoReturn, Optional, Union

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, queries
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import SERVERS, TRY_NEXT, update_addresses
from certbot_tcs_lyon1.dns01.records import Address, Alias, NoAnswer, NotServed, Refused, Zone

logger = logging.getLogger(__name__)

#: Name servers of a zone, and addresses of them, that are asked at most: a zone has ten at most,
#: and whoever answers in its place may send thousands.
MOST_NAMES = 16
MOST_ADDRESSES = 32


def locate(config: DnsServer, name: dns.name.Name) -> Union[Zone, Alias]:
    """The zone that `name` lies in, or that it is an alias: by one SOA query at the first update
    server that answers (RFC 2308 §3 puts the zone's SOA into every negative answer).

    :raises DnsError: no server answers, or it may not be asked to write there
    """
    addresses, problems = update_addresses(config)
    silent = not addresses
    for server in addresses:
        try:
            return locate_at(server, config, name)
        except NoAnswer as error:
            problems.append(str(error))
            silent = silent or not error.rcode
        except NotServed:
            if not (config.zone and config.check_servers):
                raise
    if config.zone and config.check_servers and addresses:  # a hidden primary: not to be asked
        nowhere = Zone(dns.name.root, addresses[0])
        return _configured_zone(nowhere, name, config)
    look = "and that the firewall lets this machine reach it by UDP and TCP"
    look = look if silent else "or ask the DNS administrator"
    raise NoAnswer(
        f"No update server of [{config.section}] answers for {text(name)}: {'; '.join(problems)}",
        f"Check `server` in [{config.section}], {look}.",
    )


def locate_at(server: Address, config: DnsServer, name: dns.name.Name) -> Union[Zone, Alias]:
    """As `locate`, at one address: asked plainly first, then with the key, for a signed query
    gets no answer from some hidden primaries, and a plain one the wrong view of others."""
    reply = SERVERS.ask(server, name, "SOA")
    if reply.rcode() == dns.rcode.SERVFAIL:  # BIND's answer to aliases that run in a circle
        reply = SERVERS.ask(server, name, "CNAME")
    if reply.rcode() in TRY_NEXT:
        code = dns.rcode.to_text(reply.rcode())
        raise NoAnswer(f"{server}: answers {code}: {meaning.MEANS[code]}", rcode=code)
    found = _read_location(reply, server, name, None)
    if not isinstance(found, Zone):
        signed = _locate_signed(server, name, config)
        if isinstance(found, Alias) and (
            not isinstance(signed, Alias) or signed.target != found.target
        ):
            found = signed or _raise_unconfirmed(found, name, config)
        found = found or signed
    if found is None:
        raise meaning.not_served(reply, str(server), name, config)
    if isinstance(found, Zone) and config.zone is not None:
        return _configured_zone(found, name, config)
    return found


def _raise_unconfirmed(alias: Alias, name: dns.name.Name, config: DnsServer) -> NoReturn:
    raise Refused(
        f"{alias.server} says, unsigned, that {text(name)} is an alias for {text(alias.target)}, "
        "and signs no answer to a query with the key of "
        f"[{config.section}]: so nothing is written there. Check the key, or ask the DNS "
        "administrator whether the server answers signed queries."
    )


def _locate_signed(
    server: Address, name: dns.name.Name, config: DnsServer
) -> Union[Zone, Alias, None]:
    """What the server has signed; None where it signs nothing, or has nothing."""
    try:
        reply = SERVERS.ask(server, name, "SOA", config.key)
        if reply.rcode() == dns.rcode.SERVFAIL:
            reply = SERVERS.ask(server, name, "CNAME", config.key)
    except NoAnswer:
        return None
    return _read_location(reply, server, name, config.key) if reply.had_tsig else None


def confirmed(zone: Zone, name: dns.name.Name, config: DnsServer) -> Zone:
    """The zone as the server signs it, where it signs; else as it was: the UPDATE's own reply is
    signed, and the record's name is the challenge's in any case.

    :raises Refused: what is signed contradicts
    """
    signed = _locate_signed(zone.server, name, config)
    if config.zone is not None or signed is None:
        return zone
    if isinstance(signed, Alias):
        raise Refused(
            f"{zone.server} says, unsigned, that {text(name)} is in the zone {text(zone.name)}, "
            f"and, signed, that it is an alias for {text(signed.target)}. Run certbot again; if it "
            "stays so, ask the DNS administrator about views, and who else answers in its place."
        )
    return zone if signed.name == zone.name else signed


def _read_location(
    reply: dns.message.Message, server: Address, name: dns.name.Name, key: Optional[SigningKey]
) -> Union[Zone, Alias, None]:
    if not queries.is_authoritative(reply):
        return None
    kind = "DNAME" if any(rr.rdtype == dns.rdatatype.DNAME for rr in reply.answer) else "CNAME"
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.name == name:
            return Alias(rrset[0].target, kind, server, key)
    for rrset in [*reply.answer, *reply.authority]:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
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


def name_server_addresses(
    zone: Zone, port: int = 53, warn: Callable[[str], object] = logger.warning
) -> list[Address]:
    """Every address of every name server of the zone, as the update server gives them.

    :param port: where they listen; other than 53 only in tests
    :param warn: shows a warning
    :raises DnsError: the update server does not answer, or gives none
    """
    try:
        return _name_server_addresses(zone, port, warn)
    except NoAnswer as error:
        raise NoAnswer(
            f"Zone {text(zone.name)}: {error}. The records were sent, but the update server no "
            "longer answers; try again, then check port 53 (UDP and TCP)."
        ) from None


def _name_server_addresses(zone: Zone, port: int, warn: Callable[[str], object]) -> list[Address]:
    reply = SERVERS.ask(zone.server, zone.name, "NS", zone.view_key)
    names = [
        record.target
        for rrset in reply.answer
        if rrset.rdtype == dns.rdatatype.NS and rrset.name == zone.name
        for record in rrset
    ]
    if not queries.is_authoritative(reply) or not names:
        raise Refused(
            f"{zone.server} gives no name servers for the zone {text(zone.name)}. Name them in "
            "check_servers, or ask the DNS administrator."
        )
    asked = names[:MOST_NAMES]
    found = together(lambda name: _addresses_of_name_server(zone, name, port), asked)
    addresses = list(dict.fromkeys(address for each in found for address in each))
    if not addresses:
        raise Refused(
            f"No name server of the zone {text(zone.name)} has an address here: "
            f"{', '.join(map(text, asked))}. Name them by address in check_servers."
        )
    if len(names) > MOST_NAMES or len(addresses) > MOST_ADDRESSES:
        warn(
            f"Zone {text(zone.name)}: it has {len(names)} name servers with {len(addresses)} "
            f"addresses; {min(len(addresses), MOST_ADDRESSES)} of the addresses are asked."
        )
    for name, each in zip(asked, found):
        if not each:
            warn(
                f"Zone {text(zone.name)}: its name server {text(name)} has no address here. Tell "
                "the DNS administrator: the CA may ask it."
            )
    return addresses[:MOST_ADDRESSES]


def _addresses_of_name_server(zone: Zone, name: dns.name.Name, port: int) -> list[Address]:
    """A and AAAA of one name server: from the update server where it knows, else as this system
    resolves them (that cannot spoil a cache: it is not the challenge's name that is asked for)."""
    ips: list[str] = []
    authoritative = True
    for rdtype in ("AAAA", "A"):
        reply = SERVERS.ask(zone.server, name, rdtype, zone.view_key)
        authoritative = authoritative and queries.is_authoritative(reply)
        wanted = dns.rdatatype.from_text(rdtype)
        ips += [
            record.address for rrset in reply.answer if rrset.rdtype == wanted for record in rrset
        ]
    if ips or authoritative:
        return [Address(ip, port, text(name)) for ip in ips if _can_be_asked(ip)]
    try:
        found = SERVERS.addresses_of(Endpoint(text(name), port))
    except NoAnswer:
        return []
    return [address for address in found if _can_be_asked(address.ip)]


def _can_be_asked(ip: str) -> bool:
    """Whether it is a unicast address, and of no single link."""
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or (address.version == 4 and address.is_reserved)
    )
