"""Update servers that are not a primary which answers at once, and what is told of them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certbot_tcs_lyon1.department.settings import DnsServer, TsigKey
from certbot_tcs_lyon1.dns01 import nameservers
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.alone import alone
from tests.dns01.conftest import WWW, ZONE, dns_section, endpoint
from tests.lab import bind, knot, ports, process, proxy, zones
from tests.lab.errors import MissingProgram
from tests.lab.require import cannot_run, require_lab

KEY = zones.new_key("tcs-lyon1")
X = zones.Zone(
    "x.test",
    zones.zone_text("x.test", {"ns1": "127.0.0.1"}),
    (f"grant {KEY.name} subdomain x.test. TXT;",),
)
NAME = "_acme-challenge.www.x.test"


def section(*servers: ports.Endpoint, **changes: Any) -> DnsServer:
    """A `[dns]` section with these update servers."""
    key = TsigKey(KEY.name, KEY.algorithm, KEY.secret)
    return DnsServer("", tuple(map(endpoint, servers)), key, **{"zone": None, **changes})


@pytest.fixture
def here() -> Iterator[ports.Endpoint]:
    """A place for a name server."""
    require_lab()
    with ports.claimed() as port:
        yield ports.Endpoint("127.0.0.1", port)


def test_a_secondary_that_forwards_updates_is_waited_for(here, tmp_path, desk_with):
    with contextlib.ExitStack() as stack:
        there = ports.Endpoint("127.0.0.1", stack.enter_context(ports.claimed()))
        primary = stack.enter_context(
            bind.primary(tmp_path / "one", here, [X], [KEY], [there], notify_delay=1)
        )
        forwards = "allow-update-forwarding { any; };"
        stack.enter_context(
            bind.secondary(tmp_path / "two", there, ["x.test"], here, options=forwards)
        )
        desk = desk_with(section(there, check_servers=(endpoint(there),)))
        desk.put(txt_record(NAME, "one"))
        desk.put(txt_record(NAME, "two"))  # not within BIND's first NOTIFY
        assert primary.txt(NAME) == ["one", "two"]
        assert desk.withdraw() == []
        assert primary.txt(NAME) == []


@pytest.fixture
def hidden(here: ports.Endpoint, tmp_path: Path) -> Iterator[ports.Endpoint]:
    """A Knot that takes updates at one address and, by mod-queryacl, answers queries at another
    only, which stands for its secondaries."""
    try:
        process.need("knotd", knot.PACKAGE)
    except MissingProgram as error:
        cannot_run(str(error))
    rights = [knot.Right("x.test", KEY.name)]
    with knot.running(tmp_path, here, [X], [KEY], rights, more_addresses=["127.0.0.2"]) as server:
        config = tmp_path / "knot.conf"
        only = "mod-queryacl:\n  - id: hidden\n    interface: 127.0.0.2\n"
        text = config.read_text("utf-8")
        zone = "    file: x.test.zone\n"
        text = text.replace(zone, f"{zone}    module: mod-queryacl/hidden\n")
        config.write_text(f"{only}{text}", encoding="utf-8")
        server.control("reload")
        yield ports.Endpoint("127.0.0.2", here.port)


def test_a_hidden_primary_that_answers_no_query_is_enough_with_zone_and_check_servers(
    here, hidden, desk_with
):
    desk = desk_with(section(here, zone="x.test", check_servers=(endpoint(hidden),)))
    desk.put(txt_record(NAME, "value"))
    assert desk.withdraw() == []
    assert desk.journal() == []


def test_a_hidden_primary_without_zone_and_check_servers_is_told_what_to_write(
    here, hidden, desk_with
):
    message = desk_with(section(here)).refused(txt_record(NAME, "value"))
    assert "NOTAUTH" in message
    assert "`zone` and `check_servers`" in message


def test_an_address_whose_udp_and_tcp_end_at_different_servers_is_waited_for(lab, desk_with):
    def apart(query: proxy.Query, ask: Any) -> Any:
        if query.transport == proxy.TCP:
            return ask()
        where = lab.secondary.endpoint
        family = socket.AF_INET6 if ":" in where.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as other:
            other.sendto(query.wire, (where.address, where.port))
            other.settimeout(5)
            return other.recv(65535)

    with proxy.running(lab.primary.endpoint, apart) as between:
        here = endpoint(between.endpoint)
        desk = desk_with(dns_section(lab, servers=(here,), check_servers=(here,)))
        desk.put(txt_record(WWW, "value"))
        assert lab.secondary.txt(WWW) == ["value"]
        assert desk.withdraw() == []


def test_a_zone_that_is_not_loaded_is_told_and_no_firewall_is_blamed(here, tmp_path, desk_with):
    with bind.primary(tmp_path, here, [X], [KEY]) as server:
        with (tmp_path / "named.conf").open("a", encoding="utf-8") as config:
            config.write('zone "y.test" { type primary; file "no-such-file"; };\n')
        server.rndc("reconfig")
        message = desk_with(section(here)).refused(txt_record("_acme-challenge.y.test", "value"))
    assert "SERVFAIL: the zone is not loaded or has expired there" in message
    assert "firewall" not in message


def test_a_journal_that_bind_cannot_write_is_told_and_no_firewall_is_blamed(
    here, tmp_path, desk_with
):
    with bind.primary(tmp_path, here, [X], [KEY]):
        (tmp_path / "x.test.zone.jnl").mkdir()
        message = desk_with(section(here)).refused(txt_record(NAME, "value"), left=1)
        assert "SERVFAIL" in message
        assert "BIND can't write its journal" in message
        assert "firewall" not in message


UNBOUND = """\
server:
  directory: "{folder}"
  interface: {address}@{port}
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." nodefault
  {server}
