"""The record of PKCS#12 files, which says whether one is still as it was written.

Each PKCS#12 has a random salt, so it can't be compared with a new one. Nor is it opened: a
service's user can put another file in its place, which may take hours to decrypt. So a record in
certbot's work folder holds for each path the digests of the file and of what it was made of.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.install import files, formats
from certbot_tcs_lyon1.install.undo import digest
from certbot_tcs_lyon1.lineage import Lineage

#: In certbot's work folder: {path: [digest of the file, digest of what it was made of]}.
RECORD_NAME = "tcs-lyon1-pkcs12.json"


def is_live(
    work_dir: str, path: str, data: bytes, kind: str, lineage: Lineage, source: Optional[str]
) -> bool:
    """Return whether the file at `path` is what a deployment of the lineage writes there.

    :param data: the content of the file
    :param kind: one of `settings.WRITTEN`
    :param source: of a PKCS#12, the digest of what it should be made of, from `source_digest`
    """
    if source is not None:
        return _read(work_dir).get(path) == [digest(data), source]
    return data == formats.pem(kind, lineage)


def record(work_dir: str, path: str, data: bytes, source: str) -> None:
    """Record a file that is about to be written; paths that no longer exist are dropped.

    It is recorded before, so that nothing needs room on the disk once the file is written.

    :raises InstallError: it could not be recorded
    """
    known = {known: hashes for known, hashes in _read(work_dir).items() if os.path.lexists(known)}
    known[path] = [digest(data), source]
    kept = os.path.join(work_dir, RECORD_NAME)
    with files.writing(kept):
        disk.write(kept, json.dumps(known, indent=1).encode())


def source_digest(lineage: Lineage, password: bytes) -> str:
    """Return the digest of what a PKCS#12 is made of.

    The password may be short: a slow hash keeps a copied record from revealing it.
    """
    parts = b"\0".join((lineage.privkey, lineage.fullchain, lineage.name.encode()))
    salt = hashlib.sha256(parts).digest()
    return hashlib.pbkdf2_hmac("sha256", password, salt, 20000).hex()


def _read(work_dir: str) -> dict[str, list[str]]:
    try:
        with open(os.path.join(work_dir, RECORD_NAME), "rb") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}  # the files are written again
    return found if isinstance(found, dict) else {}
