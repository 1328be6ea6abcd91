"""Work on several things at once, most of which is waiting."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Sequence
from typing import Callable, TypeVar

#: Questions under way at once: more could overrun a receive buffer, or the limits of a server.
_AT_ONCE = 32

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def together(
    work: Callable[[_Item], _Result], items: Sequence[_Item], most: int = _AT_ONCE
) -> list[_Result]:
    """What `work` makes of each item, in their order; up to `most` are under way at once.

    The calling thread works as well, so that it goes on where no thread can be started.

    :raises BaseException: the first that `work` has raised
    """
    todo = collections.deque(enumerate(items))
    results: dict[int, _Result] = {}
    failures: list[BaseException] = []

    def run() -> None:
        with contextlib.suppress(IndexError):
            while not failures:
                index, item = todo.popleft()
                try:
                    results[index] = work(item)
                except BaseException as error:
                    failures.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(most, len(items)) - 1)]
    started = []
    with contextlib.suppress(RuntimeError):  # a limit of processes
        for thread in threads:
            thread.start()
            started.append(thread)
    run()
    for thread in started:
        thread.join()
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]
