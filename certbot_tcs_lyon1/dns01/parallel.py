"""Running a function on several items in threads, where most of the time is spent waiting."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Sequence
from typing import Callable, Generic, TypeVar

#: Queries under way at once: more could overflow a receive buffer, or exceed a server's limits.
_AT_ONCE = 32

#: While at least this many items are finished in this many seconds, no thread is added: threads
#: that do not wait slow each other down (measured with 100 names: twice the processor time).
_ENOUGH, _SECONDS = 2, 0.002

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def together(
    work: Callable[[_Item], _Result], items: Sequence[_Item], most: int = _AT_ONCE
) -> list[_Result]:
    """Return the results of `work` for all items, in their order.

    The calling thread works as well, so it also succeeds if no thread can be started.

    :param most: the number of items that are worked on at once
    :raises BaseException: the first that `work` has raised; items not begun are skipped
    """
    queue = _Queue(work, items, most)
    if len(items) > 1:
        queue.add_helper()
    queue.run()
    for helper in queue.helpers:  # a helper adds the next one, if any, before it ends
        helper.join()
    if queue.failures:
        raise queue.failures[0]
    return [queue.results[index] for index in range(len(items))]


class _Queue(Generic[_Item, _Result]):
    """The items that no thread has begun, and the results of the others.

    :ivar results: by the item's index
    :ivar failures: the exceptions of `work`, in the order in which they were raised
    :ivar helpers: the threads beside the calling one
    """

    def __init__(self, work: Callable[[_Item], _Result], items: Sequence[_Item], most: int) -> None:
        self.results: dict[int, _Result] = {}
        self.failures: list[BaseException] = []
        self.helpers: list[threading.Thread] = []
        self._work, self._most = work, most
        self._todo = collections.deque(enumerate(items))
        self._all_begun = threading.Event()

    def run(self) -> None:
        """Work on items until none is left, or `work` has raised."""
        with contextlib.suppress(IndexError):
            while not self.failures:
                index, item = self._todo.popleft()
                try:
                    self.results[index] = self._work(item)
                except BaseException as error:
                    self.failures.append(error)
        self._all_begun.set()

    def add_helper(self) -> None:
        """Start a thread that helps if the others are slow, unless there are enough."""
        ended = self._all_begun.is_set()  # items are left then only after a failure
        if self._todo and not ended and len(self.helpers) < self._most - 1:
            thread = threading.Thread(target=self._help_if_slow, daemon=True)
            with contextlib.suppress(RuntimeError):  # the limit of processes is reached
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
