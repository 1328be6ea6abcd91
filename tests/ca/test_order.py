"""Whose an order or a test of one is, and where it goes."""

from __future__ import annotations

import pytest
from certbot._internal import constants

from certbot_tcs_lyon1.ca import order
from certbot_tcs_lyon1.ca.order import Kind
from certbot_tcs_lyon1.errors import OrderError
from tests.ca.departments import CA, certbot_config, department, settings

ELSEWHERE = "https://other.test/"


def decided(*departments, given=(), **values):
    config = certbot_config(*given, **values)
    before = dict(vars(config))
    decision = order.decide(config, settings(*departments or [department()]))
    assert vars(config) == before
    return decision


def test_a_new_order_goes_to_the_departments_server():
    decision = decided()
    assert (decision.kind, decision.server, decision.moves_from) == (Kind.FILL, CA, None)


def test_a_renewal_moves_with_its_department():
    decision = decided(verb="renew", server=ELSEWHERE, tcs_lyon1_department="labo")
    assert (decision.kind, decision.server, decision.moves_from) == (Kind.FILL, CA, ELSEWHERE)


def test_reconfigure_moves_nothing():
    decision = decided(verb="reconfigure", server=ELSEWHERE, tcs_lyon1_department="labo")
    assert (decision.kind, decision.server) == (Kind.CANNOT_MOVE, ELSEWHERE)


def test_a_server_that_the_user_named_is_kept():
    decision = decided(given=("server",), server=ELSEWHERE)
    assert (decision.kind, decision.department) == (Kind.KEEP_OUT, None)


@pytest.mark.parametrize("option", ["dry_run", "staging"])
def test_a_test_goes_to_the_departments_server_for_tests(option):
    changes = {option: True, "server": constants.STAGING_URI}
    decision = decided(department(dry_run_server=ELSEWHERE), **changes)
    assert (decision.kind, decision.server) == (Kind.TEST, ELSEWHERE)
    assert decided(**changes).server == constants.STAGING_URI


def test_a_test_at_a_named_server_stays_there():
    decision = decided(given=("server",), dry_run=True, server=ELSEWHERE)
    assert (decision.kind, decision.server) == (Kind.TEST_ELSEWHERE, ELSEWHERE)


def test_a_test_of_a_renewal_that_is_no_departments_is_let_alone():
    other = department(domains=("autre.univ-lyon1.fr",))
    changes = {"dry_run": True, "server": constants.STAGING_URI}
    assert decided(other, verb="renew", **changes).kind is Kind.TEST_OF_ANOTHER
    with pytest.raises(OrderError):
        decided(other, **changes)
