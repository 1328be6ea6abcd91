"""From runs to rows, and from rows to the table, the targets and the JSON; all of it is pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from tests.bench.contestants import DEFAULT_WAIT, FLOOR, NO_WAIT, OURS
from tests.bench.measure import Run

PROMPT = "prompt"
LAGGING = "lagging"

#: The primary and one secondary.
_ADDRESSES_POLLED = 2


@dataclass(frozen=True)
class Row:
    """The medians of a contestant's runs, of those that succeeded if any did.

    `worst_after` is no median: the longest that certbot went on after the lagging secondary had
    the records.
    """

    scenario: str
    contestant: str
    names: int
    runs: int
    failed: int
    seconds: float
    fastest: float
    slowest: float
    cpu: float
    updates: int
    queries: int
    peak_mib: float
    lag: Optional[float] = None
    after: Optional[float] = None
    worst_after: Optional[float] = None


@dataclass(frozen=True)
class Target:
    """One target of the project, what was measured, and whether that meets it."""

    what: str
    wanted: str
    measured: str
    met: bool

    def __str__(self) -> str:
        verdict = "met" if self.met else "NOT met"
        return f"{verdict:<8} {self.what}: {self.measured} ({self.wanted})"


def row(scenario: str, contestant: str, names: int, runs: Sequence[Run]) -> Row:
    """One row of the table from all runs of a contestant."""
    good = [run for run in runs if run.ok]
    counted = good or list(runs)
    seconds = [run.seconds for run in counted]
    lags = [run.lag for run in counted if run.lag is not None]
    afters = [run.after for run in counted if run.after is not None]
    return Row(
        scenario,
        contestant,
        names,
        len(runs),
        len(runs) - len(good),
        round(statistics.median(seconds), 3),
        round(min(seconds), 3),
        round(max(seconds), 3),
        round(statistics.median(run.cpu for run in counted), 3),
        round(statistics.median(run.updates for run in counted)),
        round(statistics.median(run.queries for run in counted)),
        round(statistics.median(run.peak_kib for run in counted) / 1024, 2),
        round(statistics.median(lags), 3) if lags else None,
        round(statistics.median(afters), 3) if afters else None,
        round(max(afters), 3) if afters else None,
    )


class Results:
    """Rows, to be looked up."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    def find(self, scenario: str, contestant: str, names: int) -> Optional[Row]:
        """The row, if it was measured."""
        wanted = (scenario, contestant, names)
        return next((r for r in self.rows if (r.scenario, r.contestant, r.names) == wanted), None)

    def floor(self, names: int) -> Optional[Row]:
        """The floor for so many names; it knows no secondary, so there is one for both cases."""
        return self.find(PROMPT, FLOOR, names)

    def of(self, scenario: str, contestant: str) -> list[Row]:
        """All rows of a contestant in a scenario."""
        return [r for r in self.rows if (r.scenario, r.contestant) == (scenario, contestant)]


# The table


def table(results: Results) -> str:
    """All rows as text."""
    head = ["secondary", "names", "contestant", "seconds", "x floor", "cpu", "runs", "failed"]
    head += ["UPDATEs", "queries", "MiB above floor", "lag", "after lag"]
    return aligned([head, *(_cells(results, r) for r in results.rows)], left=(0, 2))


