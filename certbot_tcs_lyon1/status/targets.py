"""Whether the files and services of `[install NAME]` have the live version."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.department.keys import WRITTEN
from certbot_tcs_lyon1.department.settings import Target
from certbot_tcs_lyon1.errors import DiskError, InstallError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import certificate, served
from certbot_tcs_lyon1.status.facts import DeployedFile, Folders, Lineage, ServedTarget


def check_targets(
    found: Sequence[Lineage], targets: Sequence[Target], folders: Folders
) -> list[Lineage]:
    """Return the lineages with `deployed` and `served` filled in."""
    answers = served.fetch([service for target in targets for service in target.serves])
    made = []
    for lineage in found:
        mine = [
            target for target in targets if target.certificate == lineage.name and not lineage.fault
        ]
        if mine:
            there = tuple(
                ServedTarget(target.name, str(service), _difference(answers[service], lineage))
                for target in mine
                for service in target.serves
            )
            lineage = replace(
                lineage, deployed=tuple(_deployed(lineage, mine, folders)), served=there
            )
        made.append(lineage)
    return made


def _difference(answer: served.Served, live: Lineage) -> str:
    if answer.der is None:
        return f"cannot be asked: {answer.fault}"
    if answer.der == live.der:
        return ""
    try:
        other = certificate.parse_der(answer.der)
        what = f"serial {other.serial}, ends {time.strftime('%F', time.gmtime(other.not_after))}"
    except (ValueError, IndexError, KeyError, UnicodeError):
        what = "one that cannot be read"
    return f"gives another certificate than the live version ({foreign(what)})"


def _deployed(live: Lineage, targets: Iterable[Target], folders: Folders) -> Iterator[DeployedFile]:
    try:
        version = lineages.read(os.path.join(folders.config_dir, "live", live.name))
    except InstallError as error:
        yield DeployedFile("", folders.config_dir, str(error))
        return
    for target in targets:
        for kind in WRITTEN:
            path = getattr(target, kind)
            if path is not None:
                yield DeployedFile(target.name, path, _fault(kind, path, target, version, folders))


def _fault(
    kind: str, path: str, target: Target, version: lineages.Lineage, folders: Folders
) -> str:
    """Return how a file differs from what `certbot renew` would deploy; "" if it does not."""
    from certbot_tcs_lyon1.install import files, formats, written

    try:
        rights = files.rights(target, kind)
        with files.opened(path, rights.uid, ()) as place:
            found = files.read(place)
        if found is None:
            return "is not there"
        if kind == "pkcs12":  # not opened, see `written`
            source = written.source_digest(version, files.password(target))
            live = written.is_unchanged(folders.work_dir, place.path, found.data, source)
        else:
            live = found.data == formats.pem(kind, version)
    except (InstallError, DiskError) as error:
        return f"cannot be looked at: {'; '.join(filter(None, (error.cause, error.remedy)))}"
    except OSError as error:
        return f"cannot be looked at: {error.filename}: {error.strerror}"
    if not live:
        return "is not the live version"
    return "" if found.rights == rights else f"has {_said(found.rights)}, and not {_said(rights)}"


def _said(rights: disk.Rights) -> str:
    return f"owner {rights.uid}, group {rights.gid}, mode {rights.mode:04o}"
