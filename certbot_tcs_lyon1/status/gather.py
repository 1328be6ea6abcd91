"""Gathering the facts from certbot's folders, the department config, the services and the timer."""

from __future__ import annotations

import contextlib
import os
import re
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

#: A fault of the department config that is a missing key file of `[dns]`.
_KEY_MISSING = re.compile(r"\[dns[^]]*\] (key_file|keytab): .*no such file")

#: Bytes and files for which a file system must have room, so that certbot can renew.
_ROOM_BYTES, _ROOM_FILES = 1 << 20, 32


def gather_facts(folders: Folders) -> Facts:
    """Return the facts; the services of `serves` are connected to."""
    unreadable: list[str] = []
    found = [
        config_dir.read_lineage(name, folders, unreadable)
        for name in config_dir.lineage_names(folders.config_dir, unreadable)
    ]
    settings, fault = _settings(folders.config, unreadable)
    needed = any(lyon1.PLUGIN in (one.authenticator, one.installer) for one in found)
    if settings is None and not fault and folders.config not in unreadable and needed:
        fault = f"{folders.config}: it is not there, and lineages need it; put it back"
    runs = certbots_log.Runs(None, {})
    try:
        runs = certbots_log.read(folders.logs_dir)
    except OSError:
        unreadable.append(folders.logs_dir)
    found = [
        replace(one, failure=_failure(one, runs), misfit=_misfit(one, settings)) for one in found
    ]
    found = targets.check_targets(found, settings.targets if settings else (), folders)
    known = {one.name for one in found}
    lines = fault.splitlines()
    return Facts(
        now=int(time.time()),
        folders=folders,
        lineages=tuple(revocation.check_revocation(found, folders)),
        departments=tuple(config_dir.departments(settings, folders)) if settings else (),
        dns=tuple(
            DnsFact(f"[{one.section}]", tuple(map(str, one.servers)), one.key.name)
            for one in (settings.dns if settings else ())
        ),
        timer=timer.find(),
        last_renew=runs.last_renew,
        config_fault=fault,
        keys_missing=bool(lines) and all(map(_KEY_MISSING.search, lines)),
        unreadable=tuple(dict.fromkeys(unreadable)),
        full=tuple(full_folders(folders)),
        without_lineage=tuple(
            f"[install {one.name}] {one.certificate}"
            for one in (settings.targets if settings else ())
            if one.certificate not in known
        ),
    )


def _settings(path: str, unreadable: list[str]) -> tuple[Optional[Settings], str]:
    """Return the department config, or why it can't be used; neither if there is none."""
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        return None, ""
    except PermissionError:
        unreadable.append(path)
        return None, ""
    except OSError as error:
        return None, f"{path}: {error.strerror}"
    try:
        return reader.read(path), ""
    except ConfigError as error:
        return None, str(error)


def _failure(found: Lineage, runs: certbots_log.Runs) -> Optional[certbots_log.Failure]:
    """Return the last failure of a lineage, unless its live version is newer."""
    failure = runs.failures.get(found.name)
    return failure if failure and failure.when >= found.written else None


def _misfit(found: Lineage, settings: Optional[Settings]) -> str:
    """Return why the lineage will not be renewed, by the department config; "" if it will."""
    if settings is None or found.fault or found.misfit or not found.department:
        return found.misfit
    try:
        departments.choose(settings, found.department, found.names)
    except OrderError as error:
        return str(error)
    return ""


def full_folders(folders: Folders) -> list[str]:
    """Return certbot's folders to which nothing can be written: the disk is full, or read-only."""
    found = []
    for folder in (folders.config_dir, folders.work_dir, folders.logs_dir):
        with contextlib.suppress(OSError):
            state = os.statvfs(folder)
            room = state.f_bfree * state.f_frsize >= _ROOM_BYTES
            files = not state.f_files or state.f_ffree >= _ROOM_FILES
            if not (room and files) or state.f_flag & os.ST_RDONLY:
                found.append(folder)
    return found
