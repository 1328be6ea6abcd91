"""One counted run of one contestant: how long, how much memory, how many DNS messages."""

from __future__ import annotations

import datetime
import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.bench import stopwatch
from tests.bench.contestants import Contestant
from tests.lab import process, zones
from tests.lab.errors import LabError
from tests.lab.lab import Lab

#: Seconds after which a run is given up.
_TIMEOUT = 300.0

_batches = itertools.count()

_CHALLENGE = re.compile(r"^(\S+ \S+):DEBUG:acme\.client:Sending POST request to \S+/chalZ/", re.M)
_TRANSFERRED = re.compile(rf"^(\S+ \S+) .*zone {zones.CHILD}/IN: transferred serial", re.M)


@dataclass(frozen=True)
class Run:
    """One run of one contestant.

    `seconds` go by the clock, `cpu` are those that it worked.
    `lag`: seconds from the primary's change to when the secondary had it, with a lagging secondary;
    `after`: seconds from then until certbot told the CA to look.
    """

    ok: bool
    seconds: float
    cpu: float
    peak_kib: int
    updates: int
    queries: int
    lag: Optional[float] = None
    after: Optional[float] = None


@dataclass(frozen=True)
class Timed:
    """How a command ended, its seconds by the clock and of work, its peak of resident memory."""

    code: int
    seconds: float
    cpu: float
    peak_kib: int


@dataclass(frozen=True)
class _Counts:
    updates: int
    queries: int


def names(count: int, zone: str = zones.CHILD) -> list[str]:
    """Names to order, none of which exists in the DNS, and each time others.

    Pebble 2.4 uses one authorization in a hundred again, also if told never to.
    """
    batch = next(_batches)
    return [f"host{number}-{batch:03}.{zone}" for number in range(count)]


def warm_up(contestant: Contestant) -> None:
    """A run that isn't counted: it registers the account."""
    args = order(contestant, names(1))
    result = contestant.client.run(
        *args, *contestant.first_options, env=contestant.environment, timeout=_TIMEOUT
    )
    if not contestant.client.accounts():
        raise LabError(f"{contestant.name} could not register:\n{result.output}")


def run(lab: Lab, contestant: Contestant, count: int, lagging: bool) -> Run:
    """Order one certificate for `count` names; with `lagging`, the secondary is to be late.

    BIND's `notify-delay` holds up a change that follows another one: so there is another one.
    """
    forget_runs(contestant)
    lab.wait_for_secondary(zones.CHILD)
    if lagging:
        lab.primary.update(zones.CHILD, lab.admin_key, [("bench", 60, "TXT", f'"{time.time()}"')])
    before, log_size = _count(lab), lab.secondary.log.stat().st_size
    timed = time_certbot(contestant, order(contestant, names(count)))
    after = _count(lab)
    ok = timed.code == 0
    timing = _timing(lab, contestant, log_size) if lagging and ok else (None, None)
    return Run(
        ok,
        timed.seconds,
        timed.cpu,
        timed.peak_kib,
        after.updates - before.updates,
        after.queries - before.queries,
        *timing,
    )


def forget_runs(contestant: Contestant) -> None:
    """Leave nothing but the account, so that each run does the same; the log begins anew, too."""
    (contestant.client.logs_dir / "letsencrypt.log").unlink(missing_ok=True)
    for name in ("archive", "csr", "keys", "live", "renewal"):
        shutil.rmtree(contestant.client.config_dir / name, ignore_errors=True)


def order(contestant: Contestant, hosts: Sequence[str]) -> list[str]:
    """certbot's arguments to order one certificate for these names."""
    domains = [option for host in hosts for option in ("-d", host)]
    return ["certonly", "-n", "--max-log-backups", "0", *contestant.options, *domains]


def time_certbot(contestant: Contestant, args: Sequence[str]) -> Timed:
    """What the stopwatch tells of one certbot, whose errors and warnings go to `output_of`."""
    client = contestant.client
    certbot = [client.executable, *args, *client.folder_options()]
    environment = {**client.environment(), **contestant.environment}
    return time_command(certbot, environment, output_of(contestant))


def output_of(contestant: Contestant) -> Path:
    """The file with what the last certbot has written to stderr."""
    return contestant.client.folder / "output.txt"


def time_command(
    command: Sequence[str], environment: Mapping[str, str], output: Path, seconds: float = _TIMEOUT
) -> Timed:
    """What the stopwatch tells of one command; its stderr goes to the file `output`.

    :raises subprocess.TimeoutExpired: it has not ended after so many seconds, and is killed
    """
    small = [sys.executable, "-I", "-S", stopwatch.__file__]
    with output.open("wb") as file:
        done = subprocess.run(
            process.dies_with_us([*small, *process.dies_with_us(command)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            env=environment,
            timeout=seconds,
            check=True,
        )
    # The last line; what the command prints comes before.
    return Timed(**json.loads(done.stdout.splitlines()[-1]))


def _count(lab: Lab) -> _Counts:
    """The DNS messages so far at both servers, without the CA's and the secondary's own."""
    servers = (lab.primary, lab.secondary)
    return _Counts(
        sum(server.statistics().get("UPDATE", 0) for server in servers),
        sum(is_contestants(line) for server in servers for line in server.query_log()),
    )


def is_contestants(line: str) -> bool:
    """Whether a query (`name class type flags ...`) is a contestant's.

    Pebble's ask for recursion (+), and the secondary's are signed (S), of a whole zone.
    """
    name, flags = line.split()[0], line.split()[3]
    return flags.startswith("-") and ("S" not in flags or name.startswith("_acme-challenge."))


def _timing(lab: Lab, contestant: Contestant, log_size: int) -> tuple[float, float]:
    """How long the secondary lagged, and how long after it certbot told the CA to look."""
    log = (contestant.client.logs_dir / "letsencrypt.log").read_text(encoding="utf-8")
    challenge = certbot_time(_CHALLENGE.search(log))
    with lab.secondary.log.open(encoding="utf-8") as file:
        file.seek(log_size)
        transfers = [bind_time(match[1]) for match in _TRANSFERRED.finditer(file.read())]
    arrived = max(time for time in transfers if time <= challenge)
    changed = [
        bind_time(" ".join(line.split()[:2]))
        for line in lab.primary.update_log()
        if "adding an RR" in line
    ]
    published = max(time for time in changed if time <= arrived)
    return (arrived - published).total_seconds(), (challenge - arrived).total_seconds()


def certbot_time(match: Optional[re.Match[str]]) -> datetime.datetime:
    """The time of a line in certbot's log (local time); LabError if there is no such line."""
    if match is None:
        raise LabError("certbot's log shows no challenge that was answered")
    return datetime.datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S,%f")


def bind_time(text: str) -> datetime.datetime:
    """The time of a line in BIND's log (local time)."""
    return datetime.datetime.strptime(text, "%d-%b-%Y %H:%M:%S.%f")
