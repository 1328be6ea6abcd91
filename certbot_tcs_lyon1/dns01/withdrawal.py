"""Entering records in the journal before they are published, and withdrawing those that it lists,
also those of a run that was killed.
"""

from __future__ import annotations

import os
import time
from typing import Optional

from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.dns01 import journal, names, propagation, update
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Batch,
    Location,
    NoAnswer,
    Refused,
    txt_record,
)
from certbot_tcs_lyon1.errors import DnsError
from certbot_tcs_lyon1.report import foreign


def enter(batch: Batch, journal_path: str, servers: Servers) -> journal.Entry:
    """Enter a batch in the journal, to be withdrawn even if an equal one has failed before in this
    process.

    :raises DnsError: the journal can't be written
    """
    entry = journal.Entry(
        section=batch.section.section,
        zone=names.plain(batch.zone),
        ip=batch.server.ip,
        port=batch.server.port,
        label=batch.server.label,
        records=tuple((names.plain(record.name), record.value) for record in batch.records),
        department_config=batch.section.department_config,
    )
    servers.undelivered.pop(entry, None)
    try:
        journal.add(journal_path, entry)
    except journal.JournalError as error:
        raise DnsError(
            f"{error}, so no record is published for {entry.zone}: after a crash nobody would know "
            "what to withdraw",
            "Make room there, or remove the file if it is damaged",
        ) from None
    return entry


def strike(entry: journal.Entry, journal_path: str) -> Optional[DnsError]:
    """Remove an entry from the journal; return a warning if that fails."""
    try:
        journal.strike(journal_path, entry)
    except journal.JournalError as error:
        return DnsError(
            f"{error}; the records are gone, but the journal still lists them, which does no harm",
            "Make room there",
        )
    return None


def withdraw(
    settings: Settings, journal_path: str, servers: Servers, shown: str = ""
) -> list[DnsError]:
    """Delete exactly the records that the journal lists, of this run and of earlier ones.

    Entries of another department config with the same journal are left for its next run: its
    sections of the same name have other servers and keys.

    A failure does not stop it. The entry stays in the journal for the next run, unless a signed
    answer shows that its records are gone; this process tries it again only if its server has
    answered something since.

    :param shown: an error that the user sees after the warnings, which do not repeat it
    :returns: a warning for each entry that could not be withdrawn
    """
    try:
        entries = journal.read(journal_path)
    except journal.JournalError as error:
        return [_set_damaged_aside(journal_path, error)]
    todo = [
        entry
        for entry in entries
        if not _is_of_another(entry, settings)
        and servers.undelivered.get(entry) != servers.has_answered(_address(entry))
    ]
    warnings = [_withdraw(entry, settings, journal_path, servers, shown) for entry in todo]
    return [warning for warning in warnings if warning is not None]


def _is_of_another(entry: journal.Entry, settings: Settings) -> bool:
    """Return whether the entry is of another department config, which still exists."""
    try:
        return not os.path.samefile(entry.department_config, settings.path)
    except (OSError, ValueError):  # it is gone, or no path
        return False


def _address(entry: journal.Entry) -> Address:
    return Address(entry.ip, entry.port, entry.label)


def _withdraw(
    entry: journal.Entry, settings: Settings, journal_path: str, servers: Servers, shown: str
) -> Optional[DnsError]:
    answered = servers.has_answered(_address(entry))
    try:
        _delete(_batch(entry, settings), servers)
    except DnsError as error:
        servers.undelivered[entry] = answered
        owners = foreign(", ".join(dict.fromkeys(name for name, _ in entry.records)))
        why = "see the error below" if str(error) == shown else str(error).rstrip(".")
        return DnsError(
            f"The TXT records of the challenges could not be withdrawn ({owners}): {why}",
            "The next run tries again; no certificate depends on it",
        )
    return strike(entry, journal_path)


def _delete(batch: Batch, servers: Servers) -> None:
    """Delete the records at the server that accepted them; if it refuses, and its section no longer
    names it, at the section's first server.

    :raises DnsError: they could not be deleted
    """
    here, answered = batch.server.socket_address, servers.has_answered(batch.server)
    if servers.unreached.get(here) == answered:
        raise NoAnswer(f"{batch.server}: no answer in time, for others of this run")
    try:
        update.delete_records(batch, servers.until(batch.end))
    except NoAnswer as error:
        if not error.replied:
            servers.unreached[here] = answered
        raise
    except Refused as error:
        if is_gone(batch, servers):
            return
        if error.of_a_name and len(batch.names) > 1:
            _delete_name_by_name(batch, servers)
            return
        addresses, _ = servers.update_addresses(batch.section)
        known = [address.socket_address for address in addresses]
        if not addresses or batch.server.socket_address in known:
            raise
        update.delete_records(batch.at(addresses[0]), servers.until(batch.end))


def _delete_name_by_name(batch: Batch, servers: Servers) -> None:
    """Delete the records of each name by an UPDATE of its own: if the key may not write one name,
    the server refuses the whole UPDATE (RFC 2136 §3.4).

    :raises DnsError: the first failure, after all names were tried
    """
    failures = []
    for one in batch.by_name():
        try:
            _delete(one, servers)
        except DnsError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def is_gone(batch: Batch, servers: Servers) -> bool:
    """Return whether signed answers of the server show that none of the records exists.

    Unsigned ones do not count: a forged answer must not remove an entry from the journal.
    """
    return all(
        propagation.poll(batch.server, [record], servers, batch.section.key).state is State.STALE
        for record in batch.records
    )


_LEFT = (
    "records may be left in the DNS, at _acme-challenge names: have the DNS administrator remove "
    "them"
)


def _set_damaged_aside(journal_path: str, error: journal.JournalError) -> DnsError:
    try:
        aside = journal.set_aside(journal_path)
    except journal.JournalError as second:
        return DnsError(str(second), f"Remove it; {_LEFT}")
    return DnsError(f"{error}: it is now {aside}", f"Of an earlier run, {_LEFT}")


def _batch(entry: journal.Entry, settings: Settings) -> Batch:
    """Return the batch of an entry, with the key that its section has now.

    :raises DnsError: its section no longer exists, or it has an invalid name
    """
    named = [section for section in settings.dns if section.section == entry.section]
    section = named[0] if named else settings.dns_server_for(entry.zone)
    if section is None:
        raise DnsError(
            f"{settings.path} has no section [{entry.section}] any more",
            "Put it back until the next run, or have the DNS administrator remove the records",
        )
    try:
        location = Location(names.parse(entry.zone), _address(entry))
        records = tuple(txt_record(name, value) for name, value in entry.records)
    except DnsError:
        raise DnsError(
            "An entry of the journal has a name that can't be one", "Remove the entry by hand"
        ) from None
    return Batch(location, section, records, time.monotonic() + section.propagation_seconds)
