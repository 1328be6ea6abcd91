"""Reading from certbot's logs when `certbot renew` ran last, and which renewals failed.

certbot writes one file per run: `letsencrypt.log`, and for older runs `letsencrypt.log.1` and so
on. The patterns are those of certbot 1.12 to 5.8. If another version words a failure differently,
it is not found, and the certificate's remaining lifetime gives the alarm.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import Optional

from certbot_tcs_lyon1.report import foreign

_NAME = re.compile(r"letsencrypt\.log(\.[0-9]+)?")
_START = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+:(\w+):")
#: certbot does not log the verb, so `renew` is recognized by the end of its log.
_ENDED = re.compile(r":(no renewal failures|\d+ renew failure\(s\))")
_TEST = re.compile(r"Arguments: \[.*'--dry-run'")
_FAILED = re.compile(
    r"(?:Failed to renew certificate (?P<new>.+?) with error"
    r"|Attempting to renew cert \((?P<old>.+?)\) from .+? produced an unexpected error)"
    r": (?P<why>.*)"
)

#: The most files, and bytes of each, that are read: `renew` runs twice a day.
_MOST_FILES = 40
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Failure:
    """A renewal that failed.

    :ivar when: seconds since the epoch
    :ivar cause: the error in the log
    """

    when: int
    cause: str


@dataclass(frozen=True)
class Runs:
    """What the logs say.

    :ivar last_renew: when `certbot renew` ran last, in seconds since the epoch; None if unknown
    :ivar failures: the last failure of each lineage
    """

    last_renew: Optional[int]
    failures: dict[str, Failure]


def read(folder: str) -> Runs:
    """Read the logs of a folder, the newest first; it does not exist before the first run.

    :raises OSError: the folder or a log can't be read
    """
    try:
        names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return Runs(None, {})
    dated = []
    for path in (os.path.join(folder, name) for name in names):
        with contextlib.suppress(FileNotFoundError):  # certbot rotates them when it starts
            dated.append((os.path.getmtime(path), path))
    last: Optional[int] = None
    failures: dict[str, Failure] = {}
    for changed, path in sorted(dated, reverse=True)[:_MOST_FILES]:
        try:
            begun, renew, failed = _of_run(_text(path))
        except FileNotFoundError:
            continue
        if renew and last is None:
            last = begun or int(changed)
        for name, failure in failed.items():
            failures.setdefault(name, failure)
    return Runs(last, failures)


def _text(path: str) -> str:
    """Return the beginning and the end of a log."""
    with open(path, "rb") as file:
        head = file.read(_MOST_BYTES)
        file.seek(max(len(head), os.fstat(file.fileno()).st_size - _MOST_BYTES))
        return (head + file.read(_MOST_BYTES)).decode("utf-8", "replace")


def _of_run(text: str) -> tuple[Optional[int], bool, dict[str, Failure]]:
    """Return when the run of a log began, whether it was `renew`, and the failures in it."""
    begun, ended, is_test, when = None, False, False, 0
    failures: dict[str, tuple[int, list[str]]] = {}
    going_on: list[str] = []
    for line in text.splitlines():
        start = _START.match(line)
        if start is None:  # a further line of a message
            going_on.append(line)
            continue
        when = int(time.mktime(time.strptime(start[1], "%Y-%m-%d %H:%M:%S")))
        begun, going_on = begun or when, []
        is_test = is_test or bool(_TEST.search(line))
        ended = ended or bool(_ENDED.search(line))
        failed = _FAILED.search(line)
        if failed:
            going_on = [failed["why"]]
            failures.setdefault(failed["new"] or failed["old"], (when, going_on))
    if is_test:
        return begun, False, {}
    told = {
        name: Failure(at, foreign("\n".join(lines).strip(), 300))
        for name, (at, lines) in failures.items()
    }
    return begun, ended or bool(told), told
