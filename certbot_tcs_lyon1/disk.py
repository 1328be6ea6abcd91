"""Small files of root alone that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os


def write(path: str, text: str) -> None:
    """Replace the file at `path` in one step; when this returns it is on disk.

    After a crash it is the old file or the new one. Nobody but its owner can read it (0600), at no
    instant. The last of two who write it at once wins.

    :raises OSError: it could not be written; the old file is untouched
    """
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)  # left by a run that was killed
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path)


def _sync_folder(path: str) -> None:
    """Make the renaming last: it is the folder that changed."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
