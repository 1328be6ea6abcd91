"""The one way to speak to the user.

- `info` is for what a person at a terminal wants to know; certbot leaves it out under `--quiet`.
- `warning` is for what works and should be mended; it is in certbot's log always, and shown except
  under `--quiet`, as certbot's own are. A timer is quiet: what nobody may miss for long is a
  verdict of `certbot-tcs-lyon1 check`, too.
- What ends an action is no line of this file: it is raised, as an error of `errors`.
- One line per cause. `Report` remembers what it has said: nothing comes twice in a process, though
  `certbot renew` prepares the plugin anew for each lineage.
- A run that succeeds says what certbot itself says, and nothing more.
- Words of others (a CA's error, a command's output, the name of a file that a service can choose)
  go through `foreign` before they are part of any text.
"""

from __future__ import annotations

import logging
import unicodedata
from typing import Callable

logger = logging.getLogger(__name__)

#: Characters of somebody else's text that are shown.
MOST_CHARACTERS = 500

#: What moves the cursor, hides or reorders text: control, format, surrogate, private, unassigned;
#: and the separators that some terminals take for a new line.
_NOT_SHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def foreign(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return somebody else's words as they may stand in a message or on a terminal.

    Control and format characters become escapes, further lines are indented so that none looks like
    a line of this plugin's, and what is longer than `most` characters is cut.
    """
    whole = text if len(text) <= most else text[:most] + "…"
    lines = whole.replace("\r\n", "\n").split("\n")
    return "\n    ".join("".join(map(_shown, line)) for line in lines)


def _shown(character: str) -> str:
    if character == "\t" or unicodedata.category(character) not in _NOT_SHOWN:
        return character
    return character.encode("unicode_escape").decode("ascii")


class Report:
    """What one process says to its user.

    :param show: shows a line of information; certbot's `display_util.notify`
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self._show = show
        self._said: set[str] = set()

    def info(self, text: str) -> None:
        """Show a line of information."""
        self._show(text)

    def warning(self, text: str) -> None:
        """Show a warning, once in this process."""
        if self._is_new(text):
            logger.warning("%s", text)

    def _is_new(self, text: str) -> bool:
        new = text not in self._said
        self._said.add(text)
        return new
