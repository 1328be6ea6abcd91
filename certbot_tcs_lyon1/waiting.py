"""Waiting for others, with a bound that holds: time-outs of sockets begin anew with each byte, and
the system's name resolution has none."""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

_Result = TypeVar("_Result")


class TimeIsOver(Exception):
    """The work was not done in time; it may go on behind."""


def at_most(seconds: float, work: Callable[[], _Result]) -> _Result:
    """What `work` returns. It runs in a thread that is left behind when the time is over; or here,
    without a bound, on a machine that has no thread left.

    :raises TimeIsOver: it has not returned within so many seconds
    :raises BaseException: what it raises
    """
    results: list[_Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # a limit of processes
        return work()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeIsOver
    return results[0]
