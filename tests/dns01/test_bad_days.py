"""What a name server, or the way to it, costs on a bad day, and that it still succeeds.

Time-outs are a tenth of the real ones where time is of no account; where it is, the real ones.
"""

from __future__ import annotations

import dataclasses
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from certbot_tcs_lyon1.dns01 import nameservers
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.queries import Servers, Timing
from certbot_tcs_lyon1.dns01.records import Address
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.alone import alone
from tests.dns01.conftest import WWW, ZONE, Desk, dns_section, endpoint
from tests.lab import bind, ports, proxy, zones
from tests.lab.require import require_lab

TENTH = Timing(*(second / 10 for second in dataclasses.astuple(Timing())))


@pytest.fixture
def servers() -> Servers:
    """A tenth of all time-outs, but for how long a silent server is known to be one."""
    return Servers(replace(TENTH, silence=Timing().silence))


@pytest.fixture
def black_hole() -> Iterator[Address]:
    """An address that drops everything: UDP is never read, and no TCP connection comes about."""
    with ports.claimed() as port, socket.socket() as tcp, socket.socket() as one:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as two:
            for held in (udp, tcp):
                held.bind(("127.0.0.1", port))
            tcp.listen(0)
            for filling in (one, two):  # the queue of those that nobody accepts
                filling.setblocking(False)
                filling.connect_ex(("127.0.0.1", port))
            yield Address("127.0.0.1", port, "127.0.0.1")


def seconds_of(work: Any, *args: Any, **options: Any) -> float:
    start = time.monotonic()
    work(*args, **options)
    return time.monotonic() - start


def names(count: int) -> list[Any]:
    return [txt_record(f"_acme-challenge.host{n}.{ZONE}", "value") for n in range(count)]


def test_an_update_server_that_answers_each_query_in_a_quarter_of_a_second_is_no_fault(
    lab, between, desk_with
):
    between.behave = proxy.after(0.25)
    here = endpoint(between.endpoint)
    desk = desk_with(dns_section(lab, servers=(here,), check_servers=()))
    [batch] = desk.publish(*names(3))
    found = nameservers.addresses(batch.location, desk.servers)
    servers = (lab.primary.endpoint, lab.secondary.endpoint)
    assert {place.ip for place in found} == {server.address for server in servers}
    desk = replace(desk, settings=replace(desk.settings, dns=(dns_section(lab, servers=(here,)),)))
    desk.confirm([replace(batch, section=desk.settings.dns[0])])
    assert desk.withdraw_here() == []


@pytest.mark.parametrize("hidden", [False, True], ids=["primary", "hidden primary"])
def test_an_update_server_that_needs_sixteen_seconds_for_an_update_is_no_fault(
    lab, between, desk_with, hidden
):
    slow, dumb = proxy.after(1.6), proxy.silent if hidden else proxy.passed
    between.behave = lambda query, ask: (slow if query.opcode == "UPDATE" else dumb)(query, ask)
    section = dns_section(lab, servers=(endpoint(between.endpoint),), zone=ZONE if hidden else None)
    desk = desk_with(section)
    desk.put(txt_record(WWW, "value"))
    assert lab.secondary.txt(WWW) == ["value"]
    assert desk.withdraw_here() == []


def test_what_a_killed_run_left_at_such_a_server_is_withdrawn_when_it_has_answered(
    lab, between, desk_with
):
    between.behave = proxy.only(proxy.after(1.0), opcode="UPDATE")
    desk = desk_with(dns_section(lab, servers=(endpoint(between.endpoint),)))
    desk.publish(txt_record(WWW, "killed"))
    later = replace(desk, servers=Servers(desk.servers.timing))
    assert len(later.withdraw_here()) == 1  # the server is unknown, and gets 4 s
    later.put(txt_record(WWW, "value"))
    assert later.withdraw_here() == []
    assert lab.primary.txt(WWW) == []


def test_propagation_seconds_bounds_the_whole(lab, between, desk_with):
    between.behave = proxy.only(proxy.silent, opcode="UPDATE")
    section = dns_section(lab, servers=(endpoint(between.endpoint),), propagation_seconds=1)
    desk = replace(desk_with(section), servers=Servers())

    def publish() -> None:
        with pytest.raises(DnsError, match="no answer in time"):
            desk.publish(txt_record(WWW, "value"))

    assert 1 <= seconds_of(publish) < 2
    between.behave = proxy.passed


def test_of_a_zone_with_many_names_one_answer_is_asked_for_signed(lab, between, desk_with):
    desk = desk_with(dns_section(lab, servers=(endpoint(between.endpoint),)))
    [batch] = desk.plan(*names(20))
    assert len(batch.records) == 20
    asked = {(query.name, query.signed) for query in between.queries}  # a lost one is asked again
    assert (len(asked), sum(signed for _, signed in asked)) == (21, 1)


def test_of_ten_lineages_the_first_waits_for_a_dead_name_server(lab, black_hole, desk_with):
    checked = (*dns_section(lab).check_servers, endpoint(_as_lab(black_hole)))
    desk = replace(desk_with(dns_section(lab, check_servers=checked)), servers=Servers())
    told: list[str] = []
    first = seconds_of(desk.put, txt_record(WWW, "0"), warn=told.append)
    assert 2.8 <= first < 5
    rest = [seconds_of(desk.put, txt_record(WWW, str(n)), warn=told.append) for n in range(1, 10)]
    assert sum(rest) < first + 3
    assert len(set(told)) == 1  # and the process says nothing twice
    assert "unreachable" in told[0]


def _as_lab(address: Address) -> ports.Endpoint:
    return ports.Endpoint(address.ip, address.port)


