"""Listens to certbot's log for errors, and logs the advice on each, once, after certbot's message.

certbot passes exceptions to its log as objects, in every version and for every command, so a
handler on the root logger gets them.
"""

from __future__ import annotations

import atexit
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Optional

from certbot_tcs_lyon1 import compat

#: Returns the advice on an error, None if there is none; the second argument is what certbot has
#: shown of it.
Advise = Callable[[BaseException, str], Optional[str]]

logger = logging.getLogger(__name__)


class Listener(logging.Handler):
    """The log handler of a process; `Process` holds it.

    The advice on an error that ends certbot is logged when the process exits, for only then certbot
    has logged its whole message. The advice on one failed renewal of several is logged at once:
    this handler is the root logger's last, so it runs after that of the console.
    """

    def __init__(self) -> None:
        super().__init__()
        self._plugin: Optional[object] = None
        self._advise_on: Optional[Advise] = None
        self._fatal: Optional[BaseException] = None
        self._shown: list[str] = []
        self._advised: set[str] = set()

    def listen(self, plugin: object, advise_on: Advise) -> None:
        """Advise on errors from now on, until certbot goes on with another plugin.

        :param plugin: the plugin that was prepared
        """
        root = logging.getLogger()
        if self not in root.handlers:
            root.addHandler(self)
            atexit.register(self.advise_at_exit)
        self._plugin, self._advise_on = plugin, advise_on

    def handle(self, record: logging.LogRecord) -> bool:
        """Look at one log record, without the handler's lock.

        What is looked up for the advice logs as well, from threads of its own (`waiting.at_most`),
        and would wait for that lock until its time is over.
        """
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one log record. Never raises: this runs within certbot's logging calls."""
        if record.name == __name__:
            return
        try:
            self._look(record)
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def advise_at_exit(self) -> None:
        """Log the advice on the error that ended certbot. Never raises."""
        error, self._fatal = self._fatal, None
        try:
            if error is not None:
                self._advise(error, "\n".join(self._shown))
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def _look(self, record: logging.LogRecord) -> None:
        if compat.is_choice_of_plugins(record) and self._plugin not in (record.args or ()):
            self._advise_on = None  # the next lineage of a renewal is another plugin's
        self._fatal = compat.fatal_error(record) or self._fatal
        if record.levelno < logging.ERROR:
            return
        self._shown.append("".join(_shown(record)))
        for error in record.args if isinstance(record.args, tuple) else ():
            if isinstance(error, BaseException):
                self._advise(error, record.getMessage())

    def _advise(self, error: BaseException, shown: str) -> None:
        if self._advise_on is None:
            return
        text = self._advise_on(error, shown)
        if text is not None and text not in self._advised:
            self._advised.add(text)
            logger.error("%s", text)


def _shown(record: logging.LogRecord) -> Iterator[str]:
    """Yield what the console shows of a record: with `--debug` that includes the exception."""
    yield record.getMessage()
    if record.exc_info:
        yield from traceback.format_exception(*record.exc_info)
