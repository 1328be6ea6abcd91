"""Files that root reads or writes: bounded in size, by descriptor, replaced in one step.

`folders` opens the path; the functions here work on the last folder's descriptor.

- `read` is for files that root relies on (the department config, keys, passwords): read once, and
  refused if another user could have written them, as with sshd's StrictModes.
- `write` is for the plugin's own records in certbot's folders.
- `read_shared`, `write_aside`, `put` are for files that are shared with a service.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
import struct
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.errors import DiskError
from certbot_tcs_lyon1.folders import Place, opened
from certbot_tcs_lyon1.report import foreign

#: Bytes, the most of a file that is read as text or key.
MOST_BYTES = 256 * 1024

#: The extended attributes that a replaced file keeps.
_KEPT = ("system.posix_acl_access", "security.selinux")
_ACL = _KEPT[0]

#: An entry of an ACL as Linux stores it, after a version of 4 bytes: tag, rights, number of user or
#: group (linux/posix_acl_xattr.h).
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_VERSION_BYTES = 4

#: The tags of the entries for owner, group and others, with the shift of their bits in a mode.
_ACL_GROUP = 0x04
_ACL_SHIFTS = {0x01: 6, _ACL_GROUP: 3, 0x20: 0}

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Rights:
    """Owner, group and mode bits. With an ACL, the group bits are those of its entry for the group,
    not the mask that stat(2) shows in their place.
    """

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Found:
    """The content and rights of a file.

    :ivar kept: the extended attributes for ACL and SELinux label, if it has them
    """

    data: bytes = field(repr=False)
    rights: Rights
    kept: tuple[tuple[str, bytes], ...] = ()


class NotAFile(OSError):
    """It is not an ordinary file, or larger than any that this plugin writes."""


# Files that root relies on


def read(path: str, most: int = MOST_BYTES) -> tuple[bytes, os.stat_result]:
    """Read a file that nobody but root, or the user that runs this, can have put there.

    The owner and mode of the file itself are not checked: the caller does, by the returned state.

    :param path: absolute
    :param most: bytes
    :raises DiskError: another user can write a folder on the way
    :raises NotAFile: it is no ordinary file, or is larger than that
    :raises OSError: it cannot be read
    """
    with opened(path) as place:
        data, state, _ = _read(place, most)
        return data, state


def check_program(path: str) -> None:
    """Check that nobody but root, or the user that runs this, can change a program.

    :param path: absolute
    :raises DiskError: another user can
    :raises OSError: it does not exist
    """
    with opened(path) as place:
        state = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        check_rights(place.path, state, "program")


def check_rights(path: str, state: os.stat_result, what: str = "file") -> None:
    """Check that nobody but root, or the user that runs this, could have written a file.

    :param state: of the file while it was held open, or while only root could write its folders
    :param what: what the file is, for the message
    :raises DiskError: another user could
    """
    if state.st_uid not in (0, os.geteuid()):
        raise DiskError(
            f"the {what} {foreign(path)} belongs to user number {state.st_uid}, who can change "
            "what certbot does with its rights",
            f"copy it where only root can write, and name that, or run: chown root: "
            f"{shlex.quote(foreign(path))}",
        )
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DiskError(
            f"others than its owner can write the {what} {foreign(path)}",
            f"run: chmod go-w {shlex.quote(foreign(path))}",
        )


def write(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace the file at `path` in one step; it is on disk when this returns.

    After a crash it is the old or the new file; of two concurrent writers one wins.

    :param path: in a folder that only root can write
    :raises OSError: it could not be written; the old file is unchanged
    """
    folder = os.open(os.path.dirname(path) or ".", _FOLDER)
    try:
        place = Place(folder, path)
        temporary = temporary_name(place.name)
        write_aside(place, temporary, data, Rights(os.geteuid(), os.getegid(), mode))
        put(place, temporary)
        sync(place)
    finally:
        os.close(folder)


# Files that are shared with a service


def read_shared(place: Place) -> Optional[Found]:
    """Return the content and rights of the file at a place; None if there is nothing.

    :raises NotAFile: it is no ordinary file, or is too large
    :raises OSError: it cannot be read
    """
    try:
        data, state, kept = _read(place, MOST_BYTES)
    except FileNotFoundError:
        return None
    mode = _mode(stat.S_IMODE(state.st_mode), dict(kept).get(_ACL, b""))
    return Found(data, Rights(state.st_uid, state.st_gid, mode), kept)


