"""What the user is told for each answer that BIND, Knot and PowerDNS really give."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.name
import pytest

from certbot_tcs_lyon1.department.settings import DnsServer, TsigKey
from certbot_tcs_lyon1.dns01 import challenge, update
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, Batch, Location, Refused
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import endpoint
from tests.lab import bind, knot, pdns, ports, process, proxy, zones
from tests.lab.errors import MissingProgram
from tests.lab.require import cannot_run, require_lab
from tests.lab.server import NameServer

KEY = zones.new_key("tcs-lyon1")
STRANGER = zones.new_key("stranger")  # the server knows it, and it may write nothing
HOSTS = {"ns1": "127.0.0.1"}
WWW = "_acme-challenge.www.x.test"
DENIED = "_acme-challenge.denied.x.test"
ZONES = (
    zones.Zone(
        "x.test",
        zones.zone_text(
            "x.test",
            HOSTS,
            zones.delegation("child", HOSTS)
            + "_acme-challenge.alias CNAME www\n*.wild CNAME www\nmoved DNAME y.test.\n"
            + "_acme-challenge.both CNAME t.y.test.\n*.both CNAME t.y.test.\n",
        ),
        (
            f"grant {KEY.name} name {WWW}. TXT;",
            f"grant {KEY.name} name _acme-challenge.alias.x.test. TXT;",
            f"grant {KEY.name} name _acme-challenge.host.wild.x.test. TXT;",
            f"grant {KEY.name} name _acme-challenge.www.child.x.test. TXT;",
        ),
    ),
    zones.Zone(
        "child.x.test",
        zones.zone_text("child.x.test", HOSTS),
        (f"grant {KEY.name} subdomain child.x.test. TXT;",),
    ),
    zones.Zone(
        "y.test",
        zones.zone_text("y.test", HOSTS),
        (f"grant {KEY.name} subdomain y.test. TXT;",),
    ),
)


@dataclass(frozen=True)
class Kind:
    """One kind of name server, and the words in which it says the same things."""

    name: str
    bad_key: str
    bad_secret: str
    bad_time: str
    no_right: str
    not_served: str


KINDS = {
    "bind": Kind("bind", "BADKEY", "BADSIG", "BADTIME", "REFUSED. The key may not", "NOTAUTH."),
    "knot": Kind("knot", "BADKEY", "BADSIG", "BADTIME", "BADKEY", "NOTAUTH, unsigned"),
    "pdns": Kind(*["pdns", *["REFUSED, unsigned. PowerDNS"] * 3, "REFUSED. The key", "NOTAUTH."]),
}


@dataclass(frozen=True)
class Served:
    """A name server that runs, and its kind."""

    kind: Kind
    server: NameServer

    @property
    def address(self) -> Address:
        here = self.server.endpoint
        return Address(here.address, here.port, here.address)

    def section(self, key: zones.Key = KEY, **changes: Any) -> DnsServer:
        here = endpoint(self.server.endpoint)
        made = TsigKey(key.name, key.algorithm, key.secret)
        values = {"servers": (here,), "zone": None, "check_servers": (here,), **changes}
        return DnsServer(base="", key=made, **values)

    def add(self, zone: str, name: str) -> str:
        """What an UPDATE of that zone, sent without looking where the name belongs, is told."""
        record = txt_record(name, "value")
        where = Location(dns.name.from_text(zone), self.address)
        with pytest.raises(Refused) as caught:
            update.add_records(Batch(where, self.section(), (record,), 0.0), Servers())
        return str(caught.value)


@pytest.fixture(scope="module", params=KINDS)
def served(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Each kind of server in turn, with the same zones and rights as far as it can."""
    require_lab()
    folder = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        here = ports.Endpoint("127.0.0.1", stack.enter_context(ports.claimed()))
        started = stack.enter_context(_start(request.param, folder, here))
        yield Served(KINDS[request.param], started)


def _start(kind: str, folder: Path, here: ports.Endpoint) -> Any:
    keys = [KEY, STRANGER]
    if kind == "bind":
        return bind.primary(folder, here, ZONES, keys)
    try:
        process.need("knotd", knot.PACKAGE)
        pdns.check_programs()
    except MissingProgram as error:
        cannot_run(str(error))
    if kind == "knot":
        names = ("www", "alias", "host.wild", "www.child")
        rights = [
            knot.challenges("x.test", KEY.name, *names),
            knot.Right("child.x.test", KEY.name),
            knot.Right("y.test", KEY.name),
        ]
        return knot.running(folder, here, ZONES, keys, rights)
    rights_by_zone = {zone.name: [KEY.name] for zone in ZONES}
    return pdns.running(folder, here, ZONES, keys, rights_by_zone)


