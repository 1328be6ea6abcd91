"""Departments, and certbot's config, for the unit tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from certbot_tcs_lyon1.department.settings import Department, Settings

CA = "https://ca.test/acme"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def department(**changes: Any) -> Department:
    """A complete department `labo`, with changes."""
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
    """A department config with these departments."""
    return Settings("/etc/tcs-lyon1.ini", departments, (), (), ())


def certbot_config(*given: str, **values: Any) -> SimpleNamespace:
    """certbot's config; `given` are the options that the user gave."""
    defaults = {
        "verb": "certonly",
        "dry_run": False,
        "staging": False,
        "certname": None,
        "domains": ["www.labo.univ-lyon1.fr"],
        "server": LETS_ENCRYPT,
        "account": None,
        "email": None,
        "register_unsafely_without_email": False,
        "tos": False,
        "eff_email": None,
        "issuance_timeout": 90,
        "eab_kid": None,
        "eab_hmac_key": None,
        "tcs_lyon1_department": None,
    }
    by_user = SimpleNamespace(name="COMMAND_LINE")
    sources = dict.fromkeys(given, by_user)
    return SimpleNamespace(**{**defaults, **values}, argument_sources=sources)
