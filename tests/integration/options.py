"""The options as reStructuredText tells of them."""

from __future__ import annotations

import re

_DEFINITION = re.compile(r"^``(--tcs-lyon1-[^`]+)``\n((?:    .+\n)+)", re.MULTILINE)


def defined_in(text: str) -> dict[str, str]:
    """The options of a definition list in reStructuredText, each with its meaning on one line."""
    return {option: " ".join(meaning.split()) for option, meaning in _DEFINITION.findall(text)}
