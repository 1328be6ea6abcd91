"""What goes wrong with Kerberos besides the account: clocks, KDCs, krb5.conf, keys, a restart."""

from __future__ import annotations

import contextlib
import random
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dns.rdatatype
import dns.tsig
import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer, Keytab
from certbot_tcs_lyon1.dns01 import libgssapi
from certbot_tcs_lyon1.dns01.challenge import DnsError, txt_record
from certbot_tcs_lyon1.dns01.records import Address
from tests.department.keytabs import AES256, RC4, SECRET, keytab
from tests.dns01 import gss_once
from tests.dns01.alone import alone
from tests.dns01.conftest import Desk, endpoint
from tests.lab import bind, kerberos, ports, proxy, zones
from tests.lab.require import require_lab

pytestmark = pytest.mark.skipif(
    not hasattr(dns.tsig, "GSS_TSIG"), reason="dnspython 2.0 cannot sign by Kerberos"
)

ZONE = "labo.univ-lyon1.test"
WWW = f"_acme-challenge.www.{ZONE}"
DeskWith = Callable[..., Desk]


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kerberos.Kdc]:
    require_lab()
    with kerberos.kdc(tmp_path_factory.mktemp("kdc")) as running:
        running.keytab(kerberos.ACCOUNT, "certbot.keytab")
        yield running


@pytest.fixture(scope="module")
def place(kdc: kerberos.Kdc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ports.Endpoint]:
    """Where a BIND is that takes the KDC's tickets."""
    with kerberos.bind_with_gss(
        tmp_path_factory.mktemp("bind") / "bind", kdc, [zone()], "localhost"
    ) as server:
        yield server.endpoint


@pytest.fixture(autouse=True)
def _client_of(kdc: kerberos.Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)


def zone() -> zones.Zone:
    text = zones.zone_text(ZONE, {"localhost": "127.0.0.1"})
    return zones.Zone(ZONE, text, (f"grant {kerberos.ACCOUNT} name {WWW}. TXT;",))


def section(place: ports.Endpoint, kdc: kerberos.Kdc, **changes: object) -> DnsServer:
    here = endpoint(place)
    key = keyfiles.parse_keytab((kdc.folder / "certbot.keytab").read_bytes())
    made = DnsServer("", (replace(here, host="localhost"),), key, None, check_servers=(here,))
    return replace(made, **changes)


def told(desk_with: DeskWith, config: DnsServer) -> str:
    return desk_with(config).refused(txt_record(WWW, "one"))


# Clocks: this machine's, by faketime


def told_with_clock(shift: str, kdc: kerberos.Kdc, place: ports.Endpoint, env: dict) -> str:
    server = Address(place.address, place.port, "localhost")
    return gss_once.told_with_clock(shift, kdc.folder / "certbot.keytab", server, ZONE, WWW, env)


def test_a_clock_that_is_off_is_told_where_the_library_makes_up_for_it(kdc, place) -> None:
    said = told_with_clock("+10m", kdc, place, kdc.environment)
    assert "clocks of this machine and of the name server differ by more than 300 s" in said
    assert "timedatectl" in said


def test_a_clock_that_is_off_is_told_where_the_library_does_not_make_up_for_it(kdc, place) -> None:
    env = kdc.krb5_conf("no-timesync.conf", " kdc_timesync = 0")
    said = told_with_clock("+10m", kdc, place, env)
    assert "clocks of this machine and of the KDC differ by more than 300 s" in said
    assert "timedatectl" in said


def test_a_clock_two_hours_ahead_of_tickets_of_one_hour_is_told(kdc, place) -> None:
    env = kdc.krb5_conf("short.conf", " ticket_lifetime = 1h")
    said = told_with_clock("+2h", kdc, place, env)
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
    kdc, place, silent, desk_with, monkeypatch
) -> None:
    for name, value in kdc.krb5_conf("silent.conf", kdc=silent).items():
        monkeypatch.setenv(name, value)
    desk = desk_with(section(place, kdc))
    start = time.monotonic()
    said = desk.refused(txt_record(WWW, "one"))
    first = time.monotonic()
    assert desk.refused(txt_record(WWW, "two")) == said
    assert 10 < first - start < 60  # MIT 1.20: 27
    assert time.monotonic() - first < 1
    assert f"no KDC of the realm {kerberos.REALM} answers" in said
    assert "port 88, UDP and TCP" in said


@alone
def test_a_kdc_whose_name_does_not_resolve_is_told(kdc, place, desk_with, monkeypatch) -> None:
    for name, value in kdc.krb5_conf("nowhere.conf", kdc="kdc.nowhere.invalid").items():
        monkeypatch.setenv(name, value)
    assert "no KDC of the realm" in told(desk_with, section(place, kdc))


