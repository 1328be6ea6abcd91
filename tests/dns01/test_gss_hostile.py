"""What isn't signed by Kerberos is a claim: Windows' and Samba's echoes, somebody on the path."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import dns.rcode
import dns.rdatatype
import pytest

from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW
from tests.dns01.realm import DeskWith, Realm, behind, only_with_gss
from tests.lab import proxy

pytestmark = only_with_gss


# What Windows is said to do, and Samba does: the request's own signature comes back


def echo(rcode: str, *, applied: bool) -> proxy.Behaviour:
    def behave(query: proxy.Query, ask: Any) -> Any:
        if query.opcode != "UPDATE":
            return ask()
        if applied:
            ask()
        wire = bytearray(query.wire)
        wire[2] |= 0x80
        wire[3] = wire[3] & 0xF0 | dns.rcode.from_text(rcode)
        return bytes(wire)

    return behave


@pytest.fixture
def echoing(realm: Realm) -> Iterator[proxy.Proxy]:
    with proxy.running(realm.bind.endpoint) as between:
        yield between


def test_an_echoed_noerror_counts_once_the_record_is_read_back(
    realm: Realm, desk_with: DeskWith, echoing: proxy.Proxy
) -> None:
    echoing.behave = echo("NOERROR", applied=True)
    desk = desk_with(realm.section(servers=behind(echoing)))
    desk.put(txt_record(WWW, "one"))
    assert desk.withdraw() == []
    assert realm.bind.txt(WWW) == []


def test_an_echoed_noerror_without_the_record_fails_and_keeps_the_journal(
    realm: Realm, desk_with: DeskWith, echoing: proxy.Proxy
) -> None:
    echoing.behave = echo("NOERROR", applied=False)
    desk = desk_with(realm.section(servers=behind(echoing), propagation_seconds=1))
    batches = desk.publish(txt_record(WWW, "one"))
    with pytest.raises(DnsError, match="does not show the records"):
        desk.confirm(batches)
    assert len(desk.journal()) == 1


def test_an_echoed_noerror_to_a_withdrawal_strikes_the_journal_only_once_the_record_is_gone(
    realm: Realm, desk_with: DeskWith, echoing: proxy.Proxy
) -> None:
    desk = desk_with(realm.section(servers=behind(echoing)))
    desk.put(txt_record(WWW, "one"))
    echoing.behave = echo("NOERROR", applied=False)
    [left] = desk.withdraw()
    assert "the server says, unsigned, NOERROR" in str(left)
    assert len(desk.journal()) == 1
    echoing.behave = echo("NOERROR", applied=True)
    assert desk.withdraw() == []
    assert desk.journal() == []
    assert realm.bind.txt(WWW) == []


def test_a_server_that_signs_nothing_but_the_context_is_enough_for_the_order(
    realm: Realm, desk_with: DeskWith, echoing: proxy.Proxy
) -> None:
    """What Windows is said to do, at its worst: queries are then answered without a signature."""

    def behave(query: proxy.Query, ask: Any) -> Any:
        if query.opcode == "UPDATE":
            return echo("NOERROR", applied=True)(query, ask)
        return proxy.without_tsig(ask()) if query.signed else ask()

    echoing.behave = behave
    desk = desk_with(realm.section(servers=behind(echoing)))
    desk.put(txt_record(WWW, "one"))
    [left] = desk.withdraw()
    assert realm.bind.txt(WWW) == []
    assert "says, unsigned, NOERROR" in left
    assert len(desk.journal()) == 1
    echoing.behave = proxy.passed
    assert desk.withdraw() == []
    assert desk.journal() == []


@pytest.mark.parametrize("rcode", ["SERVFAIL", "REFUSED"])
def test_an_echoed_refusal_is_told_as_unsigned_and_no_other_server_is_tried(
    realm: Realm, desk_with: DeskWith, echoing: proxy.Proxy, rcode: str
) -> None:
    echoing.behave = echo(rcode, applied=False)
    both = (*realm.section(servers=behind(echoing)).servers, *realm.section().servers)
    desk = desk_with(realm.section(servers=both))
    with pytest.raises(DnsError, match=f"says, unsigned, {rcode}"):
        desk.publish(txt_record(WWW, "one"))
    assert realm.bind.txt(WWW) == []
    # Nobody signed that no, but a signed look says that the record is not there.
    assert desk.journal() == []


# Somebody between this machine and the server, while a context is negotiated


def to_tkey(behave: proxy.Behaviour) -> proxy.Behaviour:
    """`behave` for TKEY; everything else passes."""

    def choose(query: proxy.Query, ask: proxy.Ask) -> proxy.Answer:
        is_tkey = query.message.question[0].rdtype == dns.rdatatype.TKEY
        return behave(query, ask) if is_tkey else ask()

    return choose


def flipped(query: proxy.Query, ask: proxy.Ask) -> bytes:
    """The server's answer with a bit of its token turned round."""
    wire = bytearray(ask())
    wire[len(wire) // 2] ^= 1
    return bytes(wire)


def test_a_tkey_reply_without_a_signature_is_enough_for_its_token_is_signed(
    realm: Realm, desk_with: DeskWith
) -> None:
    with proxy.running(realm.bind.endpoint, to_tkey(proxy.unsigned)) as between:
        desk = desk_with(realm.section(servers=behind(between)))
        desk.put(txt_record(WWW, "one"))
        assert desk.withdraw() == []


@pytest.mark.parametrize(
    "behave",
    [
        flipped,
        proxy.wrong_id,
        proxy.garbled,
        proxy.cut_tcp,
        proxy.closed,
        proxy.refuse_with("SERVFAIL"),
        lambda query, ask: b"",
        lambda query, ask: query.wire,
        lambda query, ask: query.wire[:2] + b"\xff" * 40,
    ],
    ids=lambda behave: getattr(behave, "__name__", "answers"),
)
def test_whoever_spoils_a_negotiation_gains_a_failed_order(
    realm: Realm, desk_with: DeskWith, behave: proxy.Behaviour
) -> None:
    with proxy.running(realm.bind.endpoint, to_tkey(behave)) as between:
        desk = desk_with(realm.section(servers=behind(between)))
        with pytest.raises(DnsError, match="localhost"):
            desk.publish(txt_record(WWW, "one"))
        assert between.count("UPDATE", "tcp") == 0
        between.behave = proxy.passed
        desk.put(txt_record(WWW, "two"))
        assert desk.withdraw_here() == []


def test_any_bytes_in_place_of_a_tkey_reply_fail_the_order_and_nothing_else(
    realm: Realm, desk_with: DeskWith
) -> None:
    dice = random.Random(17)

    def spoil(query: proxy.Query, ask: proxy.Ask) -> bytes:
        wire = bytearray(ask())
        for _ in range(dice.randrange(1, 9)):
            wire[dice.randrange(2, len(wire))] = dice.randrange(256)
        return bytes(wire[: dice.randrange(len(wire) // 2, len(wire) + 1)])

    with proxy.running(realm.bind.endpoint, to_tkey(spoil)) as between:
        desk = desk_with(realm.section(servers=behind(between)))
        for _ in range(60):
            with contextlib.suppress(DnsError):
                desk.publish(txt_record(WWW, "one"))
        between.behave = proxy.passed
        assert desk.withdraw() == []
