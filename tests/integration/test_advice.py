"""What the user is told after an error of the CA: the advice once, after certbot's message.

The CA's answers come from a front before Pebble. Most rows are tried with `certonly`, which prints
an error that ends certbot; `renew` prints it in another place, the same for all rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acme import client as acme_client
from acme import messages
from certbot.plugins import common

from certbot_tcs_lyon1.ca import advice
from tests.integration import problems
from tests.integration.commands import CERTONLY, NAME
from tests.lab import front
from tests.lab.certbot import Certbot, Result
from tests.lab.front import Front
from tests.lab.lab import Lab

START = "tcs-lyon1: "

hints = pytest.mark.skipif(
    "auth_hint" not in vars(common.Plugin),
    reason="certbot before 1.16 asks no plugin what a failed validation means",
)


@pytest.fixture
def ca(lab: Lab) -> Iterator[Front]:
    """A CA that behaves, until it is told otherwise."""
    with front.running(lab.pebble) as running:
        yield running


@pytest.fixture
def run(
    lab: Lab, client: Certbot, configure: Callable[[str], Path], ca: Front
) -> Callable[..., Result]:
    """Run certbot with a department at the front."""
    configure(lab.department_config(tcs={"server": ca.directory_url}))
    return functools.partial(client.run, env={"REQUESTS_CA_BUNDLE": str(ca.ca_bundle)})


def assert_advised(result: Result, *expected: str, by_ca: str = "") -> str:
    """The advice stands once in the output, after the CA's own words, and in the log; it."""
    assert result.returncode == 1, result.output
    assert result.output.count(START) == 1, result.output
    assert "No advice could be given" not in result.log
    before, after = result.output.split(START)
    for text in expected:
        assert text in after, result.output
    assert by_ca in before, result.output
    assert START + after.split("\n")[0] in result.log
    return after


@pytest.mark.parametrize(
    ("step", "problem", "expected"),
    [
        ("newOrder", problems.NOT_LINKED, ["department test-dsi", "Settings, Domains", NAME]),
        ("newOrder", problems.NOT_DELEGATED, ["department test-dsi", "Settings, Domains", NAME]),
        ("newAccount", problems.USED_UP, ["test-dsi-kid", "accounts", "backup"]),
        ("newAccount", problems.UNKNOWN_KID, ["test-dsi-kid", "ACME URL"]),
        ("newAccount", problems.BAD_MAC, ["test-dsi-kid", "eab_hmac_key", "whole"]),
        ("newOrder", problems.NO_KEY_ID, ["new ACME account"]),
        ("newOrder", problems.NO_KEY_ID_IN_HEADER, ["new ACME account"]),
        ("newAccount", problems.EAB_REQUIRED, ["eab_kid, eab_hmac_key and email"]),
        ("newOrder", problems.NO_SUCH_ACCOUNT, ["test-dsi-kid", "new ACME account"]),
        ("newOrder", problems.DEACTIVATED, ["test-dsi-kid", "new ACME account"]),
        ("newOrder", problems.REJECTED, [NAME, "public name"]),
        ("finalize", problems.BAD_CSR, ["--key-type rsa"]),
        ("finalize", problems.MALFORMED, ["--key-type rsa"]),
        ("finalize", problems.INTERNAL, ["wait an hour", "portal"]),
        ("newOrder", problems.RATE_LIMITED, ["wait an hour", "loop"]),
    ],
    ids=lambda value: getattr(value, "detail", None) or getattr(value, "type", None),
)
def test_certonly_gives_the_advice_of_each_row_once(lab, run, ca, step, problem, expected):
    ca.behave = front.refuse(step, problem)
    result = run(*CERTONLY)
    assert_advised(result, ca.directory_url, *expected, by_ca=problem.detail)
    assert lab.eab_hmac_key not in result.output + result.log


def test_the_account_is_named_and_whom_to_ask(client, run, ca):
    ca.behave = front.refuse("newOrder", problems.NOT_LINKED)
    result = run(*CERTONLY)
    [account] = client.accounts()
    assert_advised(result, f"ACME account {account.id}", "certificats.tcs@univ-lyon1.fr")


def test_an_order_that_fails_after_it_was_finalized_shows_the_cas_words(run, ca):
    problem = front.Problem("badCSR", "only RSA keys here")
    ca.behave = front.fail_order(problem)
    assert_advised(run(*CERTONLY), "--key-type rsa", by_ca=problem.detail)


def test_an_order_that_takes_too_long_says_to_look_before_ordering_again(lab, run, ca, configure):
    if "--issuance-timeout" not in run("--help", "all").output:
        pytest.skip("this certbot waits for 90 s, whatever one says")
    configure(lab.department_config(tcs={"server": ca.directory_url, "issuance_timeout": "1"}))
    ca.behave = front.slow(99)
    assert_advised(run(*CERTONLY), "portal", "issuance_timeout")


def test_challenges_of_the_cas_own_lead_to_the_portal(run, ca):
    ca.behave = front.own_challenges
    assert_advised(run(*CERTONLY), NAME, "validated in the portal")


def test_the_caa_record_that_applies_is_shown_with_the_name_that_holds_it(lab, run, ca):
    with lab.holding("labo.univ-lyon1.test", ("@", 5, "CAA", '0 issue "letsencrypt.org"')):
        ca.behave = front.refuse("finalize", problems.CAA)
        assert_advised(
            run(*CERTONLY),
            'labo.univ-lyon1.test has CAA 0 issue "letsencrypt.org"',
            "who runs the DNS zone of labo.univ-lyon1.test",
            by_ca=problems.CAA.detail,
        )


