"""What was published and is not yet withdrawn, on disk, so that a run that is killed loses nothing.

Each batch is written down before its UPDATE is sent, and struck off when its records are gone.
The file holds names, values and servers: public DNS data, and no key. Only one certbot at a time
works with one set of folders (certbot locks them), so nobody else writes the file meanwhile.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from certbot_tcs_lyon1 import disk

#: What the one string of a TXT record can hold, without what its text form would escape.
_VALUE = re.compile(r"[ !#-\[\]-~]{1,255}")

#: A journal that is larger than this was not written here.
_MOST_BYTES = 16 * 1024 * 1024


class JournalError(Exception):
    """The journal cannot be read or written; the text says why."""


@dataclass(frozen=True)
class Entry:
    """Records of one zone that were sent to one address of an update server.

    `section` is the header of the section whose key was used, and `config` the path of its
    department config, "" where that is not known; `records` are pairs of name and value.
    """

    section: str
    zone: str
    ip: str
    port: int
    label: str
    records: tuple[tuple[str, str], ...]
    config: str = ""


def read(path: str) -> list[Entry]:
    """The entries; none if there is no file.

    :raises JournalError: the file cannot be read, or is damaged
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError
        return [_entry(item) for item in json.loads(data.decode("utf-8"))]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise JournalError(f"{path} is damaged") from None


def _entry(item: Any) -> Entry:
    records = tuple((str(name), str(value)) for name, value in item["records"])
    if not all(_VALUE.fullmatch(value) for _, value in records):
        raise ValueError
    texts = {key: str(item[key]) for key in ("section", "zone", "ip", "label")}
    texts["config"] = str(item.get("config", ""))
    port = item["port"]
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError
    ipaddress.ip_address(texts["ip"])
    return Entry(port=port, records=records, **texts)


def add(path: str, entry: Entry) -> None:
    """Write an entry down; when this returns it is on disk.

    :raises JournalError: it is not
    """
    _write(path, [*read(path), entry])


def strike(path: str, entry: Entry) -> None:
    """Take an entry out, if it is there; without entries the file goes, too.

    :raises JournalError: it could not be taken out
    """
    _write(path, [other for other in read(path) if other != entry])


def set_aside(path: str) -> str:
    """Put a damaged journal out of the way, for somebody to look at; its new path.

    :raises JournalError: it could not be moved
    """
    aside = f"{path}.damaged"
    try:
        os.replace(path, aside)
    except OSError as error:
        raise JournalError(f"{path} cannot be renamed: {error.strerror}") from None
    return aside


def _write(path: str, entries: Sequence[Entry]) -> None:
    try:
        if entries:
            disk.write(path, json.dumps([asdict(entry) for entry in entries], indent=1).encode())
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}") from None
