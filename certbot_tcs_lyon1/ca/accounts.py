"""Which ACME account belongs to which EAB key.

certbot keeps accounts by server and does not record the EAB key; it takes the only account there
is, and ignores a new key without a word (certbot #8932, #10314). So the EAB key id is written down
in the account's own folder, where it goes when the account goes, and `config.account` is set from
it. A department whose key has no account yet gets one.
"""

from __future__ import annotations

import json
import os
from typing import Any, Optional

from certbot import errors

from certbot_tcs_lyon1 import compat, disk
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import AccountError

#: In the account's folder: {"eab_kid": …}.
RECORD_NAME = "tcs-lyon1.json"

#: The CA's words for a Key ID that is good for one registration, and has had it (ca.md).
_BOUND_ALREADY = "not awaiting external account binding"


def pin(config: Any, department: Department, settings: Settings) -> None:
    """Set `config.account` to the account of the department's EAB key, made or adopted if need be.

    :param config: certbot's config, with server, EAB, e-mail and terms set
    :raises AccountError: it could not be recorded, or something to register one is missing
    :raises certbot.errors.Error: the CA refused to register one
    """
    owners = {
        account: _owner(_record_path(config, account)) for account in compat.account_ids(config)
    }
    mine = [account for account, owner in owners.items() if owner == department.eab_kid]
    if mine:
        config.account = config.account if config.account in mine else mine[0]
        return
    candidate = _candidate(config.account, owners)
    if candidate is None or not _is_alone(department, settings):
        _check_what_it_takes(config, department)
        candidate = _register(config, candidate)
    _claim(config, candidate, department)
    config.account = candidate


def _is_alone(department: Department, settings: Settings) -> bool:
    """Whether no other department of the file could own an account at this one's server."""
    return [found.server for found in settings.departments].count(department.server) == 1


def _candidate(current: Optional[str], owners: dict[str, Optional[str]]) -> Optional[str]:
    """The account that may have been made with the key by hand: the lineage's own, or the only
    one, if nobody has claimed it."""
    unclaimed = [account for account, owner in owners.items() if owner is None]
    if current in unclaimed:
        return current
    return unclaimed[0] if len(unclaimed) == 1 else None


def _check_what_it_takes(config: Any, department: Department) -> None:
    """Without a terminal certbot would ask for e-mail address and terms in vain."""
    if not config.noninteractive_mode:
        return
    missing = []
    if not config.email and not config.register_unsafely_without_email:
        missing.append("email = prenom.nom@univ-lyon1.fr")
    if not config.tos:
        missing.append("agree_tos = yes")
    if missing:
        raise AccountError(
            f"Department {department.name} has no ACME account at {department.server} yet, and to "
            f"register one the department config lacks: {'; '.join(missing)}"
        )


def _register(config: Any, candidate: Optional[str]) -> str:
    """Register; if the CA says that the key has its account already, that is the candidate."""
    try:
        return compat.register_account(config)
    except errors.Error as error:
        if candidate is not None and _BOUND_ALREADY in str(error):
            return candidate
        raise


def _record_path(config: Any, account: str) -> str:
    return os.path.join(config.accounts_dir, account, RECORD_NAME)


def _owner(path: str) -> Optional[str]:
    """The EAB key id that is written down, or None."""
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["eab_kid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _claim(config: Any, account: str, department: Department) -> None:
    path = _record_path(config, account)
    try:
        disk.write(path, json.dumps({"eab_kid": department.eab_kid}).encode() + b"\n")
    except OSError as error:
        raise AccountError(
            f"{path} cannot be written: {error.strerror}. It says that this ACME account belongs "
            f"to the Key ID of department {department.name}; run certbot as root, or make room, "
            "and try again."
        ) from None
