"""French typography in HTML: what a printer would correct in a page's French texts.

Code and texts in another language (`lang`) are passed over. For sources, before there is a site:
`python -m tests.docs.typography docs/guide-drao.rst`, where Sphinx is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Optional

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: Stands for code, for a superscript and for words in another language.
_OTHER = "\ufffc"
_NO_BREAK = "\u00a0\u202f"

#: What is wrong, and how to write it.
_FAULTS = (
    (re.compile(rf"[^{_NO_BREAK};!?][;!?]+(?=[\s{_NO_BREAK}.,…»)\]{_OTHER}]|$)"), "no-break space"),
    (re.compile(rf"[^{_NO_BREAK}]:(?=[\s{_NO_BREAK}»)\]{_OTHER}]|$)"), "no-break space before :"),
    (re.compile(rf"«(?![{_NO_BREAK}])|(?<![{_NO_BREAK}])»"), "no-break space inside « »"),
    (re.compile(r"['\"`]"), "typographic apostrophe ’ or quotes « »"),
    (re.compile(r"\.\.\."), "…"),
    (re.compile(r"\b\d+(?:er|re|nde?|e|i?[eè]me|[eè]re)s?\b"), r"an ordinal: 1\ :sup:`er`"),
)

_INLINE = re.compile("a|abbr|b|cite|dfn|em|i|label|mark|q|small|span|strong|u|wbr")
_NOT_READ = re.compile("code|kbd|math|pre|samp|script|style|svg|sub|sup|title|var")
_VOID = re.compile("area|br|col|hr|img|input|link|meta|source|wbr")


class _FrenchTexts(HTMLParser):
    """Collects the French text of each block, such as a paragraph, in `blocks`."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self._text = ""
        self._open: list[tuple[str, bool]] = []  # tag, and whether it is read as French

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        self._end_block_at(tag)
        if _VOID.fullmatch(tag):
            return
        values = dict(attrs)
        french = not self._open or self._open[-1][1]
        if values.get("lang"):
            french = (values["lang"] or "").startswith("fr")
        if _NOT_READ.fullmatch(tag) or "headerlink" in (values.get("class") or ""):
            french = False
        self._open.append((tag, french))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        self._end_block_at(tag)

    def handle_data(self, data: str) -> None:
        french = bool(self._open) and self._open[-1][1]
        self._text += data if french else _OTHER if data.strip() else data

    def _end_block_at(self, tag: str) -> None:
        if _INLINE.fullmatch(tag) or _NOT_READ.fullmatch(tag):
            return
        self.blocks.append(re.sub(r"[ \t\r\n]+", " ", self._text).strip(" "))
        self._text = ""


def faults(html: str) -> list[str]:
    """What is wrong in a page's French texts: a line for each fault, with the words around it."""
    reader = _FrenchTexts()
    reader.feed(html)
    reader.close()
    lines = [
        f"{_around(block, found)}  ->  {advice}"
        for block in reader.blocks
        for pattern, advice in _FAULTS
        for found in pattern.finditer(block)
    ]
    return list(dict.fromkeys(lines))


def _around(block: str, found: re.Match[str]) -> str:
    text = block[max(found.start() - 25, 0) : found.end() + 15]
    return text.replace(_OTHER, "`…`")


def faults_of_sources(sources: list[Path]) -> list[str]:
    """As `faults`, of files in `docs`, as Sphinx renders them now."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-b", "html", "-Q", str(DOCS), folder, *map(str, sources)]
        subprocess.run([sys.executable, "-m", "sphinx", *command], check=True)
        return [
            f"{source.name}: {fault}"
            for source in sources
            for fault in faults((Path(folder) / f"{source.stem}.html").read_text(encoding="utf-8"))
        ]


if __name__ == "__main__":
    lines = faults_of_sources([Path(name).resolve() for name in sys.argv[1:]])
    print("\n".join(lines))
    sys.exit(1 if lines else 0)
