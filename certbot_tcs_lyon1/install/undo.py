"""What is being replaced, written down before it is, so that a run that is killed can be undone.

The record names files and holds no key. While it is there, the old files are beside the new ones,
and the next run puts them back before it does anything else: so what a crash between two renames
leaves (one file new, another old) is whole again, and is then deployed from the beginning. Once the
service has taken the new files the record says so, and only the backups are left to remove.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any, Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.install import files


@dataclass(frozen=True)
class Replaced:
    """A file that is being replaced; `existed`: there was one before."""

    path: str
    existed: bool


@dataclass(frozen=True)
class Record:
    """The deployment that goes on; `accepted`: its service has the new files."""

    target: str
    files: tuple[Replaced, ...]
    accepted: bool = False


def begin(path: str, record: Record) -> None:
    """Write the record to `path`, and keep the old files aside.

    :raises InstallError: it could not be done; nothing has changed
    """
    for item in record.files:
        _clear(item.path)  # or a backup whose record was lost would count as this one's
    _write(path, record)
    try:
        for item in record.files:
            if item.existed:
                files.keep_aside(item.path)
        files.sync_folders(item.path for item in record.files)
    except BaseException:
        restore(path)
        raise


def restore(path: str) -> Optional[str]:
    """Finish what the record at `path` says: put the old files back, or remove the backups of a
    deployment that was accepted. What was done already stays done, so it can be killed as well.

    :returns: the name of the target whose old files are back, None if there is none
    :raises InstallError: a file could not be put back, or the record cannot be read
    """
    record = _read(path)
    if record is None:
        return None
    if not record.accepted:
        for item in record.files:
            if not item.existed:
                files.remove(item.path)
            elif os.path.lexists(files.old_name(item.path)):
                files.rename(files.old_name(item.path), item.path)
    _end(path, record)
    return None if record.accepted else record.target


def accept(path: str) -> None:
    """Remove the backups, and the record: the new files stay.

    :raises InstallError: it could not be done
    """
    record = _read(path)
    if record is not None:
        done = Record(record.target, record.files, accepted=True)
        _write(path, done)
        _end(path, done)


def _end(path: str, record: Record) -> None:
    for item in record.files:
        _clear(item.path)
    # A folder that is gone has nothing to put back.
    places = [item.path for item in record.files if os.path.isdir(os.path.dirname(item.path))]
    files.sync_folders(places)
    files.remove(path)
    files.sync_folders([path])


def _clear(path: str) -> None:
    files.remove(files.new_name(path))
    files.remove(files.old_name(path))


def _write(path: str, record: Record) -> None:
    try:
        disk.write(path, json.dumps(asdict(record), indent=1))
    except OSError as error:
        raise files.cannot_write(path, error) from None


def _read(path: str) -> Optional[Record]:
    found = files.look(path)
    if found is None:
        return None
    try:
        return _record(json.loads(found.data))
    except (ValueError, TypeError, KeyError):
        raise InstallError(
            f"{path}: it is damaged, so a deployment that was killed cannot be undone. Look whether"
            " files named .*.tcs-lyon1-old lie beside the targets, put them back by hand, and "
            "remove the file."
        ) from None


def _record(item: Any) -> Record:
    replaced = tuple(Replaced(str(one["path"]), bool(one["existed"])) for one in item["files"])
    return Record(str(item["target"]), replaced, bool(item["accepted"]))
