"""The code blocks of the documentation, and how each says that it is tested.

Before each block stands a comment of reStructuredText, which readers don't see:

    .. run: debian-12           commands, run one after the other in that system
    .. run: debian-12, anew     the same, where nothing of certbot and the service is left
    .. file: PATH               a file's content, which the reader writes there
    .. past: debian-12          commands of before; the tests run them for what they leave
    .. load: WHAT               a config that tests load: department, bind, knot, pdns
    .. output: COMMAND          what this prints, or without one the block before; on the page of
                                the DNS, what is seen there
    .. not run: REASON          what can't be tried here, and why

`run`, `file` and `past` of a document make one story, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: The documents that tests/guide plays, and how many certificates the machine must have served by
#: their end, one after the other.
PLAYED = {"README.rst": 0, "docs/guide-drao.rst": 9}
#: The page of which tests/status and tests/distros take the blocks, by what they are for.
SUPERVISION = ROOT / "docs" / "supervision.rst"

MARKS = ("run", "file", "past", "load", "output", "not run")
_MARK = re.compile(rf"^\s*\.\. ({'|'.join(MARKS)}): ?(.*)$")
_DIRECTIVE = re.compile(r"^(\s*)\.\. (code-block|literalinclude|parsed-literal)::\s*(.*)$")
_LITERAL = re.compile(r"^(\s*)(?!\.\. )\S?.*::$")


@dataclass(frozen=True)
class Block:
    """A code block: where it begins, its mark ("" if it has none) with what follows that, and its
    text; if that is a file's, `source` is the file's path, relative to the document."""

    path: Path
    line: int
    mark: str
    about: str
    text: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line}"


def of(path: Path) -> list[Block]:
    """The blocks of a document, in order."""
    return list(_blocks(path, path.read_text(encoding="utf-8").splitlines()))


def texts(path: Path) -> dict[str, str]:
    """The texts of a document's blocks, by what follows their marks."""
    return {block.about: block.text for block in of(path)}


def _blocks(path: Path, lines: list[str]) -> Iterator[Block]:
    end = 0
    for number, line in enumerate(lines):
        if number < end:
            continue
        directive, literal = _DIRECTIVE.match(line), _LITERAL.match(line)
        if not directive and not literal:
            continue
        body, end = _body(lines, number + 1, len((directive or literal)[1]))
        source = directive[3] if directive and directive[2] == "literalinclude" else ""
        if source:
            text = (path.parent / source).read_text(encoding="utf-8")
        else:
            text = "\n".join(_without_options(body) if directive else body) + "\n"
        mark, about = _mark_before(lines, number)
        yield Block(path, number + 1, mark, about, text, source)


def _body(lines: list[str], begin: int, margin: int) -> tuple[list[str], int]:
    """The lines further in than `margin`, moved to the left; and where they end."""
    end = begin
    while end < len(lines) and (
        not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > margin
    ):
        end += 1
    body = lines[begin:end]
    indent = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
    return "\n".join(line[indent:] for line in body).strip("\n").split("\n"), end


def _without_options(body: list[str]) -> list[str]:
    while body and re.match(r":[\w-]+:", body[0]):
        body = body[1:]
    return "\n".join(body).strip("\n").split("\n")


def _mark_before(lines: list[str], number: int) -> tuple[str, str]:
    """The mark in the last line before that isn't blank; it may stand before the paragraph whose
    end `::` begins a block."""
    before = number
    if not _DIRECTIVE.match(lines[number]):
        while before > 0 and lines[before - 1].strip():
            before -= 1
    while before > 0 and not lines[before - 1].strip():
        before -= 1
    match = _MARK.match(lines[before - 1]) if before else None
    return (match[1], match[2].strip()) if match else ("", "")
