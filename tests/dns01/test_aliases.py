"""CNAME and DNAME at or above the challenge's name, on BIND."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.challenge import DnsError, txt_record
from tests.dns01.conftest import WWW, ZONE, dns_section
from tests.lab import lab as lab_module
from tests.lab import zones
from tests.lab.lab import Lab
from tests.lab.require import require_lab

PARENT = "univ-lyon1.test"
ACME = "acme.test"
CHALLENGE = f"_acme-challenge.web.{PARENT}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a zone for challenges, and aliases of all kinds that lead there or elsewhere."""
    require_lab()
    key, admin = zones.new_key("tcs-lyon1"), zones.new_key("lab-admin")
    hosts = {"ns1": "127.0.0.1"}
    aliases = f"""
        _acme-challenge.web CNAME web.{ACME}.
        _acme-challenge.far CNAME hop1.{ZONE}.
        _acme-challenge.loop CNAME _acme-challenge.pool
        _acme-challenge.pool CNAME _acme-challenge.loop
        _acme-challenge.out CNAME somewhere.elsewhere.test.
        _acme-challenge.denied CNAME denied.{PARENT}.
        *.wild CNAME www
        moved DNAME {ACME}.
    """
    hops = f"hop1 CNAME hop2\nhop2 CNAME far.{ACME}.\n"
    everything = f"grant {admin.name} zonesub ANY;"
    wild = f"grant {key.name} name _acme-challenge.host.wild.{PARENT}. TXT;"
    zone_list = (
        zones.Zone(
            PARENT,
            zones.zone_text(
                PARENT,
                hosts,
                zones.delegation("labo", hosts)
                + "\n".join(line.strip() for line in aliases.splitlines()),
            ),
            (wild, everything),
        ),
        zones.Zone(ZONE, zones.zone_text(ZONE, hosts, hops), (everything,)),
        zones.Zone(
            ACME,
            zones.zone_text(ACME, hosts),
            (f"grant {key.name} subdomain {ACME}. TXT;", everything),
        ),
    )
    # What goes to the lab's Lab.edit is signed by its own admin key; nobody calls it here.
    folder = tmp_path_factory.mktemp("aliases")
    with lab_module.start(folder, zone_list=zone_list, key=key) as running:
        yield running


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
    assert batch.zone.to_text() == f"{ACME}."
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
    desk = desk_with(dns_section(lab, base=PARENT, section=f"dns {PARENT}"))
    message = desk.refused(txt_record(CHALLENGE, "value"))
    assert f"{CHALLENGE} -> web.{ACME}" in message
    assert "no [dns] section" in message


def test_a_target_that_the_key_may_not_write_is_told(desk):
    message = desk.refused(txt_record(f"_acme-challenge.denied.{PARENT}", "value"))
    assert f"grant tcs-lyon1 name denied.{PARENT}. TXT;" in message


def test_a_cname_from_a_wildcard_is_no_alias(lab, desk):
    name = f"_acme-challenge.host.wild.{PARENT}"
    desk.put(txt_record(name, "value"))
    assert lab.secondary.txt(name) == ["value"]


def test_a_name_under_a_dname_goes_where_it_leads(lab, desk):
    desk.put(txt_record(f"_acme-challenge.www.moved.{PARENT}", "value"))
    assert lab.secondary.txt(f"_acme-challenge.www.{ACME}") == ["value"]


def test_a_chain_that_never_ends_is_given_up(lab, desk):
    hops = [(f"long{n}", 60, "CNAME", f"long{n + 1}") for n in range(12)]
    assert lab.primary.update(PARENT, lab.admin_key, hops) in ("NOERROR", "REFUSED")
    with pytest.raises(DnsError):
        desk.plan(txt_record(f"long0.{PARENT}", "value"))
