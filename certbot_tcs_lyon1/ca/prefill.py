"""Filling certbot's config from a department: server, EAB, e-mail, terms, account, the department.

`Plugin.prepare` calls this before certbot picks the ACME account, on the config object that certbot
uses from then on (DESIGN.md, "When the plugin touches certbot's config"). `order` decides what is
done. What the user set explicitly wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.ca import accounts, departments, options, order, testrun
from certbot_tcs_lyon1.ca.order import Decision, Kind
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import OrderError
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: The verbs that order certificates; for all others certbot's config is left alone.
ORDERING_VERBS = ("certonly", "run", "renew", "reconfigure")


def prepare_order(config: NamespaceConfig, settings: Settings, process: Process) -> None:
    """Fill certbot's config for an order, or for a test of one, and set the account.

    :param config: changed in place
    :param process: shows messages, and keeps which servers have answered
    :raises OrderError: no department may order these names, or the choice is ambiguous
    :raises ServerError: a test is not possible, or the department's server does not answer
    :raises AccountError: the department has no account, and none can be registered
    :raises certbot.errors.Error: the CA refused to register an account
    """
    options.drop_other_challenges(config, process)
    decision = order.decide(config, settings)
    if decision.kind is Kind.KEEP_OUT:
        _warn_of_old_server(config, settings, process)
    elif decision.kind is Kind.TEST_ELSEWHERE:
        testrun.report_real_certificate(config, process)
    elif decision.department is not None and decision.kind is Kind.TEST:
        testrun.prepare(config, decision, decision.department, settings, process)
    elif decision.department is not None:
        prefill(config, decision, decision.department, process)
        if config.verb != "reconfigure" and not _account_is_given(config):
            accounts.pin(config, decision.department, process)


def prefill(
    config: NamespaceConfig, decision: Decision, department: Department, process: Process
) -> None:
    """Fill certbot's config with the values of the department that the order belongs to.

    :raises OrderError: the user gave one of `--eab-kid` and `--eab-hmac-key` without the other
    """
    options.set_unless_given(config, "issuance_timeout", department.issuance_timeout)
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
    options.fill_registration(config, department)
    if config.eab_kid is None and config.eab_hmac_key is None:
        config.eab_kid = department.eab_kid
        config.eab_hmac_key = department.eab_hmac_key
    elif config.eab_kid is None or config.eab_hmac_key is None:
        raise OrderError(
            "--eab-kid and --eab-hmac-key belong together",
            f"Give both, or neither, and those of department {department.name} are taken",
        )


def _warn_of_old_server(config: NamespaceConfig, settings: Settings, process: Process) -> None:
    if compat.is_set_in_cli_ini(config, "server"):
        process.report.warning(
            f"cli.ini has server = {config.server}, which is no department's of "
            f"{settings.path}: nothing is taken from there. If a department has moved, take "
            "that line out of cli.ini."
        )


def _account_is_given(config: NamespaceConfig) -> bool:
    return config.account is not None and compat.is_set_by_user(config, "account")
