"""Measure rows in a network namespace: `python -m tests.bench.inside RUNS OWN OTHERS ROW…`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench import broken, rows
from tests.bench.runs import Kept
from tests.lab import namespace, process
from tests.lab.errors import LabError


def command(kept: Path, rounds: rows.Rounds, keys: Sequence[str]) -> list[str]:
    """The command that measures these rows in namespaces of its own (network and mounts)."""
    own = [process.need("unshare", "util-linux"), "--mount", sys.executable, "-m", __name__]
    return namespace.command([*own, str(kept), str(rounds.own), str(rounds.others), *keys])


def main(args: Sequence[str]) -> int:
    """Measure, and keep the runs in the file; 1 if the lab fails."""
    kept, rounds = Kept(Path(args[0])), rows.Rounds(int(args[1]), int(args[2]))
    with process.exit_on_sigterm(), tempfile.TemporaryDirectory(prefix="tcs-lyon1-") as folder:
        broken.resolve_by_the_lab(Path(folder))
        for key in args[3:]:
            print(f"Starting a lab for {key} ...", file=sys.stderr, flush=True)
            try:
                with rows.cases(key, Path(folder), rounds) as cases:
                    kept.run(cases)
            except LabError as error:
                print(error, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
