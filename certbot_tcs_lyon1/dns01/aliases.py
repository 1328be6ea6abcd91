"""A CNAME at the challenge's name: where the record goes instead.

The CA follows aliases when it looks for the record, so it has to be at the end of the chain. A
CNAME synthesized by a wildcard (RFC 4592) is no alias: a record at the name itself takes its place.
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

#: Resolvers give up on a chain of about this length, and so does the CA.
_MOST_HOPS = 8


def place(record: TxtRecord, settings: Settings, servers: Servers, started: float) -> Batch:
    """Follow the aliases from a challenge's name to the name and zone that take its record.

    :param started: when the whole began, by `time.monotonic()`
    :returns: a batch of this record alone
    :raises DnsError: no section for a name, no server that may write there, or a loop; `where`
        shows the chain
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
    """The zone of a name, or the alias that stands at the name itself."""
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
    """Whether the CNAME may come from a wildcard: a name that nobody can have made has it, too.

    Under a DNAME each name has a target of its own.
    """
    if len(name) <= 1:
        return False
    try:
        sibling = names.unheard_of(name)
    except dns.name.NameTooLong:
        return True  # the UPDATE of a prerequisite alone decides
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
    """The zone of the wildcard of which `alias` is synthesized: of the nearest name above that is
    no alias."""
    for above in names.above(name):
        found = zones.locate_at(alias.server, section, above, servers)
        if isinstance(found, Location):
            return replace(found, confirmed=True)  # the name itself is an alias there, signed
    raise DnsError(
        f"No zone of {text(name)} can be found at {alias.server}",
        f"Check `server` in [{section.section}], or ask the DNS administrator which server holds "
        "it",
    )
