"""The one way to show messages to the user.

- `info` is for a person at a terminal; certbot leaves it out under `--quiet`.
- `warning` is for what works and should be corrected. It is always in certbot's log, and shown
  except under `--quiet`, like certbot's own warnings. Timers run quietly: what must not be missed
  for long is also a verdict of `certbot-tcs-lyon1 check`.
- What ends an action is raised as an error of `errors`, and not reported here.
- One line per cause. A `Report` shows no warning twice: `certbot renew` prepares the plugin anew
  for each lineage.
- A run that succeeds shows what certbot itself shows, and nothing more.
- Text that others control (a CA's error, a command's output, the name of a file that a service can
  choose) goes through `foreign` before it becomes part of a message.
"""

from __future__ import annotations

import logging
import unicodedata
from typing import Callable

logger = logging.getLogger(__name__)

#: Characters that are shown of a text that others control.
MOST_CHARACTERS = 500

#: Unicode categories that move the cursor, hide or reorder text (control, format, surrogate,
#: private, unassigned), and the separators that some terminals treat as a new line.
_NOT_SHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def foreign(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return text of others so that it is safe in a message or on a terminal.

    Control and format characters become escapes, further lines are indented so that none looks like
    a line of this plugin, and what is longer than `most` characters is cut.
    """
    whole = text if len(text) <= most else text[:most] + "…"
    lines = whole.replace("\r\n", "\n").split("\n")
    return "\n    ".join("".join(map(_shown, line)) for line in lines)


def _shown(character: str) -> str:
    if character == "\t" or unicodedata.category(character) not in _NOT_SHOWN:
        return character
    return character.encode("unicode_escape").decode("ascii")


class Report:
    """Shows messages to the user of one process.

    :param show: shows a line; certbot's `display_util.notify`
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._warnings: set[str] = set()

    def info(self, text: str) -> None:
        """Show a line of information."""
        self._show(text)

    def warning(self, text: str) -> None:
        """Show a warning, once in this process."""
        if text not in self._warnings:
            self._warnings.add(text)
            logger.warning("%s", text)
