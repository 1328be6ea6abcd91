"""Looking up the CAA records that apply to a name: which CAs may issue for it (RFC 8659).

They are shown to the user when the CA refuses to issue because of them.
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

#: Seconds for one query to the system's resolver, while the user waits.
_RESOLVER_SECONDS = 2.0

#: The longest chain of aliases that is followed, about as long as resolvers follow.
_MOST_HOPS = 8


def find(name: str, settings: Settings, servers: Servers) -> Optional[tuple[str, str]]:
    """Return the relevant CAA RRset of a name: that of the closest name at or above it that has one
    (RFC 8659 §3).

    Each name is queried at the update server of the `[dns]` section, if that is authoritative for
    it, else at the system's resolver.

    :param name: a name of the certificate, which may be a wildcard
    :returns: the RRset's owner name, and its records in presentation format, joined by ", "; None
        if there is none, or it can't be looked up
    """
    try:
        found = look(name, settings, servers)
    except (dns.exception.DNSException, OSError):  # the records of a parent might not apply
        return None
    return None if found is None else (text(found.name), records_text(found))


def records_text(found: dns.rrset.RRset) -> str:
    """Return the records in presentation format, joined by ", "."""
    return ", ".join(sorted(record.to_text() for record in found))


def look(name: str, settings: Settings, servers: Servers) -> Optional[dns.rrset.RRset]:
    """Return the same RRset as `find`, or raise.

    :raises dns.exception.DNSException, OSError: it can't be looked up
    """
    owner = dns.name.from_text(without_wildcard(name))
    section = settings.dns_server_for(text(owner))
    addresses = servers.update_addresses(section)[0] if section else []
    while len(owner) > 1:
        found = _at(owner, addresses, servers)
        if found is not None:
            return found
        owner = owner.parent()
    return None


def _at(
    name: dns.name.Name, addresses: list[Address], servers: Servers
) -> Optional[dns.rrset.RRset]:
    """Return the CAA RRset of one name, or of its alias's target; None if there is none.

    :param addresses: of the update servers; those that do not answer are removed
    """
    for _ in range(_MOST_HOPS):
        answer = _from_server(name, addresses, servers)
        if answer is None:
            return _from_resolver(name)
        by_type = {rrset.rdtype: rrset for rrset in answer}  # of several CNAMEs, the last
        alias = by_type.get(dns.rdatatype.CNAME)
        if dns.rdatatype.CAA in by_type or alias is None:
            return by_type.get(dns.rdatatype.CAA)
        name = alias[0].target
    return None


def _from_server(
    name: dns.name.Name, addresses: list[Address], servers: Servers
) -> Optional[list[dns.rrset.RRset]]:
    """Return the answer section of the first update server that answers; None if that is not
    authoritative, or none answers.

    :param addresses: of the update servers; those that do not answer are removed
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
