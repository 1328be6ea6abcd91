"""Polling: does every address of every name server have the records yet?

A CA asks from several networks at once, so "one server has it" is not enough; and one dead server
must not hold everything up. Each address is polled in a thread of its own and ends up as one of
the states below. Names, not serials, are compared (RFC 2136 §3.6: a serial may be raised late).
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Callable, Optional

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import SigningKey
from certbot_tcs_lyon1.dns01 import update
from certbot_tcs_lyon1.dns01.meaning import text
from certbot_tcs_lyon1.dns01.update import Address, NoAnswer, Txt

#: Seconds between two polls of an address: a quarter of the time waited so far, within bounds.
_FIRST_INTERVAL = 0.5
_LAST_INTERVAL = 3.0

#: Seconds of waiting after which the user is told whom for, and then how often.
_FIRST_NOTICE = 3.0
_NEXT_NOTICE = 10.0


class State(enum.Enum):
    """What an address of a name server has come to."""

    HAS_IT = "has it"
    STALE = "stale"
    UNREACHABLE = "unreachable"
    LAME = "lame"


@dataclass(frozen=True)
class Report:
    """One address, its state, and what it answered, in words."""

    address: Address
    state: State
    answer: str


def poll(address: Address, records: Sequence[Txt], key: Optional[SigningKey] = None) -> Report:
    """Ask one address once for each of the names, and tell the first that it hasn't completely.

    :param key: sign the queries, for a view that is chosen by key
    """
    wanted: dict[dns.name.Name, set[str]] = {}
    for record in records:
        wanted.setdefault(record.name, set()).add(record.value)
    seen = update.glimpse(address, wanted) if key is None and len(wanted) > 1 else set()
    for name, values in wanted.items():
        if name in seen:
            continue
        try:
            reply = update.ask(address, name, "TXT", key)
        except NoAnswer as error:
            return Report(address, State.UNREACHABLE, str(error).rpartition(": ")[2])
        if not update.is_authoritative(reply):
            return Report(address, State.LAME, _lameness(reply))
        if not values <= _values(reply, name):
            return Report(address, State.STALE, _staleness(reply, name))
    return Report(address, State.HAS_IT, "has the records")


def _values(reply: dns.message.Message, name: dns.name.Name) -> set[str]:
    return {
        b"".join(record.strings).decode("ascii", "replace")
        for rrset in reply.answer
        if rrset.name == name and rrset.rdtype == dns.rdatatype.TXT
        for record in rrset
    }


def _lameness(reply: dns.message.Message) -> str:
    code = dns.rcode.to_text(reply.rcode())
    return f"{code}, not authoritative for the zone"


def _staleness(reply: dns.message.Message, name: dns.name.Name) -> str:
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return f"no such name: {text(name)}"
    return f"other records at {text(name)}" if _values(reply, name) else f"no TXT at {text(name)}"


def wait_until_everywhere(
    addresses: Sequence[Address],
    records: Sequence[Txt],
    seconds: float,
    say: Callable[[str], object],
) -> list[Report]:
    """Poll all addresses in parallel until each one that answers for the zone has all records.

    The records of one zone reach a server together, so each address is polled for the first one
    until it is there, and then once for all of them.

    :param seconds: the deadline
    :param say: gets a line about who is awaited, after 3 s and then every 10 s
    :returns: the last report of each address; whoever calls decides what STALE means
    """
    if not addresses:
        return []
    started = time.monotonic()
    stop = threading.Event()
    latest: dict[Address, Report] = {}

    def watch(address: Address) -> Report:
        while True:
            report = poll(address, records[:1])
            if report.state is State.HAS_IT and len(records) > 1:
                report = poll(address, records)
            latest[address] = report
            waited = time.monotonic() - started
            if report.state is not State.STALE or waited >= seconds:
                return report
            pause = min(max(waited / 4, _FIRST_INTERVAL), _LAST_INTERVAL, seconds - waited)
            if stop.wait(pause):
                return report

    pool = futures.ThreadPoolExecutor(max_workers=len(addresses))
    try:
        pending = {pool.submit(watch, address) for address in addresses}
        notice = _FIRST_NOTICE
        while pending:
            remaining = started + notice - time.monotonic()
            _, pending = futures.wait(pending, timeout=max(remaining, 0))
            if pending and time.monotonic() - started >= notice:
                say(_notice(latest, addresses, notice))
                notice += _NEXT_NOTICE
    finally:  # also on Ctrl-C: let the threads end instead of waiting for the deadline
        stop.set()
        pool.shutdown()
    return [latest[address] for address in addresses]


def _notice(latest: dict[Address, Report], addresses: Sequence[Address], waited: float) -> str:
    awaited = [
        str(address)
        for address in addresses
        if address not in latest or latest[address].state is State.STALE
    ]
    return f"After {waited:.0f} s still waiting for: {', '.join(awaited)}"


def table(reports: Sequence[Report]) -> str:
    """The reports as lines: server, address, state, what it answered."""
    return "\n".join(
        f"  {report.address}: {report.state.value} ({report.answer})" for report in reports
    )