def test_a_krb5_conf_of_another_realm_is_no_matter(kdc, place, desk_with, monkeypatch) -> None:
    """Debian's own names ATHENA.MIT.EDU as the default realm."""
    own = (kdc.folder / "krb5.conf").read_text("ascii")
    other = own.replace(f"default_realm = {kerberos.REALM}", "default_realm = ATHENA.MIT.EDU")
    path = kdc.folder / "athena.conf"
    path.write_text(other, encoding="ascii")
    monkeypatch.setenv("KRB5_CONFIG", str(path))
    desk = desk_with(section(place, kdc))
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []


def test_a_server_whose_realm_nothing_names_is_looked_for_in_the_accounts(
    kdc, place, desk_with, monkeypatch
) -> None:
    path = kdc.folder / "no-realm.conf"
    path.write_text(
        f"[libdefaults]\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n"
        f"[realms]\n {kerberos.REALM} = {{\n  kdc = {kdc.endpoint}\n }}\n",
        encoding="ascii",
    )
    monkeypatch.setenv("KRB5_CONFIG", str(path))
    desk = desk_with(section(place, kdc))
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []


# Keys


def test_a_keytab_whose_types_the_account_no_longer_has_is_told(kdc, place, desk_with) -> None:
    name = f"types@{kerberos.REALM}"
    kdc.admin(f"addprinc -randkey -e aes128-cts-hmac-sha1-96:normal {name}")
    path = kdc.folder / "types.keytab"
    kdc.admin(
        f"ktadd -k {path} -norandkey {name}",
        f"cpw -randkey -e aes256-cts-hmac-sha1-96:normal {name}",
    )
    key = keyfiles.parse_keytab(path.read_bytes())
    said = told(desk_with, section(place, kdc, key=key))
    assert "no key of an encryption type" in said
    assert "AES" in said
    assert "administrator of the directory" in said


@pytest.mark.parametrize("data", [keytab((kerberos.ACCOUNT, RC4)), b"\5\2", b"", b"garbage"])
def test_a_keytab_that_the_reader_would_refuse_is_no_ticket_either(
    kdc, place, desk_with, data
) -> None:
    said = told(desk_with, section(place, kdc, key=Keytab(kerberos.ACCOUNT, data)))
    assert "keytab" in said
    assert "administrator of the directory" in said


def test_no_key_of_a_keytab_is_in_a_message_or_a_traceback(kdc, place, desk_with) -> None:
    key = keyfiles.parse_keytab(keytab((kerberos.ACCOUNT, AES256)))
    desk = desk_with(section(place, kdc, key=key))
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


# A server that is restarted, and two of them


def test_a_server_that_is_restarted_is_negotiated_with_once_more(
    kdc, desk_with, tmp_path: Path
) -> None:
    def started(port: int = 0) -> contextlib.AbstractContextManager[bind.Bind]:
        return kerberos.bind_with_gss(tmp_path / "bind", kdc, [zone()], "localhost", port=port)

    with started() as server:
        desk = desk_with(section(server.endpoint, kdc))
        desk.put(txt_record(WWW, "one"))
    with started(server.endpoint.port) as again:
        desk.put(txt_record(WWW, "two"))
        assert again.txt(WWW) == ["two"]
        assert len([line for line in again.query_log() if " TKEY " in line]) == 1
        assert desk.withdraw_here() == []
        assert again.txt(WWW) == []


def test_a_context_at_its_end_is_made_anew(kdc, place, desk_with) -> None:
    with proxy.running(place) as between:
        desk = desk_with(through(place, kdc, between))
        desk.put(txt_record(WWW, "one"))
        contexts = desk.servers.signer.contexts
        [(where, found)] = contexts._established.items()
        contexts._established[where] = replace(found, until=time.monotonic() + 59)
        desk.put(txt_record(WWW, "two"))
        assert number_of_tkeys(between) == 2
        # Its time may be over between the look at the clock and the signature.
        contexts._established[where].key.secret.context._handle.value = None
        assert desk.withdraw_here() == []
        assert number_of_tkeys(between) == 3


def test_a_key_that_the_kdc_does_not_take_is_offered_once_in_a_process(
    kdc, place, desk_with
) -> None:
    """Active Directory locks an account after some attempts."""
    name = f"locked@{kerberos.REALM}"
    path = kdc.keytab(name, "locked.keytab")
    kdc.admin(f"cpw -randkey {name}", f"modprinc +requires_preauth {name}")
    desk = desk_with(section(place, kdc, key=keyfiles.parse_keytab(path.read_bytes())))
    said = {desk.refused(txt_record(WWW, value)) for value in ("one", "two", "three")}
    assert len(said) == 1
    log = (kdc.folder / "kdc.log").read_text("utf-8")
    failed = [line for line in log.splitlines() if name in line and "PREAUTH_FAILED" in line]
    assert len(failed) == 1, failed


