"""What no name server does by itself: a proxy between the plugin and BIND does it."""

from __future__ import annotations

import threading
from typing import Any

import dns.name
import pytest

from certbot_tcs_lyon1.dns01 import nameservers, propagation, queries
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.propagation import State
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, TxtRecord
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


@pytest.fixture
def desk_behind(lab, between, desk_with):
    """Make a desk whose update server is the proxy, and then others."""

    def make(*others: Any, **changes: Any) -> Any:
        servers = (endpoint(between.endpoint), *others)
        return desk_with(dns_section(lab, servers=servers, **changes))

    return make


def fails(desk, *records: TxtRecord) -> str:
    with pytest.raises(DnsError) as caught:
        desk.publish(*records)
    return str(caught.value)


def test_a_noerror_that_is_not_signed_counts_for_nothing_and_is_withdrawn(
    lab, between, desk_behind
):
    desk = desk_behind()
    between.behave = proxy.only(proxy.unsigned, opcode=UPDATE)
    assert "not signed" in fails(desk, txt_record(WWW, "value"))
    assert lab.primary.txt(WWW) == ["value"]  # the server did it, and only its word was lost
    between.behave = proxy.passed
    assert desk.withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_an_update_with_an_unsigned_noerror_is_withdrawn_also_where_it_is_applied_later(
    lab, between, desk_behind
):
    """As by a secondary that forwards it, or where the path holds it back."""
    desk = desk_behind()
    between.behave = proxy.only(proxy.refuse_with("NOERROR"), opcode=UPDATE)
    assert "not signed" in fails(desk, txt_record(WWW, "value"))
    assert len(desk.journal()) == 1
    lab.edit(ZONE, add=[(f"{WWW}.", 60, "TXT", "value")])
    [warning] = desk.withdraw()
    assert "not signed" in warning
    between.behave = proxy.passed
    assert desk.withdraw() == []
    assert lab.primary.txt(WWW) == []


@pytest.mark.parametrize(
    "behave",
    [proxy.wrong_id, proxy.garbled, proxy.cut_tcp, proxy.lost],
    ids=["wrong id", "garbled", "cut in mid-message", "lost"],
)
def test_an_update_without_a_usable_reply_fails_and_is_withdrawn(lab, between, desk_behind, behave):
    desk = desk_behind()
    between.behave = proxy.only(behave, opcode=UPDATE)
    assert str(between.endpoint.port) in fails(desk, txt_record(WWW, "value"))
    between.behave = proxy.passed
    assert desk.withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_a_reply_that_comes_too_late_counts_as_none(lab, between, desk_behind):
    desk, event = desk_behind(), threading.Event()
    between.behave = proxy.only(proxy.late(event), opcode=UPDATE)
    assert "no answer in time" in fails(desk, txt_record(WWW, "value"))
    event.set()
    between.behave = proxy.passed
    assert desk.withdraw() == []
    assert lab.primary.txt(WWW) == []


@pytest.mark.parametrize(
    "behave",
    [
        proxy.silent,
        proxy.closed,
        proxy.wrong_id,
        proxy.garbled,
        proxy.refuse_with("SERVFAIL"),
        proxy.refuse_with("NOTIMP"),
    ],
    ids=["silent", "closed", "wrong id", "garbled", "SERVFAIL", "NOTIMP"],
)
def test_the_next_server_is_asked_after_such_an_answer(lab, between, desk_behind, behave):
    between.behave = behave
    desk = desk_behind(endpoint(lab.primary.endpoint))
    [batch] = desk.publish(txt_record(WWW, "value"))
    assert batch.server.port == lab.primary.endpoint.port
    assert lab.primary.txt(WWW) == ["value"]


def test_an_update_that_is_not_answered_goes_to_the_next_server_and_so_does_its_withdrawal(
    lab, between, desk_behind
):
    between.behave = proxy.only(proxy.refuse_with("SERVFAIL"), opcode=UPDATE)
    desk = desk_behind(endpoint(lab.primary.endpoint))
    desk.publish(txt_record(WWW, "value"))
    [entry] = desk.journal()
    assert entry.port == lab.primary.endpoint.port
    assert desk.withdraw() == []
    assert between.count(UPDATE) == 1
    assert lab.primary.txt(WWW) == []


def test_a_final_answer_is_not_shopped_around(lab, between, desk_behind):
    between.behave = proxy.only(proxy.refuse_with("REFUSED"), opcode=UPDATE)
    desk = desk_behind(endpoint(lab.primary.endpoint))
    assert "unsigned" in fails(desk, txt_record(WWW, "value"))
    assert lab.primary.txt(WWW) == []


def test_a_dead_server_costs_its_time_out_once_in_a_run(lab, between, desk_behind):
    between.behave = proxy.silent
    desk = desk_behind(endpoint(lab.primary.endpoint))
    names = [f"_acme-challenge.host{number}.{ZONE}" for number in range(5)]
    desk.publish(*(txt_record(name, "value") for name in names))
    assert desk.withdraw() == []
    desk.publish(txt_record(WWW, "value"))
    assert between.count("QUERY", "tcp") == 5
    assert between.count(UPDATE) == 0


