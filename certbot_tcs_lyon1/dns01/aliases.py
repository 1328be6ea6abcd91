"""A CNAME at the challenge's name: where the record goes instead.

The CA follows aliases when it looks for the record, so it has to be at the end of the chain. A
CNAME synthesized by a wildcard (RFC 4592) is no alias: a record at the name itself takes its place.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import dns.exception
import dns.name
import dns.rdatatype

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department.settings import DnsServer, Settings
from certbot_tcs_lyon1.dns01 import update, zones
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.queries import SERVERS
from certbot_tcs_lyon1.dns01.records import Alias, DnsError, NoAnswer, Zone
from certbot_tcs_lyon1.report import foreign

#: Resolvers give up on a chain of about this length, and so does the CA.
_MOST_HOPS = 8


@dataclass(frozen=True)
class Place:
    """Where a challenge's record goes: name, zone, and the section that says how to write there."""

    name: dns.name.Name
    zone: Zone
    config: DnsServer


def find_place(challenge: str, settings: Settings) -> Place:
    """Follow the aliases from a challenge's name to the name and zone that take its record.

    :param challenge: `_acme-challenge.…`
    :raises DnsError: no section for a name, no server that may write there, or a loop; the text
        shows the chain
    """
    try:
        chain = [dns.name.from_text(challenge)]
    except dns.exception.DNSException:
        raise DnsError(
            f"{foreign(challenge)} is no name that the DNS can have (255 octets at most, and 63 in "
            "each label). Order the certificate for a shorter name."
        ) from None
    while True:
        try:
            config = _section_for(chain, settings)
            found = zones.locate(config, chain[-1])
            if isinstance(found, Alias) and _is_synthesized(found, chain[-1], config):
                zone = _zone_above(chain[-1], config, found)
                found = found if update.has_cname(zone, config, chain[-1]) else zone
            elif isinstance(found, Zone):
                found = zones.confirmed(found, chain[-1], config)
        except DnsError as error:
            error.where = _alias_chain(chain)
            raise
        if isinstance(found, Zone):
            return Place(chain[-1], found, config)
        chain.append(found.target)
        if found.target in chain[:-1] or len(chain) > _MOST_HOPS:
            raise DnsError(
                f"{_alias_chain(chain)}: the aliases never end. Have the DNS administrator "
                f"correct them, or remove the CNAME at {challenge}."
            )


def _alias_chain(chain: Sequence[dns.name.Name]) -> str:
    if len(chain) == 1:
        return ""
    return f"{text(chain[0])} is an alias: {' -> '.join(map(text, chain))}"


def _section_for(chain: Sequence[dns.name.Name], settings: Settings) -> DnsServer:
    name = chain[-1]
    config: Optional[DnsServer] = settings.dns_server_for(text(name))
    if config is None and len(chain) > 1:
        raise DnsError(
            f"no [dns] section of {settings.path} is for {text(name)}. Write a section "
            f"[dns {text(name.parent())}] with the update server of its zone."
        )
    if config is None:
        raise DnsError(
            f"The CA asks for a DNS record at {text(name)}, and {settings.path} has no [dns] "
            "section that says which update server to send it to. Add one, or have the domain "
            f"validated in the portal ({lyon1.PORTAL_DOMAINS}), so that no record is asked for."
        )
    return config


def _is_synthesized(alias: Alias, name: dns.name.Name, config: DnsServer) -> bool:
    """Whether the CNAME may come from a wildcard: a name that nobody can have made has it, too.

    Under a DNAME each name has a target of its own.
    """
    if len(name) <= 1:
        return False
    nobody = dns.name.from_text(secrets.token_hex(8), name.parent())
    reply = SERVERS.ask(alias.server, nobody, "CNAME", config.key)
    if not reply.had_tsig:
        raise NoAnswer(f"{alias.server}: the answer to a signed query is not signed")
    return any(
        rrset.rdtype == dns.rdatatype.CNAME and rrset[0].target == alias.target
        for rrset in reply.answer
    )


def _zone_above(name: dns.name.Name, config: DnsServer, alias: Alias) -> Zone:
    """The zone of the wildcard of which `alias` is synthesized: of the nearest name above that is
    no alias."""
    above = name
    while len(above) > 2:
        above = above.parent()
        found = zones.locate_at(alias.server, config, above)
        if isinstance(found, Zone):
            return found
    raise DnsError(
        f"No zone of {text(name)} can be found at {alias.server}. Check `server` in "
        f"[{config.section}], or ask the DNS administrator which server holds it."
    )