@hints
def test_a_caa_record_that_the_ca_meets_at_the_validation_is_shown_as_well(lab, run, ca):
    with lab.holding("labo.univ-lyon1.test", ("@", 5, "CAA", '0 issue "letsencrypt.org"')):
        ca.behave = front.fail_validation(problems.CAA)
        result = run(*CERTONLY)
    assert result.returncode == 1
    assert 'labo.univ-lyon1.test has CAA 0 issue "letsencrypt.org"' in result.output
    assert result.output.count("who runs the DNS zone of labo.univ-lyon1.test") == 1
    assert "check_servers" not in result.output  # the name servers are not the cause


@hints
def test_a_record_that_the_ca_did_not_find_leads_to_the_name_servers_that_it_sees(run, ca):
    ca.behave = front.fail_validation(front.Problem("unauthorized", "No TXT record found"))
    result = run(*CERTONLY)
    assert result.returncode == 1
    assert "check_servers" in result.output
    assert "CAA" not in result.output


@pytest.mark.skipif(
    "subproblems" not in messages.Error._fields, reason="acme does not read them there"
)
def test_one_part_of_several_is_enough(run, ca):
    ca.behave = front.refuse(
        "newOrder",
        front.Problem("compound", "Some names", subproblems=[("a.test", problems.REJECTED)]),
    )
    assert_advised(run(*CERTONLY), "no certificate for a.test", by_ca="Some names")


def test_run_gives_the_advice_too(run, ca):
    ca.behave = front.refuse("newOrder", problems.NOT_LINKED)
    command = ("run", "-n", "-a", "tcs-lyon1", "-i", "null", "-d", NAME)
    assert_advised(run(*command), NAME, by_ca=problems.NOT_LINKED.detail)


def test_an_error_that_no_row_knows_stays_certbots_own(run, ca):
    ca.behave = front.refuse("newOrder", front.Problem("userActionRequired", "Agree again"))
    result = run(*CERTONLY)
    assert result.returncode == 1
    assert "Agree again" in result.output
    assert START not in result.output


def test_quiet_and_debug_give_it_once_too(run, ca):
    ca.behave = front.refuse("newOrder", problems.NOT_LINKED)
    for option in ("-q", "--debug"):
        assert_advised(run(*CERTONLY, option), NAME, by_ca=problems.NOT_LINKED.detail)


class TestRenew:
    @pytest.fixture
    def lineage(self, run: Any, client: Certbot) -> Certbot:
        assert run(*CERTONLY).returncode == 0
        return client

    @pytest.mark.parametrize(
        ("behave", "expected"),
        [
            (front.refuse("newOrder", problems.NOT_LINKED), [NAME, "Settings, Domains"]),
            (front.refuse("newOrder", problems.NO_SUCH_ACCOUNT), ["new ACME account"]),
            (front.fail_order(front.Problem("caa", "forbidden")), ["CAA", NAME]),
            (front.own_challenges, [NAME, "validated in the portal"]),
        ],
        ids=["words", "type", "invalid order", "challenges"],
    )
    def test_it_is_given_once(self, lineage, run, ca, behave, expected):
        ca.behave = behave
        before = lineage.certificate(NAME)
        result = run("renew", "--force-renewal")
        if result.returncode == 0:  # told to reuse no authorization, Pebble does so 1 time in 100
            before = lineage.certificate(NAME)
            result = run("renew", "--force-renewal")
        assert_advised(result, *expected)
        assert lineage.certificate(NAME) == before

    def test_every_lineage_has_its_own_names(self, lineage, run, ca):
        other = "labo.univ-lyon1.test"
        assert run(*CERTONLY[:-1], other).returncode == 0
        ca.behave = front.refuse("newOrder", problems.REJECTED)
        result = run("renew", "--force-renewal")
        assert result.output.count(START) == 2, result.output
        for name in (NAME, other):
            assert f"issues no certificate for {name}:" in result.output

    def test_what_is_wrong_with_the_department_is_said_once_for_all(self, lineage, run, ca):
        assert run(*CERTONLY[:-1], "labo.univ-lyon1.test").returncode == 0
        ca.behave = front.refuse("newOrder", problems.NO_SUCH_ACCOUNT)
        assert_advised(run("renew", "--force-renewal"), "new ACME account")

    def test_another_plugins_lineage_gets_no_advice(self, lineage, run, ca):
        other = lineage.config_dir / "renewal" / "zzz.conf"
        text = lineage.renewal_text(NAME).replace(
            "authenticator = tcs-lyon1", "authenticator = standalone"
        )
        text = text.replace("tcs_lyon1_department = test-dsi\n", "")
        other.write_text(text)
        for name in ("live", "archive"):
            (lineage.config_dir / name / "zzz").symlink_to(lineage.config_dir / name / NAME)
        calls = []

        def second_only(request: front.Request, ask: front.Ask) -> Any:
            calls.extend([request.step] if request.step == "newOrder" else [])
            if len(calls) < 2:
                return ask()
            return front.refuse("newOrder", problems.NOT_LINKED)(request, ask)

        ca.behave = second_only
        result = run("renew", "--force-renewal")
        assert result.returncode == 1
        assert len(calls) == 2
        assert problems.NOT_LINKED.detail in result.output
        assert START not in result.output


def test_a_ca_that_does_not_answer_is_a_trouble_of_its_own(ca, monkeypatch):
    # certbot waits for 45 s, and has no option for it: here its own client waits for less.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.ca_bundle))
    ca.behave = front.silent("directory")
    net = acme_client.ClientNetwork(None, timeout=1)
    order = advice.Order("test-dsi", "kid", ca.directory_url, None, (NAME,))
    with pytest.raises(Exception) as caught:  # noqa: PT011
        net.get(ca.directory_url)
    assert "wait an hour" in (advice.advise(caught.value, order) or "")
