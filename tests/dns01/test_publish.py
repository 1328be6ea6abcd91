"""Publishing, reading back and withdrawing records on real name servers."""

from __future__ import annotations

import dns.tsig
import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import Endpoint, TsigKey
from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, dns_section
from tests.lab import bind, ports, zones
from tests.lab import lab as lab_module
from tests.lab.require import require_lab

APEX = f"_acme-challenge.{ZONE}"


def test_apex_and_wildcard_share_a_name_and_one_update(lab, desk):
    before = lab.primary.statistics().get("UPDATE", 0)
    desk.publish(txt_record(APEX, "apex"), txt_record(APEX, "wild"), txt_record(WWW, "www"))
    assert lab.primary.txt(APEX) == ["apex", "wild"]
    assert lab.primary.txt(WWW) == ["www"]
    assert desk.withdraw() == []
    assert lab.primary.txt(APEX) == lab.primary.txt(WWW) == []
    assert lab.primary.statistics()["UPDATE"] == before + 2


def test_a_hundred_names_are_two_updates_in_all(lab, desk):
    before = lab.primary.statistics().get("UPDATE", 0)
    names = [f"_acme-challenge.host{number}.{ZONE}" for number in range(100)]
    desk.put(*(txt_record(name, "value") for name in names))
    assert all(lab.secondary.txt(name) == ["value"] for name in names)
    assert desk.withdraw() == []
    assert lab.primary.statistics()["UPDATE"] == before + 2


def test_names_of_two_zones_on_one_server_go_each_into_its_own(lab, desk):
    parent = "_acme-challenge.www.univ-lyon1.test"
    batches = desk.publish(txt_record(WWW, "child"), txt_record(parent, "parent"))
    assert sorted(batch.zone.to_text() for batch in batches) == [
        "labo.univ-lyon1.test.",
        "univ-lyon1.test.",
    ]
    desk.confirm(batches)
    assert lab.secondary.txt(WWW) == ["child"]
    assert lab.secondary.txt(parent) == ["parent"]


def test_only_the_records_that_were_added_are_withdrawn(lab, desk):
    with lab.holding(ZONE, (f"{WWW}.", 60, "TXT", "somebody-else")):
        desk.publish(txt_record(WWW, "ours"))
        assert lab.primary.txt(WWW) == ["ours", "somebody-else"]
        desk.withdraw()
        assert lab.primary.txt(WWW) == ["somebody-else"]


def test_a_check_server_without_an_address_is_told_with_its_section(lab, desk_with):
    desk = desk_with(dns_section(lab, check_servers=(Endpoint("ns.invalid", 53),)))
    batches = desk.publish(txt_record(WWW, "value"))
    with pytest.raises(DnsError, match=r"^check_servers in \[dns\]: ns\.invalid has no address"):
        desk.confirm(batches)


def test_confirm_returns_when_every_name_server_has_the_records(lab, desk):
    desk.put(txt_record(WWW, "one"), txt_record(WWW, "two"))
    assert lab.secondary.txt(WWW) == ["one", "two"]


def test_publishing_twice_is_no_error(lab, desk):
    desk.publish(txt_record(WWW, "again"))
    desk.publish(txt_record(WWW, "again"))
    assert lab.primary.txt(WWW) == ["again"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_update_server_may_be_a_name_an_ipv4_or_an_ipv6_address(tmp_path, desk_with, host):
    require_lab()
    address = "127.0.0.1" if host == "localhost" else host
    if address not in ports.loopbacks():
        pytest.skip(f"this machine has no {address}")
    with lab_module.start(tmp_path / "lab", addresses=(address, ports.loopbacks()[0])) as lab:
        server = Endpoint(host, lab.primary.endpoint.port)
        desk = desk_with(dns_section(lab, servers=(server,)))
        desk.put(txt_record(WWW, "value"))
        assert lab.secondary.txt(WWW) == ["value"]
        assert desk.withdraw() == []


BINDS_ALGORITHMS = (
    "hmac-md5",
    "hmac-sha1",
    "hmac-sha224",
    "hmac-sha256",
    "hmac-sha384",
    "hmac-sha512",
)


@pytest.fixture(scope="module")
def many_keys(tmp_path_factory):
    """A primary with a key of every HMAC algorithm that BIND and every dnspython have."""
    require_lab()
    folder = tmp_path_factory.mktemp("keys")
    keys = [zones.new_key(f"key-{name}", name) for name in BINDS_ALGORITHMS]
    policy = tuple(f"grant {key.name} subdomain {ZONE}. TXT;" for key in keys)
    zone = zones.Zone(ZONE, zones.zone_text(ZONE, {"ns1": "127.0.0.1"}), policy)
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(folder, here, [zone], keys) as server:
            yield server, {key.algorithm: key for key in keys}


@pytest.mark.parametrize("algorithm", BINDS_ALGORITHMS)
def test_every_algorithm_from_a_key_file_is_taken(lab, many_keys, desk_with, tmp_path, algorithm):
    server, keys = many_keys
    key = keyfiles.parse_key(zones.write_key_file(tmp_path / "key", keys[algorithm]).read_bytes())
    here = Endpoint(server.endpoint.address, server.endpoint.port)
    desk = desk_with(dns_section(lab, servers=(here,), check_servers=(here,), key=key))
    desk.put(txt_record(WWW, algorithm))
    assert server.txt(WWW) == [algorithm]
    assert desk.withdraw() == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret": "d3Jvbmc="}, "BADSIG"),
        ({"name": "nobody"}, "BADKEY"),
        ({"algorithm": "hmac-sha512"}, "BADKEY"),
    ],
)
def test_a_key_that_the_server_does_not_take_is_told_without_its_secret(
    lab, desk_with, change, expected
):
    key = {"name": lab.key.name, "algorithm": lab.key.algorithm, "secret": lab.key.secret}
    section = dns_section(lab, key=TsigKey(**{**key, **change}))
    message = desk_with(section).refused(txt_record(WWW, "value"), left=1)
    assert expected in message
    assert section.key.secret not in message
    assert lab.primary.txt(WWW) == []


