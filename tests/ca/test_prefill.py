"""What the plugin puts into certbot's config, and when it leaves it alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from certbot_tcs_lyon1.ca import order, prefill
from certbot_tcs_lyon1.errors import OrderError
from certbot_tcs_lyon1.process import Process
from certbot_tcs_lyon1.report import Report
from tests.ca.departments import CA, LETS_ENCRYPT, certbot_config, department, settings


def filled(config: SimpleNamespace, *departments: Any) -> list[str]:
    """Fill the config as for an order, but for the account; what is said."""
    said: list[str] = []
    decision = order.decide(config, settings(*departments or [department()]))
    if decision.department is not None:
        process = Process(Report(said.append))
        prefill.prefill(config, decision, decision.department, process)
    return said


def test_a_new_order_gets_the_whole_department():
    config = certbot_config()
    assert filled(config) == []
    assert config.server == CA
    assert (config.eab_kid, config.eab_hmac_key) == ("kid-1", "aG1hYw")
    assert (config.email, config.tos, config.eff_email) == ("prenom.nom@univ-lyon1.fr", True, False)
    assert (config.issuance_timeout, config.tcs_lyon1_department) == (300, "labo")


def test_what_the_department_leaves_out_stays_certbots():
    config = certbot_config()
    filled(config, department(email=None, issuance_timeout=None, agree_tos=False))
    assert (config.email, config.issuance_timeout, config.tos) == (None, 90, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("email", "moi@univ-lyon1.fr"), ("issuance_timeout", 5), ("eff_email", True), ("tos", True)],
)
def test_an_explicit_option_wins_over_the_department(name, value):
    config = certbot_config(name, **{name: value})
    filled(config, department(agree_tos=False))
    assert getattr(config, name) == value
    assert config.server == CA


def test_an_explicit_eab_key_is_kept_whole():
    config = certbot_config("eab_kid", eab_kid="mine", eab_hmac_key="bWluZQ")
    filled(config)
    assert (config.eab_kid, config.eab_hmac_key) == ("mine", "bWluZQ")


@pytest.mark.parametrize("half", [{"eab_kid": "mine"}, {"eab_hmac_key": "bWluZQ"}])
def test_half_an_explicit_eab_key_is_refused(half):
    with pytest.raises(OrderError) as caught:
        filled(certbot_config(**half))
    assert "--eab-kid and --eab-hmac-key" in str(caught.value)
    assert "bWluZQ" not in str(caught.value)


def test_registering_without_an_address_is_respected():
    config = certbot_config(register_unsafely_without_email=True)
    filled(config)
    assert config.email is None


def test_an_account_given_by_the_user_survives_a_move():
    config = certbot_config("account", verb="renew", account="mine", tcs_lyon1_department="labo")
    filled(config)
    assert config.account == "mine"


def unchanged(config: SimpleNamespace, *departments: Any) -> bool:
    before = dict(vars(config))
    return filled(config, *departments) == [] and vars(config) == before


def test_an_explicit_other_server_keeps_everything_as_it_is():
    assert unchanged(certbot_config("server", server="https://other.test/"))


def test_an_explicit_server_of_another_department_keeps_everything_as_it_is():
    there = department(name="other", server="https://other.test/")
    config = certbot_config("server", server="https://other.test/", tcs_lyon1_department="labo")
    assert unchanged(config, department(), there)


def test_naming_the_departments_own_server_changes_nothing():
    config = certbot_config("server", server=CA)
    filled(config)
    assert (config.eab_kid, config.tcs_lyon1_department) == ("kid-1", "labo")


@pytest.mark.parametrize("verb", ["renew", "reconfigure"])
def test_a_lineage_made_without_a_department_on_another_server_stays_there(verb):
    assert unchanged(certbot_config(verb=verb, account="old"))


@pytest.mark.parametrize("verb", ["renew", "reconfigure"])
def test_a_lineage_made_without_a_department_on_the_same_server_joins_it(verb):
    config = certbot_config(verb=verb, server=CA, account="old")
    assert filled(config) == []
    assert (config.account, config.tcs_lyon1_department) == ("old", "labo")


def test_a_lineage_moves_with_its_department_and_says_from_where_to_where():
    config = certbot_config(verb="renew", account="old", tcs_lyon1_department="labo")
    [line] = filled(config)
    assert (config.server, config.account) == (CA, None)
    assert LETS_ENCRYPT in line
    assert CA in line


def test_reconfigure_moves_nothing_and_names_the_command_that_does():
    config = certbot_config(
        verb="reconfigure", certname="www", account="old", tcs_lyon1_department="labo"
    )
    [line] = filled(config)
    assert (config.server, config.account) == (LETS_ENCRYPT, "old")
    assert "renew --force-renewal --cert-name www" in line


def test_names_outside_the_departments_domains_are_refused():
    with pytest.raises(OrderError, match="www.labo.univ-lyon1.fr: nobody"):
        filled(certbot_config(), department(domains=("autre.univ-lyon1.fr",)))