def test_a_record_is_published_seen_and_withdrawn(served, desk_with):
    desk = desk_with(served.section())
    assert served.server.txt(WWW) == []  # so that a cached absence would show
    desk.put(txt_record(WWW, "value"))
    assert served.server.txt(WWW) == ["value"]
    assert desk.withdraw() == []
    assert served.server.txt(WWW) == []


def test_names_of_three_zones_are_six_updates(served, desk_with):
    with proxy.running(served.server.endpoint) as between:
        desk = desk_with(served.section(servers=(endpoint(between.endpoint),)))
        names = [f"_acme-challenge.{name}" for name in ("www.child.x.test", "www.y.test")]
        desk.publish(*(txt_record(name, "value") for name in (WWW, *names)))
        assert desk.withdraw() == []
        assert between.count("UPDATE") == 6


def test_where_a_cname_stands_nothing_is_dropped_without_a_word(served):
    assert "CNAME" in served.add("x.test", "_acme-challenge.alias.x.test")


def test_an_alias_is_followed(served, desk_with):
    message = desk_with(served.section(STRANGER)).refused(
        txt_record("_acme-challenge.alias.x.test", "value")
    )
    if served.kind.name == "knot":  # signs nothing for a key without rights
        assert "signs no answer" in message
    else:
        assert "grant stranger name www.x.test. TXT;" in message


def test_a_cname_from_a_wildcard_is_no_alias(served, desk_with):
    name = "_acme-challenge.host.wild.x.test"
    desk_with(served.section()).put(txt_record(name, "value"))
    assert served.server.txt(name) == ["value"]


def test_a_cname_beside_a_wildcard_with_the_same_target_is_followed(served, desk_with):
    desk = desk_with(served.section())
    desk.put(txt_record("_acme-challenge.both.x.test", "value"))
    assert served.server.txt("t.y.test") == ["value"]
    assert desk.withdraw() == []
    assert served.server.txt("t.y.test") == []


def test_a_key_whose_name_is_in_capitals_is_the_same_key(served, desk_with):
    key = zones.Key(KEY.name.upper(), KEY.algorithm, KEY.secret)
    desk = desk_with(served.section(key))
    desk.put(txt_record(WWW, "value"))
    assert served.server.txt(WWW) == ["value"]
    assert desk.withdraw() == []


def test_under_a_dname_the_record_is_found_where_the_server_says(served, desk_with):
    name = "_acme-challenge.www.moved.x.test"
    follows = served.kind.name != "pdns"  # by default PowerDNS takes no notice of a DNAME
    desk_with(served.section()).put(txt_record(name, "value"))
    assert served.server.txt("_acme-challenge.www.y.test" if follows else name) == ["value"]


def test_the_record_goes_into_the_deepest_zone(served, desk_with):
    desk = desk_with(served.section())
    [batch] = desk.publish(txt_record("_acme-challenge.www.child.x.test", "value"))
    assert batch.zone.to_text() == "child.x.test."
    desk.confirm([batch])


def test_a_record_put_into_the_parent_of_its_zone_is_missed_and_explained(served, desk_with):
    desk = desk_with(served.section(zone="x.test"))
    with pytest.raises(DnsError) as caught:
        desk.put(txt_record("_acme-challenge.www.child.x.test", "value"))
    assert "lies in the zone child.x.test (a zone cut)" in str(caught.value)


def test_a_zone_that_is_not_served_is_told(served, desk_with):
    message = desk_with(served.section()).refused(txt_record("_acme-challenge.z.test", "value"))
    assert "does not serve a zone for _acme-challenge.z.test" in message
    assert served.kind.not_served in served.add("z.test", "_acme-challenge.z.test")


def test_a_record_outside_the_zone_is_told(served):
    expected = "BADKEY" if served.kind.name == "knot" else "NOTZONE"  # Knot: the rights come first
    assert expected in served.add("x.test", "_acme-challenge.y.test")


def test_a_key_without_the_right_is_told_what_to_ask_for(served, desk_with):
    left = served.kind.name == "knot"  # which signs nothing for a key without rights
    message = desk_with(served.section(STRANGER)).refused(txt_record(WWW, "value"), left=left)
    assert served.kind.no_right in message
    assert f"grant stranger name {WWW}. TXT;" in message
    assert f'update-owner-name: ["{WWW}."]' in message


