"""Looking for secrets where none may be: in files, and in the process list."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab import process


def files_with(secrets: Sequence[str], folder: Path, except_for: Sequence[Path] = ()) -> list[Path]:
    """The files under `folder` that hold one of `secrets`, other than those it belongs into."""
    wanted = [secret.encode() for secret in secrets]
    allowed = {path.resolve() for path in except_for}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.resolve() not in allowed
        and any(secret in path.read_bytes() for secret in wanted)
    ]


@contextlib.contextmanager
def watched_process_list(secrets: Sequence[str]) -> Iterator[list[str]]:
    """While the context lasts, look through all command lines again and again.

    :returns: a list that gets each command line that holds one of `secrets`
    """
    found: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            lines = [line for _, line in process.command_lines()]
            found.extend(line for line in lines if any(s in line for s in secrets))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        stop.set()
        watcher.join()
