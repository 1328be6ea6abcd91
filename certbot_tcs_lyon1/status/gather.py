"""Gathering the facts from certbot's folders, the department config, the services and the timer."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import replace
from typing import Optional

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.ca import departments
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.errors import ConfigError, OrderError
from certbot_tcs_lyon1.status import certbots_log, config_dir, revocation, targets, timer
from certbot_tcs_lyon1.status.facts import DnsFact, Facts, Folders, Lineage

#: The keys of `[dns]` that name a key file.
_KEY_FILES = ("key_file", "keytab")

#: Bytes and files for which a file system must have room, so that certbot can renew.
_ROOM_BYTES, _ROOM_FILES = 1 << 20, 32


def gather_facts(folders: Folders) -> Facts:
    """Return the facts; the services of `serves` are connected to."""
    names, unreadable = config_dir.lineage_names(folders.config_dir)
    found = [config_dir.read_lineage(name, folders) for name in names]
    unreadable += [one.unreadable for one in found if one.unreadable]
    needed = any(lyon1.PLUGIN in (one.authenticator, one.installer) for one in found)
    settings, faults = _settings(folders.department_config, needed, unreadable)
    runs = certbots_log.Runs(None, {})
    try:
        runs = certbots_log.read(folders.logs_dir)
    except OSError:
        unreadable.append(folders.logs_dir)
    found = [
        replace(one, failure=_failure(one, runs), misfit=_misfit(one, settings)) for one in found
    ]
    found = targets.check_targets(found, settings.targets, folders)
    return Facts(
        now=int(time.time()),
        folders=folders,
        lineages=tuple(revocation.check_revocation(found, folders)),
        departments=tuple(config_dir.departments(settings.departments, folders)),
        dns=tuple(
            DnsFact(f"[{one.section}]", tuple(map(str, one.servers)), one.key.name)
            for one in settings.dns
        ),
        timer=timer.find(),
        last_renew=runs.last_renew,
        config_fault="\n".join(map(str, faults)),
        keys_missing=bool(faults)
        and all(one.errno == errno.ENOENT and one.key in _KEY_FILES for one in faults),
        unreadable=tuple(dict.fromkeys(unreadable)),
        full=tuple(full_folders(folders)),
        without_lineage=tuple(
            f"[install {one.name}] {one.certificate}"
            for one in settings.targets
            if one.certificate not in names
        ),
    )


def _settings(
    path: str, is_needed: bool, unreadable: list[str]
) -> tuple[Settings, list[ConfigError]]:
    """Return the department config, or an empty one and why it can't be used.

    :param is_needed: whether it is a fault if there is none
    :param unreadable: is extended by the files that this user can't read, which are no faults
    """
    faults: list[ConfigError] = []
    try:
        os.stat(path)  # who can write the folders on the way does not matter if it is not there
        return reader.read(path), faults
    except FileNotFoundError:
        if is_needed:
            cause = "it is not there, and lineages need it"
            faults.append(ConfigError(cause, "put it back", where=path))
    except PermissionError:
        unreadable.append(path)
    except OSError as error:
        faults.append(ConfigError(str(error.strerror), where=path))
    except ConfigError as error:
        for part in error.parts or (error,):
            if part.errno == errno.EACCES:
                unreadable.append(part.path)
            else:
                faults.append(part)
    return Settings(path, (), (), (), ()), faults


def _failure(found: Lineage, runs: certbots_log.Runs) -> Optional[certbots_log.Failure]:
    """Return the last failure of a lineage, unless its live version is newer."""
    failure = runs.failures.get(found.name)
    return failure if failure and failure.when >= found.written else None


def _misfit(found: Lineage, settings: Settings) -> str:
    """Return why the lineage will not be renewed; "" if it will."""
    if not found.autorenew:
        return "its renewal conf says autorenew = False; take that line out"
    if settings.departments and found.department:
        try:
            departments.choose(settings, found.department, found.names)
        except OrderError as error:
            return str(error)
    return ""


def full_folders(folders: Folders) -> list[str]:
    """Return certbot's folders to which nothing can be written: the disk is full, or read-only."""
    found = []
    for folder in folders.of_certbot:
        with contextlib.suppress(OSError):
            state = os.statvfs(folder)
            room = state.f_bfree * state.f_frsize >= _ROOM_BYTES
            files = not state.f_files or state.f_ffree >= _ROOM_FILES
            if not (room and files) or state.f_flag & os.ST_RDONLY:
                found.append(folder)
    return found