@pytest.mark.parametrize("served", ["bind"], indirect=True)
def test_a_key_that_may_write_none_of_several_names_is_told_once_with_all_of_them(
    served, desk_with
):
    names = (WWW, DENIED)
    told = desk_with(served.section(STRANGER)).refused(*(txt_record(n, "value") for n in names))
    assert told.count("REFUSED. The key may not write a name") == 1
    assert all(f"grant stranger name {name}. TXT;" in told for name in names)


# In PowerDNS a key has rights for whole zones.
@pytest.mark.parametrize("served", ["bind", "knot"], indirect=True)
def test_of_a_refused_batch_the_names_without_a_right_are_told(served, desk_with):
    message = desk_with(served.section()).refused(
        txt_record(WWW, "value"), txt_record(DENIED, "value")
    )
    assert "1 of 2 records" in message
    assert f"  {DENIED}: " in message
    assert served.server.txt(WWW) == []


@pytest.mark.parametrize("served", ["bind"], indirect=True)
def test_a_name_that_was_taken_in_a_search_for_the_refused_one_stays_in_the_journal(
    served, desk_with
):
    """The path makes a refusal of it, which nobody has signed."""

    def lie(query: proxy.Query, ask: Any) -> Any:
        reply = ask()
        if query.opcode == "UPDATE" and b"denied" not in query.wire:
            return proxy.refuse_with("REFUSED")(query, ask)
        return reply

    with proxy.running(served.server.endpoint) as between:
        desk = desk_with(served.section(servers=(endpoint(between.endpoint),)))
        between.behave = lie
        desk.refused(txt_record(WWW, "value"), txt_record(DENIED, "value"), left=True)
        between.behave = proxy.passed
        assert desk.withdraw_here() == []
    assert served.server.txt(WWW) == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (zones.new_key("nobody"), "bad_key"),
        (zones.Key(KEY.name, "hmac-sha512", KEY.secret), "bad_key"),
        (zones.Key(KEY.name, KEY.algorithm, "d3Jvbmc="), "bad_secret"),
    ],
    ids=["unknown name", "other algorithm", "wrong secret"],
)
def test_a_key_that_is_not_the_servers_is_told(served, desk_with, key, expected):
    message = desk_with(served.section(key)).refused(txt_record(WWW, "value"), left=1)
    assert getattr(served.kind, expected) in message
    assert key.secret not in message


@pytest.mark.parametrize("shift", [-1000, 1000])
def test_a_clock_that_is_wrong_is_told_with_the_difference(served, desk_with, monkeypatch, shift):
    desk = desk_with(served.section())
    batches = desk.plan(txt_record(WWW, "value"))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + shift)
    with pytest.raises(DnsError) as caught:
        challenge.publish(batches, desk.journal_path, desk.servers)
    message = str(caught.value)
    assert served.kind.bad_time in message
    if served.kind.name != "pdns":
        side = "ahead of" if shift > 0 else "behind"
        assert any(f"{1000 + off} s {side} the server's" in message for off in (-1, 0, 1))


# PowerDNS does not freeze zones.
@pytest.mark.parametrize("served", ["bind", "knot"], indirect=True)
def test_a_frozen_zone_is_told(served, desk_with):
    desk = desk_with(served.section())
    with frozen(served.server):
        assert "a frozen zone" in desk.refused(txt_record(WWW, "value"))


@contextlib.contextmanager
def frozen(server: Any) -> Iterator[None]:
    """The zone x.test takes no updates meanwhile."""
    if isinstance(server, bind.Bind):
        call, freeze, thaw = server.rndc, ["freeze"], ["thaw"]
    else:
        call, freeze, thaw = server.control, ["-b", "zone-freeze"], ["-b", "zone-thaw"]
    call(*freeze, "x.test")
    try:
        yield
    finally:
        call(*thaw, "x.test")


def test_a_secondary_is_no_update_server(lab, desk_with):
    from tests.dns01.conftest import WWW as challenge_name
    from tests.dns01.conftest import dns_section

    section = dns_section(lab, servers=(endpoint(lab.secondary.endpoint),))
    message = desk_with(section).refused(txt_record(challenge_name, "value"), left=1)
    assert str(lab.secondary.endpoint) in message
