"""Make the files of `[install NAME]` what the certificate is, and the service take them.

One function does it, whoever calls, and at whatever state the last run left things: `converge`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.install import commands, files, formats, undo
from certbot_tcs_lyon1.install.files import Rights
from certbot_tcs_lyon1.lineage import Lineage

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department.settings import Target

__all__ = ["InstallError", "Surroundings", "converge", "deploy_live", "deploy_previous"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """Where a deployment takes place.

    `record` is the path of what undoes it if it is killed; `environment` is that of the services'
    commands; `keep_out` are the folders where no file may be written.
    """

    record: str
    environment: Mapping[str, str]
    keep_out: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    """A file that is not yet what it should be; `path` has no symbolic link in it."""

    path: str
    data: bytes = field(repr=False)
    rights: Rights
    existed: bool


def deploy_live(targets: Sequence[Target], folder: str, surroundings: Surroundings) -> list[str]:
    """Converge every target that takes the certificate to its live version.

    :param targets: all of the department config
    :param folder: the certificate's `live/NAME`
    :returns: a line for each target that was changed
    :raises InstallError: with the messages of all that failed, after the others are done
    """
    if not any(target.certificate == os.path.basename(folder) for target in targets):
        return []
    return _converge_all(targets, lineages.read(folder), surroundings)


def deploy_previous(
    targets: Sequence[Target], live: str, steps: int, surroundings: Surroundings
) -> list[str]:
    """Converge every target to the version `steps` before the live one, from certbot's archive.

    :param targets: all of the department config
    :param live: certbot's folder `live`
    :returns: what to tell the user
    :raises InstallError: with the messages of all that failed, after the others are done
    """
    lines, faults = [], []
    for name in dict.fromkeys(target.certificate for target in targets):
        folder = os.path.join(live, name)
        try:
            lineage = lineages.read_previous(folder, steps)
            if lineage is None:
                lines.append(f"{name}: certbot's archive has no version {steps} before this one.")
                continue
            lines += _converge_all(targets, lineage, surroundings)
            lines.append(
                f"{name}: rolled back from version {lineages.version(folder)} to version "
                f"{lineage.version}. The next `certbot renew` goes forward again."
            )
        except InstallError as error:
            faults.append(str(error))
    if faults:
        raise InstallError("\n".join([*lines, *faults]))
    return lines


def _converge_all(
    targets: Sequence[Target], lineage: Lineage, surroundings: Surroundings
) -> list[str]:
    """Converge each target of the lineage; one that fails doesn't keep the others back."""
    lines, faults = [], []
    for target in targets:
        if target.certificate == lineage.name:
            try:
                _check_written_once(target, targets)
                lines.append(converge(target, lineage, surroundings))
            except InstallError as error:
                faults.append(str(error))
    done = [line for line in lines if line is not None]
    if faults:
        raise InstallError("\n".join([*done, *faults]))
    return done


def converge(target: Target, lineage: Lineage, surroundings: Surroundings) -> Optional[str]:
    """Make the files of `target` what `lineage` says, and have its service test and reload them.

    Nothing is written or run if all files are right (content, owner, mode). If the test or the
    reload fails, the old files are put back.

    :returns: a line for the user, None if there was nothing to do
    :raises InstallError: it failed; the old files are there, unless the text says otherwise
    """
    try:
        undone = undo.restore(surroundings.record)
        if undone is not None:
            logger.info("A deployment to [install %s] was cut short: it is begun again", undone)
        wrong = _find_wrong(target, lineage, surroundings.keep_out)
        if not wrong:
            return None
        lineages.check_pair(lineage)
        _replace(target, wrong, surroundings)
    except InstallError as error:
        raise InstallError(
            f"[install {target.name}] {error}\nThe certificate {lineage.name} is kept; once that "
            "is mended, deploy it with: certbot renew"
        ) from None
    names = ", ".join(file.path for file in wrong)
    return f"[install {target.name}] version {lineage.version} of {lineage.name} is in {names}" + (
        "; reloaded." if target.reload else "."
    )


def _paths(target: Target) -> dict[str, str]:
    """The files that a target wants, by their kind."""
    named = {kind: getattr(target, kind) for kind in formats.ALL}
    return {kind: path for kind, path in named.items() if path is not None}


def _check_written_once(target: Target, targets: Sequence[Target]) -> None:
    """Symbolic links can lead two targets to one file, which the reader of the file can't see."""
    own = [os.path.realpath(path) for path in _paths(target).values()]
    others = {
        os.path.realpath(path): other.name
        for other in targets
        if other is not target
        for path in _paths(other).values()
    }
    for path in own:
        if path in others or own.count(path) > 1:
            raise InstallError(
                f"[install {target.name}] {path}: symbolic links lead here from "
                f"[install {others.get(path, target.name)}] as well; let one of them write it."
            )


def _find_wrong(target: Target, lineage: Lineage, keep_out: Iterable[str]) -> list[_File]:
    """The files that are not yet what the lineage says, with what they are to be."""
    uid, gid = files.uid(target.owner), files.gid(target.group)
    password = _password(target)
    wrong = []
    for kind, named in _paths(target).items():
        path = os.path.realpath(named)
        if path != os.path.normpath(named):
            logger.info("[install %s] %s leads to %s", target.name, named, path)
        files.check_place(path, uid, keep_out)
        default = 0o600 if kind in formats.WITH_KEY else 0o644
        rights = Rights(uid, gid, default if target.mode is None else target.mode)
        found = files.look(path)
        if found is None or found.rights != rights:
            same = False
        else:
            same = formats.holds(kind, found.data, lineage, password)
        if not same:
            data = formats.render(kind, lineage, password)
            wrong.append(_File(path, data, rights, existed=found is not None))
    return wrong


def _password(target: Target) -> bytes:
    """The password of the PKCS#12: the only line of its file."""
    path = target.pkcs12_password_file
    if path is None:
        return b""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise InstallError(
            f"pkcs12_password_file {path}: cannot be read: {error.strerror}; write the keystore's "
            "password into it."
        ) from None
    if len(lines) != 1 or not lines[0] or not lines[0].isascii():  # Java takes no other
        raise InstallError(
            f"pkcs12_password_file {path}: it must hold the keystore's password, in plain ASCII, "
            "on one line, and nothing else."
        )
    return lines[0]


def _replace(target: Target, wrong: Sequence[_File], surroundings: Surroundings) -> None:
    """Put the files in place and try them out; put the old ones back unless all goes well."""
    environment = _environment(target, surroundings.environment)
    replaced = tuple(undo.Replaced(file.path, file.existed) for file in wrong)
    undo.begin(surroundings.record, undo.Record(target.name, replaced))
    try:
        for file in wrong:
            files.write(files.new_name(file.path), file.data, file.rights)
        for file in wrong:
            files.rename(files.new_name(file.path), file.path)
        files.sync_folders(file.path for file in wrong)
        failed = _try_out(target, environment)
    except BaseException:  # Ctrl-C as well
        undo.restore(surroundings.record)
        raise
    if failed is not None:
        what, words, how = failed
        undo.restore(surroundings.record)
        again = commands.run(words, environment)
        raise InstallError(
            f"{what} = {how}\nAll files are again as they were. {_outcome(what, again)}"
        )
    undo.accept(surroundings.record)


def _try_out(
    target: Target, environment: Mapping[str, str]
) -> Optional[tuple[str, Sequence[str], str]]:
    """Test and reload; the key, the command and how it failed, None if both went well."""
    for what, words in (("test", target.test), ("reload", target.reload)):
        if words is not None:
            how = commands.run(words, environment)
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
