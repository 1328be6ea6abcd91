"""Withdrawing what was published: by the journal, so that a run that was killed loses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import dns.exception
import dns.name

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.dns01 import journal, propagation, update
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import SERVERS, update_addresses
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Batch,
    DnsError,
    NotWithdrawn,
    Refused,
    Txt,
    Zone,
)
from certbot_tcs_lyon1.report import foreign


def withdraw(settings: Settings, journal_path: str) -> list[NotWithdrawn]:
    """Delete exactly the records that the journal holds: of this run, and of one that was killed.

    Goes on after a failure. What can't be deleted stays in the journal for the next run, unless a
    signed answer says that it is gone; in this process it is not tried again.

    :returns: a warning for each batch that is still there
    """
    try:
        entries = journal.read(journal_path)
    except journal.JournalError as error:
        return [_damaged(journal_path, error)]
    todo = [entry for entry in entries if entry not in SERVERS.undelivered]
    warnings = [_withdraw(entry, settings, journal_path) for entry in todo]
    return [warning for warning in warnings if warning is not None]


def _withdraw(
    entry: journal.Entry, settings: Settings, journal_path: str
) -> Optional[NotWithdrawn]:
    try:
        _delete(_batch(entry, settings))
    except errors.DnsError as error:
        SERVERS.undelivered.add(entry)
        names = foreign(", ".join(dict.fromkeys(name for name, _ in entry.records)))
        return NotWithdrawn(
            f"The TXT records of the challenges could not be withdrawn ({names}): {error} The next "
            "run tries again; no certificate depends on it.",
            error,
        )
    return strike(journal_path, entry)


def _delete(batch: Batch) -> None:
    """Delete at the server that took the records, or else at those that the section names now."""
    try:
        update.delete_records(batch.zone, batch.config, batch.records)
    except Refused:
        if is_gone(batch):
            return
        addresses, _ = update_addresses(batch.config)
        known = [address.socket_address for address in addresses]
        if not addresses or batch.zone.server.socket_address in known:
            raise
        now = replace(batch.zone, server=addresses[0])
        update.delete_records(now, batch.config, batch.records)


def is_gone(batch: Batch) -> bool:
    """Whether none of the records is there, as the server signs it: then a refusal doesn't matter.

    Who can forge a reply must not make us forget what was published.
    """
    return all(
        propagation.poll(batch.zone.server, [record], batch.config.key).state is State.STALE
        for record in batch.records
    )


def strike(journal_path: str, entry: journal.Entry) -> Optional[NotWithdrawn]:
    """Take an entry out of the journal; a warning if that fails."""
    try:
        journal.strike(journal_path, entry)
    except journal.JournalError as error:
        return NotWithdrawn(
            f"{error}; the records are gone, but the journal still lists them, which does no harm. "
            "Make room there."
        )
    return None


_LEFT = (
    "records may be left in the DNS, at _acme-challenge names: have the DNS administrator remove "
    "them."
)


def _damaged(journal_path: str, error: journal.JournalError) -> NotWithdrawn:
    try:
        aside = journal.set_aside(journal_path)
    except journal.JournalError as second:
        return NotWithdrawn(f"{second}. Remove it; {_LEFT}")
    return NotWithdrawn(f"{error}: it is now {aside}. Of an earlier run, {_LEFT}")


def entry_of(batch: Batch) -> journal.Entry:
    server = batch.zone.server
    return journal.Entry(
        section=batch.config.section,
        zone=text(batch.zone.name),
        ip=server.ip,
        port=server.port,
        label=server.label,
        records=tuple((text(record.name), record.value) for record in batch.records),
    )


def _batch(entry: journal.Entry, settings: Settings) -> Batch:
    """The entry with the key that its section has now.

    :raises DnsError: there is no section for it any more
    """
    config = next((dns for dns in settings.dns if dns.section == entry.section), None)
    config = config or settings.dns_server_for(entry.zone)
    if config is None:
        raise DnsError(
            f"{settings.path} has no section [{entry.section}] any more. Put it back until the "
            "next run, or have the DNS administrator remove the records."
        )
    try:
        zone = Zone(dns.name.from_text(entry.zone), Address(entry.ip, entry.port, entry.label))
        records = tuple(Txt(dns.name.from_text(name), value) for name, value in entry.records)
    except (dns.exception.DNSException, UnicodeError, ValueError):
        raise DnsError(
            "An entry of the journal has a name that can't be one. Remove the entry by hand."
        ) from None
    return Batch(zone, config, records)
