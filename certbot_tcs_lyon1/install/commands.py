"""The services' own commands: run without a shell, with a time limit, with what they printed."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Optional

#: Seconds; systemd gives a unit 90 to start or to reload.
TIME_LIMIT = 120

#: Where daemons' programs are; cron's PATH lacks them.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

#: The end of what a command printed is where it says why it fails.
_MOST_BYTES = 4000


def environment(base: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """`base` with the folders of system programs in PATH, and `variables` as `TCS_LYON1_*`."""
    path = base.get("PATH") or os.defpath
    missing = [folder for folder in _SYSTEM_FOLDERS if folder not in path.split(os.pathsep)]
    return {
        **base,
        "PATH": os.pathsep.join([path, *missing]),
        **{f"TCS_LYON1_{name.upper()}": value for name, value in variables.items()},
    }


def run(
    words: Sequence[str], environment: Mapping[str, str], seconds: float = TIME_LIMIT
) -> Optional[str]:
    """Run a command; it fails if it is not found, exits with other than 0 or takes too long.

    :returns: how it failed, with the end of its output; None if it didn't
    """
    # A file and not a pipe: a daemon that the command leaves behind would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(words),
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"{shlex.join(words)}: cannot be run: {error.strerror}"
        how = _wait(process, seconds)
        return None if how is None else f"{shlex.join(words)}: {how}{_end_of(output)}"


def _wait(process: subprocess.Popen[bytes], seconds: float) -> Optional[str]:
    """How the process failed, None if it didn't. One that takes too long is killed."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"did not end within {seconds:g} seconds, and was killed"
    except BaseException:
        _kill(process)
        raise
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"exit code {code}" if code else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _MOST_BYTES))
    text = output.read().decode("utf-8", "replace").strip()
    return f"; it printed:\n{text}" if text else "; it printed nothing"
