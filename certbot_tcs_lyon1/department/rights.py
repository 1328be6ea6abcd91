"""Owner and mode of a file that root relies on, and the command that corrects them.

A file in the folder of the department config belongs to the plugin, so its rights are corrected.
One elsewhere may also belong to another service (the key that `named.conf` includes): the command
copies it, and leaves it unchanged.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import Optional

from certbot_tcs_lyon1.department.faults import Fault


def check(
    path: str, state: os.stat_result, config: str, header: str
) -> tuple[Optional[Fault], Optional[Fault]]:
    """Return what is wrong with a file's rights: a fault, or else a warning.

    :param path: of the file
    :param config: the path of the department config
    :param header: of the section that names the file; "" for the department config itself
    """
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if state.st_uid not in (0, os.geteuid()):
        cause = f"it belongs to user number {state.st_uid}, who can change it"
        return Fault(cause, _remedy(path, state, config, header, True)), None
    remedy = _remedy(path, state, config, header)
    if others_write:
        return Fault("others than its owner can write it", remedy), None
    if _is_read_by_others(state):
        return None, Fault("others than its owner can read it", remedy)
    return None, None


def copy_command(path: str, config: str, header: str) -> str:
    """Return the command that copies a file for this plugin alone, and what to do then.

    :param path: of the file
    :param config: the path of the department config
    :param header: of the section that names the file
    """
    folder, name = os.path.split(config)
    section = re.sub(r"[^A-Za-z0-9.-]+", "-", header.partition(" ")[2])
    stem = os.path.join(folder, "-".join(filter(None, (os.path.splitext(name)[0], section))))
    extension = os.path.splitext(path)[1] or ".key"
    target = f"{stem}{extension}"
    number = 1
    while os.path.lexists(target):
        number += 1
        target = f"{stem}-{number}{extension}"
    owner = "" if os.geteuid() == 0 else f" -o {os.geteuid()}"
    return (
        f"copy it: install -m 600{owner} {shlex.quote(path)} {shlex.quote(target)}, and name that"
    )


def _is_read_by_others(state: os.stat_result) -> bool:
    """Return whether others than the user that runs certbot can read it.

    A certbot that is not root may read a file by its group.
    """
    groups = (os.getegid(), *os.getgroups())
    by_group = os.geteuid() != state.st_uid and state.st_gid in groups
    return bool(state.st_mode & (stat.S_IROTH if by_group else stat.S_IROTH | stat.S_IRGRP))


def _remedy(
    path: str, state: os.stat_result, config: str, header: str, is_anothers: bool = False
) -> str:
    where = shlex.quote(path)
    if header and os.path.dirname(path) != os.path.dirname(config):
        return copy_command(path, config, header)
    if os.geteuid() == 0:
        return f"run: chown root: {where}" if is_anothers else f"run: chmod 600 {where}"
    if is_anothers:
        return f"run: chown {os.geteuid()} {where}"
    if state.st_uid == os.geteuid():
        return f"run: chmod 600 {where}"
    # Without the group, the user that runs certbot could no longer read it.
    return f"run: chgrp {os.getegid()} {where} && chmod 640 {where}"
