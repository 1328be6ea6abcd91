"""Make the files of `[install NAME]` what the certificate is, and the service take them.

One function does it, whoever calls, and at whatever state the last run left things: `converge`.
Each target stands alone: whatever goes wrong with one, the others are deployed.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.disk import Found, Rights
from certbot_tcs_lyon1.errors import DiskError, InstallError
from certbot_tcs_lyon1.folders import Place
from certbot_tcs_lyon1.install import commands, files, formats, undo, written
from certbot_tcs_lyon1.lineage import Lineage
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department.settings import Target

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """What a deployment finds on this machine.

    `work_dir` is certbot's, where the records are; `environment` is that of the services' commands;
    `keep_out` are the folders where no file may be written; `say` shows the user a line.
    """

    work_dir: str
    environment: Mapping[str, str]
    keep_out: tuple[str, ...]
    say: Callable[[str], object]

    @property
    def records(self) -> str:
        """The folder of what undoes a deployment that is killed."""
        return os.path.join(self.work_dir, undo.FOLDER_NAME)


@dataclass(frozen=True)
class _File:
    """A file that is not yet what it should be, in a folder that is held open.

    `source` is what a PKCS#12 is made of, as `written` says.
    """

    kind: str
    place: Place
    data: bytes = field(repr=False)
    rights: Rights
    old: Optional[Found]
    source: Optional[str] = None


def deploy_live(targets: Sequence[Target], folder: str, machine: Machine) -> None:
    """Converge every target that takes the certificate to its live version.

    :param targets: all of the department config
    :param folder: the certificate's `live/NAME`
    :raises InstallError: its parts are those that failed; the others are done
    """
    name = os.path.basename(folder)
    if any(target.certificate == name for target in targets):
        _converge_all(targets, lineages.read(folder), machine)
    else:
        undo.finish(machine.records, [target.name for target in targets], machine.say)


def deploy_previous(targets: Sequence[Target], live: str, steps: int, machine: Machine) -> None:
    """Converge every target to the version `steps` before the live one, from certbot's archive.

    :param targets: all of the department config
    :param live: certbot's folder `live`
    :raises InstallError: its parts are those that failed; the others are done
    """
    faults = []
    for name in dict.fromkeys(target.certificate for target in targets):
        folder = os.path.join(live, name)
        try:
            lineage = lineages.read_previous(folder, steps)
            if lineage is None:
                machine.say(f"{name}: certbot's archive has no version {steps} before this one.")
                continue
            _converge_all(targets, lineage, machine)
            machine.say(
                f"{name}: rolled back from version {lineages.version(folder)} to version "
                f"{lineage.version}. The next `certbot renew` goes forward again."
            )
        except InstallError as error:
            faults.append(error)
    if faults:
        raise InstallError(parts=faults)


def _converge_all(targets: Sequence[Target], lineage: Lineage, machine: Machine) -> None:
    """Converge each target of the lineage; one that fails doesn't keep the others back."""
    cut_short = undo.finish(machine.records, [target.name for target in targets], machine.say)
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
        except Exception as error:  # whatever a service's user has thought of
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
    """Make the files of `target` what `lineage` says, and have its service test and reload them.

    Nothing is written or run if all files are right (content, owner, mode). If the test or the
    reload fails, the old files are put back.

    :raises InstallError: it failed; the old files are there, unless the text says otherwise
    """
    with contextlib.ExitStack() as held:
        places = _open_all(target, machine, held)
        wrong = _find_wrong(target, lineage, places, machine)
        if not wrong:
            return
        _check_written_once(target, targets, places)
        lineages.check_pair(lineage)
        # Before the files change: if this fails for want of room, nothing has changed.
        for file in wrong:
            if file.source is not None:
                written.note(machine.work_dir, file.place.path, file.data, file.source)
        lines = _replace(target, wrong, machine)
    names = ", ".join(file.place.path for file in wrong)
    done = f"[install {target.name}] version {lineage.version} of {lineage.name} is in {names}"
    for line in (done + ("; reloaded." if target.reload else "."), *lines):
        machine.say(line)


def _paths(target: Target) -> dict[str, str]:
    """The files that a target wants, by their kind."""
    named = {kind: getattr(target, kind) for kind in formats.ALL}
    return {kind: path for kind, path in named.items() if path is not None}


def _open_all(target: Target, machine: Machine, held: contextlib.ExitStack) -> dict[str, Place]:
    """The places of the files that a target wants, by their kind, held open."""
    uid = files.uid(target.owner)
    places = {}
    for kind, named in _paths(target).items():
        place = held.enter_context(files.opened(named, uid, machine.keep_out))
        if place.path != os.path.normpath(named):
            logger.info("[install %s] %s leads to %s", target.name, named, place.path)
        places[kind] = place
    return places


def _check_written_once(
    target: Target, targets: Sequence[Target], places: Mapping[str, Place]
) -> None:
    """Symbolic links can lead two targets to one file, which the reader of the file can't see."""
    own = [place.path for place in places.values()]
    others = {
        files.end_of(path, other.owner): other.name
        for other in targets
        if other is not target
        for path in _paths(other).values()
    }
    for path in own:
        if path in others or own.count(path) > 1:
            raise InstallError(
                f"symbolic links lead here from [install {others.get(path, target.name)}] as well",
                "let one of them write it",
                where=path,
            )


