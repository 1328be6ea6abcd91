"""Single values from a department to certbot's config; what the user gave explicitly wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.department.settings import Department
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

_DNS01 = "dns-01"


def fill_registration(config: NamespaceConfig, department: Department) -> None:
    """Who registers: e-mail address and agreement to the terms, without any newsletter."""
    set_unless_given(config, "eff_email", False)
    if not config.register_unsafely_without_email:
        set_unless_given(config, "email", department.email)
    if department.agree_tos:
        config.tos = True


def answer_by_dns(config: NamespaceConfig, process: Process) -> None:
    """Take out the preference for another challenge that came with a lineage.

    It was made with another authenticator then. Left in, `pref_challs` fails the first renewal for
    which the CA wants a validation, maybe a year later (13). What the user gives stays: the advice
    tells it.

    :param config: changed in place; certbot keeps that with the lineage's next certificate
    """
    if config.authenticator != lyon1.PLUGIN or compat.is_set_by_user(config, "pref_challs"):
        return
    if config.pref_challs and _DNS01 not in config.pref_challs:
        process.report.info(
            f"{config.certname} was made to be validated by {', '.join(config.pref_challs)}: that "
            f"is taken out of its renewal file, for {lyon1.PLUGIN} answers {_DNS01}."
        )
        setattr(config, "pref_challs", [])  # noqa: B010  # a property that can be set


def set_unless_given(config: NamespaceConfig, name: str, value: object) -> None:
    """Set the option `name` to `value`, unless that is None, the user gave the option, or this
    certbot has no such option (`issuance_timeout` before 1.18)."""
    if value is not None and hasattr(config, name) and not compat.is_set_by_user(config, name):
        setattr(config, name, value)