def test_a_zone_is_asked_again_before_it_is_given_up(lab, between, desk_with):
    dead = endpoint(between.endpoint)
    both = dns_section(lab, check_servers=(*dns_section(lab).check_servers, dead))
    alone = dns_section(lab, check_servers=(dead,))
    desk = desk_with(both)
    between.behave = proxy.silent
    desk.put(txt_record(WWW, "one"))
    between.behave = proxy.passed
    told: list[str] = []
    again = replace(desk, settings=replace(desk.settings, dns=(alone,)))
    again.put(txt_record(WWW, "two"), warn=told.append)
    assert told == []


def test_without_any_name_server_the_first_of_ten_lineages_waits_long_and_says_so_once(
    lab, black_hole, desk_with
):
    section = dns_section(lab, check_servers=(endpoint(_as_lab(black_hole)),))
    desk = desk_with(section)
    timing = replace(desk.servers.timing, connect=0.2, blind=1.0, blind_again=0.1)
    desk = replace(desk, servers=Servers(timing))
    told: list[str] = []
    took = [seconds_of(desk.put, txt_record(WWW, str(n)), warn=told.append) for n in range(10)]
    assert 1.0 <= took[0] < 3.0
    assert all(0.1 <= seconds < 1.0 for seconds in took[1:])  # BIND's secondaries need some, too
    assert sum("instead" in line for line in told) == 1


@alone
def test_a_silent_resolver_costs_three_seconds_once_and_is_told(
    lab, tmp_path, desk_with, monkeypatch
):
    monkeypatch.setattr(nameservers, "PORT", lab.primary.endpoint.port)
    with open("/etc/resolv.conf", encoding="ascii") as file:
        given = [line.split()[1] for line in file if line.startswith("nameserver")]
    resolver = given[0] if given else "127.0.0.1"
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    subprocess.run(["ip", "address", "add", resolver, "dev", "lo"], check=False)
    lab.edit(ZONE, add=[("@", 300, "NS", "ns9.elsewhere.example.")])
    told: list[str] = []
    with socket.socket(family, socket.SOCK_DGRAM) as silent:
        silent.bind((resolver, 53))
        desk = replace(desk_with(dns_section(lab, check_servers=())), servers=Servers())
        took = [seconds_of(desk.put, txt_record(WWW, str(n)), warn=told.append) for n in range(3)]
    assert 3 <= took[0] < 4
    assert sum(took[1:]) < 1
    assert len(set(told)) == 1
    assert "ns9.elsewhere.example has no address here: this machine's resolver is silent" in told[0]
    assert "/etc/resolv.conf" in told[0]


def test_entries_that_cannot_be_delivered_cost_their_time_once(lab, between, desk_with):
    here = endpoint(between.endpoint)
    desk = desk_with(dns_section(lab, servers=(here,)))
    for n in range(4):
        desk.publish(txt_record(WWW, str(n)))
    between.behave = proxy.silent
    asked = between.count("UPDATE")
    process = replace(desk, servers=Servers(desk.servers.timing))
    assert len(process.withdraw_here()) == 4
    for _ in range(6):
        assert process.withdraw_here() == []
    assert between.count("UPDATE") == asked + 1
    between.behave = proxy.passed
    assert desk.withdraw() == []


def test_a_server_that_limits_its_rate_shows_every_record(tmp_path, desk_with):
    require_lab()
    key = zones.new_key("tcs-lyon1")
    zone = zones.Zone(
        ZONE,
        zones.zone_text(ZONE, {"ns1": "127.0.0.1"}),
        (f"grant {key.name} subdomain {ZONE}. TXT;",),
    )
    limit = "rate-limit { responses-per-second 5; };"
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(tmp_path, here, [zone], [key], options=limit) as server:
            desk = _desk(desk_with, key, here)
            took = seconds_of(desk.put, *names(50))
            assert took < 9
            assert all(server.txt(f"_acme-challenge.host{n}.{ZONE}") for n in range(50))
            assert desk.withdraw() == []


def _desk(desk_with: Any, key: zones.Key, here: ports.Endpoint) -> Desk:
    from certbot_tcs_lyon1.department.settings import DnsServer, TsigKey

    there = (endpoint(here),)
    made = TsigKey(key.name, key.algorithm, key.secret)
    section = DnsServer("", there, made, None, check_servers=there)
    return replace(desk_with(section), servers=Servers())


def lossy(share: float, seed: int) -> proxy.Behaviour:
    """Over UDP this share of the packets is lost, each way; the same for the same seed."""
    chance, lock = random.Random(seed), threading.Lock()  # noqa: S311

    def lose(query: proxy.Query, ask: proxy.Ask) -> proxy.Answer:
        with lock:
            there, back = chance.random() < share, chance.random() < share
        if query.transport == proxy.TCP:
            return ask()
        if there:
            return proxy.SILENCE
        reply = ask()
        return proxy.SILENCE if back else reply

    return lose


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("count", "most"), [(1, 3), (20, 6)])
def test_where_a_third_of_the_packets_is_lost_no_record_is_missed(
    lab, desk_with, seed, count, most
):
    with (
        proxy.running(lab.primary.endpoint, lossy(0.3, seed)) as one,
        proxy.running(lab.secondary.endpoint, lossy(0.3, seed + 100)) as two,
    ):
        both = (endpoint(one.endpoint), endpoint(two.endpoint))
        desk = desk_with(dns_section(lab, servers=both[:1], check_servers=both))
        desk = replace(desk, servers=Servers())
        told: list[str] = []
        assert seconds_of(desk.put, *names(count), warn=told.append) < most
        assert told == []
        assert desk.withdraw() == []
