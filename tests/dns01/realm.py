"""A Kerberos realm for the DNS wing: an MIT KDC, and a BIND that takes its tickets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dns.rdatatype
import dns.tsig
import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint
from certbot_tcs_lyon1.dns01.challenge import txt_record
from tests.dns01.conftest import WWW, ZONE, Desk, endpoint
from tests.lab import bind, kerberos, proxy, zones

DeskWith = Callable[..., Desk]

only_with_gss = pytest.mark.skipif(
    not hasattr(dns.tsig, "GSS_TSIG"), reason="dnspython 2.0 cannot sign by Kerberos"
)

RECORDS = zones.Zone(
    ZONE,
    zones.zone_text(ZONE, {"localhost": "127.0.0.1"}),
    (
        f"grant {kerberos.ACCOUNT} name {WWW}. TXT;",
        f"grant {kerberos.ACCOUNT} wildcard *.many.{ZONE}. TXT;",
    ),
)


@dataclass(frozen=True)
class Realm:
    """A KDC, a BIND that trusts it, and the account's keytab."""

    kdc: kerberos.Kdc
    bind: bind.Bind
    keytab: Path

    def section(self, **changes: Any) -> DnsServer:
        """A `[dns]` section for it."""
        here = endpoint(self.bind.endpoint)
        key = keyfiles.parse_keytab(self.keytab.read_bytes())
        section = DnsServer(
            "", (replace(here, host="localhost"),), key, None, check_servers=(here,)
        )
        return replace(section, **changes)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Realm]:
    """Run both in `folder` until the context ends."""
    with kerberos.kdc(folder / "kdc") as kdc:
        keytab = kdc.keytab(kerberos.ACCOUNT, "certbot.keytab")
        with kerberos.bind_with_gss(folder / "bind", kdc, [RECORDS], "localhost") as server:
            yield Realm(kdc, server, keytab)


def behind(between: proxy.Proxy) -> tuple[Endpoint, ...]:
    """The proxy as an update server that Kerberos knows."""
    return (replace(endpoint(between.endpoint), host="localhost"),)


def number_of_tkeys(between: proxy.Proxy) -> int:
    """How many contexts were negotiated through it."""
    kinds = [query.message.question[0].rdtype for query in between.queries]
    return kinds.count(dns.rdatatype.TKEY)


def told(desk_with: DeskWith, section: DnsServer) -> str:
    """What the user is told who wants a record with this section."""
    return desk_with(section).refused(txt_record(WWW, "one"))
