"""An INI file: its lines and sections, and the faults and warnings about them.

The format is that of `configparser`, without interpolation. A message names the file and the line,
and never shows the line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from typing import Optional

from certbot_tcs_lyon1.department import rights
from certbot_tcs_lyon1.department.faults import Fault, shown_header, text_of
from certbot_tcs_lyon1.department.settings import Stamp
from certbot_tcs_lyon1.errors import ConfigError

#: The most faults of one file that are shown.
MOST_FAULTS = 100

_HEADER = re.compile(r"\[(?P<header>[^]]+)\]$")
_COMMENT = re.compile(r"(?:^|\s);")


class Source:
    """The lines of the file, and the faults and warnings about them.

    :ivar faults: each with its line number, 0 for the whole file
    :ivar numbers: the line of each (header, key); of a section, (header, "")
    :ivar files: each file that was read, with its stamp; None for a missing one
    """

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
        """Note a fault of a key, or of its section if `key` is "".

        :param number: the line, if it is not that of the key
        """
        number = self.number(header, key) if number is None else number
        where = self._place(header, key, number)
        self.faults.append((number, ConfigError(cause, remedy, where=where)))

    def note(self, header: str, key: str, fault: ConfigError, path: str = "") -> None:
        """Note the fault of a key's value, or of the file at `path` that the value names."""
        number = self.number(header, key)
        for part in fault.parts or (fault,):
            self.faults.append((number, self._placed(part, header, key, path)))

    def warn(self, header: str, key: str, warning: ConfigError, path: str = "") -> None:
        """Note a warning about a key's value, or about the file at `path` that the value names."""
        self.warnings.append(self._placed(warning, header, key, path))

    def number(self, header: str, key: str) -> int:
        """Return the line of a key; if it is missing, that of its section, or 0."""
        return self.numbers.get((header, key)) or self.numbers.get((header, ""), 0)

    def _placed(self, fault: ConfigError, header: str, key: str, path: str) -> ConfigError:
        """Return the fault with the key, and the file that it names, in front of its own place."""
        line = f", line {fault.line}" if isinstance(fault, Fault) and fault.line and path else ""
        places = (self._place(header, key, self.number(header, key)), f"{path}{line}", fault.where)
        placed = ConfigError(fault.cause, fault.remedy, where=": ".join(filter(None, places)))
        placed.path, placed.key, placed.errno = path, key, fault.errno
        return placed

    def _place(self, header: str, key: str, number: int) -> str:
        """Return `FILE, line N, [section] key`, without the parts that are missing."""
        line = f", line {number}" if number else ""
        section = f", [{shown_header(header)}] {key}".rstrip() if header else ""
        return f"{self.path}{line}{section}"

    def check_rights(
        self, path: str, state: os.stat_result, header: str = "", key: str = ""
    ) -> None:
        """Note a fault or a warning about owner and mode of the file at `path`.

        What the file says is done with the rights of the user that runs certbot.
        """
        named = "" if path == self.path else path
        fault, warning = rights.check(path, state, self.path, header)
        if fault is not None:
            self.note(header, key, fault, named)
        if warning is not None:
            self.warn(header, key, warning, named)

    def note_file(self, path: str, state: os.stat_result) -> None:
        """Note a file that was read, for `reader.is_current`."""
        self.files.append((path, _stamp(state)))

    def note_missing(self, path: str) -> bool:
        """Return whether there is no file at `path`; if so, note that for `reader.is_current`."""
        is_missing = stamp_of(path) is None
        if is_missing:
            self.files.append((path, None))
        return is_missing

    @property
    def is_full(self) -> bool:
        """Whether more faults were noted than are shown, so that further ones need no details."""
        return len(self.faults) > MOST_FAULTS

    def faults_in_order(self) -> list[ConfigError]:
        """Return the faults in the order of their lines, at most `MOST_FAULTS`."""
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
    """Return the stamp of the file at `path`, which changes when it does; None without a file."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError):
        return None


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def parse(source: Source, known_keys: Container[str]) -> dict[str, dict[str, str]]:
    """Return the sections, each with its keys (in lower case) and values; faults of form are noted.

    A value of several lines has line feeds. A fault names its key only if that is one of
    `known_keys`: another could be a secret.

    The format is that of `configparser`, and a test compares the two. `configparser` itself stops
    at the first fault, shows the file's content in its errors, and has no line numbers.
    """
    sections: dict[str, dict[str, str]] = {}
    header = ""
    body: dict[str, str] = {}  # of a duplicate section, not the one in `sections`
    started = is_noted = False
    for number, text, more in _entries(source.lines):
        match = _HEADER.match(text)
        key, sign, value = (part.strip() for part in text.partition("="))
        key = key.lower()
        if match:
            header, body, started = match["header"], {}, True
            if header in sections:
                _note_duplicate(source, number, header)
            else:
                sections[header] = body
                source.numbers[header, ""] = number
        elif not started:
            if not is_noted:
                cause = "is before the first [section]"
                source.fault("", "", cause, "move it into one", number)
            is_noted = True
        elif not key or not sign:
            cause = "neither a [section] alone on its line nor key = value"
            source.fault("", "", cause, "correct it", number)
        elif body is sections[header] and key in body:
            _note_duplicate(source, number, header, key, key in known_keys)
        elif body is sections[header]:
            body[key] = "\n".join([value, *more]).rstrip()
            source.numbers[header, key] = number
    return sections


def _entries(lines: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the entries: line number, text without its comment, and the indented lines after it.

    An entry is a header, a key, or neither.
    """
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


def _note_duplicate(
    source: Source, number: int, header: str, key: str = "", is_known: bool = False
) -> None:
    cause = f"is here again, after line {source.number(header, key)}"
    source.fault(header, key if is_known else "", cause, "keep one", number)
