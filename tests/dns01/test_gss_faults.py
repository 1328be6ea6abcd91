"""What goes wrong with Kerberos, in words: each row on the real KDC and the real BIND."""

from __future__ import annotations

import contextlib
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer, Keytab
from certbot_tcs_lyon1.dns01 import libgssapi
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.records import Address
from certbot_tcs_lyon1.errors import DnsError
from tests.department.keytabs import AES256, RC4, SECRET, keytab
from tests.dns01 import gss_once
from tests.dns01.alone import alone
from tests.dns01.conftest import WWW, ZONE, endpoint
from tests.dns01.realm import DeskWith, Realm, only_with_gss, told
from tests.lab import kerberos, ports, proxy
from tests.lab.lab import Lab

OTHER = f"_acme-challenge.other.{ZONE}"

pytestmark = only_with_gss


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
    realm: Realm, desk_with: DeskWith, name: str, command: str, words: str
) -> None:
    text = told(desk_with, account(realm, name, command))
    assert words in text
    assert "administrator of the directory" in text


# Keys


def test_a_key_that_the_kdc_does_not_take_is_offered_once_in_a_process(
    realm: Realm, desk_with: DeskWith
) -> None:
    """Active Directory locks an account after some attempts."""
    name = f"locked@{kerberos.REALM}"
    path = realm.kdc.keytab(name, "locked.keytab")
    realm.kdc.admin(f"cpw -randkey {name}", f"modprinc +requires_preauth {name}")
    desk = desk_with(realm.section(key=keyfiles.parse_keytab(path.read_bytes())))
    said = {desk.refused(txt_record(WWW, value)) for value in ("one", "two", "three")}
    assert len(said) == 1
    log = (realm.kdc.folder / "kdc.log").read_text("utf-8")
    failed = [line for line in log.splitlines() if name in line and "PREAUTH_FAILED" in line]
    assert len(failed) == 1, failed


def test_a_keytab_whose_types_the_account_no_longer_has_is_told(
    realm: Realm, desk_with: DeskWith
) -> None:
    name = f"types@{kerberos.REALM}"
    realm.kdc.admin(f"addprinc -randkey -e aes128-cts-hmac-sha1-96:normal {name}")
    path = realm.kdc.folder / "types.keytab"
    realm.kdc.admin(
        f"ktadd -k {path} -norandkey {name}",
        f"cpw -randkey -e aes256-cts-hmac-sha1-96:normal {name}",
    )
    key = keyfiles.parse_keytab(path.read_bytes())
    said = told(desk_with, realm.section(key=key))
    assert "no key of an encryption type" in said
    assert "export the keytab again with AES keys" in said
    assert "administrator of the directory" in said


