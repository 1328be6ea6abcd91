"""Finding the addresses of the name servers that must have a zone's records."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from typing import Optional

import dns.message
import dns.name
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import Endpoint
from certbot_tcs_lyon1.dns01 import transport
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Batch,
    Location,
    NoAnswer,
    Refused,
    Unconfirmed,
    Warn,
)

logger = logging.getLogger(__name__)

#: The most name servers of a zone, and addresses of them, that are queried. Zones have about ten,
#: but a forged reply may have thousands.
MOST_NAMES = 16
MOST_ADDRESSES = 32

#: The port of a zone's name servers.
PORT = 53


def to_check(batch: Batch, servers: Servers, warn: Warn) -> list[Address]:
    """Return the addresses of the section's `check_servers`, else of the zone's name servers.

    :raises NoAnswer: one of `check_servers` has no address, or as `addresses`
    :raises Refused: as `addresses`
    """
    if not batch.section.check_servers:
        return addresses(batch.location, servers, warn)
    found: list[Address] = []
    for endpoint in batch.section.check_servers:
        try:
            found += servers.addresses_of(endpoint)
        except NoAnswer as error:
            raise NoAnswer(
                f"check_servers in [{batch.section.section}]: {error.cause}",
                error.remedy or "Correct it, or write the address",
            ) from None
    return found


def addresses(location: Location, servers: Servers, warn: Warn = logger.warning) -> list[Address]:
    """Return the addresses of the zone's name servers, as the update server gives them.

    :returns: `MOST_ADDRESSES` at most
    :raises NoAnswer: the update server does not answer
    :raises Refused: it gives no name servers, or they have no addresses
    """
    zone = text(location.zone)
    try:
        names = _name_servers(location, servers)
        asked = names[:MOST_NAMES]
        found = _look_up(asked, location, servers)
    except NoAnswer as error:
        raise NoAnswer(
            f"Zone {zone}: {error.cause}. The records were sent, but the update server no longer "
            "answers",
            "Try again, then check port 53 (UDP and TCP)",
        ) from None
    every = list(dict.fromkeys(address for each, _ in found for address in each))
    if not every:
        raise Refused(
            f"No name server of the zone {zone} has an address here: {', '.join(map(text, asked))}",
            "Name them by address in check_servers",
        )
    if len(names) > MOST_NAMES or len(every) > MOST_ADDRESSES:
        few = min(len(every), MOST_ADDRESSES)
        many = f"{len(names)} name servers with {len(every)} addresses"
        warn(Unconfirmed(zone, f"it has {many}; {few} of the addresses are asked"))
    for _, why_none in found:
        if why_none is not None:
            remedy = why_none.remedy or "Tell the DNS administrator: the CA may ask it"
            warn(Unconfirmed(zone, f"its name server {why_none.cause}", remedy))
    return every[:MOST_ADDRESSES]


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


def _look_up(
    names: Sequence[dns.name.Name], location: Location, servers: Servers
) -> list[tuple[list[Address], Optional[NoAnswer]]]:
    """Return for each name server its addresses, or the error that there are none.

    :raises NoAnswer: the update server does not answer
    """
    questions = [(name, rdtype) for name in names for rdtype in ("AAAA", "A")]
    replies = together(
        lambda question: servers.ask(location.server, *question, location.view_key), questions
    )
    known = dict(zip(questions, replies))
    return together(
        lambda name: _addresses_of(name, [known[name, "AAAA"], known[name, "A"]], servers), names
    )


def _addresses_of(
    name: dns.name.Name, replies: Sequence[dns.message.Message], servers: Servers
) -> tuple[list[Address], Optional[NoAnswer]]:
    """Return the addresses of one name server, or the error that there are none.

    If the update server is not authoritative for its name, the system's resolver is asked. That
    caches nothing about the challenge's name.

    :param replies: the update server's, to AAAA and A
    """
    found = [
        Address(record.address, PORT, text(name))
        for reply in replies
        for rrset in reply.answer
        if rrset.rdtype in (dns.rdatatype.AAAA, dns.rdatatype.A)
        for record in rrset
    ]
    if not found and not all(map(transport.is_authoritative, replies)):
        try:
            found = servers.addresses_of(Endpoint(text(name), PORT))
        except NoAnswer as error:
            return [], error
    found = [address for address in found if _can_be_asked(address.ip)]
    return found, None if found else NoAnswer(f"{text(name)} has no address here")


def _can_be_asked(ip: str) -> bool:
    """Return whether it is a unicast address, and not a link-local one."""
    address = ipaddress.ip_address(ip)
    address = getattr(address, "ipv4_mapped", None) or address
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or (address.version == 4 and address.is_reserved)
    )
