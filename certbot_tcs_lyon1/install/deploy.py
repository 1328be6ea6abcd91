"""Deploying a lineage: writing the files of `[install NAME]`, and having the service reload them.

`converge` does it for each target, whoever calls, and whatever an earlier run has left. If it fails
for one target, the others are deployed all the same.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.disk import Rights
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.folders import Place
from certbot_tcs_lyon1.install import commands, files, formats, undo, written
from certbot_tcs_lyon1.lineage import Lineage
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department.settings import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """What a deployment needs to know of this machine.

    :ivar work_dir: certbot's work folder, which holds the records
    :ivar environment: of the services' commands
    :ivar forbidden: folders in which no file may be written
    :ivar report: shows the user a line
    """

    work_dir: str
    environment: Mapping[str, str]
    forbidden: tuple[str, ...]
    report: Callable[[str], object]

    @property
    def records(self) -> str:
        """The folder of the records that undo an interrupted deployment."""
        return os.path.join(self.work_dir, undo.FOLDER_NAME)


@dataclass(frozen=True)
class _File:
    """A file to be replaced, in a folder that is held open.

    :ivar source: the digest of what a PKCS#12 is made of, see `written.source_digest`; else None
    """

    place: Place
    data: bytes = field(repr=False)
    rights: Rights
    replaced: undo.Replaced
    source: Optional[str]


def deploy_live(targets: Sequence[Target], folder: str, machine: Machine) -> None:
    """Deploy the live version of a lineage to its targets.

    :param targets: all targets of the department config
    :param folder: the lineage's folder `live/NAME`
    :raises InstallError: its parts are the targets that failed; the others are deployed
    """
    name = os.path.basename(folder)
    if any(target.certificate == name for target in targets):
        _converge_all(targets, lineages.read(folder), machine)
    else:
        undo.recover(machine.records, [target.name for target in targets], machine.report)


def deploy_previous(targets: Sequence[Target], live: str, steps: int, machine: Machine) -> None:
    """Deploy the version `steps` before the live one, from certbot's archive, of each lineage.

    :param targets: all targets of the department config
    :param live: certbot's folder `live`
    :raises InstallError: its parts are the targets that failed; the others are deployed
    """
    faults = []
    for name in dict.fromkeys(target.certificate for target in targets):
        folder = os.path.join(live, name)
        try:
            lineage = lineages.read_previous(folder, steps)
            if lineage is None:
                machine.report(f"{name}: certbot's archive has no version {steps} before this one.")
                continue
            _converge_all(targets, lineage, machine)
            machine.report(
                f"{name}: rolled back from version {lineages.version(folder)} to version "
                f"{lineage.version}. The next `certbot renew` deploys the newer version again."
            )
        except InstallError as error:
            faults.append(error)
    if faults:
        raise InstallError(parts=faults)


def _converge_all(targets: Sequence[Target], lineage: Lineage, machine: Machine) -> None:
    """Converge each target of the lineage, whether or not others fail."""
    cut_short = undo.recover(machine.records, [target.name for target in targets], machine.report)
    faults = []
    for target in targets:
        if target.certificate != lineage.name:
            continue
        if target.name in cut_short:
            faults.append(cut_short[target.name])
            continue
        try:
            converge(target, targets, lineage, machine)
            continue
        except InstallError as error:
            why = error
        except Exception as error:  # a service's user may put anything into its folder
            logger.debug("Deploying to [install %s] failed", target.name, exc_info=True)
            why = InstallError(foreign(str(error) or type(error).__name__))
        faults.append(
            InstallError(
                remedy=f"The certificate {lineage.name} is kept; once that is mended, deploy it "
                "with: certbot renew",
                where=f"[install {target.name}]",
                parts=(why,),
            )
        )
    if faults:
        raise InstallError(parts=faults)


def converge(target: Target, targets: Sequence[Target], lineage: Lineage, machine: Machine) -> None:
    """Write the files of a target, and have its service test and reload them.

    Nothing is written or run if all files are right (content, owner, mode). If the test or the
    reload fails, the old files are restored.

    :raises InstallError: it failed; the old files are restored, unless the text says otherwise
    """
    with contextlib.ExitStack() as held:
        places = _open_all(target, machine, held)
        wrong = _find_differing(target, lineage, places, machine)
        if not wrong:
            return
        _check_written_once(target, targets, places)
        lineages.check_pair(lineage)
        # Recorded first: if the disk is full, this fails before any file is replaced.
        for file in wrong:
            if file.source is not None:
                written.record(machine.work_dir, file.place.path, file.data, file.source)
        lines = _replace(target, wrong, machine)
    names = ", ".join(file.place.path for file in wrong)
    done = f"[install {target.name}] version {lineage.version} of {lineage.name} is in {names}"
    for line in (done + ("; reloaded." if target.reload else "."), *lines):
        machine.report(line)


def _open_all(target: Target, machine: Machine, held: contextlib.ExitStack) -> dict[str, Place]:
    """Hold open the places of the files that a target wants; return them by their kind."""
    uid = files.uid(target.owner)
    places = {}
    for kind, named in target.paths.items():
        place = held.enter_context(files.opened(named, uid, machine.forbidden))
        if place.path != os.path.normpath(named):
            logger.info("[install %s] %s leads to %s", target.name, named, place.path)
        places[kind] = place
    return places


def _check_written_once(
    target: Target, targets: Sequence[Target], places: Mapping[str, Place]
) -> None:
    """Check that no two paths lead to one file by symbolic links, which the reader can't see.

    :raises InstallError: two do
    """
    own = [place.path for place in places.values()]
    others = {
        files.resolve(path, other.owner): other.name
        for other in targets
        if other is not target
        for path in other.paths.values()
    }
    for path in own:
        if path in others or own.count(path) > 1:
            raise InstallError(
                f"symbolic links lead here from [install {others.get(path, target.name)}] as well",
                "let one of them write it",
                where=path,
            )


def _find_differing(
    target: Target, lineage: Lineage, places: Mapping[str, Place], machine: Machine
) -> list[_File]:
    """Return the files that differ from the lineage's, with their new content and rights."""
    password = files.password(target)
    wrong = []
    for kind, place in places.items():
        rights = files.rights(target, kind)
        source = written.source_digest(lineage, password) if kind == "pkcs12" else None
        found = files.read(place)
        if (
            found is not None
            and found.rights == rights
            and written.is_live(machine.work_dir, place.path, found.data, kind, lineage, source)
        ):
            continue
        data = formats.render(kind, lineage, password)
        temporary = disk.temporary_name(place.name)
        old = undo.Replaced(place.path, rights.uid, undo.digest(data), temporary, found)
        wrong.append(_File(place, data, rights, old, source))
    return wrong


