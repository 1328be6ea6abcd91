"""What the plugin puts into certbot's config, and when it leaves it alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest

from certbot_tcs_lyon1.ca import prefill
from certbot_tcs_lyon1.department import Department, DepartmentError, Settings

CA = "https://ca.test/acme"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def department(**changes: Any) -> Department:
    values = {
        "name": "labo",
        "server": CA,
        "email": "prenom.nom@univ-lyon1.fr",
        "agree_tos": True,
        "issuance_timeout": 300,
        "dry_run_server": None,
        "eab_kid": "kid-1",
        "eab_hmac_key": "aG1hYw",
        "domains": (),
    }
    return Department(**{**values, **changes})


def settings(*departments: Department) -> Settings:
    return Settings("/etc/tcs-lyon1.ini", departments, (), (), ())


def certbot_config(**changes: Any) -> SimpleNamespace:
    values = {
        "verb": "certonly",
        "server": LETS_ENCRYPT,
        "account": None,
        "email": None,
        "tos": False,
        "eff_email": None,
        "issuance_timeout": 90,
        "eab_kid": None,
        "eab_hmac_key": None,
        "tcs_lyon1_department": None,
    }
    return SimpleNamespace(**{**values, **changes})


def given(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


def test_a_new_order_gets_the_whole_department():
    config = certbot_config()
    assert prefill.prefill(config, department(), given()) is None
    assert vars(config) == {
        "verb": "certonly",
        "server": CA,
        "account": None,
        "email": "prenom.nom@univ-lyon1.fr",
        "tos": True,
        "eff_email": False,
        "issuance_timeout": 300,
        "eab_kid": "kid-1",
        "eab_hmac_key": "aG1hYw",
        "tcs_lyon1_department": "labo",
    }


def test_what_the_department_leaves_out_stays_certbots():
    config = certbot_config()
    prefill.prefill(config, department(email=None, issuance_timeout=None, agree_tos=False), given())
    assert (config.email, config.issuance_timeout, config.tos) == (None, 90, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("email", "moi@univ-lyon1.fr"), ("issuance_timeout", 5), ("eff_email", True), ("tos", True)],
)
def test_an_explicit_option_wins_over_the_department(name, value):
    config = certbot_config(**{name: value})
    prefill.prefill(config, department(agree_tos=False), given(name))
    assert getattr(config, name) == value
    assert config.server == CA


def test_an_explicit_eab_key_is_kept_whole():
    config = certbot_config(eab_kid="mine", eab_hmac_key="bWluZQ")
    prefill.prefill(config, department(), given("eab_kid"))
    assert (config.eab_kid, config.eab_hmac_key) == ("mine", "bWluZQ")


def test_an_explicit_other_server_keeps_everything_as_it_is():
    config = certbot_config(server="https://other.test/")
    before = dict(vars(config))
    assert prefill.prefill(config, department(), given("server")) is None
    assert vars(config) == before


def test_naming_the_departments_own_server_changes_nothing():
    config = certbot_config(server=CA)
    prefill.prefill(config, department(), given("server"))
    assert (config.eab_kid, config.tcs_lyon1_department) == ("kid-1", "labo")


@pytest.mark.parametrize("verb", ["renew", "reconfigure"])
def test_a_lineage_made_without_a_department_on_another_server_stays_there(verb):
    config = certbot_config(verb=verb, account="old")
    before = dict(vars(config))
    assert prefill.prefill(config, department(), given()) is None
    assert vars(config) == before


def test_a_lineage_made_without_a_department_on_the_same_server_joins_it():
    config = certbot_config(verb="renew", server=CA, account="old")
    assert prefill.prefill(config, department(), given()) is None
    assert (config.account, config.tcs_lyon1_department) == ("old", "labo")


def test_a_lineage_moves_with_its_department_and_says_from_where_to_where():
    config = certbot_config(verb="renew", account="old", tcs_lyon1_department="labo")
    line = prefill.prefill(config, department(), given())
    assert (config.server, config.account) == (CA, None)
    assert line is not None
    assert LETS_ENCRYPT in line
    assert CA in line


def test_a_test_run_goes_to_dry_run_server_without_eab():
    config = certbot_config(server=STAGING)
    other = department(dry_run_server="https://test-ca.test/")
    assert prefill.prefill_test_run(config, other, has_default_server=True) is None
    assert (config.server, config.eab_kid) == ("https://test-ca.test/", None)


def test_a_test_run_without_dry_run_server_says_what_it_does_not_test():
    config = certbot_config(server=STAGING)
    line = prefill.prefill_test_run(config, department(), has_default_server=True)
    assert config.server == STAGING
    assert line is not None
    assert CA in line


def test_a_test_run_goes_where_the_user_said():
    config = certbot_config(server="https://mine.test/")
    other = department(dry_run_server="https://test-ca.test/")
    assert prefill.prefill_test_run(config, other, has_default_server=False) is None
    assert config.server == "https://mine.test/"


def test_the_only_department_is_chosen():
    one = department()
    assert prefill.choose_department(settings(one), None) is one


def test_the_named_department_is_chosen():
    one, two = department(name="one"), department(name="two")
    assert prefill.choose_department(settings(one, two), "two") is two


@pytest.mark.parametrize("wanted", [None, "three"])
def test_an_open_choice_names_the_departments_that_there_are(wanted):
    both = settings(department(name="one"), department(name="two"))
    with pytest.raises(DepartmentError) as caught:
        prefill.choose_department(both, wanted)
    assert "one, two" in str(caught.value)
    assert "--tcs-lyon1-department" in str(caught.value)
