"""Opening the path of a file that root reads or writes: each folder from `/` down, by descriptor.

Whoever can write a folder of a path can put a link, a pipe or another file at its end, also between
a check and the use. So `opened` opens each folder with `O_NOFOLLOW`, checks it by its descriptor,
and yields the descriptor of the last one, which `disk` works with.

With `owner`, folders on the way may belong to a service's user. That user can then spoil the user's
own files there, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

from certbot_tcs_lyon1.errors import DiskError
from certbot_tcs_lyon1.report import foreign

_WALK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

#: Linux's own limit of links in one path.
_MOST_LINKS = 40


@dataclass(frozen=True)
class Place:
    """A name in a folder that is held open by its descriptor.

    :ivar folder: the descriptor
    :ivar path: of the name, without links; for messages
    :ivar is_roots: whether only root can write the folders on the way
    """

    folder: int
    path: str
    is_roots: bool

    @property
    def name(self) -> str:
        """The last component of the path."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class _Step:
    fd: int
    path: str
    is_roots: bool


@contextlib.contextmanager
def opened(path: str, owner: Optional[int] = None) -> Iterator[Place]:
    """Hold open the folder of `path`. A link at the end is followed if only root can have made it.

    :param path: absolute
    :param owner: the number of a user that may own folders on the way, beside root and the user
        that runs this
    :raises DiskError: another user can write on the way
    :raises OSError: a folder does not exist, or cannot be entered
    """
    with contextlib.ExitStack() as open_folders:
        for _ in range(_MOST_LINKS):
            folder, name = os.path.split(path)
            trail = _walk(folder, owner)
            open_folders.callback(_close, trail)
            here = trail[-1]
            place = Place(here.fd, os.path.join(here.path, name), here.is_roots)
            target = _link(place)
            if target is None:
                yield place
                return
            path = os.path.join(here.path, target)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _link(place: Place) -> Optional[str]:
    """Return the target of a link at the place; None if it is no link."""
    try:
        fd = os.open(place.name, _WALK, dir_fd=place.folder)
    except FileNotFoundError:
        return None
    try:
        state = os.fstat(fd)
        if not stat.S_ISLNK(state.st_mode):
            return None
        _check_link(place.path, state, place.is_roots)
        return os.readlink("", dir_fd=fd)
    finally:
        os.close(fd)


def _walk(folder: str, owner: Optional[int]) -> list[_Step]:
    """Open each folder from `/` to this one, and check it once it is open.

    :returns: the opened folders, to be closed by the caller; the last one is `folder`
    """
    trail = [_Step(os.open("/", _WALK | os.O_DIRECTORY), "/", True)]
    pending = folder.split("/")[::-1]
    links = 0
    try:
        _check_folder("/", os.fstat(trail[0].fd), owner, True)
        while pending:
            name = pending.pop()
            if name == ".." and len(trail) > 1:
                _close([trail.pop()])
            if name in ("", ".", ".."):
                continue
            here = trail[-1]
            path = os.path.join(here.path, name)
            fd = os.open(name, _WALK, dir_fd=here.fd)
            trail.append(_Step(fd, path, here.is_roots))
            state = os.fstat(fd)
            if stat.S_ISLNK(state.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                _check_link(path, state, here.is_roots)
                target = os.readlink("", dir_fd=fd)
                keep = 1 if target.startswith("/") else len(trail) - 1
                _close(trail[keep:])
                del trail[keep:]
                pending += target.split("/")[::-1]
            elif not stat.S_ISDIR(state.st_mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            else:
                own = _check_folder(path, state, owner, here.is_roots)
                trail[-1] = _Step(fd, path, own)
    except BaseException:
        _close(trail)
        raise
    return trail


def _close(trail: list[_Step]) -> None:
    for step in trail:
        os.close(step.fd)


def _check_folder(path: str, state: os.stat_result, owner: Optional[int], is_roots: bool) -> bool:
    """Return whether the folder, and all above it, belong to root or the user that runs this.

    :raises DiskError: another user can write it, or replace it
    """
    own = is_roots and state.st_uid in (0, os.geteuid())
    if not own and state.st_uid != owner:
        raise DiskError(
            f"the folder {foreign(path)} belongs to user number {state.st_uid}, or lies in one of "
            "another user's, who can put another file in place",
            "choose a folder of root's, or one of the file's owner"
            if owner is not None
            else f"choose a folder of root's, or run: chown root: {shlex.quote(foreign(path))}",
        )
    others = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others and not state.st_mode & stat.S_ISVTX:
        raise DiskError(
            f"others than its owner can write the folder {foreign(path)}",
            f"choose another, or run: chmod go-w {shlex.quote(foreign(path))}",
        )
    return own


def _check_link(path: str, state: os.stat_result, is_roots: bool) -> None:
    if not is_roots or state.st_uid not in (0, os.geteuid()):
        raise DiskError(
            f"{foreign(path)} is a symbolic link that another user than root has made or could "
            "exchange, so it is not followed",
            "remove the link, or name the file itself",
        )
