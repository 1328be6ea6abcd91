"""An INI file as text: its lines by number, what was found wrong with them, and its sections.

The format is `configparser`'s, without interpolation. Whatever is told names the file and the line,
never what the line holds: exceptions of `configparser` and of codecs quote the file, so they are
turned into line numbers here and never chained.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import stat
from collections.abc import Container
from typing import Optional

_MOST_BYTES = 256 * 1024
_HEADER = re.compile(r"\[(?P<header>[^]]+)\]$")
#: Begins the name of a section or key that was told already; NUL is refused in the file itself.
_TOLD = "\0"


class Source:
    """The text of the file by lines, and what is told about them."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.faults: list[tuple[int, str]] = []
        self.warnings: list[str] = []
        # Bytes that are not UTF-8 become surrogates: an exception about them would hold the file.
        text = data.decode("utf-8-sig", errors="surrogateescape")
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for index, line in enumerate(self.lines):
            self.lines[index] = re.sub("[\0\udc80-\udcff]", "?", line)
            if self.lines[index] != line:
                what = "has a NUL byte" if "\0" in line else "is not UTF-8"
                self.fault("", "", f"the line {what}; save the file as UTF-8 text", index + 1)
        self.numbers = _line_numbers(self.lines)

    def fault(self, header: str, key: str, text: str, number: Optional[int] = None) -> None:
        """Note a fault of a key ("": of its section), at line `number` if that is another line."""
        number = self.number(header, key) if number is None else number
        self.faults.append((number, f"{self._place(header, key, number)}: {text}"))

    def warn(self, header: str, key: str, text: str) -> None:
        """Note what works but should be mended."""
        place = self._place(header, key, self.number(header, key))
        self.warnings.append(f"{place}: {text}")

    def number(self, header: str, key: str) -> int:
        """Return the line of a key; where it is missing, the line of its section; else 0."""
        return self.numbers.get((header, key)) or self.numbers.get((header, ""), 0)

    def _place(self, header: str, key: str, number: int) -> str:
        """Return `FILE, line N, [section] key`, without the parts that there are not."""
        line = f", line {number}" if number else ""
        section = f", [{header}] {key}".rstrip() if header else ""
        return f"{self.path}{line}{section}"

    def check_rights(
        self, path: str, found: os.stat_result, header: str = "", key: str = ""
    ) -> None:
        """Note if others than its owner can write or read the file at `path`, or own it: what it
        says is done with the rights of whoever runs certbot."""
        who = "" if path == self.path else f"{path}: "
        remedy = f"run: chmod 600 {shlex.quote(path)}"
        if found.st_uid not in (0, os.geteuid()):
            text = f"{who}it belongs to somebody else, who can change it"
            self.fault(header, key, f"{text}; run: chown root: {shlex.quote(path)}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.fault(header, key, f"{who}others than its owner can write it; {remedy}")
        elif found.st_mode & (stat.S_IRGRP | stat.S_IROTH):
            self.warn(header, key, f"{who}others than its owner can read it; {remedy}")

    def faults_in_order(self) -> list[str]:
        """Return the faults in the order of their lines."""
        return [text for _, text in sorted(self.faults, key=lambda fault: fault[0])]


def read_file(path: str) -> tuple[bytes, os.stat_result]:
    """Return a file's bytes, and its owner and mode.

    Raises `OSError` if it cannot be read, is no ordinary file, or is too large to be what is meant.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "not an ordinary file")
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(0, "too large")
    return data, found


def reason(error: OSError) -> str:
    """Return why a file cannot be read, in lower case."""
    return (error.strerror or "unknown reason").lower()


def _line_numbers(lines: list[str]) -> dict[tuple[str, str], int]:
    """Return the line of each (section, key), with "" as the key of the section's own line."""
    numbers: dict[tuple[str, str], int] = {}
    header, margin = "", -1
    for number, line in enumerate(lines, start=1):
        text = re.split(r"(?:^|\s);", line, maxsplit=1)[0].strip()
        indent = len(line) - len(line.lstrip())
        if not text or text.startswith("#") or -1 < margin < indent:
            continue  # blank, a comment, or more of the value above
        match = _HEADER.match(text)
        if match:
            header, margin = match["header"], -1
            numbers.setdefault((header, ""), number)
        elif "=" in text:
            margin = indent
            numbers.setdefault((header, text.partition("=")[0].strip().lower()), number)
    return numbers


def parse(source: Source, known_keys: Container[str]) -> dict[str, dict[str, str]]:
    """Return the sections with their keys and values, and note the faults of the file's form.

    A fault names its key only if that is one of `known_keys`: another could be a secret.
    """
    parser = _parse(source, known_keys)
    return {
        header: {key: text for key, text in parser[header].items() if not key.startswith(_TOLD)}
        for header in parser.sections()
        if not header.startswith(_TOLD)
    }


def _parse(source: Source, known_keys: Container[str]) -> configparser.ConfigParser:
    """Return the file parsed, with faults of its form noted.

    `configparser` stops at the first duplicate: such a line is renamed, and the file parsed again.
    """
    lines = list(source.lines)
    while True:
        parser = configparser.ConfigParser(
            interpolation=None,
            delimiters=("=",),
            inline_comment_prefixes=(";",),
            default_section=_TOLD,
        )
        parser.SECTCRE = _HEADER
        try:
            parser.read_file(lines)
        except configparser.DuplicateSectionError as error:
            _rename(lines, error.lineno, "[{}]")
            _tell_twice(source, error.lineno, error.section, "", known_keys)
        except configparser.DuplicateOptionError as error:
            _rename(lines, error.lineno, "{} =")
            _tell_twice(source, error.lineno, error.section, error.option, known_keys)
        except configparser.MissingSectionHeaderError as error:
            _blank_to_header(lines, error.lineno)
            text = "stands before the first [section]; move it into one"
            source.fault("", "", text, error.lineno)
        except configparser.ParsingError as error:
            for number, _ in error.errors:
                _rename(lines, number, "{} =")
                text = "neither a [section] alone on its line nor key = value; correct it"
                source.fault("", "", text, number)
        else:
            return parser


def _blank_to_header(lines: list[str], number: int) -> None:
    """Empty the lines from `number` to the first section: told once, they are not parsed again."""
    lines[number - 1] = ""  # perhaps a header that is none, for a bracket is missing
    for index in range(number, len(lines)):
        if lines[index].lstrip().startswith("["):
            break
        lines[index] = ""


def _rename(lines: list[str], number: Optional[int], form: str) -> None:
    """Put an empty section or key, told already, in place of a line; what it held goes with it."""
    index = (number or 1) - 1
    indent = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
    lines[index] = indent + form.format(f"{_TOLD}{number}")


def _tell_twice(
    source: Source, number: Optional[int], header: str, key: str, known_keys: Container[str]
) -> None:
    """Note a section or key that stands in the file again, unless its section does, too."""
    if not header.startswith(_TOLD):
        text = f"stands here again, after line {source.number(header, key)}; keep one"
        source.fault(header, key if key in known_keys else "", text, number)
