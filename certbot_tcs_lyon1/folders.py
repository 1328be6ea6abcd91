"""The way to a file of root's: each folder from `/` down, opened and checked while it is held.

A path is somebody's: who can write one of its folders can put a link, a pipe or another file at the
end of it, also between a check and the use. So `opened` walks it by `O_NOFOLLOW`, checks each
folder by its descriptor, and what is done then (`disk`) goes by the last one's.

With `owner`, a service's user may have folders on the way; what that user can spoil is then what
lies there, which is the user's own, and nothing else.
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

#: Links on one path after which it is given up, as Linux does.
_MOST_LINKS = 40


@dataclass(frozen=True)
class Place:
    """A name in a folder that is held open by its descriptor.

    `path` has no link in it; it is for messages. `is_roots`: nobody but root can write on the way.
    """

    folder: int
    path: str
    is_roots: bool

    @property
    def name(self) -> str:
        """The last component."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class _Step:
    fd: int
    path: str
    is_roots: bool


@contextlib.contextmanager
def opened(path: str, owner: Optional[int] = None) -> Iterator[Place]:
    """Hold open the folder of `path`; a link at the end is followed where only root can make one.

    :param path: absolute
    :param owner: the number of a user that may own folders on the way, beside root and who runs
        this
    :raises DiskError: somebody else can write on the way
    :raises OSError: a folder is not there, or cannot be entered
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
    """Where a link at the place leads to; None if there is none."""
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
    """Open each folder from `/` to this one, each checked after it is open.

    :returns: the folders on the way, to be closed; the last one is what was asked for
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
    """Whether the folder, and all above it, is root's or of who runs this.

    :raises DiskError: somebody else can write it, or could put another in its place
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
