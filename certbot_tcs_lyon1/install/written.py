"""Which PKCS#12 files are still as they were written.

Each has a salt of its own, so it can't be compared with a new one; and it lies where a service can
write, so it is never opened: what a service can write may take hours to decrypt. A record of root's
in certbot's work folder holds, for each path, the SHA-256 of the file and of what it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.install import files
from certbot_tcs_lyon1.install.undo import digest
from certbot_tcs_lyon1.lineage import Lineage

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department.settings import Target

#: In certbot's work folder: {path: [hash of the file, hash of what it was made of]}.
RECORD_NAME = "tcs-lyon1-pkcs12.json"


def is_ours(work_dir: str, path: str, data: bytes, target: Target, lineage: Lineage) -> bool:
    """Whether the file at `path` is the one that was written there for this lineage and password.

    :param data: what the file holds
    """
    return _read(work_dir).get(path) == [digest(data), _source(target, lineage)]


def note(work_dir: str, data: Mapping[str, bytes], target: Target, lineage: Lineage) -> None:
    """Write down what was written; those that no [install] section writes any more stay, for they
    do no harm.

    :param data: what was written, by path; all but the PKCS#12 is passed over
    :raises InstallError: it could not be written down
    """
    mine = {p: d for p, d in data.items() if p == os.path.realpath(target.pkcs12 or "/")}
    if not mine:
        return
    known = {path: hashes for path, hashes in _read(work_dir).items() if os.path.lexists(path)}
    known.update({path: [digest(made), _source(target, lineage)] for path, made in mine.items()})
    record = os.path.join(work_dir, RECORD_NAME)
    try:
        disk.write(record, json.dumps(known, indent=1).encode())
    except OSError as error:
        raise files.cannot_write(record, error) from None


def _source(target: Target, lineage: Lineage) -> str:
    """What a PKCS#12 is made of. The password file may be short: a slow hash keeps a record that
    somebody has copied from telling it."""
    password = b""
    if target.pkcs12_password_file is not None:
        password = disk.read(target.pkcs12_password_file)[0]
    parts = b"\0".join((lineage.privkey, lineage.fullchain, lineage.name.encode()))
    salt = hashlib.sha256(parts).digest()
    return hashlib.pbkdf2_hmac("sha256", password, salt, 20000).hex()


def _read(work_dir: str) -> dict[str, list[str]]:
    try:
        with open(os.path.join(work_dir, RECORD_NAME), "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}  # then the file is written anew
    return found if isinstance(found, dict) else {}
