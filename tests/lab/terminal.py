"""Running a program at a terminal of its own, and answering what it asks."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Optional

from tests.lab import process
from tests.lab.errors import LabError


def converse(
    command: Sequence[str],
    answers: Sequence[tuple[str, Optional[str]]],
    env: Mapping[str, str],
    seconds: float = 60,
) -> tuple[int, str]:
    """Run `command`; its exit code, and all that the terminal showed.

    `answers` are pairs (what the screen must show first, what is typed then), in their order; None
    types nothing. What is typed before its prompt is there may be lost.
    """
    ours, theirs = pty.openpty()
    popen = subprocess.Popen(
        process.dies_with_us(list(command)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm"},  # a `dumb` one can't show a line longer than the screen
        start_new_session=True,
    )
    os.close(theirs)
    shown, deadline = "", time.monotonic() + seconds
    waiting, since = list(answers), 0
    try:
        while True:
            ready, _, _ = select.select([ours], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise LabError(f"no end after {seconds} s; the screen shows:\n{shown}")
            try:
                shown += os.read(ours, 4096).decode("utf-8", "replace")
            except OSError:  # the other end is closed: the program has ended
                return popen.wait(), shown
            while waiting and waiting[0][0] in shown[since:]:
                text, typed = waiting.pop(0)
                since = shown.index(text, since) + len(text)
                if typed is not None:
                    os.write(ours, typed.encode(errors="surrogateescape") + b"\n")
                    break
    finally:
        popen.kill()
        popen.wait()
        os.close(ours)
