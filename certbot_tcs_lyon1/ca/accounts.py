"""The ACME account of each EAB key.

certbot keeps accounts by server and does not record the EAB key: it uses the only account there is,
and ignores a new key without a message (certbot #8932, #10314). So the EAB key id is recorded in
the account's own folder, where it is removed with the account, and `config.account` is set from it.
For a key without an account, one is registered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from certbot import errors

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.ca import account_record
from certbot_tcs_lyon1.department.settings import Department
from certbot_tcs_lyon1.errors import AccountError
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: The CA's error for a Key ID that allows one registration and was used (Sectigo).
_BOUND_ALREADY = "not awaiting external account binding"


def pin(config: NamespaceConfig, department: Department, process: Process) -> None:
    """Set `config.account` to the account of the EAB key; register or adopt one if there is none.

    :param config: certbot's config, with server, EAB, e-mail and terms set
    :raises AccountError: the key's account can't be recorded, can't be registered for lack of
        e-mail or terms, or is one of several
    :raises certbot.errors.Error: the CA refused to register one
    """
    owners = {
        account: account_record.read(os.path.join(config.accounts_dir, account))
        for account in compat.account_ids(config)
    }
    mine = [account for account, (kid, _) in owners.items() if kid == config.eab_kid]
    own = config.account
    if own is None and config.verb == "renew" and len(owners) == 1:
        [own] = owners  # with --server set, certbot does not restore the account (#10663)
    if owners.get(own, (None, False))[1] and not compat.is_set_by_user(config, "eab_kid"):
        config.account = own  # registered with a key of the user's, which also counts at renewal
        return
    if mine:
        config.account = config.account if config.account in mine else mine[0]
        return
    _check_can_register(config, department)
    unclaimed = [account for account, (kid, _) in owners.items() if kid is None]
    account = _register(config, unclaimed, process)
    _record(config, account, department)
    config.account = account


def _check_can_register(config: NamespaceConfig, department: Department) -> None:
    """Check that e-mail and terms are set: without a terminal certbot can't ask for them.

    :raises AccountError: one is missing
    """
    if not config.noninteractive_mode:
        return
    missing = []
    if not config.email and not config.register_unsafely_without_email:
        missing.append(f"email = {lyon1.EXAMPLE_EMAIL}")
    if not config.tos:
        missing.append("agree_tos = yes")
    if missing:
        raise AccountError(
            f"Department {department.name} has no ACME account at {department.server} yet, and to "
            f"register one the department config lacks: {' and '.join(missing)}",
            "Add that to [tcs], or run certbot at a terminal",
        )


def _register(config: NamespaceConfig, unclaimed: Sequence[str], process: Process) -> str:
    """Register an account; if the CA says that the key has one already, adopt the unclaimed one.

    An account is adopted only then: one that was made by hand may be of another key.

    :param unclaimed: the ids of the accounts without a recorded key
    :returns: the account's id
    """
    try:
        return compat.register_account(config)
    except errors.Error as error:
        if not unclaimed or _BOUND_ALREADY not in str(error):
            raise
    if config.account in unclaimed:  # the lineage's own
        adopted = str(config.account)
    elif len(unclaimed) == 1:
        adopted = unclaimed[0]
    else:
        raise AccountError(
            f"The Key ID {config.eab_kid} has its account at {config.server} already, and nothing "
            f"says which of these it is: {', '.join(unclaimed)}",
            "Run the command once with --account ID and the one that `certbot show_account "
            "--account ID` shows to be the department's",
        )
    process.report.info(
        f"The Key ID {config.eab_kid} has its account at {config.server} already: {adopted} is "
        "taken for it."
    )
    return adopted


def _record(config: NamespaceConfig, account: str, department: Department) -> None:
    """Record that the account belongs to the EAB key.

    :raises AccountError: the record can't be written
    """
    folder = os.path.join(config.accounts_dir, account)
    try:
        account_record.write(folder, config.eab_kid, compat.is_set_by_user(config, "eab_kid"))
    except OSError as error:
        raise AccountError(
            "The file that says that this ACME account belongs to the Key ID of department "
            f"{department.name} cannot be written: {error.strerror}",
            "Run certbot as root, or make room, and try again",
            where=os.path.join(folder, account_record.NAME),
        ) from None