remote-control:
  control-enable: no
{more}
"""


@contextlib.contextmanager
def unbound(folder: Path, at: ports.Endpoint, server: str = "", more: str = "") -> Iterator[None]:
    """unbound, with further lines of its section `server`, and further sections."""
    try:
        program = process.need("unbound", "unbound")
    except MissingProgram as error:
        cannot_run(str(error))
    text = UNBOUND.format(folder=folder, address=at.address, port=at.port, server=server, more=more)
    (folder / "unbound.conf").write_text(text, encoding="utf-8")
    command = [program, "-d", "-c", str(folder / "unbound.conf")]
    started = process.start("unbound", command, folder, folder / "unbound.log")
    with process.running(started):
        process.wait_ready(started, lambda: ports.listens(at))
        yield


def test_a_server_that_takes_no_updates_is_told_and_no_firewall_is_blamed(
    here, tmp_path, desk_with
):
    soa = 'local-data: "x.test. SOA ns1.x.test. h.x.test. 1 1 1 1 1"'
    with unbound(tmp_path, here, f'local-zone: "x.test." static\n  {soa}'):
        message = desk_with(section(here)).refused(txt_record(NAME, "value"), left=1)
    assert "NOTIMP: it takes no dynamic updates; name the primary" in message
    assert "firewall" not in message


def test_a_resolver_among_check_servers_is_named_as_one(lab, here, tmp_path, desk_with):
    source = lab.secondary.endpoint
    stub = f"stub-zone:\n  name: {ZONE}\n  stub-addr: {source.address}@{source.port}\n"
    told: list[str] = []
    with unbound(tmp_path, here, more=stub):
        both = (*dns_section(lab).check_servers, endpoint(here))
        desk = desk_with(dns_section(lab, check_servers=both))
        desk.put(txt_record(WWW, "value"), warn=told.append)
    [warning] = told
    assert str(here.port) in warning
    assert "it is a resolver" in warning
    assert "check_servers" in warning


def test_a_resolver_among_the_zones_name_servers_is_told_to_the_administrator(
    lab, here, tmp_path, desk_with, monkeypatch
):
    """As where an NS record leads to a machine that is now but a cache."""
    monkeypatch.setattr(nameservers, "PORT", here.port)
    text = zones.zone_text("x.test", {"ns1": "127.0.0.1", "ns2": "127.0.0.2"})
    stub = f"stub-zone:\n  name: x.test\n  stub-addr: 127.0.0.1@{here.port}\n"
    told: list[str] = []
    with (
        bind.primary(tmp_path / "bind", here, [zones.Zone("x.test", text, X.policy)], [KEY]),
        unbound(tmp_path, ports.Endpoint("127.0.0.2", here.port), more=stub),
    ):
        desk = desk_with(section(here))
        desk.put(txt_record(NAME, "value"), warn=told.append)
        assert desk.withdraw() == []
    [warning] = told
    assert "it is a resolver" in warning
    assert "Tell the DNS administrator" in warning


def test_where_no_zone_is_found_above_an_alias_that_a_wildcard_may_have_made_that_is_told(
    here, tmp_path, desk_with
):
    """A root zone of one's own, with a wildcard for all that does not exist."""
    root = zones.Zone(".", zones.zone_text("", {"ns1": "127.0.0.1"}, "* CNAME www\n"))
    with bind.primary(tmp_path, here, [root], [KEY]):
        told = desk_with(section(here)).refused(txt_record("_acme-challenge.nowhere", "value"))
    assert "No zone of _acme-challenge.nowhere can be found at 127.0.0.1" in told