def _replace(target: Target, wrong: Sequence[_File], machine: Machine) -> list[str]:
    """Replace the files, run test and reload, and restore the old files unless both succeed.

    :returns: further lines for the user
    :raises InstallError: it failed, and the old files are restored
    """
    variables = {
        "target": target.name,
        "certificate": target.certificate,
        "pkcs12_password_file": target.pkcs12_password_file,
        **target.paths,
    }
    environment = commands.environment(machine.environment, variables)
    attempts = {
        key: functools.partial(
            commands.run,
            words,
            environment,
            program=commands.find_program(key, words, environment),
        )
        for key, words in (("test", target.test), ("reload", target.reload))
        if words is not None
    }
    held = [file.place for file in wrong]
    undo.begin(machine.records, target.name, [file.replaced for file in wrong])
    try:
        lines = _put_all(wrong)
        failed = next(((key, how) for key, run in attempts.items() if (how := run())), None)
    except BaseException:  # including KeyboardInterrupt
        undo.restore(machine.records, target.name, held)
        raise
    if failed is not None:
        key, how = failed
        undo.restore(machine.records, target.name, held)
        again = attempts[key]()
        outcome = (
            f"With them the {key} succeeds."
            if again is None
            else f"With them the {key} fails as well, so this certificate is not the cause: {again}"
        )
        raise InstallError(f"{key} = {how}\nAll files are again as they were. {outcome}")
    undo.commit(machine.records, target.name)
    return lines


def _put_all(wrong: Sequence[_File]) -> list[str]:
    """Replace the files; return a line for each whose folder's default ACL is not applied to it.

    All are written before the first one is renamed: between two renames, files of two versions are
    mixed.
    """
    lines = []
    for file in wrong:
        old = file.replaced.old
        trusted = (0, os.geteuid(), file.rights.uid)
        kept = old.kept if old is not None and old.rights.uid in trusted else ()
        temporary = file.replaced.temporary
        with files.writing(file.place.path):
            if disk.write_aside(file.place, temporary, file.data, file.rights, kept):
                lines.append(
                    f"{foreign(file.place.path)}: the default ACL of its folder is not applied to "
                    "it; write owner, group and mode, or give the file an ACL of its own "
                    "(setfacl), which is kept."
                )
    for file in wrong:
        with files.writing(file.place.path):
            disk.put(file.place, file.replaced.temporary)
    for file in wrong:
        with files.writing(file.place.path):
            disk.sync(file.place)
    return lines
