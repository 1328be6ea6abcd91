"""Confirming that the records are published: at the update server, and at all name servers."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Optional

import dns.flags
import dns.name

from certbot_tcs_lyon1.dns01 import nameservers, propagation, zones
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.propagation import Report, State
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, Alias, Batch, NoAnswer, Unconfirmed, Warn
from certbot_tcs_lyon1.errors import DnsError

logger = logging.getLogger(__name__)


def confirm(
    batches: Sequence[Batch],
    servers: Servers,
    warn: Warn = logger.warning,
) -> None:
    """Query the records at the update server, then wait until each name server of the zones has
    them.

    :param batches: as returned by `challenge.publish`
    :param warn: is given an `Unconfirmed` for each name server that can't be asked
    :raises DnsError: the update server has accepted the records and does not show them, or a name
        server does not have them by the end of the batch
    """
    for batch in batches:
        until = servers.until(batch.end)
        seen_by = batch.server.socket_address if _read_back(batch, until, warn) else None
        addresses = nameservers.to_check(batch, until, warn)
        seen = [address for address in addresses if address.socket_address == seen_by]
        rest = [address for address in addresses if address.socket_address != seen_by]
        _await_everywhere(batch, rest, seen, until, warn)


def _read_back(batch: Batch, servers: Servers, warn: Warn) -> bool:
    """Return whether the update server answers an unsigned query with the records.

    False if it shows them only in answers to signed queries, or is a hidden primary, for which
    `check_servers` are queried. A secondary that forwards UPDATEs (BIND: allow-update-forwarding)
    shows them later, so it is waited for.

    :raises DnsError: it does not show them
    """
    server, view_key, section = batch.server, batch.location.view_key, batch.section
    found = propagation.poll(server, batch.records, servers, view_key)
    if found.state is State.HAS_IT:
        return view_key is None
    signed = propagation.poll(server, batch.records, servers, section.key)
    if signed.state is State.HAS_IT:
        return False
    if found.state is not State.STALE and section.zone and section.check_servers:
        return False
    why = _why_hidden(batch, servers)
    if why is None and found.state is State.STALE:
        [found] = propagation.wait_until_everywhere(
            [server], batch.records, servers, batch.end, warn, view_key
        )
        if found.state is State.HAS_IT:
            return view_key is None
    why = why or _HIDDEN
    raise DnsError(
        f"{server} accepted the UPDATE of the zone {text(batch.zone)}, but does not show the "
        f"records ({found.answer}): {why.cause}",
        why.remedy,
        where=why.where,
    )


_HIDDEN = DnsError(
    "they are in another view of the server, or a policy of it has dropped them (PowerDNS: "
    "lua-dnsupdate-policy-script), or it has forwarded the UPDATE to a primary that does not send "
    "the zone back, or the address leads to several servers",
    "Ask the DNS administrator",
)


def _why_hidden(batch: Batch, servers: Servers) -> Optional[DnsError]:
    """Return why the server does not show records that it has accepted, by locating their names
    again; None if they are still in the batch's zone.
    """
    section = replace(batch.section, zone=None)
    for name in batch.names:
        try:
            found = zones.locate_at(batch.server, section, name, servers)
        except DnsError as error:
            return error
        if isinstance(found, Alias):
            return DnsError(
                f"{text(name)} is an alias ({found.kind}) for {text(found.target)}",
                "Run certbot again; if it stays so, send this to the DNS administrator",
            )
        if found.zone != batch.zone:
            return DnsError(
                f"{text(name)} lies in the zone {text(found.zone)} (a zone cut), not in "
                f"{text(batch.zone)}",
                f"Check `zone` in [{section.section}]",
            )
    return None


def _await_everywhere(
    batch: Batch,
    addresses: Sequence[Address],
    seen: Sequence[Address],
    servers: Servers,
    warn: Warn,
) -> None:
    """Wait until the name servers have the records, and warn of those that can't be asked.

    :param addresses: of the name servers to wait for
    :param seen: addresses that are known to have the records
    :raises DnsError: one is stale at the end of the batch
    """
    began = time.monotonic()
    everyone = frozenset((*addresses, *seen))
    given_up = everyone in servers.given_up
    look_again = not given_up and not seen and all(map(servers.is_silent, addresses))
    reports = propagation.wait_until_everywhere(
        addresses, batch.records, servers, batch.end, warn, silent_too=look_again
    )
    if any(report.state is State.STALE for report in reports):
        raise DnsError(
            f"after {batch.section.propagation_seconds} s not every name server has the records",
            "Ask the DNS administrator about the zone transfers to those that are stale, or raise "
            f"propagation_seconds in [{batch.section.section}]",
            where=f"Zone {text(batch.zone)}",
            parts=[
                *(
                    DnsError(f"{report.state.value} ({report.answer})", where=str(report.address))
                    for report in reports
                ),
                *_shown_to_the_key(batch, reports, servers),
            ],
        )
    found = {report.address for report in reports if report.state is State.HAS_IT}.union(seen)
    for report in reports:
        if report.state in (State.LAME, State.UNREACHABLE):
            warn(_not_asked(batch, report, servers))
    _warn_of_missing_ipv6(reports, {address.label for address in found}, warn)
    if not found:
        _wait_blindly(batch, began, given_up, servers, warn)
        servers.given_up.add(everyone)


def _wait_blindly(batch: Batch, began: float, again: bool, servers: Servers, warn: Warn) -> None:
    """Wait for a fixed time, since no name server of the zone can be asked.

    :param began: the time from which it counts, by `time.monotonic()`
    :param again: the zone was waited for before in this process, so `Timing.blind_again` is enough
    """
    timing = servers.timing
    wait = timing.blind_again if again else timing.blind
    wait = max(min(began + wait, batch.end) - time.monotonic(), 0)
    if not again:
        warn(
            Unconfirmed(
                text(batch.zone),
                f"no name server can be asked from here; waiting {wait:.0f} s instead",
                "Let this machine reach them on port 53, or name others in check_servers",
            )
        )
    time.sleep(wait)


def _not_asked(batch: Batch, report: Report, servers: Servers) -> Unconfirmed:
    what = f"the name server {report.address}, which is {report.state.value}: {report.answer}"
    remedy = "Tell the DNS administrator: the CA may ask it"
    if report.state is State.LAME and _is_resolver(report.address, batch.zone, servers):
        what += "; it is a resolver, and no name server of the zone"
        if batch.section.check_servers:
            remedy = f"Take it out of check_servers in [{batch.section.section}]"
    return Unconfirmed(text(batch.zone), f"not waiting for {what}", remedy)


def _is_resolver(server: Address, zone: dns.name.Name, servers: Servers) -> bool:
    """Return whether the server gives a recursive answer (RD=1), which is not authoritative.

    The query is for the zone's SOA: the resolver would cache that the challenge's name does not
    exist (RFC 2308).
    """
    try:
        reply = servers.ask(server, zone, "SOA", recursive=True)
    except NoAnswer:
        return False
    return bool(reply.answer) and not reply.flags & dns.flags.AA


def _warn_of_missing_ipv6(reports: Sequence[Report], seen: set[str], warn: Warn) -> None:
    """Warn, in one line, of the name servers that have only IPv6 addresses, if this machine has no
    IPv6.

    :param seen: labels of the name servers that have the records at another address
    """
    missed = [report.address for report in reports if report.state is State.NO_IPV6]
    alone = ", ".join(str(address) for address in missed if address.label not in seen)
    if alone:
        warn(DnsError(f"This machine has no IPv6, so it does not ask the name servers {alone}"))


def _shown_to_the_key(
    batch: Batch, reports: Sequence[Report], servers: Servers
) -> Iterator[DnsError]:
    """Yield a line for each stale name server that shows the records if the query is signed."""
    for report in reports:
        if report.state is State.STALE:
            signed = propagation.poll(report.address, batch.records, servers, batch.section.key)
            if signed.state is State.HAS_IT:
                yield DnsError(
                    f"{report.address} shows them to who signs with the key: it has views",
                    "See check_servers",
                )
