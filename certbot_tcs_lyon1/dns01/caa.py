"""The CAA record that applies to a name: who may issue certificates for it (RFC 8659).

Only read, to show it to the user when the CA says that one stands in its way.
"""

from __future__ import annotations

from typing import Optional

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import dns.rrset

from certbot_tcs_lyon1.department.settings import Settings, without_wildcard
from certbot_tcs_lyon1.dns01 import transport
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, NoAnswer

#: Seconds for one question to the system's resolver: the user waits for a message.
_RESOLVER_SECONDS = 2.0

#: A chain of aliases longer than this is given up, as resolvers do.
_MOST_HOPS = 8


def find(name: str, settings: Settings, servers: Servers) -> Optional[tuple[str, str]]:
    """The CAA records that apply to `name`: those at the nearest name at or above it (§3).

    The update server of the name's `[dns]` section is asked where it answers for a name itself,
    else the system's resolver.

    :param name: a name of the certificate, also a wildcard
    :returns: the name that holds them, and the records as in a zone file; None if there are none,
        or if they can't be looked up
    """
    try:
        return look(name, settings, servers)
    except (dns.exception.DNSException, OSError):  # no answer: a record further up may not apply
        return None


def look(name: str, settings: Settings, servers: Servers) -> Optional[tuple[str, str]]:
    """As `find`.

    :raises dns.exception.DNSException, OSError: they can't be looked up
    """
    found = _climb(dns.name.from_text(without_wildcard(name)), settings, servers)
    if found is None:
        return None
    return text(found.name), ", ".join(sorted(record.to_text() for record in found))


def _climb(name: dns.name.Name, settings: Settings, servers: Servers) -> Optional[dns.rrset.RRset]:
    section = settings.dns_server_for(text(name))
    addresses = servers.update_addresses(section)[0] if section else []
    while len(name) > 1:
        found = _at(name, addresses, servers)
        if found is not None:
            return found
        name = name.parent()
    return None


def _at(
    name: dns.name.Name, addresses: list[Address], servers: Servers
) -> Optional[dns.rrset.RRset]:
    """The CAA records of one name, or of the one that it is an alias for."""
    for _ in range(_MOST_HOPS):
        answer = _from_server(name, addresses, servers)
        if answer is None:
            return _from_resolver(name)
        alias: Optional[dns.name.Name] = None
        for rrset in answer:
            if rrset.rdtype == dns.rdatatype.CAA:
                return rrset
            if rrset.rdtype == dns.rdatatype.CNAME:
                alias = rrset[0].target
        if alias is None:
            return None
        name = alias
    return None


def _from_server(
    name: dns.name.Name, addresses: list[Address], servers: Servers
) -> Optional[list[dns.rrset.RRset]]:
    """The answer of the first update server that answers; None if it isn't its own to give.

    :param addresses: loses those that do not answer
    """
    while addresses:
        try:
            reply = servers.ask(addresses[0], name, "CAA")
        except NoAnswer:
            addresses.pop(0)
            continue
        return list(reply.answer) if transport.is_authoritative(reply) else None
    return None


def _from_resolver(name: dns.name.Name) -> Optional[dns.rrset.RRset]:
    try:
        answer = dns.resolver.resolve(
            name, "CAA", raise_on_no_answer=False, lifetime=_RESOLVER_SECONDS
        )
    except dns.resolver.NXDOMAIN:
        return None
    return answer.rrset
