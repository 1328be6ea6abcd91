"""What the watch remembers from run to run, in one file of certbot's work folder.

Before a certificate is replaced, its serial number is written down with the reason. The next run
that finds the same reason tells by it what became of that: the number is still the live one (it
failed, or was killed: again), or it is another (done: never again, whatever `notBefore` the CA has
put into the new one).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import DiskError, WatchError
from certbot_tcs_lyon1.watch.reason import Reason

#: {"begun": {lineage: {kind: [reason, serial]}}, "unusable": {URL: time}, "ari": {id: time},
#: "directories": {server: [URL, time]}}; times are seconds of the epoch.
RECORD_NAME = "tcs-lyon1-watch.json"

#: 200 bytes a lineage, and of those on one machine there can be thousands.
_MOST_BYTES = 16 * 1024 * 1024

_PARTS = ("begun", "unusable", "ari", "directories")


class Record:
    """The file as it was read; each change is on disk when the method returns."""

    def __init__(self, work_dir: str) -> None:
        self._path = os.path.join(work_dir, RECORD_NAME)
        self._parts: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
        try:
            found = json.loads(disk.read(self._path, _MOST_BYTES)[0])
            self._parts.update({p: found[p] for p in _PARTS if isinstance(found.get(p), dict)})
        except (OSError, DiskError, ValueError, AttributeError, RecursionError):
            pass  # then nothing is remembered
        asked = self._parts["ari"].items()
        self._parts["ari"] = {key: end for key, end in asked if _is_ahead(end)}

    def is_done(self, lineage: str, serial: int, reason: Reason) -> bool:
        """Whether the lineage was replaced for this reason, so that it has another serial now."""
        begun = self._parts["begun"].get(lineage)
        entry = begun.get(reason.kind) if isinstance(begun, dict) else None
        return (
            isinstance(entry, list) and entry[:1] == [reason.key] and entry[1:] != [f"{serial:x}"]
        )

    def begin(self, lineage: str, serial: int, reason: Reason, live_dir: str) -> None:
        """Note that the lineage is about to be replaced; those that are gone are forgotten.

        :raises WatchError: it can't be written down; then nothing may be ordered
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

    def get(self, part: str, key: str) -> Any:
        """What is noted; None if nothing is."""
        return self._parts[part].get(key)

    def has(self, part: str) -> bool:
        """Whether anything is noted of a part."""
        return bool(self._parts[part])

    def note(self, part: str, key: str, value: Any) -> None:
        """Note something that can be found out again."""
        if self._parts[part].get(key) != value:
            self._parts[part][key] = value
            with contextlib.suppress(OSError):
                self._write()

    def forget(self, part: str, key: str) -> None:
        """Strike it."""
        if self._parts[part].pop(key, None) is not None:
            with contextlib.suppress(OSError):
                self._write()

    def _write(self) -> None:
        disk.write(self._path, json.dumps(self._parts, indent=1).encode())


def _is_ahead(end: Any) -> bool:
    return isinstance(end, (int, float)) and end > time.time()
