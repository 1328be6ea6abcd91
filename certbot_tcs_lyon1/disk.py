"""Files of root's: opened by descriptor from `/`, read with a bound, written whole or not at all.

The way to a file is `folders`; what is here works on the last folder's descriptor.

- `read` is for what root relies on (the department config, keys, passwords): read once, refused
  where anybody else could have written it, as sshd's StrictModes does.
- `write` is for root's own records in certbot's folders.
- `look`, `write_aside`, `put` are for files that are shared with a service.
"""

from __future__ import annotations

import contextlib
import errno
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

#: Bytes of a file that root reads for what it says.
MOST_BYTES = 256 * 1024

#: What is kept of a file beside owner and mode, where it has it.
_KEPT = ("system.posix_acl_access", "security.selinux")
_ACL = _KEPT[0]

#: An entry of an ACL as Linux keeps it, behind a version of 4 bytes: tag, rights, number
#: (linux/posix_acl_xattr.h).
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_VERSION_BYTES = 4

#: Tags of the entries that are those of a mode, with the place of their bits in it.
_ACL_GROUP = 0x04
_ACL_SHIFTS = {0x01: 6, _ACL_GROUP: 3, 0x20: 0}

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class Rights:
    """Numbers of owner and group, and the bits of the mode: with an ACL, of its three entries for
    owner, group and others, not the mask that stat(2) shows in place of the group's."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Found:
    """What a file holds, and its rights; `kept` are its ACL and SELinux label as Linux has them."""

    data: bytes = field(repr=False)
    rights: Rights
    kept: tuple[tuple[str, bytes], ...] = ()


class NotAFile(OSError):
    """Something else than an ordinary file of the size of one that was written here."""


# What root relies on


def read(path: str, most: int = MOST_BYTES) -> tuple[bytes, os.stat_result]:
    """What a file holds that nobody but root, or who runs this, could have put there.

    Its own owner and mode are for the caller to judge, by what is returned.

    :param path: absolute
    :param most: bytes
    :raises DiskError: somebody else can write a folder on the way
    :raises OSError: it cannot be read, is no ordinary file, or is larger than that
    """
    with opened(path) as place:
        descriptor = _open_to_read(place)
        try:
            state = os.fstat(descriptor)
            if stat.S_ISDIR(state.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(state.st_mode):
                raise OSError(0, "not an ordinary file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(most + 1)
        finally:
            os.close(descriptor)
    if len(data) > most:
        raise OSError(0, "too large")
    return data, state


def check_program(path: str) -> None:
    """Check that nobody but root, or who runs this, can change a program that is to be run.

    :raises DiskError: somebody else can
    :raises OSError: it is not there
    """
    with opened(path) as place:
        state = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        check_rights(place.path, state, "program")


def check_rights(path: str, state: os.stat_result, what: str = "file") -> None:
    """Check that nobody but root, or who runs this, could have written a file.

    :param state: of the file while it was held open, or whose folders are root's alone
    :param what: what it is, for the message
    :raises DiskError: somebody else can
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


def write(path: str, data: bytes) -> None:
    """Replace root's own file at `path` (0600) in one step; when this returns it is on disk.

    After a crash it is the old file or the new one; of two who write it at once one wins.

    :raises OSError: it could not be written; the old file is untouched
    """
    folder = os.open(os.path.dirname(path) or ".", _FOLDER)
    try:
        place, temporary = (
            Place(folder, path, is_roots=True),
            temporary_name(os.path.basename(path)),
        )
        write_aside(place, temporary, data, Rights(os.geteuid(), os.getegid(), 0o600))
        put(place, temporary)
        sync(place)
    finally:
        os.close(folder)


# What is shared with a service


def _open_to_read(place: Place) -> int:
    # Without O_NONBLOCK, opening a FIFO would wait for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(place.name, flags, dir_fd=place.folder)


def look(place: Place, most: int = MOST_BYTES) -> Optional[Found]:
    """What is at a place; None if nothing is.

    :param most: bytes; a larger file is none that was written here
    :raises NotAFile: it is no ordinary file, or is too large
    :raises OSError: it cannot be read
    """
    try:
        state = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
        if not stat.S_ISREG(state.st_mode):  # before it is opened: a device may act on that
            raise NotAFile(0, "a folder, a link or a device is there, not an ordinary file")
        descriptor = _open_to_read(place)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            raise NotAFile(0, f"not a file of at most {most} bytes")
        data = file.read(most + 1)
        if len(data) > most:
            raise NotAFile(0, f"not a file of at most {most} bytes")
        kept = _kept(descriptor)
        mode = _mode(stat.S_IMODE(state.st_mode), dict(kept).get(_ACL, b""))
        return Found(data, Rights(state.st_uid, state.st_gid, mode), kept)


def _kept(descriptor: int) -> tuple[tuple[str, bytes], ...]:
    with contextlib.suppress(OSError):  # a file system without any
        names = set(os.listxattr(descriptor))
        return tuple((name, os.getxattr(descriptor, name)) for name in _KEPT if name in names)
    return ()


def _mode(mode: int, acl: bytes) -> int:
    """The mode, with the rights that an ACL gives to the group in place of the ACL's mask."""
    for tag, rights, _ in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION_BYTES:]):
        if tag == _ACL_GROUP:
            return mode & ~0o070 | int(rights) << 3
    return mode


def _with_mode(acl: bytes, mode: int) -> bytes:
    """The ACL with the entries for owner, group and others that the mode says."""
    entries = [
        (tag, mode >> _ACL_SHIFTS[tag] & 7 if tag in _ACL_SHIFTS else rights, number)
        for tag, rights, number in _ACL_ENTRY.iter_unpack(acl[_ACL_VERSION_BYTES:])
    ]
    return acl[:_ACL_VERSION_BYTES] + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)


def temporary_name(name: str) -> str:
    """A hidden name that nobody can foresee, for the file `name` until it is whole.

    What a service reads by pattern (HAProxy's `crt FOLDER`) leaves hidden names alone.
    """
    return f".{name[:200]}.tcs-lyon1-{secrets.token_hex(8)}"


def write_aside(
    place: Place,
    temporary: str,
    data: bytes,
    rights: Rights,
    kept: tuple[tuple[str, bytes], ...] = (),
) -> bool:
    """Write a file beside a place; `put` gives it the place's name then.

    At no instant can more read it than at the end: it is its writer's alone until it is whole, an
    ACL that the folder gives to new files is taken off, and it gets its owner before its mode.

    :param temporary: its name until then
    :param kept: ACL and label that it is to have, as `look` has found them on the old one
    :returns: whether the folder would have given it an ACL, and `kept` has none
    :raises OSError: it could not be done; then nothing is left of it
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
    """Give the file that was written aside its name, in one step; it lasts after `sync`.

    :raises OSError: it could not be done; then nothing is left of it
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
    """Remove a file that was written aside, if it is there and can be removed."""
    with contextlib.suppress(OSError):
        os.unlink(temporary, dir_fd=place.folder)


def sync(place: Place) -> None:
    """Make what was renamed or removed in the place's folder last: it is the folder that changed.

    :raises OSError: the disk says no
    """
    folder = os.open(".", _FOLDER, dir_fd=place.folder)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
