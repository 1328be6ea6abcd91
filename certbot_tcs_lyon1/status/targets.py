"""Whether the files and services of `[install NAME]` have the live version."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.department.settings import Target
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import certificate, served
from certbot_tcs_lyon1.status.facts import DeployedFile, Folders, Lineage, ServedTarget


def check_targets(
    found: Sequence[Lineage], targets: Sequence[Target], folders: Folders
) -> list[Lineage]:
    """Return the lineages with `deployed` and `served` filled in."""
    answers = served.fetch([service for target in targets for service in target.serves])
    checked = []
    for lineage in found:
        mine = [one for one in targets if one.certificate == lineage.name and not lineage.fault]
        if mine:
            deployed = tuple(_deployed(lineage, mine, folders))
            services = tuple(
                ServedTarget(target.name, str(service), _difference(answers[service], lineage))
                for target in mine
                for service in target.serves
            )
            lineage = replace(lineage, deployed=deployed, served=services)
        checked.append(lineage)
    return checked


def _difference(answer: served.Served, live: Lineage) -> str:
    if answer.der is None:
        return f"cannot be asked: {answer.fault}"
    if answer.der == live.der:
        return ""
    try:
        other = certificate.parse_der(answer.der)
        what = f"serial {other.serial}, ends {time.strftime('%F', time.gmtime(other.not_after))}"
    except ValueError:
        what = "one that cannot be read"
    return f"gives another certificate than the live version ({foreign(what)})"


def _deployed(live: Lineage, targets: Sequence[Target], folders: Folders) -> Iterator[DeployedFile]:
    try:
        version = lineages.read(os.path.join(folders.config_dir, "live", live.name))
    except InstallError as error:  # the renewal conf names files elsewhere
        version, unreadable = None, _describe_error(error)
    for target in targets:
        for kind, path in target.paths.items():
            fault = unreadable if version is None else _fault(version, target, kind, path, folders)
            yield DeployedFile(target.name, path, fault)


def _fault(
    version: lineages.Lineage, target: Target, kind: str, path: str, folders: Folders
) -> str:
    """Return how a file differs from what `certbot renew` would deploy; "" if it does not."""
    from certbot_tcs_lyon1.install import files, written

    try:
        rights = files.rights(target, kind)
        with files.opened(path, rights.uid) as place:
            found = files.read(place)
        if found is None:
            return "is not there"
        source = None
        if kind == "pkcs12":
            source = written.source_digest(version, files.password(target))
        is_live = written.is_live(folders.work_dir, place.path, found.data, kind, version, source)
    except InstallError as error:
        return _describe_error(error)
    if not is_live:
        return "is not the live version"
    if found.rights != rights:
        return f"has {_describe(found.rights)}, and not {_describe(rights)}"
    return ""


def _describe_error(error: InstallError) -> str:
    return f"cannot be looked at: {'; '.join(filter(None, (error.cause, error.remedy)))}"


def _describe(rights: disk.Rights) -> str:
    return f"owner {rights.uid}, group {rights.gid}, mode {rights.mode:04o}"
