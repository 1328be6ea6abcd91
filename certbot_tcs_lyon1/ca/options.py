"""Single values of certbot's config, from a department; what the user set explicitly wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.department.settings import Department
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

_DNS01 = "dns-01"


def fill_registration(config: NamespaceConfig, department: Department) -> None:
    """Fill in what registering an account needs: e-mail address and terms, without a newsletter."""
    set_unless_given(config, "eff_email", False)
    if not config.register_unsafely_without_email:
        set_unless_given(config, "email", department.email)
    if department.agree_tos:
        config.tos = True


def drop_other_challenges(config: NamespaceConfig, process: Process) -> None:
    """Remove a lineage's preference for another challenge than DNS-01.

    It dates from another authenticator. If it stayed, the first renewal for which the CA wants a
    validation would fail, perhaps a year later (issue 13). A preference that the user gives stays:
    the advice explains its error.

    :param config: changed in place; certbot saves it with the lineage's next certificate
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
    """Set the option `name` to `value`, unless that is None or the user set the option.

    Nothing is set if this certbot has no such option (`issuance_timeout` before 1.18).
    """
    if value is not None and hasattr(config, name) and not compat.is_set_by_user(config, name):
        setattr(config, name, value)
