"""Publishing, reading back and withdrawing records on real name servers."""

from __future__ import annotations

import pytest

from certbot_tcs_lyon1.department import Endpoint
from certbot_tcs_lyon1.dns01 import challenge, tsig
from certbot_tcs_lyon1.dns01.challenge import DnsError, Record
from tests.dns01.conftest import WWW, ZONE, dns_section, settings_with
from tests.lab import bind, ports, zones
from tests.lab import lab as lab_module
from tests.lab.require import require_lab

APEX = f"_acme-challenge.{ZONE}"


def test_apex_and_wildcard_share_a_name_and_one_update(lab, settings, publish):
    before = lab.primary.statistics().get("UPDATE", 0)
    batches = publish(settings, Record(APEX, "apex"), Record(APEX, "wild"), Record(WWW, "www"))
    assert lab.primary.txt(APEX) == ["apex", "wild"]
    assert lab.primary.txt(WWW) == ["www"]
    assert challenge.withdraw(batches) == []
    assert lab.primary.txt(APEX) == lab.primary.txt(WWW) == []
    assert lab.primary.statistics()["UPDATE"] == before + 2


def test_names_of_two_zones_on_one_server_go_each_into_its_own(lab, settings, publish):
    parent = "_acme-challenge.www.univ-lyon1.test"
    batches = publish(settings, Record(WWW, "child"), Record(parent, "parent"))
    assert sorted(batch.zone.name.to_text() for batch in batches) == [
        "labo.univ-lyon1.test.",
        "univ-lyon1.test.",
    ]
    challenge.confirm(batches)
    assert lab.secondary.txt(WWW) == ["child"]
    assert lab.secondary.txt(parent) == ["parent"]


def test_only_the_records_that_were_added_are_withdrawn(lab, settings, publish):
    lab.edit(ZONE, add=[(f"{WWW}.", 60, "TXT", "somebody-else")])
    try:
        batches = publish(settings, Record(WWW, "ours"))
        assert lab.primary.txt(WWW) == ["ours", "somebody-else"]
        challenge.withdraw(batches)
        assert lab.primary.txt(WWW) == ["somebody-else"]
    finally:
        lab.edit(ZONE, delete=[(f"{WWW}.", "TXT")])


def test_confirm_returns_when_every_name_server_has_the_records(lab, settings, publish):
    batches = publish(settings, Record(WWW, "one"), Record(WWW, "two"))
    challenge.confirm(batches)
    assert lab.secondary.txt(WWW) == ["one", "two"]


def test_publishing_twice_is_no_error(lab, settings, publish):
    publish(settings, Record(WWW, "again"))
    publish(settings, Record(WWW, "again"))
    assert lab.primary.txt(WWW) == ["again"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_update_server_may_be_a_name_an_ipv4_or_an_ipv6_address(tmp_path, host):
    require_lab()
    address = "127.0.0.1" if host == "localhost" else host
    if address not in ports.loopbacks():
        pytest.skip(f"this machine has no {address}")
    with lab_module.start(tmp_path, addresses=(address, ports.loopbacks()[0])) as lab:
        server = Endpoint(host, lab.primary.endpoint.port)
        batches = challenge.plan(
            [Record(WWW, "value")], settings_with(dns_section(lab, servers=(server,)))
        )
        challenge.publish(batches, [])
        challenge.confirm(batches)
        assert lab.secondary.txt(WWW) == ["value"]


@pytest.fixture(scope="module")
def many_keys(tmp_path_factory):
    """A primary with a key of every HMAC algorithm that this dnspython has."""
    require_lab()
    folder = tmp_path_factory.mktemp("keys")
    keys = [zones.new_key(f"key-{name}", name) for name in supported_algorithms()]
    policy = tuple(f"grant {key.name} subdomain {ZONE}. TXT;" for key in keys)
    zone = zones.Zone(ZONE, zones.zone_text(ZONE, {"ns1": "127.0.0.1"}), policy)
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(folder, here, [zone], keys) as server:
            yield server, {key.algorithm: key for key in keys}


def supported_algorithms() -> list[str]:
    """The algorithms that both this dnspython and BIND have."""
    supported = []
    for name in tsig.ALGORITHMS:
        try:
            tsig.to_dnspython(tsig.TsigKey("k", name, "c2VjcmV0"))
        except tsig.KeyFault:
            continue
        supported.append(name)
    return [name for name in supported if name in BINDS_ALGORITHMS]


BINDS_ALGORITHMS = (
    "hmac-md5",
    "hmac-sha1",
    "hmac-sha224",
    "hmac-sha256",
    "hmac-sha384",
    "hmac-sha512",
)


@pytest.mark.parametrize("algorithm", BINDS_ALGORITHMS)
def test_every_algorithm_from_a_key_file_is_taken(lab, many_keys, tmp_path, algorithm):
    server, keys = many_keys
    key = tsig.read_key_file(str(zones.write_key_file(tmp_path / "key", keys[algorithm])))
    here = Endpoint(server.endpoint.address, server.endpoint.port)
    section = dns_section(lab, servers=(here,), check_servers=(here,), key=key)
    batches = challenge.plan([Record(WWW, algorithm)], settings_with(section))
    challenge.publish(batches, [])
    challenge.confirm(batches)
    assert server.txt(WWW) == [algorithm]
    assert challenge.withdraw(batches) == []


def refused(config, *records: Record) -> str:
    """What `plan` and `publish` say; nothing may be left to withdraw."""
    sent: list[challenge.Batch] = []
    with pytest.raises(DnsError) as caught:
        challenge.publish(challenge.plan(records, config), sent)
    assert sent == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"secret": "d3Jvbmc="}, "BADSIG"),
        ({"name": "nobody"}, "BADKEY"),
        ({"algorithm": "hmac-sha512"}, "BADKEY"),
    ],
)
def test_a_key_that_the_server_does_not_take_is_told_without_its_secret(lab, change, expected):
    key = {"name": lab.key.name, "algorithm": lab.key.algorithm, "secret": lab.key.secret}
    section = dns_section(lab, key=tsig.TsigKey(**{**key, **change}))
    message = refused(settings_with(section), Record(WWW, "value"))
    assert expected in message
    assert section.key.secret not in message
    assert lab.primary.txt(WWW) == []


