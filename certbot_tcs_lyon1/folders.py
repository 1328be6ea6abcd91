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
    """

    folder: int
    path: str

    @property
    def name(self) -> str:
        """The last component of the path."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class _Folder:
    fd: int
    path: str
    is_roots: bool


@contextlib.contextmanager
def opened(path: str, owner: Optional[int] = None) -> Iterator[Place]:
    """Hold open the folder of `path`. A link is followed if only root can have made it.

    :param path: absolute
    :param owner: the number of a user that may own folders on the way, beside root and the user
        that runs this
    :raises DiskError: another user can write on the way
    :raises OSError: a folder does not exist, or cannot be entered
    """
    with contextlib.ExitStack() as held:
        yield _walk(path, owner, held)


def _walk(path: str, owner: Optional[int], held: contextlib.ExitStack) -> Place:
    """Open each component of the path from `/` on, and check it once it is open.

    :param held: closes what was opened
    """

    def look(name: str, folder: Optional[int] = None) -> tuple[int, os.stat_result]:
        fd = os.open(name, _WALK, dir_fd=folder)
        held.callback(os.close, fd)
        return fd, os.fstat(fd)

    root, state = look("/")
    trail = [_Folder(root, "/", _check_folder("/", state, owner, True))]
    pending = path.split("/")[::-1]
    links = 0
    while pending:
        name = pending.pop()
        if name == ".." and len(trail) > 1:
            trail.pop()
        if name in ("", ".", ".."):
            continue
        here, is_last = trail[-1], not pending
        place = Place(here.fd, os.path.join(here.path, name))
        try:
            fd, state = look(name, here.fd)
        except FileNotFoundError:
            if is_last:
                return place
            raise
        if stat.S_ISLNK(state.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            _check_link(place.path, state, here.is_roots)
            target = os.readlink("", dir_fd=fd)
            del trail[1 if target.startswith("/") else len(trail) :]
            pending += target.split("/")[::-1]
        elif is_last:
            return place
        elif stat.S_ISDIR(state.st_mode):
            is_roots = _check_folder(place.path, state, owner, here.is_roots)
            trail.append(_Folder(fd, place.path, is_roots))
        else:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))


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
