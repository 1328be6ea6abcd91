"""Which PKCS#12 files are still as they were written.

Each has a salt of its own, so it can't be compared with a new one; and it lies where a service can
write, so it is never opened: what a service can write may take hours to decrypt. A record of root's
in certbot's work folder holds, for each path, the SHA-256 of the file and of what it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.install import files
from certbot_tcs_lyon1.install.undo import digest
from certbot_tcs_lyon1.lineage import Lineage

#: In certbot's work folder: {path: [hash of the file, hash of what it was made of]}.
RECORD_NAME = "tcs-lyon1-pkcs12.json"


def is_ours(work_dir: str, path: str, data: bytes, source: str) -> bool:
    """Whether the file at `path` is the one that was written there.

    :param data: what the file holds
    :param source: of what it is to be made, as `source_of` says
    """
    return _read(work_dir).get(path) == [digest(data), source]


def note(work_dir: str, path: str, data: bytes, source: str) -> None:
    """Write down what is about to be written, so that nothing needs room once it is.

    What no [install] section writes any more goes with the file.

    :raises InstallError: it could not be written down
    """
    known = {known: hashes for known, hashes in _read(work_dir).items() if os.path.lexists(known)}
    known[path] = [digest(data), source]
    record = os.path.join(work_dir, RECORD_NAME)
    try:
        disk.write(record, json.dumps(known, indent=1).encode())
    except OSError as error:
        raise files.cannot_write(record, error) from None


def source_of(lineage: Lineage, password: bytes) -> str:
    """What a PKCS#12 is made of. The password may be short: a slow hash keeps a record that
    somebody has copied from telling it."""
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
