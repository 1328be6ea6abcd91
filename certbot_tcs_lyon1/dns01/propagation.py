"""Polling: does every address of every name server have the records yet?

A CA asks from several networks at once, so "one server has it" is not enough; and one dead server
must not hold everything up. All addresses are polled together, and each ends up as one of the
states below. Names, not serials, are compared (RFC 2136 §3.6: a serial may be raised late).
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import SigningKey
from certbot_tcs_lyon1.dns01 import transport
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, NoAnswer, TxtRecord

#: Seconds between two polls of an address: a quarter of the time waited so far, within bounds.
_FIRST_INTERVAL = 0.1
_LAST_INTERVAL = 3.0

#: Questions to one address that are under way together: several addresses are polled at once.
_NAMES_AT_ONCE = 8

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
    """One address, its state, and what it answered, in words; `no_route` as in `NoAnswer`."""

    address: Address
    state: State
    answer: str
    no_route: bool = False


def poll(
    address: Address,
    records: Sequence[TxtRecord],
    servers: Servers,
    key: Optional[SigningKey] = None,
) -> Report:
    """Ask one address once for each of the names, and tell the first that it hasn't completely.

    :param key: sign the queries, for a view that is chosen by key
    """
    wanted: dict[dns.name.Name, set[str]] = {}
    for record in records:
        wanted.setdefault(record.name, set()).add(record.value)
    reports = together(
        lambda name: _poll_name(address, name, wanted[name], servers, key),
        list(wanted),
        _NAMES_AT_ONCE,
    )
    for report in reports:
        if report.state is not State.HAS_IT:
            return report
    return reports[0]


def _poll_name(
    address: Address,
    name: dns.name.Name,
    values: set[str],
    servers: Servers,
    key: Optional[SigningKey],
) -> Report:
    try:
        reply = servers.ask(address, name, "TXT", key)
    except NoAnswer as error:
        return Report(address, State.UNREACHABLE, error.reason, error.no_route)
    if key is not None and not reply.had_tsig:
        return Report(address, State.UNREACHABLE, "the answer to a signed query is not signed")
    if not transport.is_authoritative(reply):
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
    return f"{dns.rcode.to_text(reply.rcode())}, not authoritative for the zone"


def _staleness(reply: dns.message.Message, name: dns.name.Name) -> str:
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return f"no such name: {text(name)}"
    return f"other records at {text(name)}" if _values(reply, name) else f"no TXT at {text(name)}"


def _poll_first(
    address: Address,
    records: Sequence[TxtRecord],
    servers: Servers,
    key: Optional[SigningKey],
) -> Report:
    """As `poll`, for one record until that is there: those of one zone reach a server together."""
    report = poll(address, records[:1], servers, key)
    if report.state is State.HAS_IT and len(records) > 1:
        report = poll(address, records, servers, key)
    return report


def wait_until_everywhere(
    addresses: Sequence[Address],
    records: Sequence[TxtRecord],
    servers: Servers,
    end: float,
    say: Callable[[str], object],
    key: Optional[SigningKey] = None,
    silent_too: bool = False,
) -> list[Report]:
    """Poll all addresses in parallel until each one that answers for the zone has all records.

    :param end: the deadline, by `time.monotonic()`
    :param say: gets a line about who is awaited, after 3 s and then every 10 s
    :param key: sign the queries, for a view that is chosen by key
    :param silent_too: ask those as well that have been silent lately
    :returns: the last report of each address; whoever calls decides what STALE means
    """
    started, notice, lock = time.monotonic(), _FIRST_NOTICE, threading.Lock()
    latest: dict[Address, State] = {}

    def tell(waited: float) -> None:
        nonlocal notice
        with lock:
            if waited >= notice:
                notice += _NEXT_NOTICE
                stale = [one for one in addresses if latest.get(one) is State.STALE]
                say(f"After {waited:.0f} s still waiting for: {', '.join(map(str, stale))}")

    def follow(address: Address) -> Report:
        if servers.is_silent(address) and not silent_too:  # known from the lineage before
            return Report(address, State.UNREACHABLE, "no answer in time")
        while True:
            report = _poll_first(address, records, servers, key)
            latest[address] = report.state
            now = time.monotonic()
            if report.state is not State.STALE or now >= end:
                return report
            tell(now - started)
            interval = max((now - started) / 4, _FIRST_INTERVAL)
            time.sleep(min(interval, _LAST_INTERVAL, end - now))

    return together(follow, list(dict.fromkeys(addresses)))
