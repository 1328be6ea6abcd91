"""From a department to certbot's config: server, EAB, e-mail, terms, account, the department.

`Plugin.prepare` calls this before certbot picks the ACME account, on the config object that
certbot then uses; so whatever is set here holds (DESIGN.md, "When the plugin touches certbot's
config"). Whatever the user gave explicitly wins.
"""

from __future__ import annotations

from typing import Any, Optional

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.ca import accounts, departments, options, testrun
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import OrderError
from certbot_tcs_lyon1.process import Process

#: The verbs that order certificates; for all others certbot's config is left alone.
ORDERING_VERBS = ("certonly", "run", "renew", "reconfigure")

#: The verbs for which certbot has put a lineage's stored values into its config.
RESTORING_VERBS = ("renew", "reconfigure")


def prepare_order(config: Any, settings: Settings, process: Process) -> None:
    """Fill certbot's config for an order, or for a test of one, and see to the account.

    :param config: certbot's `NamespaceConfig`, changed in place
    :param process: what it learns, and how it speaks to the user
    :raises OrderError: no department may order these names, or the choice is left open
    :raises AccountError: the department's account can't be had
    :raises certbot.errors.Error: the CA did not register one
    """
    if compat.is_test_run(config):
        testrun.prepare(config, settings, process)
        return
    department = whose_order(config, settings)
    if department is None:
        if compat.comes_from_a_file(config, "server"):
            process.report.warning(
                f"cli.ini has server = {config.server}, which is no department's of "
                f"{settings.path}: nothing is taken from there. If a department has moved, take "
                "that line out of cli.ini."
            )
        return
    prefill(config, department, process)
    if config.verb != "reconfigure" and not _account_is_given(config):
        accounts.pin(config, department, process)


def whose_order(config: Any, settings: Settings) -> Optional[Department]:
    """The department that this order belongs to, or None if the plugin is to keep out of it.

    It keeps out where the user named another server than the department's, and of the renewal of a
    lineage that was made without a department on another server.

    :raises OrderError: no department may order these names, or the choice is left open
    """
    wanted = getattr(config, departments.DEST) or departments.recorded(config)
    stays = compat.by_user(config, "server") or (config.verb in RESTORING_VERBS and wanted is None)
    if stays and config.server not in {found.server for found in settings.departments}:
        return None
    chosen = departments.choose(settings, wanted, departments.names_of(config))
    return None if stays and config.server != chosen.server else chosen


def prefill(config: Any, department: Department, process: Process) -> None:
    """Fill certbot's config with the values of the department that the order belongs to."""
    options.set_unless_given(config, "issuance_timeout", department.issuance_timeout)
    if config.verb == "reconfigure" and config.server != department.server:
        process.report.info(
            f"certbot reconfigure cannot move a certificate from {config.server} to department "
            f"{department.name} at {department.server}. To move it: certbot renew "
            f"--force-renewal --cert-name {config.certname}"
        )
        return
    setattr(config, departments.DEST, department.name)
    _set_server(config, department, process)
    options.fill_registration(config, department)
    if config.eab_kid is None and config.eab_hmac_key is None:
        config.eab_kid = department.eab_kid
        config.eab_hmac_key = department.eab_hmac_key
    elif config.eab_kid is None or config.eab_hmac_key is None:
        raise OrderError(
            "--eab-kid and --eab-hmac-key belong together: give both, or neither, and those of "
            f"department {department.name} are taken."
        )


def _set_server(config: Any, department: Department, process: Process) -> None:
    """Set the server; the account of a lineage goes with its server, so it is given up with it."""
    before = config.server
    config.server = department.server
    if before != department.server and config.verb in RESTORING_VERBS:
        if not _account_is_given(config):
            config.account = None
        process.report.info(
            f"Department {department.name}: moving from {before} to {department.server}."
        )


def _account_is_given(config: Any) -> bool:
    return config.account is not None and compat.by_user(config, "account")
