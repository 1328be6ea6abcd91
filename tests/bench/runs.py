"""Cases to be timed in turn, and their runs, which are kept so that a benchmark can be resumed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

#: Without what a row is about, and with it.
BASE, CASE = "base", "case"


@dataclass(frozen=True)
class Sample:
    """One run: `told` is how often certbot said what it is to say, once."""

    ok: bool
    seconds: float
    cpu: float
    peak_kib: int
    told: int = 0


@dataclass(frozen=True)
class Case:
    """What is run `rounds` times: for a row of the table, somebody's, of a size, BASE or CASE."""

    row: str
    contestant: str
    size: str
    state: str
    rounds: int
    run: Callable[[], Sample]

    @property
    def key(self) -> str:
        """Its name in the file."""
        return " | ".join((self.row, self.size, self.contestant, self.state))


class Kept:
    """The runs so far, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[str, list[Sample]] = {}
        if path.exists():
            data = json.loads(path.read_text(encoding="utf-8"))
            self._runs = {key: [Sample(**run) for run in runs] for key, runs in data.items()}

    def measured(self) -> list[tuple[str, str, str]]:
        """(row, size, contestant) of all, each once, in the order of their first runs."""
        parts = [key.split(" | ") for key in self._runs]
        return list(dict.fromkeys((row, size, contestant) for row, size, contestant, _ in parts))

    def of(self, row: str, size: str, contestant: str, state: str) -> list[Sample]:
        """The runs of a case."""
        return self._runs.get(" | ".join((row, size, contestant, state)), [])

    def forget(self, rows: Sequence[str]) -> None:
        """Drop the runs of these rows, to measure them anew."""
        kept = {key: runs for key, runs in self._runs.items() if key.split(" | ")[0] not in rows}
        self._runs = kept
        self._write()

    def run(self, cases: Sequence[Case]) -> None:
        """Run all cases in turn until each has its rounds; what was run before counts."""
        for number in range(max((case.rounds for case in cases), default=0)):
            first = number % len(cases)
            for case in [*cases[first:], *cases[:first]]:
                runs = self._runs.setdefault(case.key, [])
                if len(runs) < min(number + 1, case.rounds):
                    sample = case.run()
                    runs.append(sample)
                    print(f"{case.key}: {sample}", file=sys.stderr, flush=True)
                    self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        data = {key: [asdict(run) for run in runs] for key, runs in self._runs.items()}
        self._path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
