"""Polling the name servers of a zone until they have the records.

A CA queries from several networks, so each address of each name server is polled, all in parallel,
so that a dead one does not delay the others. The records are compared, not the zone's serial, which
may be incremented later (RFC 2136 §3.6).
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from certbot_tcs_lyon1.department.settings import SigningKey
from certbot_tcs_lyon1.dns01 import transport
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.parallel import together
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, NoAnswer, TxtRecord, Warn
from certbot_tcs_lyon1.errors import DnsError

#: Seconds between two polls of an address: a quarter of the time waited so far, within these.
_FIRST_INTERVAL = 0.1
_LAST_INTERVAL = 3.0

#: Queries to one address that are under way at once, while other addresses are polled, too.
_NAMES_AT_ONCE = 8

#: Seconds until the user is told which addresses are waited for, and between further notices.
_FIRST_NOTICE = 3.0
_NEXT_NOTICE = 10.0


class State(enum.Enum):
    """The result of polling one address of a name server.

    STALE: it is authoritative, and lacks a record. LAME: it is not authoritative for the zone.
    UNREACHABLE: it gives no answer that can be used. NO_IPV6: this machine has no IPv6 to reach it.
    """

    HAS_IT = "has it"
    STALE = "stale"
    UNREACHABLE = "unreachable"
    LAME = "lame"
    NO_IPV6 = "unreachable without IPv6"


@dataclass(frozen=True)
class Report:
    """The result of polling one address.

    :ivar answer: what it answered, for messages
    """

    address: Address
    state: State
    answer: str


def poll(
    address: Address,
    records: Sequence[TxtRecord],
    servers: Servers,
    key: Optional[SigningKey] = None,
) -> Report:
    """Query one address once for each owner name, and return its report.

    :param records: one or more
    :param key: signs the queries, for a view that is chosen by key
    :returns: that of the first name whose state is not HAS_IT; HAS_IT if there is none
    """
    wanted: dict[dns.name.Name, set[str]] = {}
    for record in records:
        wanted.setdefault(record.name, set()).add(record.value)
    reports = together(
        lambda name: _poll_name(address, name, wanted[name], servers, key),
        list(wanted),
        _NAMES_AT_ONCE,
    )
    return next((report for report in reports if report.state is not State.HAS_IT), reports[0])


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
        state = State.NO_IPV6 if error.no_ipv6 else State.UNREACHABLE
        return Report(address, state, error.reason)
    if key is not None and not reply.had_tsig:
        return Report(address, State.UNREACHABLE, "the answer to a signed query is not signed")
    if not transport.is_authoritative(reply):
        code = dns.rcode.to_text(reply.rcode())
        return Report(address, State.LAME, f"{code}, not authoritative for the zone")
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


def _staleness(reply: dns.message.Message, name: dns.name.Name) -> str:
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return f"no such name: {text(name)}"
    return f"other records at {text(name)}" if _values(reply, name) else f"no TXT at {text(name)}"


def wait_until_everywhere(
    addresses: Sequence[Address],
    records: Sequence[TxtRecord],
    servers: Servers,
    end: float,
    warn: Warn,
    key: Optional[SigningKey] = None,
    silent_too: bool = False,
) -> list[Report]:
    """Poll all addresses in parallel until none is stale, or the deadline is reached.

    :param end: the deadline, by `time.monotonic()`
    :param warn: is given the stale addresses, after 3 s and then every 10 s
    :param key: signs the queries, for a view that is chosen by key
    :param silent_too: poll also those that have been silent lately
    :returns: the last report of each address, once each
    """
    started, notice, lock = time.monotonic(), _FIRST_NOTICE, threading.Lock()
    latest: dict[Address, State] = {}

    def warn_of_stale(waited: float) -> None:
        nonlocal notice
        with lock:
            if waited >= notice:
                notice += _NEXT_NOTICE
                stale = [str(one) for one in addresses if latest.get(one) is State.STALE]
                warn(DnsError(f"After {waited:.0f} s still waiting for: {', '.join(stale)}"))

    def poll_until_end(address: Address) -> Report:
        if servers.is_silent(address) and not silent_too:  # since another lineage of this process
            return Report(address, State.UNREACHABLE, "no answer in time")
        while True:
            report = poll(address, records[:1], servers, key)
            if report.state is State.HAS_IT and len(records) > 1:
                # Only now all of them are polled: a zone transfer brings them together.
                report = poll(address, records, servers, key)
            latest[address] = report.state
            now = time.monotonic()
            if report.state is not State.STALE or now >= end:
                return report
            warn_of_stale(now - started)
            interval = max((now - started) / 4, _FIRST_INTERVAL)
            time.sleep(min(interval, _LAST_INTERVAL, end - now))

    return together(poll_until_end, list(dict.fromkeys(addresses)))
