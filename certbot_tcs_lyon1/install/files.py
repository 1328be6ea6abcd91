"""Owners, groups and places of the files of `[install NAME]`, and the errors about them."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import disk, folders
from certbot_tcs_lyon1.department.settings import WITH_KEY
from certbot_tcs_lyon1.errors import DiskError, InstallError
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department.settings import Target

_CORRECT = "correct the rights or the path, or run certbot as root"

#: The remedies for errors that are not about rights and path alone.
_REMEDIES = {
    errno.EPERM: f"{_CORRECT}; or take off its attribute (lsattr, chattr -i)",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EBUSY: "a file is mounted there; mount its folder instead",
    errno.EROFS: "have the file system mounted for writing, or choose another folder",
}


def uid(owner: Optional[str]) -> int:
    """Return the number of a user given by name or number; None is the user that runs this.

    :raises InstallError: there is no such user
    """
    if owner is None:
        return os.geteuid()
    return _number(owner, "user", "owner", lambda name: pwd.getpwnam(name).pw_uid)


def gid(group: Optional[str]) -> int:
    """Return the number of a group given by name or number.

    None is root's group, or that of the user that runs this.

    :raises InstallError: there is no such group
    """
    if group is None:
        return 0 if os.geteuid() == 0 else os.getegid()
    return _number(group, "group", "group", lambda name: grp.getgrnam(name).gr_gid)


def _number(name: str, kind: str, key: str, look_up: Callable[[str], int]) -> int:
    try:
        return int(name) if name.isdecimal() else look_up(name)
    except KeyError:
        raise InstallError(
            f"there is no {kind} {name} on this machine", f"correct {key}, or create the {kind}"
        ) from None


def rights(target: Target, kind: str) -> disk.Rights:
    """Return owner, group and mode that the file of this kind should have.

    :raises InstallError: there is no such user or group
    """
    default = 0o600 if kind in WITH_KEY else 0o644
    mode = default if target.mode is None else target.mode
    return disk.Rights(uid(target.owner), gid(target.group), mode)


def password(target: Target) -> bytes:
    """Return the password of the PKCS#12: the only line of its file; b"" without such a file.

    :raises InstallError: the file can't be used
    """
    path = target.pkcs12_password_file
    if path is None:
        return b""
    where = f"pkcs12_password_file {path}"
    try:
        data, state = disk.read(path)
        disk.check_rights(path, state)
        lines = data.splitlines()
    except DiskError as error:
        raise InstallError(error.cause, error.remedy, where=where) from None
    except OSError as error:
        raise InstallError(
            f"cannot be read: {error.strerror}",
            "write the keystore's password into it",
            where=where,
        ) from None
    if len(lines) != 1 or not lines[0] or not lines[0].isascii():  # Java takes no other
        raise InstallError(
            "it must hold the keystore's password, in plain ASCII, on one line, and nothing else",
            "write that into it",
            where=where,
        )
    return lines[0]


def _check_not_certbots(resolved: str, path: str, forbidden: Iterable[str]) -> None:
    for folder in map(os.path.realpath, forbidden):
        if os.path.commonpath([resolved, folder]) == folder:
            raise InstallError(
                f"it lies in {folder}, where certbot keeps its own files",
                "choose a folder of the service's",
                where=foreign(path),
            )


@contextlib.contextmanager
def opened(path: str, owner: int, forbidden: Iterable[str] = ()) -> Iterator[folders.Place]:
    """Hold open the folder that a service's file is written to.

    :param path: absolute
    :param owner: the number of the file's owner, who may own the folder
    :param forbidden: folders in which nothing may be written
    :raises InstallError: it may not be written there, or the folder does not exist
    """
    with contextlib.ExitStack() as held:
        try:
            place = held.enter_context(folders.opened(path, owner))
        except DiskError as error:
            raise InstallError(error.cause, error.remedy, where=foreign(path)) from None
        except OSError as error:
            _check_not_certbots(os.path.realpath(path), path, forbidden)
            make = f"run: mkdir -p {shlex.quote(os.path.dirname(path))}, or correct the path"
            raise InstallError(
                f"its folder cannot be used: {error.strerror}",
                make if isinstance(error, FileNotFoundError) else "correct the path",
                where=foreign(path),
            ) from None
        _check_not_certbots(place.path, path, forbidden)
        yield place


def resolve(path: str, owner: Optional[str]) -> Optional[str]:
    """Return where a path leads, by links of root only; None if it can't be used.

    A link of a service's user is not followed: it could lead to any other service's file.
    """
    with contextlib.suppress(InstallError, DiskError, OSError):
        with folders.opened(path, uid(owner)) as place:
            return place.path
    return None


def read(place: folders.Place) -> Optional[disk.Found]:
    """Return the content and rights of the file at a place; None if there is none.

    :raises InstallError: it is no ordinary file, too large, or cannot be read
    """
    try:
        return disk.read_shared(place)
    except OSError as error:
        raise InstallError(
            f"cannot be read: {error.strerror}", _CORRECT, where=foreign(place.path)
        ) from None


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn an OSError into the InstallError that `path` cannot be written.

    :raises InstallError: it cannot
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, _CORRECT)
        raise InstallError(
            f"cannot be written: {error.strerror}", remedy, where=foreign(path)
        ) from None
