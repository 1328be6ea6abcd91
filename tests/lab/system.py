"""Minimal Debian systems, made by debootstrap, to run a distribution's own programs in.

    from tests.lab import system

    with system.fresh("bookworm", folder / "system") as debian:
        debian.run("apt-get", "update").or_fail()
        debian.run("apt-get", "install", "-y", "certbot").or_fail()
        assert debian.run("certbot", "--version").returncode == 0
        (debian.root / "etc/letsencrypt/tcs-lyon1.ini").write_text(...)

    with system.fresh("bookworm", folder / "system", system.BOOTABLE) as debian:
        with system.booted(debian, folder / "boot.log") as running:
            running.run("systemctl", "list-timers").or_fail()

A system shares the network of whoever starts it, so a lab on loopback is within its reach. Each
command runs in a container of its own (systemd-nspawn), which mounts what it needs where nobody
else sees it: nothing is left mounted, however the command or this process ends.

debootstrap runs once per release, and its result is kept in `cache_folder()`; each system is a copy
(a second or so).

From Debian: debootstrap, systemd-container, util-linux. Only root can use it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from tests.lab import process
from tests.lab.errors import LabError, MissingProgram

#: Debian 11, 12 and 13.
RELEASES = ("bullseye", "bookworm", "trixie")
#: What a system needs beside the minimum to be `booted`.
BOOTABLE = ("dbus", "systemd-sysv")

_CHECKOUT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}
_FILES = {
    # As the installer writes it; debootstrap does not.
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    # These systems need not survive a power cut: halves the time of an installation.
    "etc/dpkg/dpkg.cfg.d/unsafe-io": "force-unsafe-io\n",
    "usr/sbin/policy-rc.d": "#!/bin/sh\n[ -d /run/systemd/system ] || exit 101\n",
}
# systemd-nspawn keeps a folder for each container under /run; so the host sees nothing of it.
_HIDE_NSPAWN = (
    'mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn && exec "$@"'
)


class Commands:
    """What runs commands as root, with an environment that is the same everywhere."""

    def line(self, command: Sequence[str], env: Optional[Mapping[str, str]] = None) -> list[str]:
        """The line that runs the command, for who wants to see its output as it comes."""
        raise NotImplementedError

    def run(
        self,
        *command: str,
        env: Optional[Mapping[str, str]] = None,
        stdin: str = "",
        timeout: float = 300,
    ) -> process.Done:
        """Run a command. `env` is more environment, `stdin` the input, `timeout` in seconds."""
        line = self.line(command, env)
        return process.run(line, command, _environment(env), stdin, timeout)


@dataclass(frozen=True)
class System(Commands):
    """A Debian system in the folder `root`: its files are there to be read and written.

    Mind that absolute symbolic links in it lead elsewhere when followed from outside. When a
    command ends, so does everything that it started; /tmp and /run are new each time.
    """

    root: Path

    def line(
        self,
        command: Sequence[str],
        env: Optional[Mapping[str, str]] = None,
        options: Sequence[str] = (),
    ) -> list[str]:
        """`options` are more of systemd-nspawn's."""
        set_env = [f"--setenv={name}={value}" for name, value in _environment(env).items()]
        return _nspawn(self.root, "--pipe", *set_env, *options, "--", *command)

    def trust(self, ca_bundle: Path) -> None:
        """Put a CA into the system's trust store, now or when ca-certificates is installed."""
        folder = self.root / "usr/local/share/ca-certificates"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ca_bundle, folder / "lab.crt")
        if (self.root / "usr/sbin/update-ca-certificates").exists():
            self.run("update-ca-certificates").or_fail()


@dataclass(frozen=True)
class Booted(Commands):
    """A system that runs, with systemd as its first process; `leader` is that one's pid here.

    What a command starts may go on.
    """

    system: System
    leader: int = field(repr=False)

    def line(self, command: Sequence[str], env: Optional[Mapping[str, str]] = None) -> list[str]:
        spaces = ("mount", "uts", "ipc", "net", "pid")
        return [
            process.need("nsenter", "util-linux"),
            f"--target={self.leader}",
            *(f"--{space}" for space in spaces),
            *("--root", "--wd"),
            "--",
            *command,
        ]


