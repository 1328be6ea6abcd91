"""The services' own commands: run without a shell, with a time limit, with what they printed."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, Optional

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import DiskError, InstallError
from certbot_tcs_lyon1.report import foreign

#: Seconds; systemd gives a unit 90 to start or to reload.
TIME_LIMIT = 120

#: Where daemons' programs are; cron's PATH lacks them.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

#: Bytes: the end of what a command printed is where it says why it fails.
_MOST_BYTES = 4000

#: certbot takes options from these, a secret one (EAB_HMAC_KEY) too.
_CERTBOTS_OPTIONS = "CERTBOT_"

#: Programs that run what a file says, which they get as their first word without a hyphen.
_INTERPRETER = re.compile(r"(ba|da|k|z)?sh|python[0-9.]*|perl|ruby")

#: Seconds between two looks whether the command has ended, while nothing is printed.
_LOOK_EVERY = 0.05


def environment(base: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """`base` without certbot's options, with the folders of system programs in PATH, and
    `variables` as `TCS_LYON1_*`."""
    path = base.get("PATH") or os.defpath
    missing = [folder for folder in _SYSTEM_FOLDERS if folder not in path.split(os.pathsep)]
    return {
        **{name: text for name, text in base.items() if not name.startswith(_CERTBOTS_OPTIONS)},
        "PATH": os.pathsep.join([path, *missing]),
        **{f"TCS_LYON1_{name.upper()}": value for name, value in variables.items()},
    }


def check(
    what: str, words: Optional[Sequence[str]], environment: Mapping[str, str]
) -> Optional[str]:
    """Check that nobody but root can change a program that runs with the rights of certbot.

    :param what: the key that names it
    :returns: the path to run it by, for a folder of PATH before may be somebody's; None if there
        is no command, or its program is not there, as `run` says
    :raises InstallError: somebody can
    """
    if words is None:
        return None
    found = shutil.which(words[0], path=environment["PATH"])
    if found is None:
        return None
    for path in (found, *_script(words)):
        try:
            disk.check_program(os.path.join("/", path))  # commands run in /
        except DiskError as error:
            raise InstallError(error.cause, error.remedy, where=what) from None
        except OSError as error:
            raise InstallError(f"{path}: {error.strerror}", "correct it", where=what) from None
    return os.path.join("/", found)


def _script(words: Sequence[str]) -> Sequence[str]:
    """The file that an interpreter is to run, if the words are such a command."""
    if not _INTERPRETER.fullmatch(os.path.basename(words[0])):
        return ()
    for word in words[1:]:
        if not word.startswith("-"):
            return (word,) if os.path.lexists(os.path.join("/", word)) else ()
        if not word.startswith("--") and word[-1] in "cem":  # code or a module, no file
            return ()
    return ()


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    seconds: float = TIME_LIMIT,
    program: Optional[str] = None,
) -> Optional[str]:
    """Run a command; it fails if it is not found, exits with other than 0 or takes too long.

    Its output is read through a pipe, of which the end is kept. A daemon that it leaves behind
    holds nothing up: once the command itself has ended, what is in the pipe is read, and no more.

    :param program: its path, as `check` has found it; None is to look for it in PATH
    :returns: how it failed, with the end of its output; None if it didn't
    """
    try:
        process = subprocess.Popen(
            list(words),
            executable=program,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"{shlex.join(words)}: cannot be run: {error.strerror}"
    assert process.stdout is not None
    with process.stdout as output:
        os.set_blocking(output.fileno(), False)
        try:
            printed, ended = _read_until_end(process, output, seconds)
        except BaseException:
            _kill(process)
            raise
    how = _how(process.returncode) if ended else _late(seconds)
    return None if how is None else f"{shlex.join(words)}: {how}{_shown(printed)}"


def _read_until_end(
    process: subprocess.Popen[bytes], output: IO[bytes], seconds: float
) -> tuple[bytes, bool]:
    """The end of what it printed, and whether it ended in time; one that didn't is killed."""
    printed = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None  # asked before the pipe is emptied
            late = not ended and time.monotonic() >= deadline
            if late:
                _kill(process)
            for _ in range(1 if not (ended or late) else _MOST_BYTES):
                selector.select(0 if ended or late else _LOOK_EVERY)
                chunk = _read(output)
                printed = (printed + chunk)[-_MOST_BYTES:]
                if not chunk:
                    break
            if ended or late:
                return printed, ended


def _read(output: IO[bytes]) -> bytes:
    try:
        chunk = os.read(output.fileno(), 65536)
    except BlockingIOError:
        return b""
    if not chunk:
        time.sleep(_LOOK_EVERY)  # nobody holds it open; the command may go on without
    return chunk


def _how(code: int) -> Optional[str]:
    if code >= 0:
        return f"exit code {code}" if code else None
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a realtime signal
        return f"was ended by signal {-code}"


def _late(seconds: float) -> str:
    return f"did not end within {seconds:g} seconds, and was killed"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(printed: bytes) -> str:
    text = printed.decode("utf-8", "replace").strip()
    return f"; it printed:\n    {foreign(text[-500:])}" if text else "; it printed nothing"