@pytest.mark.parametrize("behave", [proxy.truncated_udp, proxy.silent_udp])
def test_tcp_is_tried_where_udp_is_truncated_or_silent(lab, between, desk_behind, behave):
    between.behave = behave
    desk = desk_behind(check_servers=(endpoint(between.endpoint),))
    desk.put(txt_record(WWW, "value"))
    assert lab.primary.txt(WWW) == ["value"]


@pytest.mark.parametrize(
    ("behave", "state"),
    [
        (proxy.silent, State.UNREACHABLE),
        (proxy.garbled, State.UNREACHABLE),
        (proxy.refuse_with("SERVFAIL"), State.LAME),
        (proxy.refuse_with("REFUSED"), State.LAME),
    ],
    ids=["silent", "garbled", "SERVFAIL", "REFUSED"],
)
def test_a_name_server_that_misbehaves_is_named_and_holds_nothing_up(
    lab, between, desk_with, behave, state
):
    between.behave = behave
    desk = desk_with(dns_section(lab))
    [batch] = desk.publish(txt_record(WWW, "value"))
    here = between.endpoint
    addresses = [batch.server, Address(here.address, here.port, "ns9")]
    reports = propagation.wait_until_everywhere(
        addresses, batch.records, desk.servers, batch.end, pytest.fail
    )
    assert [report.state for report in reports] == [State.HAS_IT, state]


def test_without_any_name_server_in_reach_a_bounded_wait_is_announced(
    lab, between, desk_with, caplog
):
    between.behave = proxy.silent
    config = dns_section(lab, check_servers=(endpoint(between.endpoint),), propagation_seconds=2)
    desk_with(config).put(txt_record(WWW, "value"))
    assert "waiting 1 s instead" in caplog.records[-1].getMessage()


def test_an_update_server_that_falls_silent_after_the_update_is_told(lab, between, desk_behind):
    desk = desk_behind(check_servers=())
    [batch] = desk.publish(txt_record(WWW, "value"))
    between.behave = proxy.silent
    with pytest.raises(DnsError, match=f"^Zone {ZONE}: .* The records were sent"):
        nameservers.addresses(batch.location, desk.servers)
    between.behave = proxy.passed


def test_the_records_of_a_zone_are_polled_one_by_one_only_when_the_first_is_there(
    lab, between, desk_with
):
    config = dns_section(lab, check_servers=(endpoint(between.endpoint),))
    records = [txt_record(f"_acme-challenge.host{number}.{ZONE}", "value") for number in range(10)]
    desk_with(config).put(*records)
    assert between.count("QUERY") == 1 + len(records)


def plain_refused(query: proxy.Query, ask: Any) -> Any:
    """A server that answers only who signs, as one does that chooses its view by the key."""
    if query.signed:
        return ask()
    return proxy.refuse_with("REFUSED")(query, ask)


def test_a_view_that_is_chosen_by_the_key_is_asked_with_it(lab, between, desk_behind):
    between.behave = plain_refused
    desk = desk_behind()
    [batch] = desk.publish(txt_record(WWW, "value"))
    assert batch.location.view_key == batch.section.key
    desk.confirm([batch])
    assert lab.primary.txt(WWW) == ["value"]
    assert desk.withdraw() == []


def test_records_that_only_the_keys_view_shows_are_awaited_at_the_name_servers(
    lab, between, desk_behind
):
    desk = desk_behind(check_servers=(endpoint(lab.secondary.endpoint),))
    batches = desk.publish(txt_record(WWW, "value"))
    between.behave = plain_refused
    desk.confirm(batches)
    assert lab.secondary.txt(WWW) == ["value"]


def test_records_that_no_view_shows_are_told(lab, between, desk_behind):
    desk = desk_behind(propagation_seconds=1)
    batches = desk.publish(txt_record(WWW, "value"))
    lab.edit(ZONE, delete=[(f"{WWW}.", "TXT")])  # a policy that drops what it answered NOERROR to
    with pytest.raises(DnsError, match="another view"):
        desk.confirm(batches)


@pytest.mark.parametrize(
    "behave",
    [
        proxy.first(3, proxy.silent_udp),
        proxy.truncated_udp,
        proxy.first(3, proxy.wrong_id),
        proxy.first(3, proxy.garbled),
        proxy.first(3, lambda query, ask: b"?"),
    ],
    ids=["lost", "truncated", "wrong id", "garbled", "one byte"],
)
def test_of_many_queries_at_once_those_without_an_answer_are_asked_again(
    lab, between, desk_with, behave
):
    names = [f"_acme-challenge.host{number}.{ZONE}" for number in range(40)]
    desk = desk_with(dns_section(lab))
    [batch] = desk.publish(*(txt_record(name, "value") for name in names))
    between.behave = behave
    here = Address(between.endpoint.address, between.endpoint.port, "ns1")
    assert propagation.poll(here, batch.records, desk.servers).state is State.HAS_IT