def test_a_kdc_without_a_type_of_this_machine_is_told(
    realm: Realm, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"aes256@{kerberos.REALM}"
    realm.kdc.admin(f"addprinc -randkey -e aes256-cts-hmac-sha1-96:normal {name}")
    path = realm.kdc.keytab(name, "aes256.keytab", "-norandkey")
    only = " default_tkt_enctypes = aes128-cts-hmac-sha1-96"
    for variable, value in realm.kdc.krb5_conf("aes128.conf", only).items():
        monkeypatch.setenv(variable, value)
    key = keyfiles.parse_keytab(path.read_bytes())
    said = told(desk_with, realm.section(key=key))
    assert "no encryption type in common" in said
    assert "allow AES" in said


@pytest.mark.parametrize("data", [keytab((kerberos.ACCOUNT, RC4)), b"\5\2", b"", b"garbage"])
def test_a_keytab_that_the_reader_would_refuse_is_no_ticket_either(
    realm: Realm, desk_with: DeskWith, data: bytes
) -> None:
    said = told(desk_with, realm.section(key=Keytab(kerberos.ACCOUNT, data)))
    assert "the keytab holds no key of " in said
    assert "administrator of the directory" in said


def test_no_key_of_a_keytab_is_in_a_message_or_a_traceback(
    realm: Realm, desk_with: DeskWith
) -> None:
    key = keyfiles.parse_keytab(keytab((kerberos.ACCOUNT, AES256)))
    desk = desk_with(realm.section(key=key))
    with pytest.raises(DnsError) as caught:
        desk.publish(txt_record(WWW, "one"))
    shown, error = "", caught.value
    while error is not None:  # also what `from None` hides
        found = traceback.TracebackException(
            type(error), error, error.__traceback__, capture_locals=True
        )
        shown, error = shown + "".join(found.format(chain=False)), error.__context__
    assert "in _ticket" in shown
    assert SECRET[4:16].decode() not in shown
    assert SECRET.hex() not in shown


# Clocks: this machine's, by faketime


def told_with_clock(shift: str, realm: Realm, env: Mapping[str, str]) -> str:
    here = realm.bind.endpoint
    server = Address(here.address, here.port, "localhost")
    return gss_once.told_with_clock(shift, realm.keytab, server, ZONE, WWW, env)


def test_a_clock_that_is_off_is_told_where_the_library_makes_up_for_it(realm: Realm) -> None:
    said = told_with_clock("+10m", realm, realm.kdc.environment)
    assert "clocks of this machine and of the name server differ by more than 300 s" in said
    assert "timedatectl" in said


def test_a_clock_that_is_off_is_told_where_the_library_does_not_make_up_for_it(
    realm: Realm,
) -> None:
    env = realm.kdc.krb5_conf("no-timesync.conf", " kdc_timesync = 0")
    said = told_with_clock("+10m", realm, env)
    assert "clocks of this machine and of the KDC differ by more than 300 s" in said
    assert "timedatectl" in said


def test_a_clock_two_hours_ahead_of_tickets_of_one_hour_is_told(realm: Realm) -> None:
    env = realm.kdc.krb5_conf("short.conf", " ticket_lifetime = 1h")
    said = told_with_clock("+2h", realm, env)
    assert "clocks of this machine and" in said
    assert "timedatectl" in said


# KDCs and krb5.conf


@pytest.fixture
def silent() -> Iterator[str]:
    """Where a KDC takes all and says nothing."""
    with ports.claimed() as port, contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            listening = stack.enter_context(socket.socket(socket.AF_INET, kind))
            listening.bind(("127.0.0.1", port))
            if kind == socket.SOCK_STREAM:
                listening.listen()
        yield f"127.0.0.1:{port}"


def test_a_silent_kdc_costs_half_a_minute_once_in_a_process_and_is_told(
    realm: Realm, silent: str, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in realm.kdc.krb5_conf("silent.conf", kdc=silent).items():
        monkeypatch.setenv(name, value)
    desk = desk_with(realm.section())
    start = time.monotonic()
    said = desk.refused(txt_record(WWW, "one"))
    first = time.monotonic()
    assert desk.refused(txt_record(WWW, "two")) == said
    assert 10 < first - start < 60  # MIT 1.20: 27
    assert time.monotonic() - first < 1
    assert f"no KDC of the realm {kerberos.REALM} answers" in said
    assert "port 88, UDP and TCP" in said


def test_a_kdc_that_cannot_be_reached_is_told_with_its_port(
    realm: Realm, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in realm.kdc.krb5_conf("closed.conf", kdc="127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    text = told(desk_with, realm.section())
    assert f"no KDC of the realm {kerberos.REALM} answers" in text
    assert "port 88" in text


@alone
def test_a_kdc_whose_name_does_not_resolve_is_told(
    realm: Realm, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in realm.kdc.krb5_conf("nowhere.conf", kdc="kdc.nowhere.invalid").items():
        monkeypatch.setenv(name, value)
    assert "no KDC of the realm" in told(desk_with, realm.section())


@pytest.fixture
def krb5_conf(realm: Realm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable:
    """`krb5_conf(TEXT)`: from now on this is the system's."""

    def write(text: str) -> None:
        path = tmp_path / "krb5.conf"
        path.write_text(text, encoding="ascii")
        monkeypatch.setenv("KRB5_CONFIG", str(path))

    return write


def test_a_realm_without_a_kdc_is_told(
    realm: Realm, desk_with: DeskWith, krb5_conf: Callable
) -> None:
    krb5_conf("[libdefaults]\n dns_lookup_kdc = false\n")
    assert "no KDC is known for the realm" in told(desk_with, realm.section())


def test_a_faulty_krb5_conf_is_told(realm: Realm, desk_with: DeskWith, krb5_conf: Callable) -> None:
    krb5_conf("nonsense\n[libdefaults\n")
    assert "has a fault" in told(desk_with, realm.section())


def test_a_krb5_conf_of_another_realm_is_no_matter(
    realm: Realm, desk_with: DeskWith, krb5_conf: Callable
) -> None:
    """Debian's own names ATHENA.MIT.EDU as the default realm."""
    own = (realm.kdc.folder / "krb5.conf").read_text("ascii")
    krb5_conf(own.replace(f"default_realm = {kerberos.REALM}", "default_realm = ATHENA.MIT.EDU"))
    desk = desk_with(realm.section())
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []


def test_a_server_whose_realm_nothing_names_is_looked_for_in_the_accounts(
    realm: Realm, desk_with: DeskWith, krb5_conf: Callable
) -> None:
    krb5_conf(
        "[libdefaults]\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
        f"[realms]\n {kerberos.REALM} = {{\n  kdc = {realm.kdc.endpoint}\n }}\n"
    )
    desk = desk_with(realm.section())
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []


# Servers, and the library


def test_a_server_given_by_address_is_named_by_its_zone(realm: Realm, desk_with: DeskWith) -> None:
    desk = desk_with(realm.section(servers=(endpoint(realm.bind.endpoint),)))
    # The zone's primary is localhost.labo…, which Kerberos does not know.
    told = desk.refused(txt_record(WWW, "one"))
    assert f"no service DNS/localhost.{ZONE}" in told
    assert "by its own name" in told


def test_an_account_without_the_right_is_told_the_grant(realm: Realm, desk_with: DeskWith) -> None:
    told = desk_with(realm.section()).refused(txt_record(OTHER, "one"))
    assert "REFUSED" in told
    assert f"grant {kerberos.ACCOUNT} name {OTHER}. TXT;" in told
    assert f"DC=_acme-challenge.other,DC={ZONE}" in told


def test_a_server_with_another_key_is_told(realm: Realm, desk_with: DeskWith) -> None:
    realm.kdc.admin(f"cpw -randkey DNS/localhost@{kerberos.REALM}")
    text = told(desk_with, realm.section())
    assert "rejects the ticket for DNS/localhost (BADKEY)" in text
    realm.kdc.admin(f"ktadd -k {realm.kdc.folder}/bind.keytab DNS/localhost")


def test_a_server_without_kerberos_is_told(lab: Lab, realm: Realm, desk_with: DeskWith) -> None:
    here = endpoint(lab.primary.endpoint)
    text = told(desk_with, realm.section(servers=(replace(here, host="localhost"),)))
    assert "does not negotiate Kerberos signatures (it answers REFUSED to TKEY)" in text


def test_a_machine_without_the_library_is_told_its_package(
    realm: Realm, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libgssapi, "LIBRARY", "libnone.so.9")
    said = told(desk_with, realm.section())
    assert "libnone.so.9 cannot be loaded" in said
    assert "libgssapi-krb5-2" in said


def test_a_server_given_by_address_that_shows_no_zone_is_told_to_be_named(
    realm: Realm, desk_with: DeskWith
) -> None:
    with proxy.running(realm.bind.endpoint, proxy.refuse_with("REFUSED")) as between:
        text = told(desk_with, realm.section(servers=(endpoint(between.endpoint),)))
    assert "the server gives none (no SOA)" in text
    assert "write its name, not its address" in text
    assert text.startswith(f"127.0.0.1, Kerberos account {kerberos.ACCOUNT}")


def test_what_kerberos_says_of_a_rare_fault_is_shown(
    realm: Realm, desk_with: DeskWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = " permitted_enctypes = nonsense\n default_tkt_enctypes = nonsense"
    for variable, value in realm.kdc.krb5_conf("nonsense.conf", only).items():
        monkeypatch.setenv(variable, value)
    text = told(desk_with, realm.section())
    assert "Kerberos says: " in text
    assert "administrator of the directory" in text
