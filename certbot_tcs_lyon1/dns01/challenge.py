"""One batch of DNS-01 challenges: plan where the records go, publish, confirm, withdraw.

The wing's front door. It knows nothing of certbot: records come in as `TxtRecord`, update servers
and keys as `department.Settings`, the journal as a path, and what the process knows of name servers
as `Servers`. `propagation_seconds` of a section is the bound of the whole, from `plan` on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

import dns.name

from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.dns01 import aliases, journal, update, withdrawal, zones
from certbot_tcs_lyon1.dns01.confirmation import confirm
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import (
    Batch,
    DnsError,
    NotWithdrawn,
    Refused,
    TxtRecord,
    txt_record,
)
from certbot_tcs_lyon1.dns01.withdrawal import withdraw

__all__ = [
    "Batch",
    "DnsError",
    "NotWithdrawn",
    "Servers",
    "TxtRecord",
    "confirm",
    "plan",
    "publish",
    "targets",
    "txt_record",
    "withdraw",
]

# Plan


def plan(
    records: Sequence[TxtRecord],
    settings: Settings,
    servers: Servers,
    propagation_seconds: Optional[int] = None,
) -> list[Batch]:
    """Find out where each record goes; nothing is written yet.

    :param propagation_seconds: in place of what the sections say
    :returns: a batch for each zone and section
    :raises DnsError: a name has no [dns] section, or no zone that may be written to
    """
    started = time.monotonic()
    if propagation_seconds is not None:
        sections = (replace(s, propagation_seconds=propagation_seconds) for s in settings.dns)
        settings = replace(settings, dns=tuple(sections))
    firsts = {record.name: record for record in records}
    placed = together(
        lambda record: aliases.place(record, settings, servers, started), list(firsts.values())
    )
    places = dict(zip(firsts, _confirmed(placed, servers)))
    batches: dict[tuple[dns.name.Name, str], tuple[Batch, dict[TxtRecord, None]]] = {}
    for record in records:
        there = places[record.name]
        _, moved = batches.setdefault((there.zone, there.section.section), (there, {}))
        moved[replace(record, name=there.records[0].name)] = None
    return [batch.of(tuple(moved)) for batch, moved in batches.values()]


def _confirmed(placed: Sequence[Batch], servers: Servers) -> list[Batch]:
    """The same where the update servers sign that, asked for one name of each zone, and where they
    contradict, for each name."""

    def confirm_one(one: Batch) -> Batch:
        until = servers.until(one.end)
        location = zones.confirmed(one.location, one.names[0], one.section, until)
        return replace(one, location=location)

    firsts = {one.location: one for one in reversed(placed) if not one.location.confirmed}
    right = {
        first.location
        for first, again in zip(firsts.values(), together(confirm_one, list(firsts.values())))
        if again.location == first.location
    }
    return together(lambda one: one if one.location in right else confirm_one(one), placed)


def targets(records: Sequence[TxtRecord], batches: Sequence[Batch]) -> dict[str, str]:
    """Where a CNAME has led, by the challenge's name: the name that its record really has."""
    placed = {record.value: record.name for batch in batches for record in batch.records}
    return {
        text(record.name): text(placed[record.value])
        for record in records
        if placed[record.value] != record.name
    }


# Publish


def publish(batches: Sequence[Batch], journal_path: str, servers: Servers) -> list[Batch]:
    """Send one UPDATE per zone, each written down in the journal before.

    :returns: the batches, each with the server that took it
    :raises DnsError: an UPDATE was refused, and nothing of it is published; or was not answered,
        and the journal still holds it
    """
    return [_publish(batch, journal_path, servers.until(batch.end)) for batch in batches]


def _publish(batch: Batch, journal_path: str, servers: Servers) -> Batch:
    entry = withdrawal.entry_of(batch)
    _write_down(journal_path, entry, servers)
    try:
        taken = update.add_records(batch, servers)
    except Refused as error:
        doubtful = batch.of(batch.records if error.claimed else ())
        if error.of_a_name and len(batch.names) > 1:
            error, claimed = _find_culprits(batch, error, servers)
            doubtful = doubtful if doubtful.records else batch.of(claimed)
        _keep_doubtful(batch, doubtful, journal_path, servers)
        raise error from None
    if taken.server != batch.server:  # so that the withdrawal goes to the server that took it
        _write_down(journal_path, withdrawal.entry_of(taken), servers)
        withdrawal.strike(journal_path, entry)
    return taken


def _keep_doubtful(batch: Batch, doubtful: Batch, journal_path: str, servers: Servers) -> None:
    """Leave in the journal only what may be there: refused, but nobody has signed that."""
    if doubtful.records and not withdrawal.is_gone(doubtful, servers):
        if doubtful.records == batch.records:
            return
        _write_down(journal_path, withdrawal.entry_of(doubtful), servers)
    withdrawal.strike(journal_path, withdrawal.entry_of(batch))


def _write_down(journal_path: str, entry: journal.Entry, servers: Servers) -> None:
    withdrawal.expect(entry, servers)
    try:
        journal.add(journal_path, entry)
    except journal.JournalError as error:
        raise DnsError(
            f"{error}, so no record is published for {entry.zone}: after a crash nobody would know "
            "what to withdraw",
            "Make room there, or remove the file if it is damaged",
        ) from None


def _find_culprits(
    batch: Batch, refusal: Refused, servers: Servers
) -> tuple[Refused, list[TxtRecord]]:
    """Publish name by name, to learn whom a refused UPDATE is due to, and withdraw that again.

    :returns: the error, and the records whose refusal nobody has signed
    """
    taken: list[TxtRecord] = []
    claimed: list[TxtRecord] = []
    refused: list[Refused] = []
    for one in batch.by_name():
        try:
            update.add_records(one, servers)
            taken += one.records
        except Refused as error:
            refused.append(Refused(error.cause, error.remedy, where=text(one.names[0])))
            claimed += one.records if error.claimed else ()
    if taken:
        update.delete_records(batch.of(taken), servers)
    if not refused or (not taken and len({error.cause for error in refused}) == 1):
        return refusal, claimed
    whole = Refused(
        f"{len(taken)} of {len(batch.records)} records of the zone {text(batch.zone)} can be "
        "published, and nothing was. Refused:",
        parts=refused,
    )
    return whole, claimed