def test_a_name_that_the_key_may_not_write_is_refused(lab, settings):
    message = refused(settings, Record("_acme-challenge.mail.univ-lyon1.test", "value"))
    assert "REFUSED" in message
    assert "univ-lyon1.test" in message


def test_a_zone_that_the_server_does_not_serve_is_told(lab, settings):
    message = refused(settings, Record("_acme-challenge.www.elsewhere.test", "value"))
    assert "does not serve _acme-challenge.www.elsewhere.test" in message


def test_a_name_below_a_delegation_to_others_names_the_section_to_write(lab, settings):
    lab.edit(
        ZONE,
        add=[
            ("sub", 60, "NS", "ns1.sub"),
            ("ns1.sub", 60, "A", "127.0.0.9"),
        ],
    )
    try:
        message = refused(settings, Record(f"_acme-challenge.www.sub.{ZONE}", "value"))
    finally:
        lab.edit(ZONE, delete=[("sub",), ("ns1.sub",)])
    assert f"[dns sub.{ZONE}]" in message
    assert f"ns1.sub.{ZONE}" in message


def test_an_alias_that_appears_meanwhile_is_refused_not_silently_dropped(lab, settings):
    batches = challenge.plan([Record(f"_acme-challenge.alias.{ZONE}", "value")], settings)
    lab.edit(ZONE, add=[("_acme-challenge.alias", 60, "CNAME", "www")])
    try:
        with pytest.raises(DnsError, match="CNAME"):
            challenge.publish(batches, [])
    finally:
        lab.edit(ZONE, delete=[("_acme-challenge.alias", "CNAME")])


def test_without_any_dns_section_the_missing_one_is_named():
    with pytest.raises(DnsError, match=r"no \[dns\] section"):
        challenge.plan([Record(WWW, "value")], settings_with())


def test_a_configured_zone_is_taken_as_it_is(lab, publish):
    section = dns_section(lab, zone=ZONE)
    [batch] = publish(settings_with(section), Record(WWW, "value"))
    assert batch.zone.name.to_text() == f"{ZONE}."
    assert lab.primary.txt(WWW) == ["value"]


def test_a_name_outside_the_configured_zone_is_told(lab):
    section = dns_section(lab, zone=ZONE)
    message = refused(settings_with(section), Record("_acme-challenge.univ-lyon1.test", "value"))
    assert f"zone {ZONE}" in message


def test_a_dead_update_server_is_told_with_the_reason(lab):
    with ports.claimed() as port:
        section = dns_section(
            lab, servers=(Endpoint("127.0.0.1", port), Endpoint("no-such-host.invalid", 53))
        )
        message = refused(settings_with(section), Record(WWW, "value"))
    assert f"127.0.0.1:{port}" in message
    assert "no-such-host.invalid" in message


def test_the_next_update_server_is_asked_where_the_first_is_dead(lab, publish):
    with ports.claimed() as port:
        section = dns_section(lab)
        servers = (Endpoint("127.0.0.1", port), *section.servers)
        publish(settings_with(dns_section(lab, servers=servers)), Record(WWW, "value"))
    assert lab.primary.txt(WWW) == ["value"]


def test_a_withdrawal_that_fails_warns_and_goes_on_with_the_next_zone(lab, settings, tmp_path):
    with lab_module.start(tmp_path) as other:
        batches = challenge.plan([Record(WWW, "other")], settings_with(dns_section(other)))
        challenge.publish(batches, [])
    mine = challenge.plan([Record(WWW, "mine")], settings)
    challenge.publish(mine, [])
    [warning] = challenge.withdraw([*batches, *mine])
    assert WWW in warning
    assert lab.primary.txt(WWW) == []
