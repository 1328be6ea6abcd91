"""Updates signed by Kerberos (GSS-TSIG, RFC 3645): an MIT KDC, a BIND that takes its tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer
from certbot_tcs_lyon1.dns01 import challenge, signing
from certbot_tcs_lyon1.dns01.challenge import Record
from tests.dns01.conftest import Desk, endpoint
from tests.lab import bind, kerberos, require, zones

ZONE = "labo.univ-lyon1.test"
WWW = f"_acme-challenge.www.{ZONE}"
OTHER = f"_acme-challenge.other.{ZONE}"


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


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    require.require_lab()
    folder = tmp_path_factory.mktemp("kerberos")
    text = zones.zone_text(ZONE, {"localhost": "127.0.0.1"}, "alias CNAME www\n")
    grants = (
        f"grant {kerberos.ACCOUNT} name {WWW}. TXT;",
        f"grant {kerberos.ACCOUNT} wildcard *.many.{ZONE}. TXT;",
    )
    with kerberos.kdc(folder / "kdc") as kdc:
        keytab = kdc.keytab(kerberos.ACCOUNT, "certbot.keytab")
        zone = zones.Zone(ZONE, text, grants)
        with kerberos.bind_with_gss(folder / "bind", kdc, [zone], "localhost") as server:
            yield Realm(kdc, server, keytab)


@pytest.fixture(autouse=True)
def _as_a_new_process(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "_contexts", None)
    for name, value in realm.kdc.environment.items():
        monkeypatch.setenv(name, value)


def test_records_are_published_confirmed_and_withdrawn(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    desk = desk_with(realm.section())
    batches = desk.publish(Record(WWW, "one"), Record(WWW, "two"))
    challenge.confirm(batches)
    assert realm.bind.txt(WWW) == ["one", "two"]
    assert desk.withdraw() == []
    assert realm.bind.txt(WWW) == []
    assert desk.journal() == []


def test_a_hundred_names_take_one_context(realm: Realm, desk_with: Callable[..., Desk]) -> None:
    before = len([line for line in realm.bind.query_log() if "TKEY" in line])
    desk = desk_with(realm.section())
    records = [Record(f"_acme-challenge.n{n}.many.{ZONE}", "value") for n in range(100)]
    challenge.confirm(desk.publish(*records))
    assert desk.withdraw() == []
    assert len([line for line in realm.bind.query_log() if "TKEY" in line]) == before + 1


def test_a_server_given_by_address_is_named_by_its_zone(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    desk = desk_with(realm.section(servers=(endpoint(realm.bind.endpoint),)))
    # The zone's primary is localhost.labo…, which Kerberos does not know.
    told = desk.refused(Record(WWW, "one"))
    assert f"no service DNS/localhost.{ZONE}" in told
    assert "by its own name" in told


def test_an_account_without_the_right_is_told_the_grant(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    told = desk_with(realm.section()).refused(Record(OTHER, "one"))
    assert "REFUSED" in told
    assert f"grant {kerberos.ACCOUNT} name {OTHER}. TXT;" in told
    assert f"DC=_acme-challenge.other,DC={ZONE}" in told
