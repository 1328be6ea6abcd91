"""The CAA records that apply to a name, on BIND and on a resolver of the test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.resolver
import dns.rrset
import pytest

from certbot_tcs_lyon1.department.settings import Endpoint, Settings
from certbot_tcs_lyon1.dns01 import caa, queries
from tests.dns01.conftest import ZONE, dns_section, endpoint
from tests.lab import proxy
from tests.lab.lab import Lab

PARENT = "univ-lyon1.test"


UPPER = [
    ("@", 60, "CAA", '0 issue "sectigo.com"'),
    ("@", 60, "CAA", '0 issuewild ";"'),
    ("alias", 60, "CNAME", f"held.{ZONE}."),
    ("loop", 60, "CNAME", "pool"),
    ("pool", 60, "CNAME", "loop"),
    ("far", 60, "CNAME", "somewhere.elsewhere.test."),
    ("away", 60, "NS", "ns1.elsewhere.test."),
    ("moved", 60, "DNAME", f"{ZONE}."),
]
LOWER = [("held", 60, "CAA", '0 issue "harica.gr"'), ("www2.deep", 60, "A", "127.0.0.1")]


@pytest.fixture(scope="module", autouse=True)
def _records(lab: Lab) -> Iterator[None]:
    """CAA records at several heights, and an alias and a delegation."""
    with lab.holding(PARENT, *UPPER), lab.holding(ZONE, *LOWER):
        yield


@pytest.fixture
def settings(lab: Lab) -> Settings:
    """A department config whose update server is the lab's primary."""
    return Settings("/etc/letsencrypt/tcs-lyon1.ini", (), (dns_section(lab),), (), ())


@pytest.fixture(autouse=True)
def _system_resolver(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is the lab's secondary, and knows nothing else."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [lab.secondary.endpoint.address]
    resolver.port = lab.secondary.endpoint.port
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)


@pytest.fixture
def no_resolver(_system_resolver: None) -> None:
    """The system's resolver is down."""
    dns.resolver.default_resolver.port = 1


BOTH = (PARENT, '0 issue "sectigo.com", 0 issuewild ";"')
HELD = (f"held.{ZONE}", '0 issue "harica.gr"')


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (PARENT, BOTH),
        (f"*.{PARENT}", BOTH),
        (f"www.{PARENT}", BOTH),
        (f"www.{ZONE}", BOTH),
        (f"www2.deep.{ZONE}", BOTH),
        (f"nowhere.at.all.{ZONE}", BOTH),
        (f"held.{ZONE}", HELD),
        (f"below.held.{ZONE}", HELD),
        (f"alias.{PARENT}", HELD),
    ],
)
def test_the_nearest_records_at_or_above_the_name_apply(settings, name, expected):
    assert caa.find(name, settings, queries.Servers()) == expected


def test_a_loop_of_aliases_ends(settings):
    assert caa.find(f"loop.{PARENT}", settings, queries.Servers()) in (BOTH, None)


@pytest.mark.parametrize("name", [f"far.{PARENT}", "www.elsewhere.test"])
def test_what_nobody_here_can_answer_gives_nothing(settings, name):
    assert caa.find(name, settings, queries.Servers()) is None


def test_a_record_above_a_zone_that_cannot_be_asked_is_not_shown(settings, no_resolver):
    assert caa.find(f"www.away.{PARENT}", settings, queries.Servers()) is None
    assert caa.find(f"www.{PARENT}", settings, queries.Servers()) == BOTH


@pytest.mark.parametrize("name", ["", ".", "..", "a" * 64 + ".test"])
def test_what_is_no_name_gives_nothing(settings, name):
    assert caa.find(name, settings, queries.Servers()) is None


def test_without_a_section_the_systems_resolver_is_asked(settings):
    nobody = Settings(settings.path, (), (), (), ())
    assert caa.find(f"www.{ZONE}", nobody, queries.Servers()) == BOTH


def test_where_the_update_server_is_silent_the_systems_resolver_is_asked(lab):
    dead = dns_section(lab, servers=(Endpoint("127.0.0.1", 1), endpoint(lab.primary.endpoint)))
    settings = Settings("/etc/letsencrypt/tcs-lyon1.ini", (), (dead,), (), ())
    assert caa.find(f"www.{ZONE}", settings, queries.Servers()) == BOTH
    only = dns_section(lab, servers=(Endpoint("127.0.0.1", 1),))
    started = time.monotonic()
    settings = Settings("/etc/letsencrypt/tcs-lyon1.ini", (), (only,), (), ())
    assert caa.find(f"www.{ZONE}", settings, queries.Servers()) == BOTH
    assert time.monotonic() - started < 5


def test_without_any_resolver_there_is_nothing_and_no_error(no_resolver):
    assert caa.find(f"www.{ZONE}", Settings("x", (), (), (), ()), queries.Servers()) is None


def test_a_name_under_a_dname_has_the_records_of_its_target(settings):
    found = caa.find(f"held.moved.{PARENT}", settings, queries.Servers())
    assert found == HELD


def test_a_server_that_invents_aliases_without_end_is_given_up(lab):
    def invent(query: proxy.Query, ask: Any) -> bytes:
        reply = dns.message.make_response(query.message)
        reply.flags |= dns.flags.AA
        name = query.message.question[0].name
        target = f"next{query.count}.elsewhere.test."
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target))
        return reply.to_wire()

    with proxy.running(lab.primary.endpoint, invent) as between:
        section = dns_section(lab, servers=(endpoint(between.endpoint),))
        settings = Settings("/etc/letsencrypt/tcs-lyon1.ini", (), (section,), (), ())
        assert caa.find("www.test", settings, queries.Servers()) is None
        assert between.count("QUERY") <= 2 * caa._MOST_HOPS
