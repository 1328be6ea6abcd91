"""Hears the errors that certbot logs, and has the advice said once, after certbot's own message.

certbot hands an exception to its log as an object, and a handler on the root logger sees it there,
in every version and for every command.
"""

from __future__ import annotations

import atexit
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Optional

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.ca import advice
from certbot_tcs_lyon1.ca.advice import LookUp, Order

logger = logging.getLogger(__name__)


class Listener(logging.Handler):
    """One of a process; `Process` holds it.

    An error that ends certbot is advised on when the process exits, for only then certbot has
    finished its message; one of many in a renewal at once, for being the last of its handlers this
    one comes after the console's.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plugin: Optional[object] = None
        self._order: Optional[Callable[[], Order]] = None
        self._look_up = LookUp()
        self._fatal: Optional[BaseException] = None
        self._shown: list[str] = []
        self._said: set[str] = set()

    def listen(self, plugin: object, order: Callable[[], Order], look_up: LookUp) -> None:
        """From now on say what errors mean, until certbot goes on with another plugin.

        :param plugin: the one that has been prepared
        :param order: its order, asked when there is an error, for certbot fills in the account late
        """
        root = logging.getLogger()
        if self not in root.handlers:
            root.addHandler(self)
            atexit.register(self.say_at_exit)
        self._plugin, self._order, self._look_up = plugin, order, look_up

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record. Never raises: this runs in the midst of certbot's own logging."""
        if record.name == __name__:
            return
        try:
            self._look(record)
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def say_at_exit(self) -> None:
        """Say the advice on the error that ended certbot. Never raises."""
        error, self._fatal = self._fatal, None
        try:
            if error is not None:
                self._say(error, "\n".join(self._shown))
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def _look(self, record: logging.LogRecord) -> None:
        if compat.is_choice_of_plugins(record) and self._plugin not in (record.args or ()):
            self._order = None  # the next lineage of a renewal is another plugin's
        self._fatal = compat.fatal_error(record) or self._fatal
        if record.levelno < logging.ERROR:
            return
        self._shown.append("".join(_shown(record)))
        for error in record.args if isinstance(record.args, tuple) else ():
            if isinstance(error, BaseException):
                self._say(error, record.getMessage())

    def _say(self, error: BaseException, shown: str) -> None:
        if self._order is None:
            return
        text = advice.advise(error, self._order(), shown, self._look_up)
        if text is not None and text not in self._said:
            self._said.add(text)
            logger.error("%s", text)


def _shown(record: logging.LogRecord) -> Iterator[str]:
    """What the console shows of a record: with `--debug` the exception, too."""
    yield record.getMessage()
    if record.exc_info:
        yield from traceback.format_exception(*record.exc_info)
