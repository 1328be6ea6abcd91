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
from collections.abc import Callable

from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.inifile import Section
from certbot_tcs_lyon1.errors import ConfigError


def check(section: Section, key: str, path: str, state: os.stat_result) -> None:
    """Note a fault or a warning about owner and mode of a file.

    What the file says is done with the rights of the user that runs certbot.

    :param section: whose key names the file; the whole department config for that itself
    :param path: of the file
    """
    note: Callable[[str, ConfigError, str], None] = section.note
    if state.st_uid not in (0, os.geteuid()):
        cause = f"it belongs to user number {state.st_uid}, who can change it"
    elif state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        cause = "others than its owner can write it"
    elif _is_read_by_others(state):
        cause = "others than its owner can read it"
        note = section.warn
    else:
        return
    named = "" if path == section.source.path else path
    note(key, Fault(cause, _remedy(section, path, state)), named)


def copy_command(section: Section, path: str) -> str:
    """Return the command that copies a file for this plugin alone, and what to do then.

    :param section: that names the file
    :param path: of the file
    """
    folder, name = os.path.split(section.source.path)
    part = re.sub(r"[^A-Za-z0-9.-]+", "-", section.name)
    stem = os.path.join(folder, "-".join(filter(None, (os.path.splitext(name)[0], part))))
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


def _remedy(section: Section, path: str, state: os.stat_result) -> str:
    where, user = shlex.quote(path), os.geteuid()
    if section.header and os.path.dirname(path) != os.path.dirname(section.source.path):
        return copy_command(section, path)
    if state.st_uid not in (0, user):
        return f"run: chown {user or 'root:'} {where}"
    if user in (0, state.st_uid):
        return f"run: chmod 600 {where}"
    # Without the group, the user that runs certbot could no longer read it.
    return f"run: chgrp {os.getegid()} {where} && chmod 640 {where}"
