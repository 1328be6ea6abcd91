"""Where the files of `[install NAME]` go: owners, places, and the words for what can't be done."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from typing import Optional

from certbot_tcs_lyon1 import disk, folders
from certbot_tcs_lyon1.errors import DiskError, InstallError
from certbot_tcs_lyon1.report import foreign

_CORRECT = "correct the rights or the path, or run certbot as root"

#: What to do about an error that is not one of rights.
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EBUSY: "a file is mounted there; mount its folder instead",
    errno.EROFS: "have the file system mounted for writing, or choose another folder",
}


def uid(owner: Optional[str]) -> int:
    """The number of a user given by name or number; None is who runs this: root, as a rule.

    :raises InstallError: there is no such user
    """
    if owner is None:
        return os.geteuid()
    if owner.isdecimal():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise InstallError(
            f"there is no user {owner} on this machine", "correct owner, or create the user"
        ) from None


def gid(group: Optional[str]) -> int:
    """The number of a group given by name or number; None is root's, or who runs this'.

    :raises InstallError: there is no such group
    """
    if group is None:
        return 0 if os.geteuid() == 0 else os.getegid()
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InstallError(
            f"there is no group {group} on this machine", "correct group, or create the group"
        ) from None


@contextlib.contextmanager
def opened(path: str, owner: int, keep_out: Iterable[str]) -> Iterator[folders.Place]:
    """Hold open the folder that a file of a service's goes into.

    :param owner: the number of the user that the file is to belong to, who may own the folder
    :param keep_out: folders in or below which nothing may be written
    :raises InstallError: nothing may be written there, or the folder is not there
    """
    with contextlib.ExitStack() as held:
        try:
            place = held.enter_context(folders.opened(path, owner))
        except DiskError as error:
            raise InstallError(error.cause, error.remedy, where=foreign(path)) from None
        except OSError as error:
            raise InstallError(
                f"its folder cannot be used: {error.strerror}",
                f"create {os.path.dirname(path)}, or correct the path",
                where=foreign(path),
            ) from None
        for forbidden in map(os.path.realpath, keep_out):
            if os.path.commonpath([place.path, forbidden]) == forbidden:
                raise InstallError(
                    f"it lies in {forbidden}, where certbot keeps its own files",
                    "choose a folder of the service's",
                    where=foreign(path),
                )
        yield place


def end_of(path: str, owner: Optional[str]) -> Optional[str]:
    """Where a path of another section leads, by links of root's alone; None if it can't be used.

    A link of a service's would let its user say so of any other's file.
    """
    with contextlib.suppress(InstallError, DiskError, OSError):
        with folders.opened(path, uid(owner)) as place:
            return place.path
    return None


def look(place: folders.Place) -> Optional[disk.Found]:
    """What is at a place; None if nothing is.

    :raises InstallError: it is no ordinary file, larger than any that was written here, or cannot
        be read
    """
    try:
        return disk.look(place)
    except OSError as error:
        raise InstallError(
            f"cannot be read: {error.strerror}", _CORRECT, where=foreign(place.path)
        ) from None


def cannot_write(path: str, error: OSError) -> InstallError:
    """The error that says so."""
    remedy = _REMEDIES.get(error.errno or 0, _CORRECT)
    if error.errno == errno.EPERM:
        remedy = f"{_CORRECT}; or take off its attribute (lsattr, chattr -i)"
    return InstallError(f"cannot be written: {error.strerror}", remedy, where=foreign(path))
