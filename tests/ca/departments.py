"""Departments for the unit tests."""

from __future__ import annotations

from typing import Any

from certbot_tcs_lyon1.department.settings import Department, Settings

CA = "https://ca.test/acme"


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
