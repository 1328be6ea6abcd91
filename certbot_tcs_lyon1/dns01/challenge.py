"""One batch of DNS-01 challenges: plan where the records go, publish, confirm, withdraw.

The wing's front door. It knows nothing of certbot: records come in by name and value (RFC 8555
§8.4), servers and keys as `department.Settings`, and the journal as a path.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Callable, Optional

import dns.flags
import dns.name

from certbot_tcs_lyon1.department.settings import DnsServer, Settings
from certbot_tcs_lyon1.dns01 import aliases, journal, propagation, update, withdrawal, zones
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import SERVERS
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Alias,
    Batch,
    DnsError,
    NoAnswer,
    NotWithdrawn,
    Refused,
    Txt,
)
from certbot_tcs_lyon1.dns01.withdrawal import withdraw

__all__ = [
    "Batch",
    "DnsError",
    "NotWithdrawn",
    "Record",
    "confirm",
    "plan",
    "publish",
    "targets",
    "withdraw",
]

logger = logging.getLogger(__name__)

#: Seconds to wait at most when no name server at all can be asked from here.
BLIND_SECONDS = 60


@dataclass(frozen=True)
class Record:
    """A challenge's TXT record: `_acme-challenge.…` and the value that the CA looks for there."""

    name: str
    value: str


# Plan


def plan(
    records: Sequence[Record], settings: Settings, propagation_seconds: Optional[int] = None
) -> list[Batch]:
    """Find out where each record goes; nothing is written yet.

    :param propagation_seconds: in place of what the sections say
    :returns: a batch for each zone and section
    :raises DnsError: a name has no [dns] section, or no zone that may be written to
    """
    names = _names(records)
    found = together(lambda name: aliases.find_place(name, settings), names)
    places = dict(zip(names, found))
    by_zone: dict[tuple[dns.name.Name, str], aliases.Place] = {}
    texts: dict[tuple[dns.name.Name, str], list[Txt]] = {}
    for record in records:
        place = places[record.name]
        key = (place.zone.name, place.config.section)
        by_zone.setdefault(key, place)
        texts.setdefault(key, []).append(Txt(place.name, record.value))
    return [
        Batch(
            place.zone,
            _with_deadline(place.config, propagation_seconds),
            tuple(dict.fromkeys(texts[key])),
        )
        for key, place in by_zone.items()
    ]


def targets(records: Sequence[Record], batches: Sequence[Batch]) -> dict[str, str]:
    """Where a CNAME has led, by the challenge's name: the name that its record really has."""
    placed = {txt.value: text(txt.name) for batch in batches for txt in batch.records}
    return {r.name: placed[r.value] for r in records if placed[r.value] != r.name.lower()}


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(record.name for record in records))


def _with_deadline(config: DnsServer, seconds: Optional[int]) -> DnsServer:
    return config if seconds is None else replace(config, propagation_seconds=seconds)


# Publish


def publish(batches: Sequence[Batch], journal_path: str) -> list[Batch]:
    """Send one UPDATE per zone, each written down in the journal before.

    :returns: the batches, each with the server that took it
    :raises DnsError: an UPDATE was refused, and nothing of it is published; or was not answered,
        and the journal still holds it
    """
    return [_publish(batch, journal_path) for batch in batches]


def _publish(batch: Batch, journal_path: str) -> Batch:
    entry = withdrawal.entry_of(batch)
    _write_down(journal_path, entry)
    try:
        zone = update.add_records(batch.zone, batch.config, batch.records)
    except Refused as error:
        if error.of_a_name and len(batch.names) > 1:
            error = _find_culprits(batch, error)
        if not error.claimed or withdrawal.is_gone(batch):
            withdrawal.strike(journal_path, entry)
        raise error from None
    taken = replace(batch, zone=zone)
    if zone != batch.zone:  # so that the withdrawal goes to the server that took it
        _write_down(journal_path, withdrawal.entry_of(taken))
        withdrawal.strike(journal_path, entry)
    return taken


