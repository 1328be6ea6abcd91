"""Finding the zone of a name, or that the name is an alias; and the zone's name servers."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from typing import Callable, NoReturn, Optional, Union

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, transport
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import TRY_NEXT, Servers
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Alias,
    Location,
    NoAnswer,
    NotServed,
    Refused,
)

logger = logging.getLogger(__name__)

#: The most name servers of a zone, and addresses of them, that are queried. Zones have about ten,
#: but a forged reply may have thousands.
MOST_NAMES = 16
MOST_ADDRESSES = 32


def locate(section: DnsServer, name: dns.name.Name, servers: Servers) -> Union[Location, Alias]:
    """Return the zone of a name, or its alias, from the first update server that answers.

    It takes a SOA query: a negative answer has the zone's SOA, too (RFC 2308 §3).

    :raises NoAnswer: no update server answers
    :raises Refused: the server does not serve the name's zone, its answers can't be trusted, or
        the section's `zone` does not contain the name
    """
    addresses, problems = servers.update_addresses(section)
    is_hidden = section.zone is not None and bool(section.check_servers)
    silent = not addresses
    for server in addresses:
        try:
            return locate_at(server, section, name, servers)
        except NoAnswer as error:
            problems.append(error.cause)
            silent = silent or not error.rcode
        except NotServed:
            if not is_hidden:
                raise
    if is_hidden and addresses:  # a hidden primary, which answers no queries
        return _configured(Location(dns.name.root, addresses[0]), name, section)
    look = "and that the firewall lets this machine reach it by UDP and TCP"
    look = look if silent else "or ask the DNS administrator"
    raise NoAnswer(
        f"No update server of [{section.section}] answers for {text(name)}: {'; '.join(problems)}",
        f"Check `server` in [{section.section}], {look}",
    )


def locate_at(
    server: Address, section: DnsServer, name: dns.name.Name, servers: Servers
) -> Union[Location, Alias]:
    """Return the same as `locate`, from one address.

    An unsigned query is sent first, since some hidden primaries do not answer signed ones. If its
    answer shows no zone, a signed one follows: the server may have another view for the key.

    :raises NoAnswer: the server does not answer, or with an rcode of `TRY_NEXT`
    :raises Refused: as `locate`
    """
    reply = servers.ask(server, name, "SOA")
    if reply.rcode() == dns.rcode.SERVFAIL:  # BIND's answer to a loop of aliases
        reply = servers.ask(server, name, "CNAME")
    if reply.rcode() in TRY_NEXT:
        code = dns.rcode.to_text(reply.rcode())
        raise NoAnswer(f"{server}: answers {code}: {TRY_NEXT[reply.rcode()]}", rcode=code)
    found = _read(reply, server, name, None)
    if not isinstance(found, Location):
        signed = _locate_signed(server, name, section, servers)
        if isinstance(found, Alias) and (
            not isinstance(signed, Alias) or signed.target != found.target
        ):
            found = signed or _raise_unconfirmed(found, name, section)
        found = found or signed
    if found is None:
        raise meaning.not_served(reply, server, name, section)
    if isinstance(found, Location) and section.zone is not None:
        return _configured(found, name, section)
    return found


def _raise_unconfirmed(alias: Alias, name: dns.name.Name, section: DnsServer) -> NoReturn:
    raise Refused(
        f"{alias.server} says, unsigned, that {text(name)} is an alias for {text(alias.target)}, "
        f"and signs no answer to a query with the key of [{section.section}]: so nothing is "
        "written there",
        "Check the key, or ask the DNS administrator whether the server answers signed queries",
    )


def _locate_signed(
    server: Address, name: dns.name.Name, section: DnsServer, servers: Servers
) -> Union[Location, Alias, None]:
    """Return the zone or the alias from a signed answer; None if there is none."""
    try:
        reply = servers.ask(server, name, "SOA", section.key)
        if reply.rcode() == dns.rcode.SERVFAIL:
            reply = servers.ask(server, name, "CNAME", section.key)
    except NoAnswer:
        return None
    return _read(reply, server, name, section.key) if reply.had_tsig else None


def confirmed(
    location: Location, name: dns.name.Name, section: DnsServer, servers: Servers
) -> Location:
    """Return the zone of a name from a signed answer, or `location` if there is none.

    Without a signed answer, the unsigned one suffices: the reply to the UPDATE is signed, and the
    owner name is that of the challenge, or the target of a signed alias.

    :param location: from an unsigned answer
    :raises Refused: the signed answer says that the name is an alias
    """
    if location.confirmed:
        return location
    signed = _locate_signed(location.server, name, section, servers)
    if isinstance(signed, Alias):
        raise Refused(
            f"{location.server} says, unsigned, that {text(name)} is in the zone "
            f"{text(location.zone)}, and, signed, that it is an alias for {text(signed.target)}",
            "Run certbot again; if it stays so, ask the DNS administrator about views, and who "
            "else answers in its place",
        )
    return location if signed is None or signed.zone == location.zone else signed


def _read(
    reply: dns.message.Message, server: Address, name: dns.name.Name, key: Optional[SigningKey]
) -> Union[Location, Alias, None]:
    if not transport.is_authoritative(reply):
        return None
    kind = "DNAME" if any(rr.rdtype == dns.rdatatype.DNAME for rr in reply.answer) else "CNAME"
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.name == name:
            return Alias(rrset[0].target, kind, server, key)
    for rrset in [*reply.answer, *reply.authority]:
        if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
            return Location(rrset.name, server, key, confirmed=key is not None)
    return None


def _configured(found: Location, name: dns.name.Name, section: DnsServer) -> Location:
    zone = dns.name.from_text(section.zone or "")
    if not name.is_subdomain(zone):
        raise Refused(
            f"{text(name)} is not in the zone {section.zone}, which [{section.section}] names",
            "Take `zone` out of that section, or give the name's zone a section of its own",
        )
    return Location(zone, found.server, found.view_key, confirmed=True)


# Name servers


def name_server_addresses(
    location: Location,
    servers: Servers,
    port: int = 53,
    warn: Callable[[str], object] = logger.warning,
) -> list[Address]:
    """Return the addresses of the zone's name servers, as the update server gives them.

    :param port: of the name servers; other than 53 only in tests
    :param warn: shows the user a warning
    :returns: `MOST_ADDRESSES` at most
    :raises NoAnswer: the update server does not answer
    :raises Refused: it gives no name servers, or they have no addresses
    """
    zone = text(location.zone)
    try:
        names = _name_servers(location, servers)
        asked = names[:MOST_NAMES]
        replies = _address_replies(location, asked, servers)
        found = together(lambda name: _addresses(name, replies[name], port, servers), asked)
    except NoAnswer as error:
        raise NoAnswer(
            f"Zone {zone}: {error.cause}. The records were sent, but the update server no longer "
            "answers",
            "Try again, then check port 53 (UDP and TCP)",
        ) from None
    addresses = list(dict.fromkeys(address for each, _ in found for address in each))
    if not addresses:
        raise Refused(
            f"No name server of the zone {zone} has an address here: {', '.join(map(text, asked))}",
            "Name them by address in check_servers",
        )
    if len(names) > MOST_NAMES or len(addresses) > MOST_ADDRESSES:
        warn(
            f"Zone {zone}: it has {len(names)} name servers with {len(addresses)} addresses; "
            f"{min(len(addresses), MOST_ADDRESSES)} of the addresses are asked."
        )
    for _, why_none in found:
        if why_none is not None:
            remedy = why_none.remedy or "Tell the DNS administrator: the CA may ask it"
            warn(f"Zone {zone}: its name server {why_none.cause}. {remedy}.")
    return addresses[:MOST_ADDRESSES]


def _name_servers(location: Location, servers: Servers) -> list[dns.name.Name]:
    reply = servers.ask(location.server, location.zone, "NS", location.view_key)
    names = [
        record.target
        for rrset in reply.answer
        if rrset.rdtype == dns.rdatatype.NS and rrset.name == location.zone
        for record in rrset
    ]
    if not transport.is_authoritative(reply) or not names:
        raise Refused(
            f"{location.server} gives no name servers for the zone {text(location.zone)}",
            "Name them in check_servers, or ask the DNS administrator",
        )
    return names


def _address_replies(
    location: Location, names: Sequence[dns.name.Name], servers: Servers
) -> dict[dns.name.Name, list[dns.message.Message]]:
    """Query the update server for AAAA and A of each name; return the two replies by name."""
    questions = [(name, rdtype) for name in names for rdtype in ("AAAA", "A")]
    replies = together(
        lambda question: servers.ask(location.server, *question, location.view_key), questions
    )
    by_name: dict[dns.name.Name, list[dns.message.Message]] = {}
    for (name, _), reply in zip(questions, replies):
        by_name.setdefault(name, []).append(reply)
    return by_name


def _addresses(
    name: dns.name.Name, replies: Sequence[dns.message.Message], port: int, servers: Servers
) -> tuple[list[Address], Optional[NoAnswer]]:
    """Return the addresses of one name server, or the error that there are none.

    If the update server is not authoritative for its name, the system's resolver is asked. That
    caches nothing about the challenge's name.

    :param replies: the update server's, to AAAA and A
    """
    authoritative = all(map(transport.is_authoritative, replies))
    ips = [
        record.address
        for reply in replies
        for rrset in reply.answer
        if rrset.rdtype in (dns.rdatatype.AAAA, dns.rdatatype.A)
        for record in rrset
    ]
    found = [Address(ip, port, text(name)) for ip in ips]
    if not ips and not authoritative:
        try:
            found = servers.addresses_of(Endpoint(text(name), port))
        except NoAnswer as error:
            return [], error
    found = [address for address in found if _can_be_asked(address.ip)]
    return found, None if found else NoAnswer(f"{text(name)} has no address here")


def _can_be_asked(ip: str) -> bool:
    """Return whether it is a unicast address, and not a link-local one."""
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or (address.version == 4 and address.is_reserved)
    )
