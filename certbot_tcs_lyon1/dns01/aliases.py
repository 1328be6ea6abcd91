"""Following aliases (CNAME, DNAME) from a challenge's name to the name that gets the TXT record.

The CA follows aliases when it queries the TXT record, so the record belongs at the end of the
chain. A CNAME that is synthesized from a wildcard (RFC 4592) is not followed: a record at the name
itself replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional, Union

import dns.name
import dns.rdatatype

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department.settings import DnsServer, Settings
from certbot_tcs_lyon1.dns01 import names, update, zones
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import (
    Alias,
    Batch,
    DnsError,
    Location,
    NoAnswer,
    NotServed,
    TxtRecord,
)

#: The longest chain of aliases: resolvers, and so the CA, follow about as many.
_MOST_HOPS = 8


def place(record: TxtRecord, settings: Settings, servers: Servers, started: float) -> Batch:
    """Follow the aliases from a challenge's name, and return where its record goes.

    :param record: with the challenge's name
    :param started: the time from which `propagation_seconds` counts, by `time.monotonic()`
    :returns: a batch of this record alone, with the name at the end of the chain
    :raises DnsError: a name has no [dns] section, no update server serves its zone or answers, or
        the aliases form a loop or too long a chain; `where` shows the chain
    """
    chain = [record.name]
    while True:
        name = chain[-1]
        try:
            section = _section_for(chain, settings)
            end = started + section.propagation_seconds
            found = _look(name, section, end, servers.until(end))
        except DnsError as error:
            error.where = _alias_chain(chain)
            if isinstance(error, NotServed) and len(chain) > 1:
                error.remedy = _section_to_write(name)
            raise
        if isinstance(found, Location):
            return Batch(found, section, (replace(record, name=name),), end)
        chain.append(found.target)
        if found.target in chain[:-1] or len(chain) > _MOST_HOPS:
            raise DnsError(
                f"{_alias_chain(chain)}: the aliases never end",
                "Have the DNS administrator correct them, or remove the CNAME at "
                f"{text(record.name)}",
            )


def _look(
    name: dns.name.Name, section: DnsServer, end: float, servers: Servers
) -> Union[Location, Alias]:
    """Return the zone of a name, or the alias at it, if that is not synthesized from a wildcard."""
    found = zones.locate(section, name, servers)
    if isinstance(found, Location) or not _may_be_synthesized(found, name, section, servers):
        return found
    zone = _zone_above(name, section, found, servers)
    question = Batch(zone, section, (TxtRecord(name, ""),), end)
    return found if update.has_cname(question, servers) else zone


def _alias_chain(chain: Sequence[dns.name.Name]) -> str:
    if len(chain) == 1:
        return ""
    return f"{text(chain[0])} is an alias: {' -> '.join(map(text, chain))}"


def _section_to_write(name: dns.name.Name) -> str:
    zone = text(names.likely_zone(name))
    return f"Write a section [dns {zone}] with the update server of its zone"


def _section_for(chain: Sequence[dns.name.Name], settings: Settings) -> DnsServer:
    name = chain[-1]
    section: Optional[DnsServer] = settings.dns_server_for(names.plain(name))
    if section is None and len(chain) > 1:
        raise DnsError(
            f"no [dns] section of {settings.path} is for {text(name)}", _section_to_write(name)
        )
    if section is None:
        raise DnsError(
            f"The CA asks for a DNS record at {text(name)}, and {settings.path} has no [dns] "
            "section that says which update server to send it to",
            f"Add one, or have the domain validated in the portal ({lyon1.PORTAL_DOMAINS}), so "
            "that no record is asked for",
        )
    return section


def _may_be_synthesized(
    alias: Alias, name: dns.name.Name, section: DnsServer, servers: Servers
) -> bool:
    """Return whether the CNAME may be synthesized from a wildcard: a random sibling has it, too.

    A DNAME is no such case: it gives each name below it a target of its own (RFC 6672 §2.2).

    :raises NoAnswer: the server gives no signed answer
    """
    if len(name) <= 1:
        return False
    try:
        sibling = names.random_sibling(name)
    except dns.name.NameTooLong:
        return True  # `update.has_cname` then decides alone
    reply = servers.ask(alias.server, sibling, "CNAME", section.key)
    if not reply.had_tsig:
        raise NoAnswer(f"{alias.server}: the answer to a signed query is not signed")
    return any(
        rrset.rdtype == dns.rdatatype.CNAME and rrset[0].target == alias.target
        for rrset in reply.answer
    )


def _zone_above(
    name: dns.name.Name, section: DnsServer, alias: Alias, servers: Servers
) -> Location:
    """Return the zone of the wildcard that `alias` may be synthesized from.

    It is the zone of the nearest name above `name` that is not an alias.

    :raises DnsError: no name above it is in a zone of that server
    """
    for above in names.above(name):
        found = zones.locate_at(alias.server, section, above, servers)
        if isinstance(found, Location):
            return replace(found, confirmed=True)  # the server has signed the alias
    raise DnsError(
        f"No zone of {text(name)} can be found at {alias.server}",
        f"Check `server` in [{section.section}], or ask the DNS administrator which server holds "
        "it",
    )
