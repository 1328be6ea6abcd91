"""Server processes: start, wait until ready, stop, and never leave one behind."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Callable, Optional

from tests.lab.errors import LabError, MissingProgram

POLL_SECONDS = 0.005
# Debian keeps name servers in /usr/sbin, which the PATH of an ordinary user lacks.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@dataclass(frozen=True)
class Process:
    """A server that was started: its name for messages, and the file with its output."""

    name: str
    log: Path
    popen: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        return self.popen.pid


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def or_fail(self) -> "Done":
        """Itself; LabError with its output unless it succeeded."""
        if self.returncode:
            line = " ".join(self.command)
            raise LabError(f"{line} ended with {self.returncode}:\n{self.output}")
        return self


def need(program: str, package: str) -> str:
    """The path of `program`; MissingProgram, naming the Debian `package`, if there is none."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    found = shutil.which(program, path=path)
    if found is None:
        raise MissingProgram(f"{program} not found: apt-get install {package}")
    return found


def output(
    what: str,
    command: Sequence[str],
    folder: Path,
    env: Optional[Mapping[str, str]] = None,
    seconds: float = 60,
) -> str:
    """Run `command` in `folder`, with `env` as more environment: all that it wrote.

    LabError, with that and `what` in front, if it fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{what}: exit code {done.returncode}: {done.stdout}")
    return done.stdout


def shell(commands: str, folder: Path, env: Mapping[str, str]) -> str:
    """Run commands as somebody types them, in `folder`; LabError with the output if one fails."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    return output(commands, ["sh", "-euc", commands], folder, {"PATH": path, **env})


def dies_with_us(command: Sequence[str]) -> list[str]:
    """`command`, made to be killed by the kernel when the thread that starts it is gone.

    That is PR_SET_PDEATHSIG: it holds however this process ends, kill -9 included. util-linux's
    setpriv sets it and then becomes the command, so no Python code runs between fork and exec. The
    kernel watches the *thread*: start a lab in a thread that outlives it (the main one).
    """
    return [need("setpriv", "util-linux"), "--pdeathsig", "KILL", "--", *command]


def run(
    line: Sequence[str],
    command: tuple[str, ...],
    env: Mapping[str, str],
    stdin: str,
    timeout: float,
) -> Done:
    """Run `line`, which stands for `command`, with just this environment.

    :raises subprocess.TimeoutExpired: it took longer; nothing of it is left
    """
    popen = subprocess.Popen(
        dies_with_us(line),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = popen.communicate(stdin or None, timeout)
    except BaseException:
        os.killpg(popen.pid, signal.SIGKILL)
        popen.communicate()
        raise
    return Done(command, popen.returncode, stdout, stderr)


def start(
    name: str,
    command: Sequence[str],
    folder: Path,
    log: Path,
    env: Optional[Mapping[str, str]] = None,
) -> Process:
    """Start `command` in `folder`, in a session of its own, with its output in `log`, begun anew.

    The session keeps a Ctrl-C in the terminal from reaching the server: the lab stops it, in order.
    It is not told of a systemd that waits for the tests themselves (NOTIFY_SOCKET).
    """
    told = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    with contextlib.suppress(FileNotFoundError):
        log.unlink()
    with log.open("ab") as output:
        popen = subprocess.Popen(
            dies_with_us(command),
            cwd=str(folder),
            env={**told, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, log, popen)


def command_lines() -> Iterator[tuple[int, str]]:
    """The pid and the command line of every process that has one, and goes on while it is read.

    Not by `Path.glob`, which looks at each file first, and fails where the process has just ended:
    with ENOENT it goes on, with ESRCH it does not (Python 3.11).
    """
    for pid in os.listdir("/proc"):
        if pid.isdigit():
            with contextlib.suppress(OSError):
                line = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(pid), line.decode("utf-8", "replace")


def descendant(pid: int, program: str) -> Optional[int]:
    """The pid of the first of `pid`'s only child, its only child and so on that is `program`."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == program:
                return int(child)
            return descendant(int(child), program)
    return None


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file, for a message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(text.splitlines()[-lines:])


def wait_until(probe: Callable[[], bool], seconds: float) -> bool:
    """Poll `probe` until it is true, for at most `seconds`; say whether it became true."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_ready(process: Process, probe: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until `probe` is true; LabError with the log's end if the server dies or never is."""

    def dead_or_ready() -> bool:
        return process.popen.poll() is not None or probe()

    in_time = wait_until(dead_or_ready, seconds)
    code = process.popen.poll()
    if code is not None:
        raise LabError(f"{process.name} ended with {code}; its log:\n{tail(process.log)}")
    if not in_time:
        raise LabError(f"{process.name} not ready in {seconds} s; its log:\n{tail(process.log)}")


def stop(process: Process, seconds: float = 5) -> None:
    """Ask the server to end, then make it; its whole process group is gone afterwards."""
    _signal_group(
        process, signal.SIGCONT
    )  # a test may have stopped it, and then it hears no SIGTERM
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.popen.wait(seconds)
    _signal_group(process, signal.SIGKILL)
    process.popen.wait()


def _signal_group(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    """A context that stops `process` at its end."""
    try:
        yield process
    finally:
        stop(process)


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack, as Ctrl-C does, so that contexts are closed in order.

    Without it SIGTERM ends Python at once; the servers then die by `dies_with_us`.
    """

    def leave(number: int, frame: Optional[FrameType]) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
