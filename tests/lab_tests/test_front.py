"""The front before Pebble: unchanged it is a CA like Pebble, and each behaviour shows."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from tests.lab import front
from tests.lab import lab as lab_module
from tests.lab.certbot import Certbot, Result
from tests.lab.errors import LabError
from tests.lab.front import Front
from tests.lab.lab import Lab
from tests.lab.pebble import Pebble
from tests.lab.require import require_lab

NAME = "www.labo.univ-lyon1.test"
DETAIL = "The CA does not like it"


@pytest.fixture
def order(lab: Lab, client: Certbot) -> Callable[..., Result]:
    """Order a certificate from a front."""

    def run(ca: Front, *options: str) -> Result:
        return certonly(lab, client, ca, *options)

    return run


def certonly(lab: Lab, client: Certbot, ca: Front, *options: str) -> Result:
    client.configure(lab.department_config(tcs={"server": ca.directory_url}))
    command = ("certonly", "-n", "-a", "tcs-lyon1", "-d", NAME, *options)
    return client.run(*command, env={"REQUESTS_CA_BUNDLE": str(ca.ca_bundle)})


def get(ca: Front, path: str, seconds: float = 5, method: str = "GET") -> tuple[int, str]:
    """Status and body of one request."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca.ca_bundle))),
    )
    request = urllib.request.Request(ca.directory_url.replace("/dir", path), method=method)
    try:
        with opener.open(request, timeout=seconds) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_certbot_gets_a_certificate_through_it(lab, client, order):
    with front.running(lab.pebble) as ca:
        result = order(ca)
        assert result.returncode == 0, result.output
        assert client.certificate(NAME).names == (NAME,)
        assert ("GET", "/dir") in ca.requests()
        for step in ("newAccount", "newOrder", "challenge", "finalize", "certificate"):
            assert ca.count(step) == 1, step


def test_the_urls_in_the_directory_lead_back_to_it(lab):
    with front.running(lab.pebble) as ca:
        directory = json.loads(get(ca, "/dir")[1])
        assert directory["newOrder"].startswith(ca.directory_url.replace("/dir", "/"))
        assert ca.requests() == [("GET", "/dir")]


def test_a_step_is_refused_with_a_problem_and_pebble_does_not_hear_of_it(lab, order):
    before = lab.pebble.requests().count(("POST", "/sign-me-up"))
    with front.running(lab.pebble, front.refuse("newAccount", front.Problem("x", DETAIL))) as ca:
        result = order(ca)
    assert result.returncode == 1
    assert DETAIL in result.log
    assert lab.pebble.requests().count(("POST", "/sign-me-up")) == before


def test_a_problem_has_its_parts():
    problem = front.Problem("compound", "several", subproblems=[(NAME, front.Problem("caa"))])
    [part] = problem.document()["subproblems"]
    assert part["type"] == "urn:ietf:params:acme:error:caa"
    assert part["identifier"] == {"type": "dns", "value": NAME}
    assert "detail" not in part


def test_pending_authorizations_have_challenges_of_sectigos_own(lab, order):
    with front.running(lab.pebble, front.own_challenges) as ca:
        result = order(ca)
        assert ca.count("challenge") == 0
    assert result.returncode == 1
    assert "sectigo-email-01" in result.log
    assert "does not support any combination of challenges" in result.log


def test_authorizations_that_are_valid_from_the_start_ask_for_nothing(tmp_path):
    require_lab()
    with lab_module.start(tmp_path, authz_reuse=100) as lab:
        with front.running(lab.pebble) as ca:
            assert certonly(lab, lab.client, ca).returncode == 0
            ca.behave = front.own_challenges
            result = certonly(lab, lab.client, ca, "--force-renewal")
            assert result.returncode == 0, result.output
            assert ca.count("challenge") == 1
            assert "sectigo-dns-01" in result.log


def test_a_slow_order_is_processing_for_some_polls(lab, order):
    with front.running(lab.pebble, front.slow(2)) as ca:
        result = order(ca)
        assert result.returncode == 0, result.output
        assert ca.count("order") == 3


def test_an_order_fails_after_it_was_finalized(lab, order):
    with front.running(lab.pebble, front.fail_order(front.Problem("caa", DETAIL))) as ca:
        result = order(ca)
        assert (ca.count("finalize"), ca.count("certificate")) == (1, 0)
    assert result.returncode == 1
    assert DETAIL in result.log


def test_a_validation_fails_after_the_challenge_was_published(lab, order):
    with front.running(lab.pebble, front.fail_validation(front.Problem("caa", DETAIL))) as ca:
        result = order(ca)
        assert ca.count("finalize") == 0
    assert result.returncode == 1
    assert DETAIL in result.output


def test_a_step_is_never_answered(lab):
    with front.running(lab.pebble, front.silent("newNonce")) as ca:
        assert get(ca, "/dir")[0] == 200
        with pytest.raises(socket.timeout):
            get(ca, "/nonce-plz", seconds=0.2, method="HEAD")


def test_what_goes_wrong_in_it_is_raised_at_its_end(lab):
    def broken(request: front.Request, ask: front.Ask) -> front.Reply:
        raise ValueError("broken behaviour")

    with pytest.raises(ValueError, match="broken behaviour"):  # noqa: PT012
        with front.running(lab.pebble, broken) as ca:
            with pytest.raises(OSError):  # noqa: PT011
                get(ca, "/dir")


def test_a_pebble_that_is_gone_is_told(lab, tmp_path):
    gone = Pebble("https://localhost:1/dir", "", lab.pebble.ca_bundle, tmp_path, lab.pebble.process)
    with pytest.raises(LabError, match="localhost:1"):
        with front.running(gone) as ca, pytest.raises(OSError):  # noqa: PT011
            get(ca, "/dir")