def _write_down(journal_path: str, entry: journal.Entry) -> None:
    SERVERS.undelivered.discard(entry)
    try:
        journal.add(journal_path, entry)
    except journal.JournalError as error:
        raise DnsError(
            f"{error}, so no record is published for {entry.zone}: after a crash nobody would know "
            "what to withdraw. Make room there, or remove the file if it is damaged."
        ) from None


def _find_culprits(batch: Batch, refusal: Refused) -> Refused:
    """Publish name by name, to learn whom a refused UPDATE is due to, and withdraw that again."""
    taken: list[Txt] = []
    blamed: dict[str, list[str]] = {}
    for name in batch.names:
        records = [record for record in batch.records if record.name == name]
        try:
            update.add_records(batch.zone, batch.config, records)
            taken += records
        except Refused as error:
            blamed.setdefault(str(error), []).append(text(name))
    if taken:
        update.delete_records(batch.zone, batch.config, taken)
    if not blamed or (not taken and len(blamed) == 1):
        return refusal
    lines = [f"  {', '.join(names)}: {message}" for message, names in blamed.items()]
    return Refused(
        f"{len(taken)} of {len(batch.records)} records of the zone {text(batch.zone.name)} can be "
        "published, and nothing was. Refused:\n" + "\n".join(lines),
        claimed=refusal.claimed,
    )


# Confirm


def confirm(
    batches: Sequence[Batch], port: int = 53, warn: Callable[[str], object] = logger.warning
) -> None:
    """Read the records back at the update server, then wait for every name server of the zones.

    :param port: of the zone's name servers; other than 53 only in tests
    :param warn: shows a warning
    :raises DnsError: NOERROR was not "published", or a name server lags beyond the deadline
    """
    for batch in batches:
        seen_by = batch.zone.server.socket_address if _read_back(batch, warn) else None
        addresses = _addresses_to_check(batch, port, warn)
        seen = [address for address in addresses if address.socket_address == seen_by]
        rest = [address for address in addresses if address.socket_address != seen_by]
        _await_everywhere(batch, rest, seen, warn)


def _read_back(batch: Batch, warn: Callable[[str], object]) -> bool:
    """Whether everybody sees the records at the update server, and not only who has the key.

    A secondary that forwards UPDATEs (BIND: allow-update-forwarding) shows them only later. What a
    hidden primary shows nobody is looked for at `check_servers`.

    :raises DnsError: nobody sees them
    """
    server, key = batch.zone.server, batch.zone.view_key
    found = propagation.poll(server, batch.records, key)
    if found.state is State.HAS_IT:
        return key is None
    if propagation.poll(server, batch.records, batch.config.key).state is State.HAS_IT:
        return False
    if found.state is not State.STALE and batch.config.zone and batch.config.check_servers:
        return False
    why = _why_hidden(batch)
    if not why and found.state is State.STALE:
        seconds = batch.config.propagation_seconds
        [found] = propagation.wait_until_everywhere([server], batch.records, seconds, warn, key)
        if found.state is State.HAS_IT:
            return key is None
    raise DnsError(
        f"{server} accepted the UPDATE of the zone {text(batch.zone.name)}, but does not show the "
        f"records ({found.answer}): {why or _HIDDEN}"
    )


_HIDDEN = (
    "They are in another view of the server, or a policy of it has dropped them (PowerDNS: "
    "lua-dnsupdate-policy-script), or it has forwarded the UPDATE to a primary that does not send "
    "the zone back, or the address leads to several servers. Ask the DNS administrator."
)


def _why_hidden(batch: Batch) -> str:
    """Why a record that was accepted is not there, by looking once more where its name belongs;
    "" if it belongs there."""
    for name in batch.names:
        try:
            found = zones.locate_at(batch.zone.server, replace(batch.config, zone=None), name)
        except DnsError as error:
            return str(error)
        if isinstance(found, Alias):
            return (
                f"{text(name)} is an alias ({found.kind}) for {text(found.target)}. Run certbot "
                "again; if it stays so, send this to the DNS administrator."
            )
        if found.name != batch.zone.name:
            return (
                f"{text(name)} lies in the zone {text(found.name)} (a zone cut), not in "
                f"{text(batch.zone.name)}. Check `zone` in [{batch.config.section}]."
            )
    return ""