def test_of_many_names_the_one_that_is_not_there_is_told(lab, desk):
    records = [txt_record(f"_acme-challenge.host{number}.{ZONE}", "value") for number in range(40)]
    [batch] = desk.publish(*records)
    missing = records[20].name.to_text(omit_final_dot=True)
    lab.edit(ZONE, delete=[(f"{missing}.", "TXT")])
    lab.edit(ZONE, add=[(f"{missing}.", 60, "TXT", "values")])
    try:
        found = propagation.poll(batch.server, batch.records, desk.servers)
    finally:
        lab.edit(ZONE, delete=[(f"{missing}.", "TXT")])
    assert (found.state, found.answer) == (State.STALE, f"other records at {missing}")


def test_a_server_that_falls_silent_after_the_update_is_named(lab, between, desk_behind):
    desk = desk_behind()
    batches = desk.publish(txt_record(WWW, "value"))
    between.behave = proxy.silent
    with pytest.raises(DnsError, match=r"does not show the records \(no answer in time\)"):
        desk.confirm(batches)


def test_an_alias_that_came_between_the_update_and_its_reading_is_told(lab, desk):
    batches = desk.publish(txt_record(WWW, "value"))
    lab.edit(ZONE, delete=[(f"{WWW}.", "TXT")])
    lab.edit(ZONE, add=[(f"{WWW}.", 60, "CNAME", "elsewhere")])
    try:
        with pytest.raises(DnsError, match=rf"{WWW} is an alias \(CNAME\) for elsewhere.{ZONE}"):
            desk.confirm(batches)
    finally:
        lab.edit(ZONE, delete=[(f"{WWW}.", "CNAME")])


def test_a_lame_server_that_is_silent_to_other_questions_is_no_resolver(lab, between, desk_with):
    between.behave = lambda query, ask: (
        proxy.refuse_with("REFUSED")(query, ask) if query.name == WWW else proxy.SILENCE
    )
    check = (endpoint(lab.primary.endpoint), endpoint(between.endpoint))
    told: list[str] = []
    desk_with(dns_section(lab, check_servers=check)).put(txt_record(WWW, "value"), warn=told.append)
    [warning] = told
    assert "which is lame: REFUSED" in warning
    assert "resolver" not in warning


def test_only_the_stale_ones_of_several_name_servers_are_asked_for_a_view(lab, between, desk_with):
    """The update server is not polled again, so the other one that has the records is a proxy."""

    def without(query: proxy.Query, ask: Any) -> Any:
        return proxy.refuse_with("NXDOMAIN")(query, ask) if query.name == WWW else ask()

    def authoritative(query: proxy.Query, ask: Any) -> Any:
        reply = bytearray(without(query, ask))
        reply[2] |= 4  # AA
        return bytes(reply)

    with proxy.running(lab.primary.endpoint) as shows:
        between.behave = authoritative
        check = (endpoint(shows.endpoint), endpoint(between.endpoint))
        desk = desk_with(dns_section(lab, check_servers=check, propagation_seconds=1))
        with pytest.raises(DnsError, match="not every name server has the records") as caught:
            desk.put(txt_record(WWW, "value"))
    said = str(caught.value)
    assert f"127.0.0.1:{shows.endpoint.port}: has it" in said
    assert f"127.0.0.1:{between.endpoint.port}: stale" in said
    assert "views" not in said


def test_a_server_that_fails_at_the_withdrawal_keeps_the_entry_and_is_asked_for_the_next(
    lab, between, desk_behind
):
    desk = desk_behind()
    desk.publish(txt_record(WWW, "one"))
    desk.publish(txt_record(WWW, "two"))
    between.behave = proxy.only(proxy.refuse_with("SERVFAIL"), opcode=UPDATE)
    before = between.count(UPDATE)
    assert len(desk.withdraw_here()) == 2
    assert between.count(UPDATE) == before + 2  # it has answered: no reason to pass over it
    assert len(desk.journal()) == 2
    between.behave = proxy.passed
    assert desk.withdraw() == []


def test_a_server_that_finds_a_fault_in_every_query_is_told(between, desk_behind):
    between.behave = proxy.refuse_with("FORMERR")
    assert "it answers FORMERR" in desk_behind().refused(txt_record(WWW, "value"))


def test_a_server_without_tcp_is_asked_by_udp_once_more_after_losses(lab, between, servers):
    between.behave = lambda query, ask: (
        proxy.Cut() if query.transport == "tcp" or query.count <= 2 else ask()
    )
    here = Address("127.0.0.1", between.endpoint.port, "ns1")
    assert servers.ask(here, dns.name.from_text(ZONE), "SOA").answer
    assert (between.count("QUERY", "udp"), between.count("QUERY", "tcp")) == (3, 1)


def test_an_answer_without_authority_shows_no_zone_and_no_delegation(between, desk_behind):
    def cached(query: proxy.Query, ask: Any) -> Any:
        reply = bytearray(proxy.unsigned(query, ask))
        reply[2] &= ~4  # no AA, as of a resolver
        return bytes(reply)

    between.behave = cached
    told = desk_behind().refused(txt_record(WWW, "value"))
    assert f"does not serve a zone for {WWW}" in told
