"""An INI file as text: its lines by number, what was found wrong with them, and its sections.

The format is `configparser`'s, without interpolation. Whatever is told names the file and the line,
never what the line holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from typing import Optional

from certbot_tcs_lyon1.department import rights
from certbot_tcs_lyon1.department.faults import Fault, shown_header, text_of
from certbot_tcs_lyon1.department.settings import Stamp
from certbot_tcs_lyon1.errors import ConfigError, Error

#: Faults of one file that are shown.
MOST_FAULTS = 100

_HEADER = re.compile(r"\[(?P<header>[^]]+)\]$")
_COMMENT = re.compile(r"(?:^|\s);")


class Source:
    """The text of the file by lines, and what is told about them."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.faults: list[tuple[int, ConfigError]] = []
        self.warnings: list[ConfigError] = []
        self.numbers: dict[tuple[str, str], int] = {}
        self.files: list[tuple[str, Optional[Stamp]]] = []
        try:
            text = text_of(data)
        except Fault as fault:
            self.note("", "", fault)
            text = ""
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for index, line in enumerate(self.lines):
            self.lines[index] = re.sub("[\0\udc80-\udcff]", "?", line)
            if self.lines[index] != line:
                nul = "\0" in line
                cause = "the line has a NUL byte" if nul else "the line is not UTF-8"
                self.fault("", "", cause, "save the file as UTF-8 text", index + 1)

    def fault(
        self, header: str, key: str, cause: str, remedy: str = "", number: Optional[int] = None
    ) -> None:
        """Note a fault of a key ("": of its section), at line `number` if that is another line."""
        number = self.number(header, key) if number is None else number
        where = self._place(header, key, number)
        self.faults.append((number, ConfigError(cause, remedy, where=where)))

    def note(self, header: str, key: str, fault: ConfigError, path: str = "") -> None:
        """Note the fault of a key's value, or of the file at `path` that it names."""
        number = self.number(header, key)
        for part in fault.parts or (fault,):
            self.faults.append((number, self._placed(part, header, key, path)))

    def warn(self, header: str, key: str, warning: ConfigError, path: str = "") -> None:
        """Note what works but should be mended."""
        self.warnings.append(self._placed(warning, header, key, path))

    def number(self, header: str, key: str) -> int:
        """Return the line of a key; where it is missing, the line of its section; else 0."""
        return self.numbers.get((header, key)) or self.numbers.get((header, ""), 0)

    def _placed(self, fault: Error, header: str, key: str, path: str) -> ConfigError:
        """The fault with its place before the one that it has."""
        line = f", line {fault.line}" if isinstance(fault, Fault) and fault.line and path else ""
        places = (self._place(header, key, self.number(header, key)), f"{path}{line}", fault.where)
        return ConfigError(fault.cause, fault.remedy, where=": ".join(filter(None, places)))

    def _place(self, header: str, key: str, number: int) -> str:
        """Return `FILE, line N, [section] key`, without the parts that there are not."""
        line = f", line {number}" if number else ""
        section = f", [{shown_header(header)}] {key}".rstrip() if header else ""
        return f"{self.path}{line}{section}"

    def check_rights(
        self, path: str, state: os.stat_result, header: str = "", key: str = ""
    ) -> None:
        """Note if others than its owner can write or read the file at `path`, or own it: what it
        says is done with the rights of whoever runs certbot."""
        named = "" if path == self.path else path
        fault, warning = rights.judge(path, state, self.path, header)
        if fault is not None:
            self.note(header, key, fault, named)
        if warning is not None:
            self.warn(header, key, warning, named)

    def note_file(self, path: str, state: os.stat_result) -> None:
        """Note a file that was read, for `is_current`."""
        self.files.append((path, _stamp(state)))

    def note_missing(self, path: str) -> bool:
        """Whether there is no file at `path`; if so, note that."""
        is_missing = stamp_of(path) is None
        if is_missing:
            self.files.append((path, None))
        return is_missing

    @property
    def is_full(self) -> bool:
        """Whether more faults were noted than are shown: another one needs no pains."""
        return len(self.faults) > MOST_FAULTS

    def faults_in_order(self) -> list[ConfigError]:
        """The faults in the order of their lines, `MOST_FAULTS` at most."""
        found = [fault for _, fault in sorted(self.faults, key=lambda fault: fault[0])]
        if len(found) > MOST_FAULTS:
            more = f"and {len(found) - MOST_FAULTS} more"
            return [
                *found[:MOST_FAULTS],
                ConfigError(more, "correct these first", where=self.path),
            ]
        return found


def reason(error: Exception) -> str:
    """Return why a file cannot be read, in lower case."""
    return (getattr(error, "strerror", None) or "unknown reason").lower()


def stamp_of(path: str) -> Optional[Stamp]:
    """What changes with the file at `path`; None if there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError):
        return None


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def parse(source: Source, known_keys: Container[str]) -> dict[str, dict[str, str]]:
    """The sections with their keys (in lower case) and values; the faults of the form are noted.

    A value that runs over several lines has line feeds. A fault names its key only if that is one
    of `known_keys`: another could be a secret.

    This is `configparser`'s format, which a test holds it to. That library itself stops at the
    first fault, quotes the file in its errors, and keeps no line numbers: with it the file was read
    by two parsers that had to agree, and again for each fault.
    """
    sections: dict[str, dict[str, str]] = {}
    header = ""
    body: dict[str, str] = {}  # of a section that stands there again, `body` is its keys again
    started = is_told = False
    for number, text, more in _entries(source.lines):
        match = _HEADER.match(text)
        key, sign, value = (part.strip() for part in text.partition("="))
        key = key.lower()
        if match:
            header, body, started = match["header"], {}, True
            if header in sections:
                _note_again(source, number, header)
            else:
                sections[header] = body
                source.numbers[header, ""] = number
        elif not started:
            if not is_told:
                cause = "stands before the first [section]"
                source.fault("", "", cause, "move it into one", number)
            is_told = True
        elif not key or not sign:
            cause = "neither a [section] alone on its line nor key = value"
            source.fault("", "", cause, "correct it", number)
        elif body is sections[header] and key in body:
            _note_again(source, number, header, key, key in known_keys)
        elif body is sections[header]:
            body[key] = "\n".join([value, *more]).rstrip()
            source.numbers[header, key] = number
    return sections


def _entries(lines: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Each line that is a header, a key or neither, without its comment: number, text, and the
    indented lines that go on with it."""
    entry: Optional[tuple[int, str, list[str]]] = None
    margin = 0
    for number, line in enumerate(lines, start=1):
        text = _COMMENT.split(line, maxsplit=1)[0].strip()
        indent = len(line) - len(line.lstrip())
        goes_on = entry is not None and not _HEADER.match(entry[1])
        if not text or text.startswith("#"):
            if entry and goes_on and not line.strip():
                entry[2].append("")
        elif entry and goes_on and indent > margin:
            entry[2].append(text)
        else:
            if entry:
                yield entry
            entry, margin = (number, text, []), indent
    if entry:
        yield entry


def _note_again(
    source: Source, number: int, header: str, key: str = "", is_known: bool = False
) -> None:
    cause = f"stands here again, after line {source.number(header, key)}"
    source.fault(header, key if is_known else "", cause, "keep one", number)