def _addresses_to_check(batch: Batch, port: int, warn: Callable[[str], object]) -> list[Address]:
    if not batch.config.check_servers:
        return zones.name_server_addresses(batch.zone, port, warn)
    found: list[Address] = []
    for endpoint in batch.config.check_servers:
        try:
            found += SERVERS.addresses_of(endpoint)
        except NoAnswer as error:
            raise NoAnswer(
                f"check_servers in [{batch.config.section}]: {error}; correct it, or write the "
                "address."
            ) from None
    return found


def _await_everywhere(
    batch: Batch,
    addresses: Sequence[Address],
    seen: Sequence[Address],
    warn: Callable[[str], object],
) -> None:
    """Wait for these addresses; those of `seen` have the records already."""
    zone, seconds = text(batch.zone.name), batch.config.propagation_seconds
    reports = propagation.wait_until_everywhere(addresses, batch.records, seconds, warn)
    if any(report.state is State.STALE for report in reports):
        raise DnsError(
            f"Zone {zone}: after {seconds} s not every name server has the records:\n"
            f"{propagation.table(reports)}\n"
            f"{_shown_to_the_key(batch, reports)}"
            "Ask the DNS administrator about the zone transfers to those that are stale, or raise "
            f"propagation_seconds in [{batch.config.section}]."
        )
    found = {report.address for report in reports if report.state is State.HAS_IT}.union(seen)
    for report in reports:
        if report.state is not State.HAS_IT and not _is_for_want_of_ipv6(report):
            warn(
                f"Zone {zone}: not waiting for the name server {report.address}, which is "
                f"{report.state.value}: {report.answer}{_what_to_do(batch, report)}"
            )
    _warn_of_no_ipv6(reports, {address.label for address in found}, warn)
    if not found and batch.zone.name not in SERVERS.waited_blindly:
        blind = min(BLIND_SECONDS, seconds)
        warn(
            f"Zone {zone}: no name server can be asked from here; waiting {blind} s instead. Let "
            "this machine reach them on port 53, or name others in check_servers."
        )
        time.sleep(blind)
        SERVERS.waited_blindly.add(batch.zone.name)


def _what_to_do(batch: Batch, report: propagation.Report) -> str:
    if report.state is State.LAME and _is_resolver(report.address, batch.zone.name):
        where = "of the zone: " if batch.config.check_servers else "of the zone, as its NS say: "
        ask = (
            f"take it out of check_servers in [{batch.config.section}]"
            if batch.config.check_servers
            else "tell the DNS administrator"
        )
        return f"; it is a resolver, and no name server {where}{ask}."
    return ". Tell the DNS administrator: the CA may ask it."


def _is_resolver(server: Address, zone: dns.name.Name) -> bool:
    """Whether it looks up for us (RD=1) what it refuses to answer itself. The zone's SOA is asked
    for, and not the challenge's name, whose absence it would keep in mind."""
    try:
        reply = SERVERS.ask(server, zone, "SOA", recursive=True)
    except NoAnswer:
        return False
    return bool(reply.answer) and not reply.flags & dns.flags.AA


def _warn_of_no_ipv6(
    reports: Sequence[propagation.Report], seen: set[str], warn: Callable[[str], object]
) -> None:
    """One line for the name servers that only IPv6 leads to, where this machine has none; not for
    those of these labels, which were seen by IPv4."""
    missed = [report.address for report in reports if _is_for_want_of_ipv6(report)]
    alone = ", ".join(str(address) for address in missed if address.label not in seen)
    if alone:
        warn(f"This machine has no IPv6, so it does not ask the name servers {alone}.")


def _is_for_want_of_ipv6(report: propagation.Report) -> bool:
    return report.no_route and report.address.family == socket.AF_INET6


def _shown_to_the_key(batch: Batch, reports: Sequence[propagation.Report]) -> str:
    """A line about the stale name servers that show the records to who signs with the key."""
    for report in reports:
        if report.state is State.STALE:
            signed = propagation.poll(report.address, batch.records, batch.config.key)
            if signed.state is State.HAS_IT:
                return (
                    f"{report.address} shows them to who signs with the key: it has views; see "
                    "check_servers.\n"
                )
    return ""
