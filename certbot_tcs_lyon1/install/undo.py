"""What is being replaced, written down before it is, so that a run that is killed can be undone.

Each target has a record of its own, in a folder of root's below certbot's work folder, and beside
it copies of the files that it had: a service's user reaches neither, and what can't be put back
concerns its own target alone. A file is put back only where the one that was written is still
there, or none: what was not replaced, and what somebody has put there since, is left.

The record goes first when the service has taken the new files, and that needs no room on the disk.
A copy without a record is what such a run has left, and is removed.
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

    `path` has no link in it; `owner` is the user's number that may own its folder; `new` is the
    SHA-256 of what is written, and `temporary` its name until it is whole; `old` is what was there,
    None if nothing was.
    """

    path: str
    owner: int
    new: str
    temporary: str
    old: Optional[Found]


def digest(data: bytes) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def begin(folder: str, target: str, replaced: Sequence[Replaced]) -> None:
    """Write down what a target is about to lose.

    :raises InstallError: it could not be done; nothing has changed
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


def accept(folder: str, target: str) -> None:
    """Forget what a target had: its service has the new files.

    :raises InstallError: it could not be done
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_record(folder, target))
        _remove_copies(folder, target)
    except OSError as error:
        raise files.cannot_write(folder, error) from None


def interrupted(folder: str) -> list[str]:
    """The targets whose deployment was cut short; copies that no record names are removed."""
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


def finish(
    folder: str, targets: Collection[str], say: Callable[[str], object]
) -> dict[str, InstallError]:
    """Put back what killed runs have replaced.

    What can't be put back for a section that is gone is forgotten: it would hold up every run.

    :param targets: the names of the [install] sections that there are
    :param say: shows the user a line
    :returns: by target, why it was not possible
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
                accept(folder, name)
                say(f"{fault}\nThe section is gone, so the old files are forgotten.")
    return faults


def restore(folder: str, target: str, held: Sequence[Place] = ()) -> None:
    """Put back what a target had. It can be killed as well: what was done stays done.

    :param held: places that are open still, from before anybody could exchange a folder
    :raises InstallError: the record is damaged, or a file could not be put back; the others are
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
    accept(folder, target)


def _put_back(copy: str, item: Replaced, held: Sequence[Place]) -> None:
    with _open(item, held) as place:
        if place is None:
            return  # its folder is gone
        disk.remove(place, item.temporary)
        try:
            found = disk.look(place)
        except disk.NotAFile:
            return  # somebody has put it there since
        if found is not None and digest(found.data) != item.new:
            return  # not replaced yet, or somebody has changed it since
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
    with contextlib.suppress(OSError):  # another target's record is there
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
