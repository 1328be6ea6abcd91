"""What the rooms of the DNS wing hand to each other: records, where they go, what went wrong."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

import dns.name

from certbot_tcs_lyon1.department.settings import DnsServer, SigningKey
from certbot_tcs_lyon1.dns01 import names
from certbot_tcs_lyon1.errors import DnsError, Error

__all__ = [
    "Address",
    "Alias",
    "Batch",
    "DnsError",
    "Location",
    "NoAnswer",
    "NotServed",
    "NotWithdrawn",
    "Refused",
    "TxtRecord",
    "txt_record",
]


class NoAnswer(DnsError):
    """The server could not be reached, or what came back was no DNS reply.

    :param reason: why, without the server
    :param no_route: this machine has no address of that family
    :param rcode: it has answered, with this, after which the next server is tried
    """

    def __init__(
        self,
        cause: str,
        remedy: str = "",
        *,
        reason: str = "",
        no_route: bool = False,
        rcode: str = "",
    ) -> None:
        super().__init__(cause, remedy)
        self.reason = reason or cause
        self.no_route = no_route
        self.rcode = rcode


class Refused(DnsError):
    """The server said no, and nothing of the UPDATE was applied (RFC 2136 §3.2, §3.4); or it could
    not be signed.

    :param of_a_name: one name of the UPDATE may be to blame, and the others would have been taken
    :param claimed: nobody signed that no, or another server gave no answer before, so the UPDATE
        may have been applied
    """

    def __init__(
        self,
        cause: str,
        remedy: str = "",
        *,
        where: str = "",
        parts: Sequence[Error] = (),
        of_a_name: bool = False,
        claimed: bool = False,
    ) -> None:
        super().__init__(cause, remedy, where=where, parts=parts)
        self.of_a_name = of_a_name
        self.claimed = claimed


class NotServed(Refused):
    """The server has no zone for a name, and does not say who has."""


class NotWithdrawn(DnsError):
    """Records are still in the DNS, or the journal can't be kept.

    :param why: the error that the UPDATE has met, where there was one
    """

    def __init__(self, cause: str, remedy: str = "", why: Optional[DnsError] = None) -> None:
        super().__init__(cause, remedy)
        self.why = why

    def __str__(self) -> str:
        return super().__str__() if self.why is None else f"{self.cause}: {self.why} {self.remedy}."


@dataclass(frozen=True)
class Address:
    """One address of a name server. `label` is the name under which the user knows it, and perhaps
    Kerberos."""

    ip: str
    port: int
    label: str

    def __str__(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        where = host if self.port == 53 else f"{host}:{self.port}"
        return where if self.label == self.ip else f"{self.label} ({where})"

    @property
    def socket_address(self) -> tuple[str, int]:
        """Address and port, without the name: what makes two of them the same server."""
        return self.ip, self.port

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET


@dataclass(frozen=True)
class Location:
    """The zone that a record goes into, and the address of the update server that said so.

    `view_key`: that server answers for the zone only where the query is signed with this key
    (views that are chosen by key), so everything else is asked with it, too. `confirmed`: nobody
    else can have said so, or it is not asked for.
    """

    zone: dns.name.Name
    server: Address
    view_key: Optional[SigningKey] = None
    confirmed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Alias:
    """The name is an alias (CNAME), or lies under one (DNAME), for `target`.

    `view_key` as in `Location`.
    """

    target: dns.name.Name
    kind: str
    server: Address
    view_key: Optional[SigningKey] = None


@dataclass(frozen=True)
class TxtRecord:
    """A TXT record: its owner name, and its one string."""

    name: dns.name.Name
    value: str


def txt_record(name: str, value: str) -> TxtRecord:
    """The record of a challenge (RFC 8555 §8.4).

    :param name: `_acme-challenge.…`
    :raises DnsError: the name is too long for the DNS
    """
    return TxtRecord(names.parse(name), value)


@dataclass(frozen=True)
class Batch:
    """Records of one zone, where they go, and the section of the department config that says how.

    `end` is the time, by `time.monotonic()`, at which all of it has to be done.
    """

    location: Location
    section: DnsServer
    records: tuple[TxtRecord, ...]
    end: float

    @property
    def zone(self) -> dns.name.Name:
        """The zone's name."""
        return self.location.zone

    @property
    def server(self) -> Address:
        """The address of the update server."""
        return self.location.server

    @property
    def names(self) -> list[dns.name.Name]:
        """The names of the records, each once."""
        return list(dict.fromkeys(record.name for record in self.records))

    def by_name(self) -> list[Batch]:
        """A batch for each name, of its records."""
        return [self.of([one for one in self.records if one.name == name]) for name in self.names]

    def at(self, server: Address) -> Batch:
        """The same records, sent to another server."""
        return replace(self, location=replace(self.location, server=server))

    def of(self, records: Sequence[TxtRecord]) -> Batch:
        """Some of the records."""
        return replace(self, records=tuple(records))
