"""Who owns, writes and reads a file that root relies on, and the command that mends it harmlessly.

A file beside the department config is the plugin's own. One elsewhere may be another service's as
well (the key that `named.conf` includes): it is left as it is, and copied.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from typing import Optional

from certbot_tcs_lyon1.department.faults import Fault


def judge(
    path: str, state: os.stat_result, config: str, header: str
) -> tuple[Optional[Fault], Optional[Fault]]:
    """What is wrong with a file's rights: why it is refused, or else why a warning is due.

    :param config: the path of the department config
    :param header: the section that names the file; "" for the department config itself
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


def copy(path: str, config: str, header: str) -> str:
    """The command that makes a copy of a file for this plugin alone, and what to do then."""
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
    """Whether somebody reads it who needn't: a certbot that is not root may read by its group."""
    groups = (os.getegid(), *os.getgroups())
    by_group = os.geteuid() != state.st_uid and state.st_gid in groups
    return bool(state.st_mode & (stat.S_IROTH if by_group else stat.S_IROTH | stat.S_IRGRP))


def _remedy(
    path: str, state: os.stat_result, config: str, header: str, is_anothers: bool = False
) -> str:
    where = shlex.quote(path)
    if header and os.path.dirname(path) != os.path.dirname(config):
        return copy(path, config, header)
    if os.geteuid() == 0:
        return f"run: chown root: {where}" if is_anothers else f"run: chmod 600 {where}"
    if is_anothers:
        return f"run: chown {os.geteuid()} {where}"
    if state.st_uid == os.geteuid():
        return f"run: chmod 600 {where}"
    # Without its group, whoever runs certbot here could read it no longer.
    return f"run: chgrp {os.getegid()} {where} && chmod 640 {where}"
