"""docs/dns.rst taken apart: its two parts, and its blocks with the comment that says how each is
tested."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "dns.rst"
EXAMPLES = DOCS / "examples"

FRENCH, ENGLISH = 0, 1

_BLOCK = re.compile(
    r"^\.\. (?P<marker>(?:run|load|output|not run): [^\n]+)\n\n?"
    r"\.\. (?P<kind>code-block|literalinclude):: (?P<argument>\S+)\n"
    r"(?:   +:[^\n]*\n)*"
    r"(?P<body>(?:\n*   +[^\n]*\n)*)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block: its marker on one line, `literalinclude` or `code-block`, its text or file."""

    marker: str
    kind: str
    argument: str
    text: str


def part(language: int) -> str:
    """One language's part of the page."""
    return PAGE.read_text(encoding="utf-8").split("\n.. _dns-english:\n")[language]


def blocks(language: int) -> list[Block]:
    """The blocks of one part, in order."""
    return [
        Block(
            found["marker"],
            found["kind"],
            found["argument"],
            textwrap.dedent(found["body"]).strip("\n") + "\n",
        )
        for found in _BLOCK.finditer(part(language))
    ]


def example(path: str) -> str:
    """The text of a file in docs/examples."""
    return (EXAMPLES / path).read_text(encoding="utf-8")
