"""A fault of the department config, and which text of the file a message may show.

A fault never shows what may be a secret, not even one that is in the wrong place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, Optional

from certbot_tcs_lyon1.errors import ConfigError

#: The kinds of sections, with the form of their headers.
KINDS = {
    "tcs": "[tcs]",
    "department": "[department NAME]",
    "dns": "[dns]",
    "install": "[install NAME]",
}

#: Replaces in a message what could be a secret in the wrong place.
NOT_SHOWN = "(not shown)"


class Fault(ConfigError):
    """What is wrong with one value, or with a file that it names.

    :ivar line: of a key file, counted from 1; None if the fault is not in one line
    :param place: `where` and `parts`, as of each `Error`
    """

    def __init__(
        self, cause: str = "", remedy: str = "", line: Optional[int] = None, **place: Any
    ) -> None:
        super().__init__(cause, remedy, **place)
        self.line = line


def shown(text: str) -> str:
    """Return `text` if a message may show it, else `NOT_SHOWN`.

    Not shown is a text of 8 characters or more without a dot, or with `=`: it could be a secret.
    """
    return text if len(text) < 8 or ("." in text and "=" not in text) else NOT_SHOWN


def shown_header(text: str) -> str:
    """Return a section's header as a message may show it.

    A good header is shown as it is; of another one, each word as by `shown`.
    """
    kind, *names = re.split(r"(\s+)", text)
    kind = kind if difflib.get_close_matches(kind.lower(), KINDS, n=1) else shown(kind)
    if kind in KINDS and len(names) == 2 and re.fullmatch(r"[A-Za-z0-9._-]+", names[1]):
        return text
    return kind + "".join(name if name.isspace() else shown(name) for name in names)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest known word was meant; "" if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def text_of(data: bytes) -> str:
    """Return the text of a file in UTF-8, with or without a BOM.

    Bytes that are not UTF-8 become surrogates: an exception about them would hold the file's
    content.

    :raises Fault: it is UTF-16, which Windows' Notepad and PowerShell call "Unicode"
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(data) > 1 and data[:2].count(0) == 1):
        raise Fault("the file is UTF-16", "save it as UTF-8 text", 1)
    return data.decode("utf-8-sig", errors="surrogateescape")
