"""Run the benchmark: `python -m tests.bench [ROW…]`; the package's docstring says how it is fair.

Without a row: orders on a healthy network. `bad-day`, `more` or a row's name: those of `rows.py`.
What was measured before stays in the JSON and the picture.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import certbot_tcs_lyon1
from tests.bench import chart, contestants, inside, measure, results, rows, summary
from tests.bench.contestants import Contestant
from tests.bench.results import LAGGING, PROMPT, Results, Row, Target
from tests.bench.runs import Kept
from tests.lab import lab as lab_module
from tests.lab import pebble, process
from tests.lab.errors import LabError
from tests.lab.lab import Lab

DOCS = Path(__file__).resolve().parents[2] / "docs"
RUNS = DOCS.parent / "build" / "bench" / "runs.json"

#: BIND's default, in seconds.
_NOTIFY_DELAY = 5


def main(args: Sequence[str]) -> int:
    """Measure, print, write; the exit code: 1 if a target is not met, or the lab fails."""
    options = _parser().parse_args(args)
    try:
        found = _rows(options) if options.rows else _healthy(options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    for target in found:
        print(target)
    return 0 if all(target.met for target in found) or options.no_fail else 1


def _healthy(options: argparse.Namespace) -> list[Target]:
    """Measure orders on a healthy network, and write them down."""
    with process.exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="tcs-lyon1-") as folder:
        found = Results(list(measure_all(Path(folder), options)))
    print(f"\n{results.table(found)}\n")
    old = _read(options.out)
    kept = {"beside": old["beside"]} if "beside" in old else {}
    _write(options.out, {**results.as_data(found, _about(options)), **kept})
    return results.targets(found)


def _rows(options: argparse.Namespace) -> list[Target]:
    """Measure rows of `rows.py`, where they have not had their rounds, and write all of them down.

    :raises LabError: a lab has failed
    """
    groups = {"bad-day": rows.BAD_DAY, "more": rows.MORE}
    keys = [key for name in options.rows for key in groups.get(name, (name,))]
    if options.anew:
        Kept(options.runs).forget(keys)
    command = inside.command(options.runs, rows.Rounds(options.rounds, options.slow_rounds), keys)
    if subprocess.run(command, check=False).returncode:
        raise LabError("not all rows could be measured; run it again to go on with the rest")
    lines = summary.lines(Kept(options.runs))
    print(f"\n{summary.table(lines)}\n")
    old = _read(options.out)
    _write(options.out, {**old, "beside": summary.as_data(lines, _about(options))})
    return list(summary.targets(lines))


def _read(out: Path) -> dict[str, Any]:
    file = out / "bench.json"
    if not file.exists():
        return {}
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return data


def _write(out: Path, data: dict[str, Any]) -> None:
    """Write the JSON, and the picture of all that is in it."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    drawn = chart.svg(results.from_data(data), summary.from_data(data.get("beside", {})))
    (out / "bench.svg").write_text(drawn, encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    known = ("bad-day", "more", *rows.ROWS)
    add("rows", nargs="*", choices=[[], *known], metavar="ROW", help=", ".join(known))
    add("--rounds", type=int, default=5, help="runs of each contestant (default: 5)")
    add("--slow-rounds", type=int, default=1, help="runs of what takes a minute, or fails (1)")
    add("--sizes", type=_sizes, default=(1, 10, 100), help="how many names (1,10,100)")
    add("--out", type=Path, default=DOCS, help="where bench.json and bench.svg go (docs)")
    add("--runs", type=Path, default=RUNS, help="where the rows' runs are kept (build)")
    add("--anew", action="store_true", help="measure the rows anew")
    add("--no-fail", action="store_true", help="exit 0 also if a target is not met")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def measure_all(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """All rows, first with the prompt secondary, then with the lagging one."""
    with _lab(folder / PROMPT, 0) as lab:
        yield from _prompt(lab, options)
    with _lab(folder / LAGGING, _NOTIFY_DELAY) as lab:
        yield from _lagging(lab, options)


@contextlib.contextmanager
def _lab(folder: Path, notify_delay: int) -> Iterator[Lab]:
    _say(f"Starting a lab whose secondary hears of changes after {notify_delay} s ...")
    with lab_module.start(folder, notify_delay=notify_delay) as lab:
        yield lab


def _prompt(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    lab.write_department_config()
    valid = {"PEBBLE_VA_ALWAYS_VALID": "1"}
    folder, dns = lab.folder / "pebble-floor", lab.secondary.endpoint
    with pebble.running(folder, dns, lab.eab_keys, env=valid) as always_valid:
        no_wait, default_wait = contestants.rfc2136(lab)
        runners = [contestants.floor(lab, always_valid), contestants.ours(lab), no_wait]
        _prepare(runners)
        for size in options.sizes:
            yield from _in_turn(lab, runners, size, PROMPT, options.rounds)
            if size == 1:  # its wait is one for all names
                yield from _in_turn(lab, [default_wait], size, PROMPT, options.slow_rounds)


def _lagging(lab: Lab, options: argparse.Namespace) -> Iterator[Row]:
    lab.write_department_config()
    ours, no_wait = contestants.ours(lab), contestants.rfc2136(lab)[0]
    _prepare([ours, no_wait])
    for size in options.sizes:
        yield from _in_turn(lab, [ours], size, LAGGING, options.rounds)
        yield from _in_turn(lab, [no_wait], size, LAGGING, options.slow_rounds)


def _prepare(runners: Sequence[Contestant]) -> None:
    for contestant in runners:
        contestants.check_alone(contestant)
        measure.warm_up(contestant)


def _in_turn(
    lab: Lab, runners: Sequence[Contestant], size: int, scenario: str, rounds: int
) -> Iterator[Row]:
    """A row for each contestant, whose runs take turns; each round begins with another one."""
    runs: dict[str, list[measure.Run]] = {contestant.name: [] for contestant in runners}
    for number in range(rounds):
        first = number % len(runners)
        for contestant in [*runners[first:], *runners[:first]]:
            run = measure.run(lab, contestant, size, lagging=scenario == LAGGING)
            _say(f"{scenario}, {size} names, {contestant.name}: {run}")
            runs[contestant.name].append(run)
    for name, of_one in runs.items():
        if of_one:
            yield results.row(scenario, name, size, of_one)


def _about(options: argparse.Namespace) -> dict[str, Any]:
    """When, with what, and on what; nothing that identifies the machine."""
    named = subprocess.run(
        [process.need("named", "bind9"), "-v"], stdout=subprocess.PIPE, text=True, check=True
    )
    bind = re.search(r"BIND ([\d.]+)", named.stdout)
    packages = ("certbot", "dnspython", "cryptography")
    rfc2136 = importlib.metadata.distributions(path=[str(Path(sys.prefix) / "rfc2136")])
    return {
        "date": datetime.date.today().isoformat(),
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
        "versions": {
            "certbot-tcs-lyon1": certbot_tcs_lyon1.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
            **{found.metadata["Name"]: found.version for found in rfc2136},
            "python": platform.python_version(),
            "bind": bind[1] if bind else "unknown",
        },
        "rounds": options.rounds,
        "slow_rounds": options.slow_rounds,
        "notify_delay": _NOTIFY_DELAY,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
