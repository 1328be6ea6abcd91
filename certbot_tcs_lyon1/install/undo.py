"""The record of a deployment that is under way, so that an interrupted one can be undone.

Each target has a record and copies of its old files, in a folder of root's below certbot's work
folder: a service's user can't reach them, and a target that can't be restored does not affect the
others. A file is restored only if the new one is still there, or none: a file that was not replaced
yet, or that somebody has changed since, is left alone.

When the service has accepted the new files, the record is removed first, which needs no room on the
disk. Copies without a record are left over from such a removal, and are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
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
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        for number, item in enumerate(replaced):
            if item.old is not None:
                disk.write(_copy(folder, target, number), item.old.data)
        disk.write(_record(folder, target), json.dumps(_to_json(replaced), indent=1).encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            _remove_copies(folder, target)
        raise files.cannot_write(folder, error) from None


def commit(folder: str, target: str) -> None:
    """Remove the record and the copies of a target: its service has accepted the new files.

    :raises InstallError: it failed
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_record(folder, target))
        _remove_copies(folder, target)
    except OSError as error:
        raise files.cannot_write(folder, error) from None


def interrupted(folder: str) -> list[str]:
    """Return the targets whose deployment was interrupted; remove copies without a record."""
    with contextlib.suppress(FileNotFoundError):
        names = os.listdir(folder)
        targets = [name[: -len(_RECORD)] for name in names if name.endswith(_RECORD)]
        for name in names:
            if not name.endswith(_RECORD) and name.rpartition(".")[0] not in targets:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))
        if not targets:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        return sorted(targets)
    return []


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
            with contextlib.suppress(InstallError, OSError):
                commit(folder, name)
                report(f"{fault}\nThe section no longer exists, so the old files are dropped.")
    return faults


def restore(folder: str, target: str, held: Sequence[Place] = ()) -> None:
    """Restore the old files of a target. It can be interrupted and repeated.

    :param held: places that are still open, since before another user could exchange a folder
    :raises InstallError: the record is damaged, or a file could not be restored; the others are
    """
    faults: list[InstallError] = []
    for number, item in enumerate(_read(folder, target)):
        try:
            _put_back(_copy(folder, target, number), item, held)
        except InstallError as error:
            faults.append(error)
        except OSError as error:
            faults.append(files.cannot_write(item.path, error))
    if faults:
        raise InstallError(
            f"a deployment that failed could not be undone; the old files are in {folder}",
            "mend what follows, and run: certbot renew",
            parts=faults,
        )
    commit(folder, target)


def _put_back(copy: str, item: Replaced, held: Sequence[Place]) -> None:
    with _open(item, held) as place:
        if place is None:
            return  # its folder no longer exists
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
            with open(copy, "rb") as file:
                old = file.read()
            disk.write_aside(place, item.temporary, old, item.old.rights, item.old.kept)
            disk.put(place, item.temporary)
        disk.sync(place)


@contextlib.contextmanager
def _open(item: Replaced, held: Sequence[Place]) -> Iterator[Optional[Place]]:
    for place in held:
        if place.path == item.path:
            yield place
            return
    if not os.path.isdir(os.path.dirname(item.path)):
        yield None
        return
    with files.opened(item.path, item.owner, ()) as place:
        yield place


def _record(folder: str, target: str) -> str:
    return os.path.join(folder, target + _RECORD)


def _copy(folder: str, target: str, number: int) -> str:
    return os.path.join(folder, f"{target}.{number}")


def _remove_copies(folder: str, target: str) -> None:
    for name in os.listdir(folder):
        if name.rpartition(".")[0] == target and not name.endswith(_RECORD):
            os.unlink(os.path.join(folder, name))
    with contextlib.suppress(OSError):  # it has another target's record
        os.rmdir(folder)


# The record as JSON


def _to_json(replaced: Sequence[Replaced]) -> list[dict[str, Any]]:
    return [
        {
            "path": item.path,
            "owner": item.owner,
            "new": item.new,
            "temporary": item.temporary,
            "old": None if item.old is None else _rights_to_json(item.old),
        }
        for item in replaced
    ]


def _rights_to_json(old: Found) -> dict[str, Any]:
    rights = old.rights
    kept = {name: value.hex() for name, value in old.kept}
    return {"uid": rights.uid, "gid": rights.gid, "mode": rights.mode, "kept": kept}


def _read(folder: str, target: str) -> list[Replaced]:
    path = _record(folder, target)
    try:
        with open(path, "rb") as file:
            return [_from_json(item) for item in json.load(file)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InstallError(f"cannot be read: {error.strerror}", "mend it", where=path) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InstallError(
            "it is damaged, so a deployment that was killed cannot be undone",
            f"compare the files of [install {target}] with the copies in {folder}, put them back "
            "by hand, and remove the record and the copies",
            where=path,
        ) from None


def _from_json(item: Any) -> Replaced:
    old = item["old"]
    return Replaced(
        str(item["path"]),
        int(item["owner"]),
        str(item["new"]),
        str(item["temporary"]),
        None
        if old is None
        else Found(
            b"",
            Rights(int(old["uid"]), int(old["gid"]), int(old["mode"])),
            tuple((str(name), bytes.fromhex(value)) for name, value in old["kept"].items()),
        ),
    )
