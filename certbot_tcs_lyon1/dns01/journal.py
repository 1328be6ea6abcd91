"""The journal: a file of the records that are published and not yet withdrawn.

With it, the next run withdraws the records of a run that was killed. Each batch is entered before
its UPDATE is sent, and removed once its records are deleted. The file holds names, values and
servers, which are public, and no key. Certbot locks its folders, so only one process writes it.
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

#: The string of a TXT record, of characters that the presentation format does not escape.
_VALUE = re.compile(r"[ !#-\[\]-~]{1,255}")

#: The largest journal that is read; a larger one was not written by this module.
_MOST_BYTES = 16 * 1024 * 1024


class JournalError(Exception):
    """The journal cannot be read or written; the text says why."""


@dataclass(frozen=True)
class Entry:
    """Records of one zone that were sent to one address of an update server.

    :ivar section: the header of the section whose key was used, such as "dns example.org"
    :ivar ip: the address of the update server
    :ivar label: its name in the department config
    :ivar records: pairs of owner name and value
    :ivar department_config: the path of the section's department config; "" if unknown
    """

    section: str
    zone: str
    ip: str
    port: int
    label: str
    records: tuple[tuple[str, str], ...]
    department_config: str = ""


def read(path: str) -> list[Entry]:
    """Return the entries of the journal; none if there is no file.

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
    if not records or not all(_VALUE.fullmatch(value) for _, value in records):
        raise ValueError
    texts = {key: str(item[key]) for key in ("section", "zone", "ip", "label")}
    texts["department_config"] = str(item.get("department_config", ""))
    port = item["port"]
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError
    ipaddress.ip_address(texts["ip"])
    return Entry(port=port, records=records, **texts)


def add(path: str, entry: Entry) -> None:
    """Add an entry, and return once it is on the disk.

    :raises JournalError: it could not be written
    """
    _write(path, [*read(path), entry])


def strike(path: str, entry: Entry) -> None:
    """Remove an entry, if it is there; with the last one, the file is removed.

    :raises JournalError: it could not be removed
    """
    _write(path, [other for other in read(path) if other != entry])


def set_aside(path: str) -> str:
    """Rename a damaged journal, so that an administrator can look at it, and return its new path.

    :raises JournalError: it could not be renamed
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