def test_each_server_has_a_context_of_its_own(kdc, place, desk_with, tmp_path: Path) -> None:
    name = "elsewhere.univ-lyon1.test"
    text = zones.zone_text(name, {"ns1": "127.0.0.1"})
    other = zones.Zone(name, text, (f"grant {kerberos.ACCOUNT} zonesub TXT;",))
    with kerberos.bind_with_gss(tmp_path / "other", kdc, [other], f"ns1.{name}") as second:
        by_address = endpoint(second.endpoint)
        sections = (
            section(place, kdc),
            section(second.endpoint, kdc, servers=(by_address,), section=f"dns {name}", base=name),
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


# Somebody between this machine and the server, while a context is negotiated


def to_tkey(behave: proxy.Behaviour) -> proxy.Behaviour:
    """`behave` for TKEY; everything else passes."""

    def choose(query: proxy.Query, ask: proxy.Ask) -> proxy.Answer:
        is_tkey = query.message.question[0].rdtype == dns.rdatatype.TKEY
        return behave(query, ask) if is_tkey else ask()

    return choose


def flipped(query: proxy.Query, ask: proxy.Ask) -> bytes:
    """The server's answer with a bit of its token turned round."""
    wire = bytearray(ask())
    wire[len(wire) // 2] ^= 1
    return bytes(wire)


def number_of_tkeys(between: proxy.Proxy) -> int:
    kinds = [query.message.question[0].rdtype for query in between.queries]
    return kinds.count(dns.rdatatype.TKEY)


def through(place: ports.Endpoint, kdc: kerberos.Kdc, between: proxy.Proxy) -> DnsServer:
    here = replace(endpoint(between.endpoint), host="localhost")
    return section(place, kdc, servers=(here,))


def test_a_tkey_reply_without_a_signature_is_enough_for_its_token_is_signed(
    kdc, place, desk_with
) -> None:
    with proxy.running(place, to_tkey(proxy.unsigned)) as between:
        desk = desk_with(through(place, kdc, between))
        desk.put(txt_record(WWW, "one"))
        assert desk.withdraw() == []


@pytest.mark.parametrize(
    "behave",
    [
        flipped,
        proxy.wrong_id,
        proxy.garbled,
        proxy.cut_tcp,
        proxy.closed,
        proxy.refuse_with("SERVFAIL"),
        lambda query, ask: b"",
        lambda query, ask: query.wire,
        lambda query, ask: query.wire[:2] + b"\xff" * 40,
    ],
    ids=lambda behave: getattr(behave, "__name__", "answers"),
)
def test_whoever_spoils_a_negotiation_gains_a_failed_order(kdc, place, desk_with, behave) -> None:
    with proxy.running(place, to_tkey(behave)) as between:
        desk = desk_with(through(place, kdc, between))
        with pytest.raises(DnsError, match="localhost"):
            desk.publish(txt_record(WWW, "one"))
        assert between.count("UPDATE", "tcp") == 0
        between.behave = proxy.passed
        desk.put(txt_record(WWW, "two"))
        assert desk.withdraw_here() == []


def test_any_bytes_in_place_of_a_tkey_reply_fail_the_order_and_nothing_else(
    kdc, place, desk_with
) -> None:
    dice = random.Random(17)

    def spoil(query: proxy.Query, ask: proxy.Ask) -> bytes:
        wire = bytearray(ask())
        for _ in range(dice.randrange(1, 9)):
            wire[dice.randrange(2, len(wire))] = dice.randrange(256)
        return bytes(wire[: dice.randrange(len(wire) // 2, len(wire) + 1)])

    with proxy.running(place, to_tkey(spoil)) as between:
        desk = desk_with(through(place, kdc, between))
        for _ in range(60):
            with contextlib.suppress(DnsError):
                desk.publish(txt_record(WWW, "one"))
        between.behave = proxy.passed
        assert desk.withdraw() == []


# The library


def test_a_machine_without_the_library_is_told_its_package(
    kdc, place, desk_with, monkeypatch
) -> None:
    monkeypatch.setattr(libgssapi, "LIBRARY", "libnone.so.9")
    said = told(desk_with, section(place, kdc))
    assert "libnone.so.9 cannot be loaded" in said
    assert "libgssapi-krb5-2" in said
