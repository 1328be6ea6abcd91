"""The record in an ACME account's folder of the EAB key that the account is bound to."""

from __future__ import annotations

import json
import os
from typing import Optional

from certbot_tcs_lyon1 import disk

#: {"eab_kid": …, "given": whether the user set it, not the department config}.
NAME = "tcs-lyon1.json"


def read(folder: str) -> tuple[Optional[str], bool]:
    """Return the EAB key id, None if none is recorded; and whether the user set it.

    :param folder: the account's
    """
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            record = json.load(file)
            return str(record["eab_kid"]), bool(record.get("given"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, False


def write(folder: str, kid: Optional[str], given: bool) -> None:
    """Record the EAB key id.

    :raises OSError: it could not be written
    """
    record = {"eab_kid": kid, "given": given}
    disk.write(os.path.join(folder, NAME), json.dumps(record).encode() + b"\n")
