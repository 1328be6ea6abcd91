"""docs/dns.rst and docs/dns.en.rst taken apart: their blocks, and the files that they include."""

from __future__ import annotations

from pathlib import Path

from tests.docs import blocks as marked
from tests.docs.blocks import Block

DOCS = marked.ROOT / "docs"
EXAMPLES = DOCS / "examples"
FRENCH, ENGLISH = DOCS / "dns.rst", DOCS / "dns.en.rst"


def text(page: Path) -> str:
    """One language's page."""
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """The blocks of one page, in order."""
    return marked.of(page)


def example(path: str) -> str:
    """The text of a file in docs/examples."""
    return (EXAMPLES / path).read_text(encoding="utf-8")