def why_not() -> Optional[str]:
    """Why no system can be made or run here; None if one can."""
    if os.geteuid() != 0:
        return "a Debian system can be made and run by root only"
    try:
        process.need("debootstrap", "debootstrap")
        process.need("systemd-nspawn", "systemd-container")
        attempt = [*_apart(), "true"]
    except MissingProgram as error:
        return str(error)
    done = subprocess.run(
        attempt, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return f"no namespaces: {done.stdout.strip()}" if done.returncode else None


def cache_folder() -> Path:
    """Where debootstrap's results are kept: LAB_SYSTEMS, else build/systems in the checkout."""
    chosen = os.environ.get("LAB_SYSTEMS")
    return Path(chosen) if chosen else _CHECKOUT / "build" / "systems"


@contextlib.contextmanager
def fresh(release: str, folder: Path, include: Sequence[str] = ()) -> Iterator[System]:
    """A minimal system of a release in `folder`, with the packages of `include`; then it is gone.

    `folder` must not be there yet.
    """
    with copied(System(base(release, include)), folder) as system:
        yield system


@contextlib.contextmanager
def copied(system: System, folder: Path) -> Iterator[System]:
    """A copy of a system in `folder`, which must not be there yet; then it is gone."""
    if folder.exists():
        raise LabError(f"{folder} exists")
    try:
        _must(["cp", "--archive", "--reflink=auto", str(system.root), str(folder)])
        yield System(folder)
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def base(release: str, include: Sequence[str] = (), cache: Optional[Path] = None) -> Path:
    """What `fresh` copies, from `cache` (by default `cache_folder()`); never change it."""
    cache = cache or cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / "+".join([release, *sorted(include)])
    making = made.with_name(f"{made.name}.making")
    with _locked(made.with_name(f"{made.name}.lock")):
        if not made.exists():
            if making.exists():  # somebody was killed
                shutil.rmtree(making)
            _debootstrap(release, include, making)
            making.rename(made)
    return made


@contextlib.contextmanager
def booted(
    system: System, log: Path, seconds: float = 60, options: Sequence[str] = ()
) -> Iterator[Booted]:
    """Boot the system, made with BOOTABLE packages, and shut it down when the context ends.

    It is up after at most `seconds`. Its console is in the file `log`. `options` are more of
    systemd-nspawn's, such as --network-veth.
    """
    command = _nspawn(system.root, "--boot", "--kill-signal=SIGRTMIN+4", *options)
    started = process.start("systemd-nspawn", command, system.root.parent, log)
    try:
        running: list[Booted] = []

        def is_up() -> bool:
            leader = process.descendant(started.pid, "systemd")
            if leader is None:
                return False
            running[:] = [Booted(system, leader)]
            state = running[0].run("systemctl", "is-system-running", "--wait", timeout=seconds)
            return state.stdout.strip() in ("running", "degraded")

        process.wait_ready(started, is_up, seconds)
        yield running[0]
    finally:
        process.stop(started, seconds=20)


def _debootstrap(release: str, include: Sequence[str], folder: Path) -> None:
    """Make the minimal system in `folder`. What debootstrap mounts and starts goes with it."""
    more = [f"--include={','.join(include)}"] if include else []
    program = process.need("debootstrap", "debootstrap")
    command = (program, "--variant=minbase", *more, release, str(folder))
    _must(process.dies_with_us([*_apart(), *command]))
    shutil.rmtree(folder / "var/cache/apt")  # half the size; apt makes it anew
    shutil.rmtree(folder / "var/lib/apt/lists")
    for name, text in _FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "usr/sbin/policy-rc.d").chmod(0o755)


def _nspawn(root: Path, *options: str) -> list[str]:
    """The command that runs systemd-nspawn on `root`, seen by nobody else."""
    return [
        *_apart(),
        *("sh", "-c", _HIDE_NSPAWN, "sh"),
        process.need("systemd-nspawn", "systemd-container"),
        *("--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--timezone=off"),
        f"--directory={root}",
        *options,
    ]


def _apart() -> list[str]:
    """What runs a command where its mounts are its own, and its processes end when it does.

    systemd-nspawn by itself leaves the container behind when it is killed (as of systemd 252).
    """
    spaces = ("--mount", "--propagation=private", "--pid", "--mount-proc")
    return [process.need("unshare", "util-linux"), *spaces, "--fork", "--kill-child", "--"]


def _environment(more: Optional[Mapping[str, str]]) -> dict[str, str]:
    return {**_ENVIRONMENT, **(more or {})}


def _must(command: Sequence[str]) -> None:
    """Run a command on the host; LabError with the end of its output if it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        end = done.stdout.decode("utf-8", "replace").splitlines()[-20:]
        raise LabError("\n".join([f"{' '.join(command)} ended with {done.returncode}:", *end]))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file; another process waits. The kernel lets go of it when a process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
