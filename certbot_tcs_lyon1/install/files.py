"""Files with owner and mode: what is there, may it be replaced, and writing it whole or not at all.

A new file is written under a hidden name beside the one it replaces, and what it replaces is kept
under another one: a rename needs one file system, and what a service reads by pattern (HAProxy's
`crt FOLDER`) leaves hidden names alone.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.errors import InstallError

_CORRECT = "correct the rights or the path, or run certbot as root"


@dataclass(frozen=True)
class Rights:
    """Numbers of owner and group, and the bits of the mode."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Found:
    """What a file holds, and its rights."""

    data: bytes = field(repr=False)
    rights: Rights


def new_name(path: str) -> str:
    """Where the new file is written before it gets its name."""
    return _beside(path, "new")


def old_name(path: str) -> str:
    """Where the old file is kept while the new one is tried."""
    return _beside(path, "old")


def _beside(path: str, suffix: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.tcs-lyon1-{suffix}")


def uid(owner: Optional[str]) -> int:
    """The number of a user given by name or number; None is who runs this: root, as a rule.

    :raises InstallError: there is no such user
    """
    if owner is None:
        return os.geteuid()
    if owner.isdigit():
        return int(owner)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise InstallError(
            f"there is no user {owner} on this machine; correct owner, or create the user."
        ) from None


def gid(group: Optional[str]) -> int:
    """The number of a group given by name or number; None is root's, or who runs this'.

    :raises InstallError: there is no such group
    """
    if group is None:
        return 0 if os.geteuid() == 0 else os.getegid()
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InstallError(
            f"there is no group {group} on this machine; correct group, or create the group."
        ) from None


def check_place(path: str, owner: int, keep_out: Iterable[str]) -> None:
    """Check that a file may be written at `path`, which has no symbolic link in it.

    Who can write the folder could put another file in the key's place, or a link.

    :param owner: the number of the user that the file is to belong to
    :param keep_out: folders in or below which nothing may be written
    :raises InstallError: it may not
    """
    for forbidden in map(os.path.realpath, keep_out):
        if os.path.commonpath([path, forbidden]) == forbidden:
            raise InstallError(
                f"{path}: it lies in {forbidden}, where certbot keeps its own files; "
                "choose a folder of the service's."
            )
    folder = os.path.dirname(path)
    try:
        state = os.stat(folder)
    except OSError as error:
        raise InstallError(
            f"{path}: its folder cannot be used: {error.strerror}; create {folder}, or correct the "
            "path."
        ) from None
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InstallError(
            f"{path}: others than its owner can write the folder {folder}; choose another, or run: "
            f"chmod go-w {shlex.quote(folder)}"
        )
    if state.st_uid not in (0, os.geteuid(), owner):
        raise InstallError(
            f"{path}: the folder {folder} belongs to user number {state.st_uid}, who is neither "
            "root nor the owner of the file; choose another folder, or correct owner."
        )


def look(path: str) -> Optional[Found]:
    """What is at `path`; None if nothing is.

    :raises InstallError: it is no ordinary file, or cannot be read
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InstallError(f"{path}: cannot be read: {error.strerror}; {_CORRECT}.") from None
    with open(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise InstallError(
                f"{path}: a folder or a device is there, not an ordinary file; correct the path."
            )
        rights = Rights(state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode))
        return Found(file.read(), rights)


def write(path: str, data: bytes, rights: Rights) -> None:
    """Write a new file; when this returns it is on disk. At no instant can more read it than at
    the end: it is its writer's alone until it is whole, and gets its owner before its mode.

    :raises InstallError: it could not be written; then it isn't there
    """
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600 & rights.mode)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchown(descriptor, rights.uid, rights.gid)
                os.fchmod(descriptor, rights.mode)
                os.fsync(descriptor)
        except BaseException:
            remove(path)
            raise
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: str, error: OSError) -> InstallError:
    """The error that says so."""
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else _CORRECT
    return InstallError(f"{path}: cannot be written: {error.strerror}; {remedy}.")


def rename(source: str, path: str) -> None:
    """Give a file another name, in one step, in place of what has it.

    :raises InstallError: it could not be done
    """
    try:
        os.rename(source, path)
    except OSError as error:
        raise cannot_write(path, error) from None


def remove(path: str) -> None:
    """Remove a file, if it is there.

    :raises InstallError: it could not be removed
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as error:
        raise InstallError(f"{path}: cannot be removed: {error.strerror}; remove it.") from None


def keep_aside(path: str) -> None:
    """Give the file at `path` its old name as well: the same file, so with the same rights.

    :raises InstallError: it could not be done
    """
    try:
        os.link(path, old_name(path), follow_symlinks=False)
    except OSError:
        _copy_aside(path)  # a file system without hard links


def _copy_aside(path: str) -> None:
    """Copy the file; its old name never stands for part of it."""
    found = look(path)
    if found is not None:
        write(new_name(path), found.data, found.rights)
        rename(new_name(path), old_name(path))


def sync_folders(paths: Iterable[str]) -> None:
    """Make what was renamed, linked or removed at `paths` last: it is the folders that changed.

    :raises InstallError: the disk says no
    """
    for folder in sorted({os.path.dirname(path) for path in paths}):
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise cannot_write(folder, error) from None
