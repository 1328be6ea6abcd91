"""Updates signed by Kerberos (GSS-TSIG, RFC 3645): an MIT KDC, a BIND that takes its tickets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dns.rcode
import dns.tsig
import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer
from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.challenge import txt_record
from tests.dns01.conftest import Desk, endpoint
from tests.docs import dns_page
from tests.lab import bind, kerberos, proxy, require, zones
from tests.lab.lab import Lab

pytestmark = pytest.mark.skipif(
    not hasattr(dns.tsig, "GSS_TSIG"), reason="dnspython 2.0 cannot sign by Kerberos"
)

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
    for name, value in realm.kdc.environment.items():
        monkeypatch.setenv(name, value)


def test_records_are_published_confirmed_and_withdrawn(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    desk = desk_with(realm.section())
    batches = desk.publish(txt_record(WWW, "one"), txt_record(WWW, "two"))
    desk.confirm(batches)
    assert realm.bind.txt(WWW) == ["one", "two"]
    assert desk.withdraw() == []
    assert realm.bind.txt(WWW) == []
    assert desk.journal() == []


def test_a_hundred_names_take_one_context(realm: Realm, desk_with: Callable[..., Desk]) -> None:
    before = len([line for line in realm.bind.query_log() if "TKEY" in line])
    desk = desk_with(realm.section())
    records = [txt_record(f"_acme-challenge.n{n}.many.{ZONE}", "value") for n in range(100)]
    desk.put(*records)
    assert desk.withdraw_here() == []
    assert len([line for line in realm.bind.query_log() if "TKEY" in line]) == before + 1


def test_a_server_given_by_address_is_named_by_its_zone(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    desk = desk_with(realm.section(servers=(endpoint(realm.bind.endpoint),)))
    # The zone's primary is localhost.labo…, which Kerberos does not know.
    told = desk.refused(txt_record(WWW, "one"))
    assert f"no service DNS/localhost.{ZONE}" in told
    assert "by its own name" in told


def test_an_account_without_the_right_is_told_the_grant(
    realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    told = desk_with(realm.section()).refused(txt_record(OTHER, "one"))
    assert "REFUSED" in told
    assert f"grant {kerberos.ACCOUNT} name {OTHER}. TXT;" in told
    assert f"DC=_acme-challenge.other,DC={ZONE}" in told


def test_the_account_and_the_grant_of_docs_dns_are_enough_for_one_name(
    realm: Realm, desk_with: Callable[..., Desk], tmp_path: Path
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


# What Kerberos says, in words: each row on the real KDC


def told(desk_with: Callable[..., Desk], section: DnsServer) -> str:
    return desk_with(section).refused(txt_record(WWW, "one"))


def account(realm: Realm, name: str, *then: str) -> DnsServer:
    """A section with an account of its own, to which something happens after the export."""
    full = f"{name}@{kerberos.REALM}"
    keytab = realm.kdc.keytab(full, f"{name}.keytab")
    realm.kdc.admin(*(command.format(full) for command in then))
    return realm.section(key=keyfiles.parse_keytab(keytab.read_bytes()))


@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        ("unknown", "delprinc -force {}", "knows no account unknown@"),
        ("old-key", "cpw -randkey {}", "its password was changed since"),
        ("disabled", "modprinc -allow_tix {}", "is disabled, locked or expired"),
        ("expired", 'modprinc -expire "2001-01-01" {}', "has expired"),
        ("stale", 'modprinc -pwexpire "2001-01-01" {}', "the password of stale@"),
    ],
)
def test_what_happened_to_an_account_is_told(
    realm: Realm, desk_with: Callable[..., Desk], name: str, command: str, words: str
) -> None:
    text = told(desk_with, account(realm, name, command))
    assert words in text
    assert "administrator of the directory" in text


def test_a_kdc_that_cannot_be_reached_is_told_with_its_port(
    realm: Realm, desk_with: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in realm.kdc.krb5_conf("closed.conf", kdc="127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    text = told(desk_with, realm.section())
    assert f"no KDC of the realm {kerberos.REALM} answers" in text
    assert "port 88" in text


def test_a_realm_without_a_kdc_is_told(
    realm: Realm, desk_with: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = realm.kdc.folder / "other.conf"
    path.write_text("[libdefaults]\n dns_lookup_kdc = false\n", encoding="ascii")
    monkeypatch.setenv("KRB5_CONFIG", str(path))
    assert "no KDC is known for the realm" in told(desk_with, realm.section())


def test_a_faulty_krb5_conf_is_told(
    realm: Realm, desk_with: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = realm.kdc.folder / "faulty.conf"
    path.write_text("nonsense\n[libdefaults\n", encoding="ascii")
    monkeypatch.setenv("KRB5_CONFIG", str(path))
    assert "has a fault" in told(desk_with, realm.section())


def test_a_server_with_another_key_is_told(realm: Realm, desk_with: Callable[..., Desk]) -> None:
    realm.kdc.admin(f"cpw -randkey DNS/localhost@{kerberos.REALM}")
    text = told(desk_with, realm.section())
    assert "rejects the ticket for DNS/localhost (BADKEY)" in text
    realm.kdc.admin(f"ktadd -k {realm.kdc.folder}/bind.keytab DNS/localhost")


def test_a_server_without_kerberos_is_told(
    lab: Lab, realm: Realm, desk_with: Callable[..., Desk]
) -> None:
    here = endpoint(lab.primary.endpoint)
    text = told(desk_with, realm.section(servers=(replace(here, host="localhost"),)))
    assert "does not negotiate Kerberos signatures (it answers REFUSED to TKEY)" in text


def test_a_server_that_was_restarted_is_negotiated_with_anew(
    realm: Realm, desk_with: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = desk_with(realm.section())
    desk.publish(txt_record(WWW, "one"))
    contexts = desk.servers.signer.contexts
    assert contexts is not None
    for place, found in list(contexts._established.items()):
        key = found.key
        other = dns.tsig.Key("unknown.tcs-lyon1-sig.", key.secret, key.algorithm)
        contexts._established[place] = replace(found, key=other)
    assert desk.withdraw_here() == []
    assert realm.bind.txt(WWW) == []


# What Windows is said to do, and Samba does: the request's own signature comes back


def echo(rcode: str, *, applied: bool) -> proxy.Behaviour:
    def behave(query: proxy.Query, ask: Any) -> Any:
        if query.opcode != "UPDATE":
            return ask()
        if applied:
            ask()
        wire = bytearray(query.wire)
        wire[2] |= 0x80
        wire[3] = wire[3] & 0xF0 | dns.rcode.from_text(rcode)
        return bytes(wire)

    return behave


@pytest.fixture
def echoing(realm: Realm) -> Iterator[proxy.Proxy]:
    with proxy.running(realm.bind.endpoint) as between:
        yield between


def through(realm: Realm, between: proxy.Proxy) -> DnsServer:
    return realm.section(servers=(replace(endpoint(between.endpoint), host="localhost"),))


def test_an_echoed_noerror_counts_once_the_record_is_read_back(
    realm: Realm, desk_with: Callable[..., Desk], echoing: proxy.Proxy
) -> None:
    echoing.behave = echo("NOERROR", applied=True)
    desk = desk_with(through(realm, echoing))
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []
    assert realm.bind.txt(WWW) == []


def test_an_echoed_noerror_without_the_record_fails_and_keeps_the_journal(
    realm: Realm, desk_with: Callable[..., Desk], echoing: proxy.Proxy
) -> None:
    echoing.behave = echo("NOERROR", applied=False)
    desk = desk_with(replace(through(realm, echoing), propagation_seconds=1))
    batches = desk.publish(txt_record(WWW, "one"))
    with pytest.raises(challenge.DnsError, match="does not show the records"):
        desk.confirm(batches)
    assert len(desk.journal()) == 1


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_an_echoed_refusal_is_told_as_unsigned_and_no_other_server_is_tried(
    realm: Realm, desk_with: Callable[..., Desk], echoing: proxy.Proxy, rcode: str
) -> None:
    echoing.behave = echo(rcode, applied=False)
    both = (*through(realm, echoing).servers, *realm.section().servers)
    desk = desk_with(realm.section(servers=both))
    with pytest.raises(challenge.DnsError, match=f"says, unsigned, {rcode}"):
        desk.publish(txt_record(WWW, "one"))
    assert realm.bind.txt(WWW) == []
    assert (
        desk.journal() == []
    )  # nobody signed that no, but a signed look says that it is not there