def test_a_name_server_without_an_address_is_told_and_holds_nothing_up(lab, desk_with, monkeypatch):
    monkeypatch.setattr(nameservers, "PORT", lab.primary.endpoint.port)
    told: list[str] = []
    with lab.holding(ZONE, ("@", 300, "NS", "ns9.invalid.")):
        section = dns_section(lab, check_servers=())
        desk = desk_with(section)
        desk.put(txt_record(WWW, "value"), warn=told.append)
    [warning] = [line for line in told if "ns9.invalid" in line]
    assert "has no address here" in warning
    assert ZONE in warning


@alone
def test_without_ipv6_the_name_servers_that_have_nothing_else_are_told_in_one_line(
    here, tmp_path, desk_with, monkeypatch
):
    monkeypatch.setattr(nameservers, "PORT", here.port)
    more = "".join(f"ns{n} AAAA 2001:db8::{n}\n" for n in (1, 2, 3)) + "@ NS ns2\n@ NS ns3\n"
    zone = zones.Zone("x.test", zones.zone_text("x.test", {"ns1": "127.0.0.1"}, more), X.policy)
    told: list[str] = []
    with bind.primary(tmp_path, here, [zone], [KEY]):
        desk = desk_with(section(here))
        desk.put(txt_record(NAME, "value"), warn=told.append)
        assert desk.withdraw() == []
    [line] = told
    assert "no IPv6" in line
    assert "ns2.x.test" in line
    assert "ns3.x.test" in line
    assert "ns1" not in line  # seen by IPv4
    assert "DNS administrator" not in line


def test_a_record_that_only_the_keys_view_shows_is_told_at_the_deadline(
    lab, here, tmp_path, desk_with
):
    """A name server with views: one for who signs, in which the record is, and one for others."""
    key = zones.Key(lab.key.name, lab.key.algorithm, lab.key.secret)
    zone = zones.Zone(ZONE, zones.zone_text(ZONE, {"ns1": "127.0.0.1"}), lab_policy(key))
    with bind.primary(tmp_path, here, [zone], [key]) as server:
        config = tmp_path / "named.conf"
        text = config.read_text("utf-8")
        start = text.index(f'zone "{ZONE}"')
        (tmp_path / "other").write_text(zone.text, encoding="utf-8")
        views = (
            f'view "signed" {{ match-clients {{ key "{key.name}"; }}; {text[start:]} }};\n'
            f'view "others" {{ zone "{ZONE}" {{ type primary; file "other"; }}; }};\n'
        )
        config.write_text(text[:start] + views, encoding="utf-8")
        server.rndc("reconfig")
        desk = desk_with(
            dns_section(
                lab,
                servers=(endpoint(here),),
                check_servers=(endpoint(here),),
                propagation_seconds=1,
            )
        )
        with pytest.raises(DnsError) as caught:
            desk.put(txt_record(WWW, "value"))
        assert "the key: it has views. See check_servers." in str(caught.value)
        assert desk.withdraw() == []


def lab_policy(key: zones.Key) -> tuple[str, ...]:
    return (f"grant {key.name} subdomain {ZONE}. TXT;",)