def _find_wrong(
    target: Target, lineage: Lineage, places: Mapping[str, Place], machine: Machine
) -> list[_File]:
    """The files that are not yet what the lineage says, with what they are to be."""
    uid, gid = files.uid(target.owner), files.gid(target.group)
    password = _password(target)
    wrong = []
    for kind, place in places.items():
        default = 0o600 if kind in formats.WITH_KEY else 0o644
        rights = Rights(uid, gid, default if target.mode is None else target.mode)
        source = written.source_of(lineage, password) if kind == "pkcs12" else None
        found = files.look(place)
        if found is not None and found.rights == rights:
            if source is not None:
                same = written.is_ours(machine.work_dir, place.path, found.data, source)
            else:
                same = found.data == formats.pem(kind, lineage)
            if same:
                continue
        data = formats.render(kind, lineage, password)
        wrong.append(_File(kind, place, data, rights, found, source))
    return wrong


def _password(target: Target) -> bytes:
    """The password of the PKCS#12: the only line of its file."""
    path = target.pkcs12_password_file
    if path is None:
        return b""
    where = f"pkcs12_password_file {path}"
    try:
        data, state = disk.read(path)
        disk.check_rights(path, state)
        lines = data.splitlines()
    except DiskError as error:
        raise InstallError(error.cause, error.remedy, where=where) from None
    except OSError as error:
        raise InstallError(
            f"cannot be read: {error.strerror}",
            "write the keystore's password into it",
            where=where,
        ) from None
    if len(lines) != 1 or not lines[0] or not lines[0].isascii():  # Java takes no other
        raise InstallError(
            "it must hold the keystore's password, in plain ASCII, on one line, and nothing else",
            "write that into it",
            where=where,
        )
    return lines[0]


def _replace(target: Target, wrong: Sequence[_File], machine: Machine) -> list[str]:
    """Put the files in place and try them out; put the old ones back unless all goes well.

    :returns: what the user should know beside that it went well
    """
    environment = _environment(target, machine.environment)
    commanded = {"test": target.test, "reload": target.reload}
    programs = {key: commands.check(key, words, environment) for key, words in commanded.items()}
    uid = files.uid(target.owner)
    replaced = [
        undo.Replaced(
            file.place.path,
            uid,
            undo.digest(file.data),
            disk.temporary_name(file.place.name),
            file.old,
        )
        for file in wrong
    ]
    held = [file.place for file in wrong]
    undo.begin(machine.records, target.name, replaced)
    try:
        lines = _put_all(wrong, replaced)
        failed = _try_out(target, environment, programs)
    except BaseException:  # Ctrl-C as well
        undo.restore(machine.records, target.name, held)
        raise
    if failed is not None:
        what, words, how = failed
        undo.restore(machine.records, target.name, held)
        again = commands.run(words, environment, program=programs[what])
        raise InstallError(
            f"{what} = {how}\nAll files are again as they were. {_outcome(what, again)}"
        )
    undo.accept(machine.records, target.name)
    return lines


def _put_all(wrong: Sequence[_File], replaced: Sequence[undo.Replaced]) -> list[str]:
    """Put the files in place; a line for each whose folder has a default ACL that it doesn't get.

    All are written before the first gets its name: between two renames the set is a mixed one.
    """
    lines = []
    for file, item in zip(wrong, replaced):
        trusted = (0, os.geteuid(), file.rights.uid)
        kept = file.old.kept if file.old is not None and file.old.rights.uid in trusted else ()
        with _told(file):
            if disk.write_aside(file.place, item.temporary, file.data, file.rights, kept):
                lines.append(
                    f"{foreign(file.place.path)}: the default ACL of its folder is not applied to "
                    "it; write owner, group and mode, or give the file an ACL of its own "
                    "(setfacl), which is kept."
                )
    for file, item in zip(wrong, replaced):
        with _told(file):
            disk.put(file.place, item.temporary)
    for file in wrong:
        with _told(file):
            disk.sync(file.place)
    return lines


@contextlib.contextmanager
def _told(file: _File) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise files.cannot_write(file.place.path, error) from None


def _try_out(
    target: Target, environment: Mapping[str, str], programs: Mapping[str, Optional[str]]
) -> Optional[tuple[str, Sequence[str], str]]:
    """Test and reload; the key, the command and how it failed, None if both went well."""
    for what, words in (("test", target.test), ("reload", target.reload)):
        if words is not None:
            how = commands.run(words, environment, program=programs[what])
            if how is not None:
                return what, words, how
    return None


def _outcome(what: str, again: Optional[str]) -> str:
    if again is None:
        return f"With them the {what} succeeds."
    return f"With them the {what} fails as well, so this certificate is not the cause: {again}"


def _environment(target: Target, base: Mapping[str, str]) -> dict[str, str]:
    variables = {"target": target.name, "certificate": target.certificate, **_paths(target)}
    if target.pkcs12_password_file is not None:
        variables["pkcs12_password_file"] = target.pkcs12_password_file
    return commands.environment(base, variables)
