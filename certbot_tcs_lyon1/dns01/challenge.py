"""Plan, publish, confirm and withdraw the TXT records of DNS-01 challenges.

This is the interface of `dns01`, and independent of certbot. The records are given as `TxtRecord`,
update servers and keys as `Settings`, the journal as a path, and what this process knows of the
name servers as `Servers`. `propagation_seconds` of a section bounds all of it, from `plan` on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

import dns.name

from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.dns01 import update, withdrawal, zones
from certbot_tcs_lyon1.dns01.confirmation import confirm
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Batch, Refused, TxtRecord, Unconfirmed, txt_record
from certbot_tcs_lyon1.dns01.withdrawal import withdraw

__all__ = [
    "Servers",
    "Unconfirmed",
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
    """Find out which zone and owner name each record goes to; nothing is published yet.

    :param propagation_seconds: replaces that of each section
    :returns: a batch for each zone and section
    :raises DnsError: a name has no [dns] section, no update server serves its zone or answers, or
        its aliases can't be followed
    """
    started = time.monotonic()
    if propagation_seconds is not None:
        sections = (replace(s, propagation_seconds=propagation_seconds) for s in settings.dns)
        settings = replace(settings, dns=tuple(sections))
    firsts = {record.name: record for record in records}
    placed = together(
        lambda record: zones.place(record, settings, servers, started), list(firsts.values())
    )
    places = dict(zip(firsts, _confirmed(placed, servers)))
    batches: dict[tuple[dns.name.Name, str], tuple[Batch, dict[TxtRecord, None]]] = {}
    for record in records:
        there = places[record.name]
        _, moved = batches.setdefault((there.zone, there.section.section), (there, {}))
        moved[replace(record, name=there.records[0].name)] = None
    return [batch.of(tuple(moved)) for batch, moved in batches.values()]


def _confirmed(placed: Sequence[Batch], servers: Servers) -> list[Batch]:
    """Return the batches, with the zones of signed answers if the update servers give any.

    One name of each zone is queried; if the signed answer has another zone, each name.

    :raises Refused: a signed answer says that a name is an alias
    """
    firsts = {one.location: one for one in reversed(placed) if not one.location.confirmed}
    again = together(lambda one: zones.confirmed(one, servers), list(firsts.values()))
    right = {first.location for first, found in zip(firsts.values(), again) if found is first}
    return together(
        lambda one: one if one.location in right else zones.confirmed(one, servers), placed
    )


def targets(records: Sequence[TxtRecord], batches: Sequence[Batch]) -> dict[str, str]:
    """Return, by the name of each challenge that is an alias, the name that has its record.

    :param records: as given to `plan`
    :param batches: as returned by `plan`
    """
    placed = {record.value: record.name for batch in batches for record in batch.records}
    return {
        text(record.name): text(placed[record.value])
        for record in records
        if placed[record.value] != record.name
    }


# Publish


def publish(batches: Sequence[Batch], journal_path: str, servers: Servers) -> list[Batch]:
    """Send one UPDATE for each batch, which is entered in the journal before.

    :returns: the batches, each with the server that has applied it
    :raises DnsError: an UPDATE was refused, and none of its records is published; or it got no
        answer that counts, and stays in the journal; or the journal can't be written
    """
    return [_publish(batch, journal_path, servers.until(batch.end)) for batch in batches]


def _publish(batch: Batch, journal_path: str, servers: Servers) -> Batch:
    entry = withdrawal.enter(batch, journal_path, servers)
    try:
        taken = update.add_records(batch, servers)
    except Refused as error:
        if error.of_a_name and len(batch.names) > 1:
            error = _find_refused(batch, error, servers)
        if not error.claimed or withdrawal.is_gone(batch, servers):
            withdrawal.strike(entry, journal_path)
        raise error from None
    if taken.server != batch.server:  # the withdrawal must go to the server that applied it
        withdrawal.enter(taken, journal_path, servers)
        withdrawal.strike(entry, journal_path)
    return taken


def _find_refused(batch: Batch, refusal: Refused, servers: Servers) -> Refused:
    """Find the names because of which an UPDATE was refused: publish each name alone, and delete
    what was accepted.

    :param refusal: the error of the whole UPDATE
    :returns: the error to raise, `claimed` if one of them is
    """
    taken: list[TxtRecord] = []
    refused: list[Refused] = []
    for one in batch.by_name():
        try:
            update.add_records(one, servers)
            taken += one.records
        except Refused as error:
            error.where = text(one.names[0])
            refused.append(error)
    if taken:
        update.delete_records(batch.of(taken), servers)
    if refused and (taken or len({error.cause for error in refused}) > 1):
        cause = (
            f"{len(taken)} of {len(batch.records)} records of the zone {text(batch.zone)} can be "
            "published, and nothing was. Refused:"
        )
        refusal = Refused(cause, parts=refused, claimed=refusal.claimed)
    refusal.claimed = refusal.claimed or any(error.claimed for error in refused)
    return refusal
