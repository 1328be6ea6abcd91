"""Name servers that are not as expected: hidden, forwarding, old, moved, gone."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from typing import Any

import pytest

from certbot_tcs_lyon1.department.settings import Endpoint, TsigKey
from certbot_tcs_lyon1.dns01 import queries
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, dns_section, endpoint
from tests.lab import proxy

UPDATE = "UPDATE"


@pytest.fixture
def servers() -> Servers:
    """Time-outs that are short enough for tests."""
    return Servers(
        queries.Timing(
            first=0.1, floor=0.1, cap=0.2, connect=0.4, reply=0.4, update=0.4, unknown=0.4
        )
    )


@pytest.mark.parametrize(
    "behave",
    [proxy.refuse_with("REFUSED"), proxy.silent, proxy.refuse_with("NXDOMAIN")],
    ids=["refuses", "silent", "negative without SOA"],
)
def test_a_hidden_primary_that_answers_no_query_is_enough_with_zone_and_check_servers(
    lab, between, desk_with, behave
):
    between.behave = proxy.only(behave, opcode="QUERY")
    both = dns_section(lab).check_servers
    section = dns_section(lab, servers=(endpoint(between.endpoint),), zone=ZONE, check_servers=both)
    desk = desk_with(section)
    desk.put(txt_record(WWW, "value"))
    assert lab.secondary.txt(WWW) == ["value"]
    assert desk.withdraw() == []


def test_a_secondary_that_forwards_updates_is_waited_for(lab, between, desk_with):
    shown = []

    def forward(query: proxy.Query, ask: Any) -> Any:
        if query.opcode == "QUERY" and query.name == WWW and len(shown) < 4:
            shown.append(query)  # the zone has not come back from the primary yet
            return proxy.only(proxy.passed)(query, lambda: lab_without(query, ask))
        return ask()

    def lab_without(query: proxy.Query, ask: Any) -> bytes:
        import dns.flags
        import dns.message
        import dns.rrset

        reply = dns.message.make_response(query.message)
        reply.flags |= dns.flags.AA
        soa = "ns1.x.test. root.x.test. 1 1 1 1 1"
        reply.authority.append(dns.rrset.from_text(f"{ZONE}.", 60, "IN", "SOA", soa))
        return reply.to_wire()

    here = endpoint(between.endpoint)
    desk = desk_with(dns_section(lab, servers=(here,), propagation_seconds=20))
    batches = desk.publish(txt_record(WWW, "value"))
    between.behave = forward
    desk.confirm(batches)
    assert lab.primary.txt(WWW) == ["value"]


def test_a_key_whose_name_is_in_capitals_is_the_same_key(lab, desk_with):
    key = TsigKey(lab.key.name.upper(), lab.key.algorithm, lab.key.secret)
    desk = desk_with(dns_section(lab, key=key))
    desk.put(txt_record(WWW, "value"))
    assert desk.withdraw() == []


def test_a_server_without_updates_says_so_and_no_firewall_is_blamed(lab, between, desk_with):
    between.behave = proxy.only(proxy.refuse_with("NOTIMP"), opcode=UPDATE)
    desk = desk_with(dns_section(lab, servers=(endpoint(between.endpoint),)))
    with pytest.raises(DnsError, match="takes no dynamic updates; name the primary") as caught:
        desk.publish(txt_record(WWW, "value"))
    assert "firewall" not in str(caught.value)


def test_an_entry_that_cannot_be_delivered_is_tried_and_told_once_in_a_process(
    lab, between, desk_with
):
    desk = desk_with(dns_section(lab, servers=(endpoint(between.endpoint),)))
    desk.publish(txt_record(WWW, "value"))
    between.behave = proxy.silent
    [left] = desk.withdraw_here()
    assert "could not be withdrawn" in left
    seen = len(between.queries)
    assert desk.withdraw_here() == []
    assert len(between.queries) == seen
    between.behave = proxy.passed
    assert desk.withdraw() == []  # as the next process does
    assert lab.primary.txt(WWW) == []


def test_an_entry_of_a_server_that_has_moved_is_withdrawn_at_the_sections_server(
    lab, between, desk_with
):
    here = dns_section(lab, servers=(endpoint(between.endpoint),))
    desk = desk_with(here)
    desk.publish(txt_record(WWW, "value"))
    between.behave = proxy.refuse_with("REFUSED")
    moved = replace(desk, settings=replace(desk.settings, dns=(dns_section(lab),)))
    assert moved.withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_without_any_name_server_in_reach_the_wait_and_its_warning_come_once_in_a_process(
    lab, between, desk_with, caplog
):
    between.behave = proxy.silent
    here = (endpoint(between.endpoint),)
    desk = desk_with(dns_section(lab, check_servers=here, propagation_seconds=1))
    desk.put(txt_record(WWW, "one"))
    asked = len(between.queries)
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        desk.put(txt_record(WWW, "two"))
    assert "instead" not in caplog.text
    assert len(between.queries) == asked


def test_a_name_that_could_not_be_resolved_is_looked_up_again(servers, monkeypatch):
    """The resolver's own failure (EAI_AGAIN) passes; no real one fails just once at will."""
    resolve, failures = socket.getaddrinfo, [socket.gaierror(socket.EAI_AGAIN, "try again")]

    def fail_once(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return resolve(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fail_once)
    with pytest.raises(DnsError, match="localhost has no address here"):
        servers.addresses_of(Endpoint("localhost", 53))
    assert "127.0.0.1" in [found.ip for found in servers.addresses_of(Endpoint("localhost", 53))]
