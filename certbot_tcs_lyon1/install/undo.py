"""The record of a deployment that is under way, so that an interrupted one can be undone.

Each target has a record with its old files, in a folder of root's below certbot's work folder: a
service's user can't reach it, and a target that can't be restored does not affect the others. A
file is restored only if the new one is still there, or none: a file that was not replaced yet, or
that somebody has changed since, is left alone.

The record is removed once the service has accepted the new files, which needs no room on the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.disk import Found, Rights
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.folders import Place
from certbot_tcs_lyon1.install import files
from certbot_tcs_lyon1.report import foreign

logger = logging.getLogger(__name__)

#: The folder of the records, in certbot's work folder.
FOLDER_NAME = "tcs-lyon1-deploying"

_RECORD = ".json"


@dataclass(frozen=True)
class Replaced:
    """A file that is being replaced.

    :ivar path: without links
    :ivar owner: the number of the user that may own its folder
    :ivar new: the SHA-256 of the new content
    :ivar temporary: the name of the new file until it is renamed
    :ivar old: the old file; None if there was none
    """

    path: str
    owner: int
    new: str
    temporary: str
    old: Optional[Found]


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def begin(folder: str, target: str, replaced: Sequence[Replaced]) -> None:
    """Record the old files of a target.

    :raises InstallError: it failed; no file has changed
    """
    items = [asdict(item) for item in replaced]
    data = json.dumps(items, indent=1, default=bytes.hex).encode()
    try:
        with files.writing(folder):
            os.makedirs(folder, 0o700, exist_ok=True)
            disk.write(_record(folder, target), data)
    except InstallError:
        _remove_if_empty(folder)
        raise


def commit(folder: str, target: str) -> None:
    """Remove the record of a target: its service has accepted the new files.

    :raises InstallError: it failed
    """
    with files.writing(folder):
        os.unlink(_record(folder, target))
    _remove_if_empty(folder)


def interrupted(folder: str) -> list[str]:
    """Return the targets whose deployment was interrupted; remove what is no whole record."""
    if not os.path.isdir(folder):
        return []
    targets = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(_RECORD):
            targets.append(name.removesuffix(_RECORD))
        else:  # written by a run that was killed
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
    _remove_if_empty(folder)
    return targets


def _remove_if_empty(folder: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def recover(
    folder: str, targets: Collection[str], report: Callable[[str], object]
) -> dict[str, InstallError]:
    """Restore the old files of interrupted deployments.

    If that fails for a section that no longer exists, its record is removed: it would stop each
    run.

    :param targets: the names of the existing [install] sections
    :param report: shows the user a line
    :returns: by target, why its files could not be restored
    """
    faults = {}
    for name in interrupted(folder):
        try:
            restore(folder, name)
            logger.info("A deployment to [install %s] was cut short: it is begun again", name)
        except (InstallError, OSError) as error:
            why = error if isinstance(error, InstallError) else InstallError(foreign(str(error)))
            fault = InstallError(where=f"[install {name}]", parts=(why,))
            if name in targets:
                faults[name] = fault
                continue
            with contextlib.suppress(InstallError):
                commit(folder, name)
                report(f"{fault}\nThe section no longer exists, so the old files are dropped.")
    return faults


def restore(folder: str, target: str, held: Sequence[Place] = ()) -> None:
    """Restore the old files of a target. It can be interrupted and repeated.

    :param held: places that are still open, since before another user could exchange a folder
    :raises InstallError: the record is damaged, or a file could not be restored; the others are
    """
    faults: list[InstallError] = []
    for item in _read(folder, target):
        try:
            with files.writing(item.path):
                _put_back(item, held)
        except InstallError as error:
            faults.append(error)
    if faults:
        raise InstallError(
            f"a deployment that failed could not be undone; the old files are in {folder}",
            "mend what follows, and run: certbot renew",
            parts=faults,
        )
    commit(folder, target)


def _put_back(item: Replaced, held: Sequence[Place]) -> None:
    with contextlib.ExitStack() as opened:
        place = next((place for place in held if place.path == item.path), None)
        if place is None:
            if not os.path.isdir(os.path.dirname(item.path)):
                return
            place = opened.enter_context(files.opened(item.path, item.owner))
        disk.remove(place, item.temporary)
        try:
            found = disk.read_shared(place)
        except disk.NotAFile:
            return  # somebody has put it there
        if found is not None and digest(found.data) != item.new:
            return  # not replaced yet, or changed by somebody
        if item.old is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place.name, dir_fd=place.folder)
        else:
            old = item.old
            disk.write_aside(place, item.temporary, old.data, old.rights, old.kept)
            disk.put(place, item.temporary)
        disk.sync(place)


def _record(folder: str, target: str) -> str:
    return os.path.join(folder, target + _RECORD)


def _read(folder: str, target: str) -> list[Replaced]:
    path = _record(folder, target)
    try:
        with open(path, "rb") as file:
            return [_from_json(item) for item in json.load(file)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InstallError(
            "it is damaged, so a deployment that was killed cannot be undone",
            f"remove it, and run: certbot renew, which writes the files of [install {target}] anew",
            where=path,
        ) from None


def _from_json(item: Any) -> Replaced:
    old = item["old"]
    if old is not None:
        kept = tuple((str(name), bytes.fromhex(value)) for name, value in old["kept"])
        rights = Rights(**{name: int(number) for name, number in old["rights"].items()})
        old = Found(bytes.fromhex(old["data"]), rights, kept)
    texts = {key: str(item[key]) for key in ("path", "new", "temporary")}
    return Replaced(owner=int(item["owner"]), old=old, **texts)
