"""What a name server, or who plays it, sends back."""

from __future__ import annotations

import contextlib
from unittest import mock

import dns.flags
import dns.message
import dns.name
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import DnsServer, TsigKey
from certbot_tcs_lyon1.dns01 import nameservers, propagation, queries, transport, zones
from certbot_tcs_lyon1.dns01.records import Address, Location, TxtRecord

NAME = dns.name.from_text("_acme-challenge.www.labo.test.")
HERE = Address("127.0.0.1", 53, "ns")
SECTION = DnsServer("", (), TsigKey("k", "hmac-sha256", "c2VjcmV0LXNlY3JldA=="), None)

_OWNERS = st.sampled_from([NAME.to_text(), "labo.test.", "test.", ".", "a.b.labo.test.", "x."])
_DATA = st.sampled_from(
    [
        ("SOA", "ns. root. 1 1 1 1 1"),
        ("NS", "ns.labo.test."),
        ("NS", "."),
        ("CNAME", "."),
        ("CNAME", "other.test."),
        ("DNAME", "other.test."),
        ("A", "127.0.0.1"),
        ("A", "224.0.0.1"),
        ("AAAA", "fe80::1"),
        ("TXT", '"value"'),
        ("TXT", '""'),
        ("MX", "10 ."),
        ("CAA", '0 issue "a"'),
    ]
)
_RRSETS = st.lists(
    st.builds(lambda owner, data: dns.rrset.from_text(owner, 60, "IN", *data), _OWNERS, _DATA),
    max_size=4,
)


@given(_RRSETS, _RRSETS, st.integers(0, 0xFFFF), st.binary(max_size=8), st.integers(0, 200))
def test_no_reply_raises_another_error_than_the_wings(answer, authority, flags, noise, at):
    def exchange(
        servers: object, server: object, query: dns.message.Message, *rest: object
    ) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.answer, reply.authority = answer, authority
        reply.flags = flags | dns.flags.QR
        wire = bytearray(reply.to_wire())
        wire[12 + at : 12 + at + len(noise)] = noise
        found = transport.read(query, bytes(wire))
        if found is None:
            raise EOFError
        return found

    with contextlib.ExitStack() as patched:
        for name, instead in (("_ask", exchange), ("addresses_of", lambda *_: [HERE])):
            patched.enter_context(mock.patch.object(queries.Servers, name, instead))
        servers = queries.Servers()
        settings = mock.Mock(dns_server_for=lambda n: SECTION)
        for ask in (
            lambda: zones.locate_at(HERE, SECTION, NAME, servers),
            lambda: nameservers.addresses(Location(NAME.parent(), HERE), servers),
            lambda: propagation.poll(HERE, [TxtRecord(NAME, "value")], servers),
            lambda: zones.place(TxtRecord(NAME, "value"), settings, servers, 0.0),
        ):
            with contextlib.suppress(errors.Error):
                ask()


@given(st.binary(min_size=1, max_size=300))
def test_bytes_that_are_no_reply_are_none(wire):
    query = dns.message.make_query(NAME, "TXT", id=0)
    no_reply = b"\0\0" + bytes([wire[0] & 0x7F]) + wire[1:]  # the bit QR is not set
    assert transport.read(query, no_reply) is None
