"""Which department orders a certificate."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from certbot_tcs_lyon1.ca import departments
from certbot_tcs_lyon1.errors import OrderError
from tests.ca.departments import department, settings

ONE = department(name="one", domains=("one.test", "shared.test"))
TWO = department(name="two", domains=("two.test", "sub.shared.test"))


def refused(config, wanted, names) -> str:
    with pytest.raises(OrderError) as caught:
        departments.choose(config, wanted, names)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("one.test", True),
        ("www.one.test", True),
        ("*.one.test", True),
        ("*.www.one.test", True),
        ("WWW.One.Test", True),
        ("www.one.test.", True),
        ("someone.test", False),
        ("test", False),
        ("one.test.example", False),
    ],
)
def test_a_domain_covers_itself_and_all_below_it(name, covered):
    assert departments.covers(ONE, name) is covered


def test_the_only_department_orders_everything_if_it_lists_no_domains():
    one = department()
    assert departments.choose(settings(one), None, ["www.any.test"]) is one


def test_the_department_asked_for_orders():
    assert departments.choose(settings(ONE, TWO), "two", ["www.two.test"]) is TWO


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["one.test"], ONE),
        (["a.one.test", "*.one.test"], ONE),
        (["two.test", "x.two.test"], TWO),
        (["x.shared.test"], ONE),
    ],
)
def test_the_one_that_covers_every_name_orders(names, chosen):
    assert departments.choose(settings(ONE, TWO), None, names) is chosen


def test_names_of_two_departments_are_told_with_whom_each_belongs_to():
    message = refused(settings(ONE, TWO), None, ["www.one.test", "www.two.test", "x.test"])
    assert "  www.one.test: department one.\n" in message
    assert "  www.two.test: department two.\n" in message
    assert "  x.test: nobody" in message
    assert "certificats.tcs@univ-lyon1.fr" in message


def test_a_name_that_the_department_asked_for_does_not_cover_is_told():
    message = refused(settings(ONE, TWO), "one", ["www.one.test", "www.two.test"])
    assert "department one may not request" in message
    assert "  www.two.test: department two" in message


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_ip_address_is_no_department_s_and_is_told_as_what_it_is(address):
    message = refused(settings(ONE, TWO), "one", ["www.one.test", address])
    assert f"  {address}: nobody: it is an IP address" in message
    assert "Check the spelling" not in message


def test_the_addresses_of_an_order_are_checked_with_its_names():
    config = SimpleNamespace(domains=["www.one.test"], ip_addresses=["192.0.2.1"])
    assert departments.names_of(config) == ["www.one.test", "192.0.2.1"]


def test_a_name_that_both_cover_leaves_the_choice_to_the_user():
    message = refused(settings(ONE, TWO), None, ["sub.shared.test"])
    assert "--tcs-lyon1-department" in message


@pytest.mark.parametrize("wanted", [None, "three"])
def test_an_open_choice_names_the_departments_that_there_are(wanted):
    message = refused(settings(ONE, TWO), wanted, [])
    assert "one, two" in message
    assert "--tcs-lyon1-department" in message
