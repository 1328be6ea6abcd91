"""The department config as an INI file: its lines and sections, and the faults and warnings.

The format is that of `configparser`, without interpolation. A message names the file and the line,
and never shows the line.
"""

from __future__ import annotations

import re
from typing import Optional

from certbot_tcs_lyon1.department.faults import Fault, shown_header, text_of
from certbot_tcs_lyon1.department.keys import EVERY_KEY
from certbot_tcs_lyon1.department.settings import Stamp
from certbot_tcs_lyon1.errors import ConfigError

#: The most faults of one file that are shown.
MOST_FAULTS = 100

_HEADER = re.compile(r"\[(?P<header>[^]]+)\]$")
_COMMENT = re.compile(r"(?:^|\s);")


class Source:
    """The lines of the file, and the faults and warnings about them.

    :ivar whole: stands for the whole file in faults and warnings
    :ivar faults: each with its line number, 0 for the whole file
    :ivar files: each file that was read, with its stamp; None for a missing one
    """

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.whole = Section(self, "", 0)
        self.faults: list[tuple[int, ConfigError]] = []
        self.warnings: list[ConfigError] = []
        self.files: list[tuple[str, Optional[Stamp]]] = []
        try:
            text = text_of(data)
        except Fault as fault:
            self.whole.note("", fault)
            text = ""
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for index, line in enumerate(self.lines):
            self.lines[index] = re.sub("[\0\udc80-\udcff]", "?", line)
            if self.lines[index] != line:
                nul = "\0" in line
                cause = "the line has a NUL byte" if nul else "the line is not UTF-8"
                self.whole.fault("", cause, "save the file as UTF-8 text", index + 1)

    @property
    def is_full(self) -> bool:
        """Whether more faults were noted than are shown, so that further ones need no details."""
        return len(self.faults) > MOST_FAULTS

    def faults_in_order(self) -> list[ConfigError]:
        """Return the faults in the order of their lines, at most `MOST_FAULTS`."""
        found = [fault for _, fault in sorted(self.faults, key=lambda fault: fault[0])]
        if self.is_full:
            more = f"and {len(found) - MOST_FAULTS} more"
            found[MOST_FAULTS:] = [ConfigError(more, "correct these first", where=self.path)]
        return found


class Section:
    """A section, and the place of its faults and warnings.

    :ivar header: what is between the brackets: `kind` and `name`; "" for the whole file
    :ivar name: `sections` makes A-labels of a domain
    :ivar texts: the values of the keys (in lower case); one of several lines has line feeds
    :ivar numbers: the line of each key; of the header, ""
    """

    def __init__(self, source: Source, header: str, number: int) -> None:
        self.source = source
        self.header = header
        self.kind, *names = header.split() or [""]
        self.name = " ".join(names)
        self.texts: dict[str, str] = {}
        self.numbers = {"": number}

    @property
    def title(self) -> str:
        """The header as a message may show it, in brackets."""
        return f"[{shown_header(self.header)}]"

    def number(self, key: str) -> int:
        """Return the line of a key; that of the header if the key is missing, or ""."""
        return self.numbers.get(key, self.numbers[""])

    def fault(self, key: str, cause: str, remedy: str, number: Optional[int] = None) -> None:
        """Note a fault of a key, or of the section if `key` is "".

        :param number: the line, if it is not that of the key
        """
        self.note(key, Fault(cause, remedy), number=number)

    def note(
        self, key: str, fault: ConfigError, path: str = "", number: Optional[int] = None
    ) -> None:
        """Note the fault of a key's value, or of the file at `path` that the value names."""
        number = self.number(key) if number is None else number
        for part in fault.parts or (fault,):
            self.source.faults.append((number, self._placed(part, key, path, number)))

    def warn(self, key: str, warning: ConfigError, path: str = "") -> None:
        """Note a warning about a key's value, or about the file at `path` that the value names."""
        self.source.warnings.append(self._placed(warning, key, path, self.number(key)))

    def _placed(self, fault: ConfigError, key: str, path: str, number: int) -> ConfigError:
        """Return the fault with the line, the key and the named file in front of its own place."""
        place = self.source.path + (f", line {number}" if number else "")
        if self.header:
            place = f"{place}, {self.title} {key}".rstrip()
        line = f", line {fault.line}" if path and isinstance(fault, Fault) and fault.line else ""
        where = ": ".join(filter(None, (place, f"{path}{line}", fault.where)))
        placed = ConfigError(fault.cause, fault.remedy, where=where)
        placed.path, placed.key, placed.errno = path, key, fault.errno
        return placed


def parse(source: Source) -> list[Section]:
    """Return the sections; faults of form are noted.

    A fault names its key only if that is one of `EVERY_KEY`: another could be a secret.

    The format is that of `configparser`, and a test compares the two. `configparser` itself stops
    at the first fault, shows the file's content in its errors, and has no line numbers.
    """
    sections: dict[str, Section] = {}
    section: Optional[Section] = None
    for number, text, more in _entries(source.lines):
        match = _HEADER.match(text)
        key, sign, value = (part.strip() for part in text.partition("="))
        key = key.lower()
        if match:
            section = Section(source, match["header"], number)
            first = sections.setdefault(section.header, section)
            if first is not section:
                section.fault("", f"is here again, after line {first.number('')}", "keep one")
        elif section is None:
            source.whole.fault("", "is before the first [section]", "move it into one", number)
            section = Section(source, "", 0)  # so that this is noted once
        elif section.header and (not key or not sign):
            cause = "neither a [section] alone on its line nor key = value"
            source.whole.fault("", cause, "correct it", number)
        elif sections.get(section.header) is section and key in section.texts:
            cause = f"is here again, after line {section.number(key)}"
            section.fault(key if key in EVERY_KEY else "", cause, "keep one", number)
        else:
            section.texts[key] = "\n".join([value, *more]).rstrip()
            section.numbers[key] = number
    return list(sections.values())


def _entries(lines: list[str]) -> list[tuple[int, str, list[str]]]:
    """Return the entries: line number, text without its comment, and the indented lines after it.

    An entry is a header, a key, or neither.
    """
    entries: list[tuple[int, str, list[str]]] = []
    margin = 0
    for number, line in enumerate(lines, start=1):
        text = _COMMENT.split(line, maxsplit=1)[0].strip()
        indent = len(line) - len(line.lstrip())
        goes_on = entries and not _HEADER.match(entries[-1][1])
        if not text or text.startswith("#"):
            if goes_on and not line.strip():
                entries[-1][2].append("")
        elif goes_on and indent > margin:
            entries[-1][2].append(text)
        else:
            entries.append((number, text, []))
            margin = indent
    return entries
