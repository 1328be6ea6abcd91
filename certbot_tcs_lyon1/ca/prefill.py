"""Filling certbot's config from a department: server, EAB, e-mail, terms, account, the department.

`preparation` calls this before certbot picks the ACME account, on the config object that certbot
uses from then on (DESIGN.md, "When the plugin touches certbot's config"). `order` decides what is
done. What the user set explicitly wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.ca import accounts, departments, order, testrun
from certbot_tcs_lyon1.ca.order import Decision, Kind
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import OrderError
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: The verbs that order certificates; for all others certbot's config is left alone.
ORDERING_VERBS = ("certonly", "run", "renew", "reconfigure")

_DNS01 = "dns-01"


def prepare_order(config: NamespaceConfig, settings: Settings, process: Process) -> None:
    """Fill certbot's config for an order, or for a test of one, and set the account.

    In a test, EAB and account are left alone: they belong to the department's own server.

    :param config: changed in place
    :param process: shows messages, and keeps which servers have answered
    :raises OrderError: no department may order these names, or the choice is ambiguous
    :raises ServerError: a test is not possible, or the department's server does not answer
    :raises AccountError: the department has no account, and none can be registered
    :raises certbot.errors.Error: the CA refused to register an account
    """
    _drop_other_challenges(config, process)
    decision = order.decide(config, settings)
    department = decision.department
    if department is None:
        if decision.kind is Kind.KEEP_OUT and compat.is_set_in_cli_ini(config, "server"):
            process.report.warning(
                f"cli.ini has server = {config.server}, which is no department's of "
                f"{settings.path}: nothing is taken from there. If a department has moved, take "
                "that line out of cli.ini."
            )
        elif decision.kind is Kind.TEST_ELSEWHERE:  # certbot refuses --staging with a server
            process.report.info(
                f"--dry-run with --server: a real certificate is about to be ordered at "
                f"{config.server}, and thrown away."
            )
    elif decision.kind is Kind.TEST:
        testrun.check(config, department, settings, process)
        _fill_registration(config, department)
        config.server = decision.server
    else:
        prefill(config, decision, department, process)
        if config.verb != "reconfigure" and not _account_is_given(config):
            accounts.pin(config, department, process)


def prefill(
    config: NamespaceConfig, decision: Decision, department: Department, process: Process
) -> None:
    """Fill certbot's config with the values of the department that the order belongs to.

    :raises OrderError: the user gave one of `--eab-kid` and `--eab-hmac-key` without the other
    """
    _set_unless_given(config, "issuance_timeout", department.issuance_timeout)
    if decision.kind is Kind.CANNOT_MOVE:
        process.report.info(
            f"certbot reconfigure cannot move a certificate from {decision.server} to department "
            f"{department.name} at {department.server}. To move it: certbot renew "
            f"--force-renewal --cert-name {config.certname}"
        )
        return
    setattr(config, departments.DEST, department.name)
    config.server = decision.server
    if decision.moves_from is not None:
        if not _account_is_given(config):  # the lineage's own belongs to the server that it leaves
            config.account = None
        process.report.info(
            f"Department {department.name}: moving from {decision.moves_from} to {decision.server}."
        )
    _fill_registration(config, department)
    if config.eab_kid is None and config.eab_hmac_key is None:
        config.eab_kid = department.eab_kid
        config.eab_hmac_key = department.eab_hmac_key
    elif config.eab_kid is None or config.eab_hmac_key is None:
        raise OrderError(
            "--eab-kid and --eab-hmac-key belong together",
            f"Give both, or neither, and those of department {department.name} are taken",
        )


def _fill_registration(config: NamespaceConfig, department: Department) -> None:
    """Fill in what registering an account needs: e-mail address and terms, without a newsletter."""
    _set_unless_given(config, "eff_email", False)
    if not config.register_unsafely_without_email:
        _set_unless_given(config, "email", department.email)
    if department.agree_tos:
        config.tos = True


def _set_unless_given(config: NamespaceConfig, name: str, value: object) -> None:
    """Set the option `name` to `value`, unless that is None or the user set the option.

    Nothing is set if this certbot has no such option (`issuance_timeout` before 1.18).
    """
    if value is not None and hasattr(config, name) and not compat.is_set_by_user(config, name):
        setattr(config, name, value)


def _drop_other_challenges(config: NamespaceConfig, process: Process) -> None:
    """Remove a lineage's preference for another challenge than DNS-01.

    It dates from another authenticator. If it stayed, the first renewal for which the CA wants a
    validation would fail, perhaps a year later (issue 13). A preference that the user gives stays:
    the advice explains its error.
    """
    if config.authenticator != lyon1.PLUGIN or compat.is_set_by_user(config, "pref_challs"):
        return
    if config.pref_challs and _DNS01 not in config.pref_challs:
        process.report.info(
            f"{config.certname} was made to be validated by {', '.join(config.pref_challs)}: that "
            f"is taken out of its renewal file, for {lyon1.PLUGIN} answers {_DNS01}."
        )
        setattr(config, "pref_challs", [])  # noqa: B010  # a property that can be set


def _account_is_given(config: NamespaceConfig) -> bool:
    return config.account is not None and compat.is_set_by_user(config, "account")
