"""Updates signed by Kerberos (GSS-TSIG, RFC 3645): an MIT KDC, a BIND that takes its tickets."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, endpoint
from tests.dns01.realm import (
    RECORDS,
    DeskWith,
    Realm,
    behind,
    number_of_tkeys,
    only_with_gss,
)
from tests.docs import dns_page
from tests.lab import bind, kerberos, proxy, zones

pytestmark = only_with_gss


def test_records_are_published_confirmed_and_withdrawn(realm: Realm, desk_with: DeskWith) -> None:
    desk = desk_with(realm.section())
    batches = desk.publish(txt_record(WWW, "one"), txt_record(WWW, "two"))
    desk.confirm(batches)
    assert realm.bind.txt(WWW) == ["one", "two"]
    assert desk.withdraw() == []
    assert realm.bind.txt(WWW) == []
    assert desk.journal() == []


def test_a_hundred_names_take_one_context(realm: Realm, desk_with: DeskWith) -> None:
    before = len([line for line in realm.bind.query_log() if "TKEY" in line])
    desk = desk_with(realm.section())
    records = [txt_record(f"_acme-challenge.n{n}.many.{ZONE}", "value") for n in range(100)]
    desk.put(*records)
    assert desk.withdraw_here() == []
    assert len([line for line in realm.bind.query_log() if "TKEY" in line]) == before + 1


def started(
    realm: Realm, folder: Path, port: int = 0
) -> contextlib.AbstractContextManager[bind.Bind]:
    """A BIND of the realm that a test may start again."""
    return kerberos.bind_with_gss(folder / "bind", realm.kdc, [RECORDS], "localhost", port=port)


def test_a_server_that_is_restarted_is_negotiated_with_once_more(
    realm: Realm, desk_with: DeskWith, tmp_path: Path
) -> None:
    with started(realm, tmp_path) as server:
        desk = desk_with(replace(realm, bind=server).section())
        desk.put(txt_record(WWW, "one"))
    with started(realm, tmp_path, server.endpoint.port) as again:
        desk.put(txt_record(WWW, "two"))
        assert again.txt(WWW) == ["two"]
        assert len([line for line in again.query_log() if " TKEY " in line]) == 1
        assert desk.withdraw_here() == []
        assert again.txt(WWW) == []


def test_a_name_that_is_refused_after_a_restart_is_told_and_leaves_nothing_in_the_journal(
    realm: Realm, desk_with: DeskWith, tmp_path: Path
) -> None:
    with started(realm, tmp_path) as server:
        desk = desk_with(replace(realm, bind=server).section())
        desk.put(txt_record(WWW, "one"))
        assert desk.withdraw_here() == []
        batches = desk.plan(txt_record(f"_acme-challenge.denied.{ZONE}", "two"))
    with started(realm, tmp_path, server.endpoint.port):
        with pytest.raises(DnsError, match="grant"):
            challenge.publish(batches, desk.journal_path, desk.servers)
    assert desk.journal() == []


def test_a_context_at_its_end_is_made_anew(realm: Realm, desk_with: DeskWith) -> None:
    with proxy.running(realm.bind.endpoint) as between:
        desk = desk_with(realm.section(servers=behind(between)))
        desk.put(txt_record(WWW, "one"))
        contexts = desk.servers.signer.contexts
        [(where, found)] = contexts._established.items()
        contexts._established[where] = replace(found, until=time.monotonic() + 59)
        desk.put(txt_record(WWW, "two"))
        assert number_of_tkeys(between) == 2
        # Its time may be over between the look at the clock and the signature.
        contexts._established[where].key.secret.context.handle.value = None
        assert desk.withdraw_here() == []
        assert number_of_tkeys(between) == 3


def test_each_server_has_a_context_of_its_own(
    realm: Realm, desk_with: DeskWith, tmp_path: Path
) -> None:
    name = "elsewhere.univ-lyon1.test"
    text = zones.zone_text(name, {"ns1": "127.0.0.1"})
    other = zones.Zone(name, text, (f"grant {kerberos.ACCOUNT} zonesub TXT;",))
    with kerberos.bind_with_gss(tmp_path / "other", realm.kdc, [other], f"ns1.{name}") as second:
        by_address = endpoint(second.endpoint)
        sections = (
            realm.section(),
            realm.section(
                servers=(by_address,),
                check_servers=(by_address,),
                section=f"dns {name}",
                base=name,
            ),
        )
        desk = desk_with(*sections)
        there = f"_acme-challenge.{name}"
        desk.put(txt_record(WWW, "one"), txt_record(there, "two"))
        assert second.txt(there) == ["two"]
        contexts = desk.servers.signer.contexts
        assert contexts is not None
        assert len(contexts._established) == 2
        assert desk.withdraw() == []
        assert second.txt(there) == []


def test_the_account_and_the_grant_of_docs_dns_are_enough_for_one_name(
    realm: Realm, desk_with: DeskWith, tmp_path: Path
) -> None:
    shown = {(block.mark, block.about): block.text for block in dns_page.blocks(dns_page.FRENCH)}
    realm.kdc.shell(shown["run", "kdc"], tmp_path)
    keytab = (tmp_path / "tcs-lyon1.keytab").read_bytes()
    top = "univ-lyon1.fr"
    zone = zones.Zone(
        top,
        zones.zone_text(top, {"localhost": "127.0.0.1"}),
        (shown["load", "kerberos grant"].strip(),),
    )
    with kerberos.bind_with_gss(tmp_path / "bind", realm.kdc, [zone], "localhost") as server:
        desk = desk_with(replace(realm, bind=server).section(key=keyfiles.parse_keytab(keytab)))
        name = f"_acme-challenge.www.labo.{top}"
        desk.put(txt_record(name, "one"))
        assert server.txt(name) == ["one"]
        assert desk.withdraw_here() == []
        assert "grant svc-acme@" in desk.refused(txt_record(f"_acme-challenge.other.{top}", "one"))
