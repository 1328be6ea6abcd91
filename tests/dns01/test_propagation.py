"""Waiting for the name servers of a zone: as long as needed, and no longer."""

from __future__ import annotations

import logging
import subprocess
import sys

import dns.name
import pytest

from certbot_tcs_lyon1.department.settings import Endpoint
from certbot_tcs_lyon1.dns01 import nameservers, propagation
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, Location, TxtRecord
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, dns_section, endpoint
from tests.lab import bind, namespace, ports, zones
from tests.lab import lab as lab_module
from tests.lab.require import require_lab, require_namespace, require_root

TXT = txt_record(WWW, "value")


def address(of: ports.Endpoint) -> Address:
    return Address(of.address, of.port, of.address)


@pytest.fixture
def stale_lab(tmp_path):
    """A lab whose primary never tells its secondary."""
    require_lab()
    with lab_module.start(tmp_path, notify_delay=bind.NEVER) as running:
        yield running


def test_a_name_server_that_stays_stale_is_named_with_its_answer_at_the_deadline(
    stale_lab, desk_with
):
    desk = desk_with(dns_section(stale_lab, propagation_seconds=1))
    batches = desk.publish(txt_record(WWW, "value"))
    with pytest.raises(DnsError) as caught:
        desk.confirm(batches)
    message = str(caught.value)
    assert f"{address(stale_lab.secondary.endpoint)}: stale (no such name: {WWW})" in message
    assert desk.withdraw() == []
    assert stale_lab.primary.txt(WWW) == []


def test_the_wait_ends_when_the_last_name_server_has_the_record(stale_lab, desk_with):
    desk = desk_with(dns_section(stale_lab))
    batches = desk.publish(txt_record(WWW, "value"))
    said = []

    def say(warning: DnsError) -> None:  # after 3 s of waiting: only now the secondary learns of it
        said.append(str(warning))
        stale_lab.secondary.rndc("refresh", ZONE)

    reports = propagation.wait_until_everywhere(
        [address(stale_lab.primary.endpoint), address(stale_lab.secondary.endpoint)],
        batches[0].records,
        desk.servers,
        batches[0].end,
        say,
    )
    assert [report.state for report in reports] == [State.HAS_IT, State.HAS_IT]
    assert str(address(stale_lab.secondary.endpoint)) in said[0]
    assert str(address(stale_lab.primary.endpoint)) not in said[0]


def test_a_dead_name_server_draws_a_warning_and_holds_nothing_up(lab, desk_with, caplog):
    with ports.claimed() as port:
        section = dns_section(lab)
        config = dns_section(
            lab, check_servers=(*section.check_servers, Endpoint("127.0.0.1", port))
        )
        desk = desk_with(config)
        batches = desk.publish(txt_record(WWW, "value"))
        with caplog.at_level(logging.WARNING):
            desk.confirm(batches)
    [record] = caplog.records
    assert f"127.0.0.1:{port}" in record.getMessage()
    assert "unreachable" in record.getMessage()


def test_a_server_that_does_not_serve_the_zone_is_named_as_lame(lab, desk_with, caplog, tmp_path):
    other = zones.Zone("other.test", zones.zone_text("other.test", {"ns1": "127.0.0.1"}))
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(tmp_path, here, [other], []):
            config = dns_section(
                lab, check_servers=(*dns_section(lab).check_servers, endpoint(here))
            )
            desk = desk_with(config)
            batches = desk.publish(txt_record(WWW, "value"))
            with caplog.at_level(logging.WARNING):
                desk.confirm(batches)
    [record] = caplog.records
    assert "lame: REFUSED" in record.getMessage()


def test_the_addresses_of_the_name_servers_come_from_the_update_server(lab):
    if not lab.same_port:
        pytest.skip("this machine has no IPv6 loopback")
    zone = Location(dns.name.from_text(ZONE), address(lab.primary.endpoint))
    assert sorted(map(str, nameservers.addresses(zone, Servers()))) == [
        f"ns1.{ZONE} (127.0.0.1)",
        f"ns2.{ZONE} ([::1])",
    ]


def test_a_name_server_elsewhere_is_found_as_this_system_resolves_it(lab):
    with lab.holding("univ-lyon1.test", ("@", 300, "NS", "localhost.")):
        zone = Location(dns.name.from_text("univ-lyon1.test"), address(lab.primary.endpoint))
        found = nameservers.addresses(zone, Servers())
    assert Address("127.0.0.1", 53, "localhost") in found


def test_a_record_among_others_at_its_name_is_seen_and_another_value_is_stale(lab, desk):
    desk.publish(txt_record(WWW, "value"))
    here = address(lab.primary.endpoint)
    assert propagation.poll(here, [TXT], desk.servers).state is State.HAS_IT
    other = propagation.poll(here, [TxtRecord(TXT.name, "other")], desk.servers)
    assert (other.state, other.answer) == (State.STALE, f"other records at {WWW}")


def test_many_values_at_one_name_are_read_by_tcp_when_udp_is_too_small(lab, desk):
    records = [txt_record(WWW, f"{number:043}") for number in range(40)]
    batches = desk.publish(*records)
    desk.confirm(batches)
    assert len(lab.secondary.txt(WWW)) == 40


def test_with_no_options_every_address_of_every_name_server_is_polled_on_port_53():
    require_lab()
    require_namespace()
    require_root("in a user's namespace the folders from / down are nobody's, and refused")
    done = subprocess.run(
        namespace.command([sys.executable, "-m", "tests.dns01.port53"]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
