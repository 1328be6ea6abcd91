"""Work on several things at once, most of which is waiting."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Sequence
from typing import Callable, Generic, TypeVar

#: Questions under way at once: more could overrun a receive buffer, or the limits of a server.
_AT_ONCE = 32

#: While at least so many items are finished in so many seconds, no thread is added: threads that
#: do not wait hinder each other, and 100 names took twice the processor time.
_ENOUGH, _SECONDS = 2, 0.002

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def together(
    work: Callable[[_Item], _Result], items: Sequence[_Item], most: int = _AT_ONCE
) -> list[_Result]:
    """Return what `work` makes of each item, in their order; up to `most` are under way at once.

    The calling thread works as well, so that it goes on where no thread can be started.

    :raises BaseException: the first that `work` has raised
    """
    queue = _Queue(work, items, most)
    if len(items) > 1:
        queue.add_helper()
    queue.run()
    for helper in queue.helpers:  # each has added the next one before it ends
        helper.join()
    if queue.failures:
        raise queue.failures[0]
    return [queue.results[index] for index in range(len(items))]


class _Queue(Generic[_Item, _Result]):
    """The items that nobody has begun yet, and what has come of the others, by their number."""

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item], most: int) -> None:
        self.results: dict[int, _Result] = {}
        self.failures: list[BaseException] = []
        self.helpers: list[threading.Thread] = []
        self._work, self._most = work, most
        self._todo = collections.deque(enumerate(items))
        self._all_begun = threading.Event()

    def run(self) -> None:
        """Work on items until none is left, or one has failed."""
        with contextlib.suppress(IndexError):
            while not self.failures:
                index, item = self._todo.popleft()
                try:
                    self.results[index] = self._work(item)
                except BaseException as error:
                    self.failures.append(error)
        self._all_begun.set()

    def add_helper(self) -> None:
        """Start a thread that works as well, once the others are slow."""
        if self._todo and len(self.helpers) < self._most - 1:
            thread = threading.Thread(target=self._help_if_slow, daemon=True)
            with contextlib.suppress(RuntimeError):  # a limit of processes
                thread.start()
                self.helpers.append(thread)

    def _help_if_slow(self) -> None:
        enough = True
        while enough and not self._all_begun.is_set():
            before = len(self.results)
            self._all_begun.wait(_SECONDS)
            enough = len(self.results) - before >= _ENOUGH
        self.add_helper()
        self.run()