def _read(place: Place, most: int) -> tuple[bytes, os.stat_result, tuple[tuple[str, bytes], ...]]:
    """Return the content, the state and the kept attributes of the file at a place."""
    # Checked before it is opened, which may have effects on a device, and again then.
    _check_ordinary(os.stat(place.name, dir_fd=place.folder, follow_symlinks=False))
    # Without O_NONBLOCK, opening a FIFO would block.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(place.name, flags, dir_fd=place.folder), "rb") as file:
        state = os.fstat(file.fileno())
        _check_ordinary(state)
        data = file.read(most + 1)
        if len(data) > most:
            raise NotAFile(0, "too large")
        return data, state, _kept(file.fileno())


def _check_ordinary(state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise NotAFile(0, "is a directory")
    if not stat.S_ISREG(state.st_mode):
        raise NotAFile(0, "not an ordinary file")


def _kept(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    with contextlib.suppress(OSError):  # a file system without extended attributes
        # SELinux answers for a label that is not listed, and that can't be set.
        names = set(os.listxattr(descriptor))
        return tuple((name, os.getxattr(descriptor, name)) for name in _KEPT if name in names)
    return ()


def _mode(mode: int, acl: bytes) -> int:
    """Return the mode with the ACL's rights for the group, in place of the ACL's mask."""
    for tag, rights, _ in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION_BYTES:]):
        if tag == _ACL_GROUP:
            return mode & ~0o070 | int(rights) << 3
    return mode


def _with_mode(acl: bytes, mode: int) -> bytes:
    """Return the ACL with the mode's rights in the entries for owner, group and others."""
    entries = [
        (tag, mode >> _ACL_SHIFTS[tag] & 7 if tag in _ACL_SHIFTS else rights, number)
        for tag, rights, number in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION_BYTES:])
    ]
    return acl[:_ACL_VERSION_BYTES] + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


def temporary_name(name: str) -> str:
    """Return an unpredictable hidden name for the file `name` until it is complete.

    Services that read a folder by pattern (HAProxy's `crt FOLDER`) ignore hidden names.
    """
    start = os.fsdecode(os.fsencode(name)[:200])  # a file system takes 255 bytes
    return f".{start}.tcs-lyon1-{secrets.token_hex(8)}"


def write_aside(
    place: Place,
    temporary: str,
    data: bytes,
    rights: Rights,
    kept: tuple[tuple[str, bytes], ...] = (),
) -> bool:
    """Write a file beside a place under a temporary name; `put` renames it.

    At no time can more users read it than at the end: it is readable by its writer alone until it
    is complete, a default ACL of the folder is removed, and the owner is set before the mode.

    :param temporary: the temporary name
    :param kept: the extended attributes to set, as `read_shared` has returned them for the old file
    :returns: whether a default ACL was removed, and `kept` has no ACL
    :raises OSError: it could not be written; nothing is left of it
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600 & rights.mode, dir_fd=place.folder)
    try:
        with open(descriptor, "wb") as file:
            had_acl = _take_off_acl(descriptor)
            file.write(data)
            file.flush()
            os.fchown(descriptor, rights.uid, rights.gid)
            os.fchmod(descriptor, rights.mode)
            for name, value in kept:
                value = _with_mode(value, rights.mode) if name == _ACL else value
                os.setxattr(descriptor, name, value)
            os.fsync(descriptor)
    except BaseException:
        remove(place, temporary)
        raise
    return had_acl and _ACL not in dict(kept)


def put(place: Place, temporary: str) -> None:
    """Rename a file that `write_aside` has written to the place's name; `sync` makes that durable.

    :raises OSError: it could not be renamed; nothing is left of it
    """
    try:
        os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        remove(place, temporary)
        raise


def _take_off_acl(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        if _ACL in os.listxattr(descriptor):
            os.removexattr(descriptor, _ACL)
            return True
    return False


def remove(place: Place, temporary: str) -> None:
    """Remove a file that `write_aside` has written, if possible."""
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=place.folder)


def sync(place: Place) -> None:
    """Make renames and removals in the place's folder durable (fsync of the folder).

    :raises OSError: it failed
    """
    folder = os.open(".", _FOLDER, dir_fd=place.folder)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