def test_a_key_that_is_too_new_for_dnspython_is_told_and_leaves_nothing_to_withdraw(
    lab, desk_with, monkeypatch
):
    monkeypatch.delattr(dns.tsig, "HMAC_SHA256_128", raising=False)  # dnspython 2.0 has none
    key = TsigKey(lab.key.name, "hmac-sha256-128", lab.key.secret)
    message = desk_with(dns_section(lab, key=key)).refused(txt_record(WWW, "value"))
    assert f"The TSIG key {lab.key.name}" in message
    assert "hmac-sha256-128" in message
    assert lab.key.secret not in message


def test_a_name_that_the_key_may_not_write_is_refused_with_the_policy_to_ask_for(lab, desk):
    name = "_acme-challenge.mail.univ-lyon1.test"
    message = desk.refused(txt_record(name, "value"))
    assert "REFUSED" in message
    assert f"update-policy {{ grant {lab.key.name} name {name}. TXT; }}" in message
    assert "update-owner-name" in message


def test_in_a_refused_batch_every_culprit_is_named_and_nothing_stays_published(lab, desk):
    good = "_acme-challenge.www.univ-lyon1.test"
    bad = [f"_acme-challenge.{host}.univ-lyon1.test" for host in ("mail", "imap")]
    message = desk.refused(*(txt_record(name, "value") for name in (good, *bad)))
    assert "1 of 3 records" in message
    for name in bad:
        assert f"  {name}: " in message
    assert f"  {good}" not in message
    assert lab.primary.txt(good) == []


def test_a_zone_that_the_server_does_not_serve_is_told(desk):
    message = desk.refused(txt_record("_acme-challenge.www.elsewhere.test", "value"))
    assert "does not serve a zone for _acme-challenge.www.elsewhere.test" in message


def test_a_name_below_a_delegation_to_others_names_the_section_to_write(lab, desk):
    with lab.holding(ZONE, ("sub", 60, "NS", "ns1.sub"), ("ns1.sub", 60, "A", "127.0.0.9")):
        message = desk.refused(txt_record(f"_acme-challenge.www.sub.{ZONE}", "value"))
    assert f"[dns sub.{ZONE}]" in message
    assert f"ns1.sub.{ZONE}" in message


def test_an_alias_that_appears_meanwhile_is_refused_not_silently_dropped(lab, desk):
    batches = desk.plan(txt_record(f"_acme-challenge.alias.{ZONE}", "value"))
    with lab.holding(ZONE, ("_acme-challenge.alias", 60, "CNAME", "www")):
        with pytest.raises(DnsError, match="CNAME"):
            challenge.publish(batches, desk.journal_path, desk.servers)


def test_without_any_dns_section_the_missing_one_is_named(desk_with):
    assert "no [dns] section" in desk_with().refused(txt_record(WWW, "value"))


def test_a_configured_zone_is_taken_as_it_is(lab, desk_with):
    [batch] = desk_with(dns_section(lab, zone=ZONE)).publish(txt_record(WWW, "value"))
    assert batch.zone.to_text() == f"{ZONE}."
    assert lab.primary.txt(WWW) == ["value"]


def test_a_name_outside_the_configured_zone_is_told(lab, desk_with):
    desk = desk_with(dns_section(lab, zone=ZONE))
    assert f"zone {ZONE}" in desk.refused(txt_record("_acme-challenge.univ-lyon1.test", "value"))


def test_a_configured_zone_that_does_not_hold_the_name_is_found_at_the_read_back(lab, desk_with):
    desk = desk_with(
        dns_section(
            lab,
            zone="univ-lyon1.test",
            key=TsigKey(lab.admin_key.name, lab.admin_key.algorithm, lab.admin_key.secret),
        )
    )
    with pytest.raises(DnsError) as caught:
        desk.put(txt_record(WWW, "value"))
    assert f"lies in the zone {ZONE} (a zone cut), not in univ-lyon1.test" in str(caught.value)


def test_a_dead_update_server_is_told_with_the_reason(lab, desk_with):
    with ports.claimed() as port:
        servers = (Endpoint("127.0.0.1", port), Endpoint("no-such-host.invalid", 53))
        message = desk_with(dns_section(lab, servers=servers)).refused(txt_record(WWW, "value"))
    assert f"127.0.0.1:{port}" in message
    assert "no-such-host.invalid" in message


def test_the_next_update_server_is_asked_where_the_first_is_dead(lab, desk_with):
    with ports.claimed() as port:
        servers = (Endpoint("127.0.0.1", port), *dns_section(lab).servers)
        desk_with(dns_section(lab, servers=servers)).publish(txt_record(WWW, "value"))
    assert lab.primary.txt(WWW) == ["value"]


def test_a_withdrawal_that_fails_warns_goes_on_and_stays_in_the_journal(lab, desk_with, tmp_path):
    with lab_module.start(tmp_path / "other") as other:
        theirs = dns_section(other, section="dns other", base="www.univ-lyon1.test")
        desk = desk_with(theirs, dns_section(lab))
        desk.publish(
            txt_record("_acme-challenge.www.univ-lyon1.test", "other"), txt_record(WWW, "mine")
        )
    [warning] = desk.withdraw()
    assert "_acme-challenge.www.univ-lyon1.test" in warning
    assert lab.primary.txt(WWW) == []
    [left] = desk.journal()
    assert left.section == "dns other"
