"""One batch of DNS-01 challenges: plan where the records go, publish, confirm, withdraw.

The wing's front door. It knows nothing of certbot: records come in by name and value (RFC 8555
§8.4), servers and keys as `department.Settings`, and the journal as a path.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional

import dns.exception
import dns.name

from certbot_tcs_lyon1.department.settings import DnsServer, Settings
from certbot_tcs_lyon1.dns01 import aliases, journal, propagation, update, zones
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import SERVERS, together
from certbot_tcs_lyon1.dns01.records import (
    Address,
    Alias,
    DnsError,
    NoAnswer,
    Refused,
    Txt,
    Zone,
)
from certbot_tcs_lyon1.report import foreign

__all__ = ["Batch", "DnsError", "Record", "confirm", "plan", "publish", "targets", "withdraw"]

logger = logging.getLogger(__name__)

#: Seconds to wait at most when no name server at all can be asked from here.
BLIND_SECONDS = 60


@dataclass(frozen=True)
class Record:
    """A challenge's TXT record: `_acme-challenge.…` and the value that the CA looks for there."""

    name: str
    value: str


@dataclass(frozen=True)
class Batch:
    """The records of one zone, and the section of the department config that says how to write."""

    zone: Zone
    config: DnsServer
    records: tuple[Txt, ...]

    @property
    def names(self) -> list[dns.name.Name]:
        """The names of the records, each once."""
        return list(dict.fromkeys(record.name for record in self.records))


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
    entry = _entry(batch)
    _write_down(journal_path, entry)
    try:
        zone = update.add_records(batch.zone, batch.config, batch.records)
    except Refused as error:
        if error.of_a_name and len(batch.names) > 1:
            error = _find_culprits(batch, error)
        if not error.claimed or _is_gone(batch):
            _strike(journal_path, entry)
        raise error from None
    taken = replace(batch, zone=zone)
    if zone != batch.zone:  # so that the withdrawal goes to the server that took it
        _write_down(journal_path, _entry(taken))
        _strike(journal_path, entry)
    return taken


def _write_down(journal_path: str, entry: journal.Entry) -> None:
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


def confirm(batches: Sequence[Batch], port: int = 53) -> None:
    """Read the records back at the update server, then wait for every name server of the zones.

    :param port: of the zone's name servers; other than 53 only in tests
    :raises DnsError: NOERROR was not "published", or a name server lags beyond the deadline
    """
    for batch in batches:
        plainly = _read_back(batch)
        addresses = _addresses_to_check(batch, port)
        if plainly:  # polled already
            server = batch.zone.server.socket_address
            rest = [address for address in addresses if address.socket_address != server]
            seen = len(rest) < len(addresses)
        else:
            rest, seen = addresses, False
        _await_everywhere(batch, rest, seen)


def _read_back(batch: Batch) -> bool:
    """Whether everybody sees the records at the update server, and not only who has the key.

    :raises DnsError: nobody does
    """
    server = batch.zone.server
    found = propagation.poll(server, batch.records, batch.zone.view_key)
    if found.state is State.HAS_IT:
        return batch.zone.view_key is None
    if propagation.poll(server, batch.records, batch.config.key).state is State.HAS_IT:
        return False
    raise DnsError(
        f"{server} accepted the UPDATE of the zone {text(batch.zone.name)}, but does not show the "
        f"records ({found.answer}): {_why_hidden(batch)}"
    )


def _why_hidden(batch: Batch) -> str:
    """Why a record that was accepted is not there, by looking once more where its name belongs."""
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
    return (
        "They are in another view of the server, or a policy of it has dropped them (PowerDNS: "
        "lua-dnsupdate-policy-script). Ask the DNS administrator."
    )


def _addresses_to_check(batch: Batch, port: int) -> list[Address]:
    if not batch.config.check_servers:
        return zones.name_server_addresses(batch.zone, port)
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


def _await_everywhere(batch: Batch, addresses: Sequence[Address], seen: bool) -> None:
    """Wait for these addresses. `seen`: another name server of the zone has the records already."""
    zone, seconds = text(batch.zone.name), batch.config.propagation_seconds
    reports = propagation.wait_until_everywhere(addresses, batch.records, seconds, logger.warning)
    if any(report.state is State.STALE for report in reports):
        raise DnsError(
            f"Zone {zone}: after {seconds} s not every name server has the records:\n"
            f"{propagation.table(reports)}\n"
            "Ask the DNS administrator about the zone transfers to those that are stale, or raise "
            f"propagation_seconds in [{batch.config.section}]."
        )
    for report in reports:
        if report.state is not State.HAS_IT:
            logger.warning(
                "Zone %s: not waiting for the name server %s, which is %s: %s. Tell the DNS "
                "administrator: the CA may ask it.",
                zone,
                report.address,
                report.state.value,
                report.answer,
            )
    if not seen and not any(report.state is State.HAS_IT for report in reports):
        blind = min(BLIND_SECONDS, seconds)
        logger.warning(
            "Zone %s: no name server can be asked from here; waiting %s s instead. Let this "
            "machine reach them on port 53, or name others in check_servers.",
            zone,
            blind,
        )
        threading.Event().wait(blind)


# Withdraw


def withdraw(settings: Settings, journal_path: str) -> list[str]:
    """Delete exactly the records that the journal holds: of this run, and of one that was killed.

    Goes on after a failure.

    What can't be deleted stays in the journal for the next run, unless it is gone already.

    :returns: a warning for each batch that is still there
    """
    try:
        entries = journal.read(journal_path)
    except journal.JournalError as error:
        return [_damaged(journal_path, error)]
    warnings = [_withdraw(entry, settings, journal_path) for entry in entries]
    return [warning for warning in warnings if warning]


def _withdraw(entry: journal.Entry, settings: Settings, journal_path: str) -> str:
    names = foreign(", ".join(dict.fromkeys(name for name, _ in entry.records)))
    try:
        batch = _batch(entry, settings)
        try:
            update.delete_records(batch.zone, batch.config, batch.records)
        except Refused:
            if not _is_gone(batch):
                raise
    except DnsError as error:
        return (
            f"The TXT records of the challenges could not be withdrawn ({names}): {error} The next "
            "run tries again; no certificate depends on it."
        )
    return _strike(journal_path, entry)


def _is_gone(batch: Batch) -> bool:
    """Whether none of the records is there, as the server signs it: then a refusal doesn't matter.

    Who can forge a reply must not make us forget what was published.
    """
    return all(
        propagation.poll(batch.zone.server, [record], batch.config.key).state is State.STALE
        for record in batch.records
    )


def _strike(journal_path: str, entry: journal.Entry) -> str:
    """Take an entry out of the journal; a warning if that fails, else the empty string."""
    try:
        journal.strike(journal_path, entry)
    except journal.JournalError as error:
        return (
            f"{error}; the records are gone, but the journal still lists them, which does no harm. "
            "Make room there."
        )
    return ""


_LEFT = (
    "records may be left in the DNS, at _acme-challenge names: have the DNS administrator remove "
    "them."
)


def _damaged(journal_path: str, error: journal.JournalError) -> str:
    try:
        aside = journal.set_aside(journal_path)
    except journal.JournalError as second:
        return f"{second}. Remove it; {_LEFT}"
    return f"{error}: it is now {aside}. Of an earlier run, {_LEFT}"


def _entry(batch: Batch) -> journal.Entry:
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
