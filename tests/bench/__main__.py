"""Run the benchmark: `python -m tests.bench`; see the package's docstring for how it is fair."""

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
from tests.bench import chart, contestants, measure
from tests.bench.contestants import Contestant
from tests.bench.results import LAGGING, PROMPT, Results, Row, as_data, row, table, targets
from tests.lab import lab as lab_module
from tests.lab import pebble, process
from tests.lab.errors import LabError
from tests.lab.lab import Lab

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: BIND's default, in seconds.
_NOTIFY_DELAY = 5


def main(args: Sequence[str]) -> int:
    """Measure, print, write; the exit code: 1 if a target is not met, or the lab fails."""
    options = _parser().parse_args(args)
    with process.exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="tcs-lyon1-") as folder:
        try:
            results = Results(list(measure_all(Path(folder), options)))
        except LabError as error:
            print(error, file=sys.stderr)
            return 1
    print(f"\n{table(results)}\n")
    for target in targets(results):
        print(target)
    about = _about(options)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_data(results, about), indent=2) + "\n"
    (options.out / "bench.json").write_text(text, encoding="utf-8")
    (options.out / "bench.svg").write_text(chart.svg(results), encoding="utf-8")
    met = all(target.met for target in targets(results))
    return 0 if met or options.no_fail else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="runs of each contestant (default: 5)")
    add("--slow-rounds", type=int, default=1, help="runs of what takes a minute, or fails (1)")
    add("--sizes", type=_sizes, default=(1, 10, 100), help="how many names (1,10,100)")
    add("--out", type=Path, default=DOCS, help="where bench.json and bench.svg go (docs)")
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
            yield row(scenario, name, size, of_one)


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
