"""Calls with a time limit. The time-outs of sockets start again with each byte, and the system's
name resolution has none.
"""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

_Result = TypeVar("_Result")


class TimeIsOver(Exception):
    """The call did not return in time; it may still be running."""


def at_most(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return what `work` returns, if it does so within `seconds`.

    It runs in a daemon thread, which is left running when the time is over; or in this one, without
    a limit, if no thread can be started.

    :raises TimeIsOver: it has not returned in time
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
    except RuntimeError:  # the limit of threads is reached
        return work()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeIsOver
    return results[0]
