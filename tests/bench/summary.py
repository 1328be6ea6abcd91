"""From kept runs to lines of the second table, its targets and its JSON; all of it is pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.contestants import OURS
from tests.bench.results import Target, aligned
from tests.bench.rows import ROWS, Goal
from tests.bench.runs import BASE, CASE, Kept, Sample


@dataclass(frozen=True)
class Line:
    """The medians of a contestant's runs in a row, of those that succeeded if any did.

    `base_…` are of the runs that it is compared with. `told`: how often a run said what it is to
    say, each number once.
    """

    row: str
    size: str
    contestant: str
    runs: int
    failed: int
    seconds: float
    fastest: float
    slowest: float
    peak_mib: float
    told: tuple[int, ...]
    base_runs: int
    base_failed: int
    base_seconds: float
    base_peak_mib: float

    @property
    def extra(self) -> float:
        """Seconds more than the base."""
        return self.seconds - self.base_seconds

    @property
    def ratio(self) -> float:
        """Times the base."""
        return self.seconds / self.base_seconds


def lines(kept: Kept) -> list[Line]:
    """A line for each contestant of each row and size that was measured, in the rows' order."""
    found = [
        _line(row, size, contestant, kept)
        for row, size, contestant in kept.measured()
        if row in ROWS and all(kept.of(row, size, contestant, state) for state in (BASE, CASE))
    ]
    return sorted(found, key=lambda line: list(ROWS).index(line.row))


def _line(row: str, size: str, contestant: str, kept: Kept) -> Line:
    runs = kept.of(row, size, contestant, CASE)
    base = kept.of(row, size, contestant, BASE)
    counted, base_counted = _counted(runs), _counted(base)
    seconds = [run.seconds for run in counted]
    return Line(
        row,
        size,
        contestant,
        len(runs),
        sum(not run.ok for run in runs),
        round(statistics.median(seconds), 3),
        round(min(seconds), 3),
        round(max(seconds), 3),
        _mib(counted),
        tuple(sorted({run.told for run in runs})),
        len(base),
        sum(not run.ok for run in base),
        round(statistics.median(run.seconds for run in base_counted), 3),
        _mib(base_counted),
    )


def _counted(runs: Sequence[Sample]) -> Sequence[Sample]:
    return [run for run in runs if run.ok] or runs


def _mib(runs: Sequence[Sample]) -> float:
    return round(statistics.median(run.peak_kib for run in runs) / 1024, 2)


def table(found: Sequence[Line]) -> str:
    """All lines as text."""
    head = ["row", "size", "contestant", "seconds", "slowest", "base", "x base", "runs", "failed"]
    return aligned([head, *(_cells(line) for line in found)], left=(0, 1, 2))


def _cells(line: Line) -> list[str]:
    all_failed = line.failed == line.runs
    return [
        line.row,
        line.size,
        line.contestant,
        f"{line.seconds:.2f}",
        f"{line.slowest:.2f}",
        f"{line.base_seconds:.2f}",
        "-" if all_failed else f"{line.ratio:.3f}",
        str(line.runs),
        str(line.failed),
    ]


def targets(found: Sequence[Line]) -> Iterator[Target]:
    """Every target of the rows that were measured."""
    for line in found:
        if line.contestant == OURS:
            for goal in ROWS[line.row].goals.get(line.size, ()):
                yield _target(line, goal)


def _target(line: Line, goal: Goal) -> Target:
    row = ROWS[line.row]
    base, limit = row.base, goal.limit
    wanted, measured, is_met = {
        "seconds": (f"at most {limit:g} s", f"{line.seconds:.2f} s", line.seconds <= limit),
        "worst": (
            f"at most {limit:g} s in the worst of {line.runs} runs",
            f"{line.slowest:.2f} s",
            line.slowest <= limit,
        ),
        "extra": (f"at most {limit:g} s more: {base}", f"{line.extra:+.2f} s", line.extra <= limit),
        "ratio": (f"at most {limit:.2f} x: {base}", f"{line.ratio:.3f} x", line.ratio <= limit),
        "mib": _memory(line, limit, base),
        "told": (
            f"told {limit:g} time",
            ", ".join(map(str, line.told)),
            line.told == (int(limit),),
        ),
        "succeeds": ("succeeds", f"{line.failed} failed, {line.seconds:.2f} s", True),
    }[goal.of]
    return Target(f"{row.title}, {line.size}", wanted, measured, is_met and not line.failed)


def _memory(line: Line, limit: float, base: str) -> tuple[str, str, bool]:
    more = line.peak_mib - line.base_peak_mib
    return f"at most {limit:g} MiB more: {base}", f"{more:+.1f} MiB", more <= limit


def as_data(found: Sequence[Line], about: dict[str, Any]) -> dict[str, Any]:
    """What is written as JSON."""
    return {
        **about,
        "rows": [asdict(line) for line in found],
        "targets": [asdict(target) for target in targets(found)],
    }


def from_data(data: dict[str, Any]) -> list[Line]:
    """The lines that were written as JSON."""
    return [Line(**{**row, "told": tuple(row["told"])}) for row in data.get("rows", ())]
