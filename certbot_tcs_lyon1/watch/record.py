"""What the watch remembers from run to run, in a file of certbot's work folder.

Before a lineage is replaced, its serial number is recorded with the reason. If a later run finds
the same reason and the same serial number, the replacement has failed or was killed, and is tried
again; with another serial number it is done, whatever `notBefore` the CA has put into the new
certificate.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import DiskError, WatchError

#: {"begun": {lineage: {kind: [reason, serial]}}, "unusable": {URL: time}, "ari": {id: time},
#: "directories": {server: URL}}; times are seconds of the epoch, in "ari" those of the next
#: request, for a certificate's id or a server.
RECORD_NAME = "tcs-lyon1-watch.json"

#: The folder of the CRLs of `cache`, in certbot's work folder. It is here for those who don't load
#: cryptography, as `cache` does.
CRL_FOLDER_NAME = "tcs-lyon1-crls"

#: A lineage takes 200 bytes, and a machine may have thousands.
_MOST_BYTES = 16 * 1024 * 1024

_PARTS = ("begun", "unusable", "ari", "directories")


@dataclass(frozen=True)
class Reason:
    """A reason to replace a certificate.

    :ivar kind: `revoked`, `campaign` or `ari`
    :ivar key: distinguishes reasons of one kind
    :ivar text: for the user, after the certificate's name
    :ivar needs_new_key: don't use the old key again, even if the lineage has `reuse_key`
    """

    kind: str
    key: str
    text: str
    needs_new_key: bool = False


class Record:
    """The content of the file; each change is written before the method returns.

    :param work_dir: certbot's work folder
    """

    def __init__(self, work_dir: str) -> None:
        self._path = os.path.join(work_dir, RECORD_NAME)
        self._parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
        try:
            found = json.loads(disk.read(self._path, _MOST_BYTES)[0])
            self._parts.update({p: found[p] for p in _PARTS if isinstance(found.get(p), dict)})
        except (OSError, DiskError, ValueError, AttributeError, RecursionError):
            pass  # nothing is remembered
        self._parts["ari"] = {
            key: end
            for key, end in self._parts["ari"].items()
            if isinstance(end, (int, float)) and end > time.time()
        }

    def is_done(self, lineage: str, serial: int, reason: Reason) -> bool:
        """Return whether the lineage was replaced for this reason: it has another serial number."""
        begun = self._parts["begun"].get(lineage)
        entry = begun.get(reason.kind) if isinstance(begun, dict) else None
        return (
            isinstance(entry, list) and entry[:1] == [reason.key] and entry[1:] != [f"{serial:x}"]
        )

    def begin(self, lineage: str, serial: int, reason: Reason, live_dir: str) -> None:
        """Record that the lineage is about to be replaced; drop lineages that no longer exist.

        :raises WatchError: it can't be recorded; then the lineage must not be replaced
        """
        begun = {
            name: entry
            for name, entry in self._parts["begun"].items()
            if isinstance(entry, dict) and os.path.lexists(os.path.join(live_dir, name))
        }
        begun[lineage] = {**begun.get(lineage, {}), reason.kind: [reason.key, f"{serial:x}"]}
        self._parts["begun"] = begun
        try:
            self._write()
        except OSError as error:
            raise WatchError(
                f"it can't be written: {error.strerror}; without it {lineage} could be replaced "
                "again and again, so it was not",
                "make room, or run certbot as root",
                where=self._path,
            ) from None

    def time(self, part: str, key: str) -> float:
        """Return the time that is noted (seconds of the epoch); 0 if none is."""
        found = self._parts[part].get(key)
        return found if isinstance(found, (int, float)) else 0

    def text(self, part: str, key: str) -> str:
        """Return the text that is noted; "" if none is."""
        return str(self._parts[part].get(key) or "")

    def has(self, part: str) -> bool:
        """Return whether anything is noted in a part."""
        return bool(self._parts[part])

    def note(self, part: str, key: str, value: Any) -> None:
        """Note a value that can be found out again, so that a failed write does not matter."""
        if self._parts[part].get(key) != value:
            self._parts[part][key] = value
            with contextlib.suppress(OSError):
                self._write()

    def forget(self, part: str, key: str) -> None:
        """Remove a note."""
        if self._parts[part].pop(key, None) is not None:
            with contextlib.suppress(OSError):
                self._write()

    def _write(self) -> None:
        disk.write(self._path, json.dumps(self._parts, indent=1).encode())
