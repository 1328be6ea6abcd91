"""Finding where a TXT record goes: the update server, the zone, and the owner name.

The CA follows aliases (CNAME, DNAME) when it queries the TXT record, so the record belongs at the
end of the chain. A CNAME that is synthesized from a wildcard (RFC 4592) is not followed: a record
at the name itself replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Optional, Union

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department.settings import DnsServer, Settings, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, names, queries, transport, update
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Alias,
    Batch,
    Location,
    NoAnswer,
    NotServed,
    Refused,
    TxtRecord,
)
from certbot_tcs_lyon1.errors import DnsError

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
            error.where = _alias_chain(chain) or error.where
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


def _alias_chain(chain: Sequence[dns.name.Name]) -> str:
    if len(chain) == 1:
        return ""
    return f"{text(chain[0])} is an alias: {' -> '.join(map(text, chain))}"


def _section_to_write(name: dns.name.Name) -> str:
    # A guess, without asking a server: the parent, unless that is a top-level domain.
    zone = name.parent() if len(name) > 3 else name
    return f"Write a section [dns {text(zone)}] with the update server of its zone"


def _section_for(chain: Sequence[dns.name.Name], settings: Settings) -> DnsServer:
    name = chain[-1]
    section = settings.dns_server_for(names.plain(name))
    if section is not None:
        return section
    if len(chain) > 1:
        raise DnsError(
            f"no [dns] section of {settings.path} is for {text(name)}", _section_to_write(name)
        )
    raise DnsError(
        f"The CA asks for a DNS record at {text(name)}, and {settings.path} has no [dns] section "
        "that says which update server to send it to",
        f"Add one, or have the domain validated in the portal ({lyon1.PORTAL_DOMAINS}), so that no "
        "record is asked for",
    )


def _look(
    name: dns.name.Name, section: DnsServer, end: float, servers: Servers
) -> Union[Location, Alias]:
    """Return the zone of a name, or the alias at it, if that is not synthesized from a wildcard."""
    found = locate(section, name, servers)
    if isinstance(found, Location) or not _may_be_synthesized(found, name, section, servers):
        return found
    zone = _zone_above(name, section, found, servers)
    question = Batch(zone, section, (TxtRecord(name, ""),), end)
    return found if update.has_cname(question, servers) else zone


def _may_be_synthesized(
    alias: Alias, name: dns.name.Name, section: DnsServer, servers: Servers
) -> bool:
    """Return whether the CNAME may be synthesized from a wildcard: a random sibling has it, too.

    A DNAME is no such case: it gives each name below it a target of its own (RFC 6672 §2.2).

    :raises NoAnswer: the server gives no signed answer
    """
    try:
        sibling = names.random_sibling(name)
    except (dns.name.NameTooLong, dns.name.NoParent):
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
        found = locate_at(alias.server, section, above, servers)
        if isinstance(found, Location):
            return replace(found, confirmed=True)  # the server has signed the alias
    raise DnsError(
        f"No zone of {text(name)} can be found at {alias.server}",
        f"Check `server` in [{section.section}], or ask the DNS administrator which server holds "
        "it",
    )


# One name


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
            silent = silent or not error.replied
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

    :raises NoAnswer: the server does not answer, or the next one is to be tried
    :raises Refused: as `locate`
    """
    reply = _ask_soa(server, name, None, servers)
    queries.raise_if_try_next(reply.rcode(), str(server))
    found = _read(reply, server, name, None)
    if not isinstance(found, Location):
        signed = _locate_signed(server, name, section, servers)
        if isinstance(found, Alias) and signed is None:
            raise Refused(
                f"{server} says, unsigned, that {text(name)} is an alias for {text(found.target)}, "
                f"and signs no answer to a query with the key of [{section.section}]: so nothing "
                "is written there",
                "Check the key, or ask the DNS administrator whether the server answers signed "
                "queries",
            )
        found = signed
    if found is None:
        raise meaning.not_served(reply, server, name, section)
    if isinstance(found, Location) and section.zone is not None:
        return _configured(found, name, section)
    return found


def _ask_soa(
    server: Address, name: dns.name.Name, key: Optional[SigningKey], servers: Servers
) -> dns.message.Message:
    reply = servers.ask(server, name, "SOA", key)
    if reply.rcode() == dns.rcode.SERVFAIL:  # BIND's answer to a loop of aliases
        return servers.ask(server, name, "CNAME", key)
    return reply


def _locate_signed(
    server: Address, name: dns.name.Name, section: DnsServer, servers: Servers
) -> Union[Location, Alias, None]:
    """Return the zone or the alias from a signed answer; None if there is none."""
    try:
        reply = _ask_soa(server, name, section.key, servers)
    except NoAnswer:
        return None
    return _read(reply, server, name, section.key) if reply.had_tsig else None


def confirmed(batch: Batch, servers: Servers) -> Batch:
    """Return the batch with the zone of its first name from a signed answer, if there is one.

    Without a signed answer, the unsigned one suffices: the reply to the UPDATE is signed, and the
    owner name is that of the challenge, or the target of a signed alias.

    :returns: the same object if the zone is the same
    :raises Refused: the signed answer says that the name is an alias
    """
    if batch.location.confirmed:
        return batch
    name = batch.names[0]
    signed = _locate_signed(batch.server, name, batch.section, servers.until(batch.end))
    if isinstance(signed, Alias):
        raise Refused(
            f"{batch.server} says, unsigned, that {text(name)} is in the zone {text(batch.zone)}, "
            f"and, signed, that it is an alias for {text(signed.target)}",
            "Run certbot again; if it stays so, ask the DNS administrator about views, and who "
            "else answers in its place",
        )
    if signed is None or signed.zone == batch.zone:
        return batch
    return replace(batch, location=signed)


def _read(
    reply: dns.message.Message, server: Address, name: dns.name.Name, key: Optional[SigningKey]
) -> Union[Location, Alias, None]:
    if not transport.is_authoritative(reply):
        return None
    kind = "DNAME" if any(rr.rdtype == dns.rdatatype.DNAME for rr in reply.answer) else "CNAME"
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.CNAME and rrset.name == name:
            return Alias(rrset[0].target, kind, server)
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
    return replace(found, zone=zone, confirmed=True)
