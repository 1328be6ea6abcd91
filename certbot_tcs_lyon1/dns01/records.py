"""What the rooms of the DNS wing hand to each other: records, where they go, what went wrong."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Optional

import dns.name

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import DnsServer, SigningKey


class DnsError(errors.DnsError):
    """What went wrong, where, and what to do; the text is for the user."""

    end = ""


class NoAnswer(DnsError):
    """The server could not be reached, or what came back was no DNS reply.

    `reason` says it without the server; `no_route`: this machine has no address of
    that family; `rcode`: it has answered, with this.
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
    """Nothing of the UPDATE was applied: the server said no (RFC 2136 §3.2, §3.4), or it could not
    be signed.

    `of_a_name`: one name of the UPDATE may be to blame, and the others would have been taken.
    `claimed`: nobody signed that no, so the UPDATE may have been applied.
    """

    def __init__(self, message: str, of_a_name: bool = False, claimed: bool = False) -> None:
        super().__init__(message)
        self.of_a_name = of_a_name
        self.claimed = claimed


class NotServed(Refused):
    """The server has no zone for a name, and does not say who has."""


class NotWithdrawn(DnsError):
    """Records are still in the DNS, or the journal can't be kept.

    `why` is the error that the UPDATE has met, where there was one.
    """

    def __init__(self, message: str, why: Optional[errors.DnsError] = None) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True)
class Address:
    """One address of a name server. `label` is the name under which the user knows it."""

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
    def as_configured(self) -> tuple[str, int, str]:
        """Address, port, and the name by which Kerberos may know it."""
        return self.ip, self.port, self.label

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET


@dataclass(frozen=True)
class Zone:
    """A zone that records go into, and the address of the update server that said so.

    `view_key`: that server answers for the zone only where the query is signed with this key
    (views that are chosen by key), so everything else is asked with it, too.
    """

    name: dns.name.Name
    server: Address
    view_key: Optional[SigningKey] = None


@dataclass(frozen=True)
class Alias:
    """The name is an alias (CNAME), or lies under one (DNAME), for `target`.

    `view_key` as in `Zone`.
    """

    target: dns.name.Name
    kind: str
    server: Address
    view_key: Optional[SigningKey] = None


@dataclass(frozen=True)
class Txt:
    """One TXT record to add or to delete."""

    name: dns.name.Name
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
