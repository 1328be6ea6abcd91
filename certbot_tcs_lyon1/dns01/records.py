"""The data and the errors that the modules of `dns01` share: records, addresses, batches."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Callable, Optional

import dns.name

from certbot_tcs_lyon1.department.settings import DnsServer, SigningKey
from certbot_tcs_lyon1.dns01 import names
from certbot_tcs_lyon1.errors import DnsError, Error


class NoAnswer(DnsError):
    """The server gave no usable reply, or one after which the next server is tried.

    :param reason: the cause without the name of the server; by default, `cause`
    :param no_ipv6: the server has an IPv6 address, and this machine has none
    :param replied: there was a reply, with an rcode after which the next server is tried
    """

    def __init__(
        self,
        cause: str,
        remedy: str = "",
        *,
        reason: str = "",
        no_ipv6: bool = False,
        replied: bool = False,
    ) -> None:
        super().__init__(cause, remedy)
        self.reason = reason or cause
        self.no_ipv6 = no_ipv6
        self.replied = replied


class Refused(DnsError):
    """The server refused an UPDATE, or can't be used for the record's zone, or signing failed.

    Nothing of a refused UPDATE was applied (RFC 2136 §3.2, §3.4), unless it is `claimed`.

    :param of_a_name: the cause may be one of the UPDATE's names; the server may accept the others
    :param claimed: the UPDATE may have been applied all the same: the refusal is not signed, or
        another server gave no answer before
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
    """The server has no zone for a name, and shows no delegation of it."""


class BadKey(Refused):
    """The server does not know the key of an UPDATE, or no longer knows its Kerberos context."""


class Unconfirmed(DnsError):
    """A warning: it is not known whether name servers of a zone have the records.

    :param zone: its name for display
    """

    def __init__(self, zone: str, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy, where=f"Zone {zone}")


#: Shows the user a warning.
Warn = Callable[[DnsError], object]


@dataclass(frozen=True)
class Address:
    """One address of a name server.

    :ivar label: the name of the server, for messages and for Kerberos; `ip` if there is none
    """

    ip: str
    port: int
    label: str

    def __str__(self) -> str:
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        where = host if self.port == 53 else f"{host}:{self.port}"
        return where if self.label == self.ip else f"{self.label} ({where})"

    @property
    def socket_address(self) -> tuple[str, int]:
        """Address and port: if they are equal, it is the same server, by whatever name."""
        return self.ip, self.port

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET


@dataclass(frozen=True)
class Location:
    """The zone of a record, and the address of the update server that serves it.

    :ivar view_key: the key of the server's view that has the zone, with which all queries are
        signed; None if unsigned queries are answered
    :ivar confirmed: no signed answer is needed any more: the server has given one, or the
        department config names the zone
    """

    zone: dns.name.Name
    server: Address
    view_key: Optional[SigningKey] = None
    confirmed: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Alias:
    """A name that is an alias for `target`.

    :ivar kind: "CNAME", or "DNAME" if a name above it is redirected
    :ivar server: the address that said so
    """

    target: dns.name.Name
    kind: str
    server: Address


@dataclass(frozen=True)
class TxtRecord:
    """A TXT record: its owner name, and its string."""

    name: dns.name.Name
    value: str


def txt_record(name: str, value: str) -> TxtRecord:
    """Return the record of a challenge (RFC 8555 §8.4).

    :param name: `_acme-challenge.…`
    :param value: the digest of the key authorization, in base64url
    :raises DnsError: it is no domain name, or too long for one
    """
    return TxtRecord(names.parse(name), value)


@dataclass(frozen=True)
class Batch:
    """Records of one zone that are published by one UPDATE.

    :ivar section: the section of the department config with update servers and key
    :ivar end: the deadline for all of it, by `time.monotonic()`
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
        """The owner names of the records, each once."""
        return list(dict.fromkeys(record.name for record in self.records))

    def by_name(self) -> list[Batch]:
        """Return a batch for each owner name."""
        return [self.of([one for one in self.records if one.name == name]) for name in self.names]

    def at(self, server: Address) -> Batch:
        """Return the same batch for another server."""
        return replace(self, location=replace(self.location, server=server))

    def of(self, records: Sequence[TxtRecord]) -> Batch:
        """Return the same batch with these records."""
        return replace(self, records=tuple(records))
