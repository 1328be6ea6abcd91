"""The README's table of the bad day, from docs/bench.json: `python -m tests.bench.readme`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from tests.bench import summary
from tests.bench.contestants import NO_WAIT, OURS
from tests.bench.orders import LEGO
from tests.bench.rows import BAD_DAY, ROWS
from tests.bench.summary import Line

ROOT = Path(__file__).resolve().parents[2]
_HEAD = ("", "healthy", "tcs-lyon1", "rfc2136, no wait", "lego")


def table(lines: Sequence[Line]) -> str:
    """The rows of the bad day as a list-table."""
    found = [".. list-table::", "   :header-rows: 1", "   :widths: 44 12 16 16 12", ""]
    found += _row(_HEAD)
    for row, size in dict.fromkeys((line.row, line.size) for line in lines if line.row in BAD_DAY):
        of_all = {line.contestant: line for line in lines if (line.row, line.size) == (row, size)}
        own = of_all[OURS]
        cells = (f"{ROWS[row].title}: {size}", f"{own.base_seconds:.1f} s")
        found += _row((*cells, *(_cell(of_all.get(name)) for name in (OURS, NO_WAIT, LEGO))))
    return "\n".join(line.rstrip() for line in found) + "\n"


def _row(cells: Sequence[str]) -> list[str]:
    return [f"   {'*' if number == 0 else ' '} - {cell}" for number, cell in enumerate(cells)]


def _cell(line: Optional[Line]) -> str:
    if line is None:
        return ""
    if line.failed == line.runs:
        return "fails"
    some = f", {line.failed} of {line.runs} fail" if line.failed else ""
    return f"{line.seconds:.1f} s{some}"


def measured() -> list[Line]:
    """The lines of docs/bench.json."""
    data = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))
    return summary.from_data(data.get("beside", {}))


if __name__ == "__main__":
    print(table(measured()))