def aligned(lines: Sequence[Sequence[str]], left: Sequence[int]) -> str:
    """Lines of cells as text in columns; those of `left` begin at the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def _cells(results: Results, r: Row) -> list[str]:
    floor = results.floor(r.names)
    all_failed = r.failed == r.runs
    return [
        r.scenario,
        str(r.names),
        r.contestant,
        f"{r.seconds:.2f}",
        f"{r.seconds / floor.seconds:.3f}" if floor and not all_failed else "-",
        f"{r.cpu:.2f}",
        str(r.runs),
        str(r.failed),
        str(r.updates),
        str(r.queries),
        f"{r.peak_mib - floor.peak_mib:.1f}" if floor else "-",
        "-" if r.lag is None else f"{r.lag:.2f}",
        "-" if r.after is None else f"{r.after:.2f}",
    ]


# The targets


def targets(results: Results) -> list[Target]:
    """Every target that what was measured can tell of."""
    found = [
        _against_floor(results, 1, 1.05),
        _against_floor(results, 100, 1.10),
        _faster_than_no_wait(results),
        _faster_than_default(results),
        _lagging(results),
        _updates(results),
        _queries(results),
        _memory(results),
    ]
    return [target for target in found if target is not None]


def _against_floor(results: Results, names: int, limit: float) -> Optional[Target]:
    mine, floor = results.find(PROMPT, OURS, names), results.floor(names)
    if mine is None or floor is None:
        return None
    ratio = mine.seconds / floor.seconds
    what = f"{_names(names)}, prompt secondary"
    met = ratio <= limit and not mine.failed
    return Target(what, f"at most {limit:.2f} x the floor", f"{ratio:.3f} x", met)


def _faster_than_no_wait(results: Results) -> Optional[Target]:
    mine, other = results.find(PROMPT, OURS, 100), results.find(PROMPT, NO_WAIT, 100)
    if mine is None or other is None:
        return None
    return Target(
        "100 names, prompt secondary",
        "faster than certbot-dns-rfc2136 with no wait",
        f"{mine.seconds:.2f} s against {other.seconds:.2f} s",
        mine.seconds < other.seconds and not mine.failed,
    )


def _faster_than_default(results: Results) -> Optional[Target]:
    mine, other = results.find(PROMPT, OURS, 1), results.find(PROMPT, DEFAULT_WAIT, 1)
    if mine is None or other is None:
        return None
    times = other.seconds / mine.seconds
    wanted = "at least 20 x faster than certbot-dns-rfc2136"
    what = "1 name, default settings of both"
    return Target(what, wanted, f"{times:.1f} x", times >= 20 and not mine.failed)


def _lagging(results: Results) -> Optional[Target]:
    rows = results.of(LAGGING, OURS)
    if not rows:
        return None
    failed = sum(r.failed for r in rows)
    worst = max((r.after for r in rows if r.after is not None), default=float("inf"))
    worst_run = max((r.worst_after for r in rows if r.worst_after is not None), default=worst)
    return Target(
        "lagging secondary",
        "succeeds, within 1.5 s of when the last server has the record",
        f"{failed} failed, {worst:.2f} s (in the worst run {worst_run:.2f} s)",
        not failed and worst <= 1.5,
    )


def _updates(results: Results) -> Optional[Target]:
    mine = results.find(PROMPT, OURS, 100)
    if mine is None:
        return None
    what = "UPDATEs for 100 names in one zone"
    return Target(what, "2", str(mine.updates), mine.updates == 2)


def _queries(results: Results) -> Optional[Target]:
    mine = results.find(PROMPT, OURS, 100)
    if mine is None:
        return None
    limit = 120 + 101 * _ADDRESSES_POLLED
    what = "queries for 100 names in one zone"
    return Target(what, f"at most {limit}", str(mine.queries), mine.queries <= limit)


def _memory(results: Results) -> Optional[Target]:
    above = [
        r.peak_mib - floor.peak_mib
        for r in results.of(PROMPT, OURS)
        for floor in [results.floor(r.names)]
        if floor is not None
    ]
    if not above:
        return None
    worst = max(above)
    what = "peak memory above certbot's own"
    return Target(what, "at most 15 MiB", f"{worst:.1f} MiB", worst <= 15)


def _names(count: int) -> str:
    return "1 name" if count == 1 else f"{count} names"


# The JSON


def as_data(results: Results, about: dict[str, Any]) -> dict[str, Any]:
    """What is written as JSON."""
    return {
        **about,
        "rows": [asdict(r) for r in results.rows],
        "targets": [asdict(target) for target in targets(results)],
    }


def from_data(data: dict[str, Any]) -> Results:
    """The rows that were written as JSON."""
    return Results([Row(**row) for row in data.get("rows", ())])
