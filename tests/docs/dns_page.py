"""docs/dns.rst taken apart: its two parts and their blocks, and the files that it includes."""

from __future__ import annotations

from tests.docs import blocks as marked
from tests.docs.blocks import Block

DOCS = marked.ROOT / "docs"
PAGE = DOCS / "dns.rst"
EXAMPLES = DOCS / "examples"

FRENCH, ENGLISH = 0, 1
_BORDER = "\n.. _dns-english:\n"


def part(language: int) -> str:
    """One language's part of the page."""
    return PAGE.read_text(encoding="utf-8").split(_BORDER)[language]


def blocks(language: int) -> list[Block]:
    """The blocks of one part, in order."""
    border = part(FRENCH).count("\n") + 1
    return [block for block in marked.of(PAGE) if (block.line > border) == (language == ENGLISH)]


def example(path: str) -> str:
    """The text of a file in docs/examples."""
    return (EXAMPLES / path).read_text(encoding="utf-8")
