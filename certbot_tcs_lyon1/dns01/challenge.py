"""One batch of DNS-01 challenges: plan where the records go, publish, confirm, withdraw.

The wing's front door. It knows nothing of certbot: records come in by name and value (RFC 8555
§8.4), the servers and keys as `department.Settings`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import dns.name

from certbot_tcs_lyon1.department import DnsServer, Settings
from certbot_tcs_lyon1.dns01 import propagation, update
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.update import DnsError, Refused, Txt, Zone

__all__ = ["Batch", "DnsError", "Record", "confirm", "plan", "publish", "withdraw"]

logger = logging.getLogger(__name__)


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


def plan(
    records: Sequence[Record], settings: Settings, propagation_seconds: Optional[int] = None
) -> list[Batch]:
    """Find the zone of each record; nothing is written yet.

    :param propagation_seconds: in place of what the sections say
    :raises DnsError: a name has no [dns] section, or no zone that may be written to
    """
    zones: dict[str, tuple[Zone, DnsServer]] = {}
    batches: dict[tuple[dns.name.Name, DnsServer], list[Txt]] = {}
    servers: dict[tuple[dns.name.Name, DnsServer], Zone] = {}
    for record in records:
        name = dns.name.from_text(record.name)
        if record.name not in zones:
            config = _section_for(record.name, settings, propagation_seconds)
            zones[record.name] = (update.find_zone(config, name), config)
        zone, config = zones[record.name]
        key = (zone.name, config)
        servers.setdefault(key, zone)
        batches.setdefault(key, []).append(Txt(name, record.value))
    return [
        Batch(servers[key], key[1], tuple(dict.fromkeys(texts))) for key, texts in batches.items()
    ]


def _section_for(name: str, settings: Settings, propagation_seconds: Optional[int]) -> DnsServer:
    config = settings.dns_server_for(name)
    if config is None:
        raise DnsError(
            f"The CA asks for a DNS record at {name}, and {settings.path} has no [dns] section "
            "that says which name server to send it to. Add one, or have the domain validated in "
            "the CA's portal (Settings, Domains), so that no record is asked for."
        )
    if propagation_seconds is not None:
        config = replace(config, propagation_seconds=propagation_seconds)
    return config


def publish(batches: Sequence[Batch], sent: list[Batch]) -> None:
    """Send one UPDATE per zone.

    :param sent: gets each batch before it is sent, and loses it again if the server refused it;
        so it holds what `withdraw` has to delete, whatever happens here
    :raises DnsError: an UPDATE was refused, or was not answered
    """
    for batch in batches:
        sent.append(batch)
        try:
            update.add_records(batch.zone, batch.config, batch.records)
        except Refused:
            sent.remove(batch)
            raise


def confirm(batches: Sequence[Batch]) -> None:
    """Read the records back at the update server, then wait for every name server of the zones.

    :raises DnsError: NOERROR was not "published", or a name server lags beyond the deadline
    """
    for batch in batches:
        own = propagation.poll(batch.zone.server, batch.records)
        if own.state is not State.HAS_IT:
            raise DnsError(
                f"{batch.zone.server} accepted the UPDATE of the zone {_text(batch.zone.name)}, "
                f"but does not show the records: {own.answer}. The name may lie below a delegation "
                "or an alias, or in another view of the server."
            )
        _confirm_everywhere(batch)


def _confirm_everywhere(batch: Batch) -> None:
    addresses = [address for address in _addresses_to_check(batch) if address != batch.zone.server]
    if not addresses:
        return
    wait = propagation.Wait(batch.config.propagation_seconds, logger.warning)
    reports = propagation.wait_until_everywhere(addresses, batch.records, wait)
    if propagation.first(reports, State.STALE):
        raise DnsError(
            f"Zone {_text(batch.zone.name)}: after {batch.config.propagation_seconds} s not every "
            f"name server has the records:\n{propagation.table(reports)}\n"
            "Ask the administrator of the name servers that are stale about their zone transfer, "
            "or raise propagation_seconds."
        )
    for report in reports:
        if report.state is not State.HAS_IT:
            logger.warning(
                "Name server %s of the zone %s is %s (%s); not waiting for it.",
                report.address,
                _text(batch.zone.name),
                report.state.value,
                report.answer,
            )


def _addresses_to_check(batch: Batch) -> list[update.Address]:
    if not batch.config.check_servers:
        return update.name_server_addresses(batch.zone)
    found: list[update.Address] = []
    for endpoint in batch.config.check_servers:
        found += update.addresses_of(endpoint)
    return found


def withdraw(batches: Sequence[Batch]) -> list[str]:
    """Delete exactly the records of these batches; goes on after a failure.

    :returns: a warning for each batch that could not be withdrawn
    """
    warnings = []
    for batch in batches:
        try:
            update.delete_records(batch.zone, batch.config, batch.records)
        except DnsError as error:
            names = ", ".join(dict.fromkeys(_text(record.name) for record in batch.records))
            warnings.append(f"The challenge's records could not be withdrawn ({names}): {error}")
    return warnings


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)
