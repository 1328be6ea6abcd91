"""Running the commands of services (`test`, `reload`): without a shell, with a time limit."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import select
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

#: The folders of system programs, which cron's PATH lacks.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

#: Bytes of output that are kept: commands say why they fail at its end.
_MOST_BYTES = 4000

#: Reads of the pipe after the command has exited: a daemon that it has started may print on.
_MOST_READS = 1000

#: The prefix of variables with certbot's options, one of them secret (EAB_HMAC_KEY).
_CERTBOTS_OPTIONS = "CERTBOT_"

#: Interpreters, each with its options after which no script comes (but code, a module or standard
#: input), and those that have a value.
_INTERPRETERS = {
    r"(ba|da|k|z)?sh": (r"-[A-Za-z]*[cs][A-Za-z]*|-", r"[-+][A-Za-z]*[oO]|--rcfile|--init-file"),
    r"python[0-9.]*": (r"-[bBdEhiIOPqRsSuvVx]*[cm].*|-", r"-[bBdEhiIOPqRsSuvVx]*[WX]"),
    r"perl|ruby": (r"-[acCDflnpsStTuUvwWX0-7]*[eE].*|-", r"-[Ir]"),
}

#: Seconds between two checks whether the command has exited, while it prints nothing.
_LOOK_EVERY = 0.05


def environment(base: Mapping[str, str], variables: Mapping[str, Optional[str]]) -> dict[str, str]:
    """Return the environment of a command.

    It is `base` without certbot's options, with the folders of system programs in PATH, and with
    those of `variables` that have a value as `TCS_LYON1_*`.
    """
    path = base.get("PATH") or os.defpath
    missing = [folder for folder in _SYSTEM_FOLDERS if folder not in path.split(os.pathsep)]
    return {
        **{name: text for name, text in base.items() if not name.startswith(_CERTBOTS_OPTIONS)},
        "PATH": os.pathsep.join([path, *missing]),
        **{f"TCS_LYON1_{name.upper()}": value for name, value in variables.items() if value},
    }


def find_program(what: str, words: Sequence[str], environment: Mapping[str, str]) -> Optional[str]:
    """Check that nobody but root can change the program of a command, and return its path.

    :param what: the key of the command in the department config
    :returns: the path to run it by, since another user may own an earlier folder of PATH; None if
        there is no such program, which `run` reports
    :raises InstallError: another user can change it
    """
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
    """Return the script that an interpreter is to run, as a sequence; empty for other commands.

    It may be missing: the owner of its folder can make it after the check.
    """
    name = os.path.basename(words[0])
    for interpreter, (without, valued) in _INTERPRETERS.items():
        if re.fullmatch(interpreter, name):
            rest = iter(words[1:])
            for word in rest:
                if re.fullmatch(without, word):
                    break
                if re.fullmatch(valued, word):
                    next(rest, None)
                elif not word.startswith(("-", "+")):
                    # Without a slash, one that is not in / is looked up in PATH.
                    return (word,) if "/" in word or os.path.lexists(f"/{word}") else ()
    return ()


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    seconds: float = TIME_LIMIT,
    program: Optional[str] = None,
) -> Optional[str]:
    """Run a command; it fails if it is not found, exits with a code other than 0, or is late.

    Its output is read through a pipe, and the end of it is kept. Once the command has exited, only
    what is in the pipe is read: a daemon that it has started may hold the pipe open.

    :param seconds: the time limit
    :param program: its path, from `find_program`; None to look it up in PATH
    :returns: how it failed, with the end of its output; None if it succeeded
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
            printed, is_late = _read_until_end(process, output, seconds)
        except BaseException:
            _kill(process)
            raise
    late = f"did not end within {seconds:g} seconds, and was killed"
    how = late if is_late else _describe_exit(process.returncode)
    return None if how is None else f"{shlex.join(words)}: {how}{_describe_output(printed)}"


def _read_until_end(
    process: subprocess.Popen[bytes], output: IO[bytes], seconds: float
) -> tuple[bytes, bool]:
    """Return the end of the output, and whether the command was late and is killed."""
    printed = b""
    is_late = False
    deadline = time.monotonic() + seconds
    poller = select.poll()
    poller.register(output, select.POLLIN)
    while process.poll() is None:
        is_readable = poller.poll(_LOOK_EVERY * 1000)
        chunk = _read(output)
        printed = (printed + chunk)[-_MOST_BYTES:]
        if is_readable and not chunk:  # the command has closed it, and may still run
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY)
        if time.monotonic() >= deadline and process.poll() is None:
            is_late = True
            _kill(process)
    left = iter(functools.partial(_read, output), b"")
    for chunk in itertools.islice(left, _MOST_READS):
        printed = (printed + chunk)[-_MOST_BYTES:]
    return printed, is_late


def _read(output: IO[bytes]) -> bytes:
    """Return what is in the pipe; empty if there is nothing, or the command has closed it."""
    with contextlib.suppress(BlockingIOError):
        return os.read(output.fileno(), 65536)
    return b""


def _describe_exit(code: int) -> Optional[str]:
    if code >= 0:
        return f"exit code {code}" if code else None
    name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
    return f"was ended by {name}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _describe_output(printed: bytes) -> str:
    text = printed.decode("utf-8", "replace").strip()
    return f"; it printed:\n    {foreign(text[-500:])}" if text else "; it printed nothing"
