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

_NAME = re.compile(r"letsencrypt\.log(?:\.([0-9]+))?")
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
        names = []
    found = Runs(None, {})
    for name in sorted(names, key=_number)[:_MOST_FILES]:
        with contextlib.suppress(FileNotFoundError):  # certbot rotates them when it starts
            run = _parse_run(_text(os.path.join(folder, name)))
            last = run.last_renew if found.last_renew is None else found.last_renew
            found = Runs(last, {**run.failures, **found.failures})
    return found


def _number(name: str) -> int:
    """Return the number of a log's file name; 0 for the newest, which has none."""
    return int("0" + name[len("letsencrypt.log.") :])


def _text(path: str) -> str:
    """Return the beginning and the end of a log."""
    with open(path, "rb") as file:
        head = file.read(_MOST_BYTES)
        file.seek(max(len(head), os.fstat(file.fileno()).st_size - _MOST_BYTES))
        return (head + file.read(_MOST_BYTES)).decode("utf-8", "replace")


def _parse_run(text: str) -> Runs:
    """Return what the log of one run says; nothing if it was a test, or not `renew`."""
    begun, is_renew, is_test = None, False, False
    failures: dict[str, tuple[int, list[str]]] = {}
    message: list[str] = []
    for line in text.splitlines():
        start = _START.match(line)
        if start is None:  # a further line of a message
            message.append(line)
            continue
        when = int(time.mktime(time.strptime(start[1], "%Y-%m-%d %H:%M:%S")))
        begun, message = begun or when, []
        is_test = is_test or bool(_TEST.search(line))
        is_renew = is_renew or bool(_ENDED.search(line))
        failed = _FAILED.search(line)
        if failed:
            is_renew, message = True, [failed["why"]]
            failures.setdefault(failed["new"] or failed["old"], (when, message))
    if is_test or not is_renew:
        return Runs(None, {})
    causes = {
        name: Failure(at, foreign("\n".join(lines).strip(), 300))
        for name, (at, lines) in failures.items()
    }
    return Runs(begun, causes)
