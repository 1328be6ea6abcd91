"""CNAME and DNAME at or above the challenge's name, on BIND."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, dns_section
from tests.lab.lab import Lab

PARENT = "univ-lyon1.test"
#: Where the challenges go: a part of the zone in which the key may write each TXT.
ACME = f"acme.{ZONE}"
CHALLENGE = f"_acme-challenge.web.{PARENT}"
UPPER = [
    ("_acme-challenge.web", 60, "CNAME", f"web.{ACME}."),
    ("_acme-challenge.far", 60, "CNAME", f"hop1.{ZONE}."),
    ("_acme-challenge.loop", 60, "CNAME", "_acme-challenge.pool"),
    ("_acme-challenge.pool", 60, "CNAME", "_acme-challenge.loop"),
    ("_acme-challenge.out", 60, "CNAME", "somewhere.elsewhere.test."),
    ("_acme-challenge.denied", 60, "CNAME", f"denied.{PARENT}."),
    ("*.www", 60, "CNAME", "www"),
    ("moved", 60, "DNAME", f"{ACME}."),
]
LOWER = [("hop1", 60, "CNAME", "hop2"), ("hop2", 60, "CNAME", f"far.{ACME}.")]


@pytest.fixture(scope="module", autouse=True)
def _aliases(lab: Lab) -> Iterator[None]:
    """Aliases of all kinds, that lead to the zone for challenges, or elsewhere."""
    with lab.holding(PARENT, *UPPER), lab.holding(ZONE, *LOWER):
        yield


def test_the_record_goes_to_the_end_of_an_alias(lab, desk):
    desk.put(txt_record(CHALLENGE, "value"))
    assert lab.secondary.txt(f"web.{ACME}") == ["value"]
    assert desk.withdraw() == []
    assert lab.primary.txt(f"web.{ACME}") == []


def test_where_an_alias_has_led_is_known_by_the_challenges_name(desk):
    records = [txt_record(CHALLENGE, "one"), txt_record(WWW, "two")]
    found = challenge.targets(records, desk.plan(*records))
    assert found == {CHALLENGE: f"web.{ACME}"}


def test_an_alias_is_followed_over_several_hops_and_zones(lab, desk):
    [batch] = desk.publish(txt_record(f"_acme-challenge.far.{PARENT}", "value"))
    assert batch.zone.to_text() == f"{ZONE}."
    assert lab.primary.txt(f"far.{ACME}") == ["value"]


def test_each_zone_of_a_chain_has_its_own_section(lab, desk_with):
    elsewhere = dns_section(lab, base=ACME, section=f"dns {ACME}", ttl=5)
    [batch] = desk_with(dns_section(lab), elsewhere).publish(txt_record(CHALLENGE, "value"))
    assert batch.section is elsewhere


def test_names_that_are_aliases_for_one_name_share_it(lab, desk):
    desk.publish(
        txt_record(CHALLENGE, "mine"),
        txt_record(f"_acme-challenge.moved.{PARENT}", "moved"),
        txt_record(f"web.{ACME}", "direct"),
    )
    assert lab.primary.txt(f"web.{ACME}") == ["direct", "mine"]
    assert lab.primary.txt(f"_acme-challenge.{ACME}") == ["moved"]


def test_a_loop_is_told_with_its_chain(desk):
    loop, pool = f"_acme-challenge.loop.{PARENT}", f"_acme-challenge.pool.{PARENT}"
    assert f"{loop} -> {pool} -> {loop}" in desk.refused(txt_record(loop, "value"))


def test_a_target_that_no_server_serves_is_told_with_the_chain(desk):
    name = f"_acme-challenge.out.{PARENT}"
    message = desk.refused(txt_record(name, "value"))
    assert f"{name} -> somewhere.elsewhere.test" in message
    assert "does not serve" in message


def test_a_target_without_a_section_is_told_with_the_chain(lab, desk_with):
    desk = desk_with(dns_section(lab, base=CHALLENGE, section=f"dns {CHALLENGE}"))
    message = desk.refused(txt_record(CHALLENGE, "value"))
    assert f"{CHALLENGE} -> web.{ACME}" in message
    assert "no [dns] section" in message
    assert f"Write a section [dns {ACME}]" in message


def test_a_target_that_the_key_may_not_write_is_told(desk):
    message = desk.refused(txt_record(f"_acme-challenge.denied.{PARENT}", "value"))
    assert f"grant tcs-lyon1 name denied.{PARENT}. TXT;" in message


def test_a_cname_from_a_wildcard_is_no_alias(lab, desk):
    name = f"_acme-challenge.www.{PARENT}"
    desk.put(txt_record(name, "value"))
    assert lab.secondary.txt(name) == ["value"]


def test_a_name_under_a_dname_goes_where_it_leads(lab, desk):
    desk.put(txt_record(f"_acme-challenge.www.moved.{PARENT}", "value"))
    assert lab.secondary.txt(f"_acme-challenge.www.{ACME}") == ["value"]


def test_a_chain_that_never_ends_is_given_up(lab, desk):
    hops = [(f"long{n}", 60, "CNAME", f"long{n + 1}") for n in range(12)]
    with lab.holding(PARENT, *hops):
        with pytest.raises(DnsError, match="the aliases never end"):
            desk.plan(txt_record(f"long0.{PARENT}", "value"))


def test_a_chain_that_ends_outside_all_that_is_served_names_the_section_to_write(desk):
    message = desk.refused(txt_record(f"_acme-challenge.out.{PARENT}", "value"))
    assert "Write a section [dns elsewhere.test]" in message
