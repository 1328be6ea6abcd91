"""A fleet of light hosts, and the ansible-playbook that manages it.

A host is an overlay over a Debian system in a mount and PID namespace of its own; it shares the
network, so that a lab on loopback is within its reach. It has no systemd. What it changes lies in
its folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.distros.machine import CONFIG, Files
from tests.lab import process
from tests.lab.errors import LabError
from tests.lab.files import write_private
from tests.lab.system import System

_CHECKOUT = Path(__file__).resolve().parents[2]
#: Where `make fleet` has put both versions of ansible-core: the newest, and Debian 12's.
VERSIONS = {"newest": ".venv-ansible", "2.14": ".venv-ansible-debian-12"}
#: What an inventory says of a host that is reached by `login_with_sudo`.
WITH_SUDO = {"ansible_user": "deploy", "ansible_become": True}
_MOUNT = (
    'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" && '
    'cd "$2/root" && mount -t proc proc proc && mount --rbind /dev dev && '
    "mount -t tmpfs tmpfs run && exec chroot . sleep infinity"
)


@dataclass(frozen=True)
class Host:
    """A light host; `pid` is of the process that holds its namespaces."""

    name: str
    folder: Path
    pid: int

    @property
    def files(self) -> Files:
        """What certbot has in /etc/letsencrypt, as far as this host has written it."""
        root = self.folder / "upper"
        return Files(root / CONFIG, root / "etc/ssl/certs/ca-certificates.crt", "certbot")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd", "--"]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, env=env, check=False
        )


@dataclass(frozen=True)
class Played:
    """A run of ansible-playbook that has ended; `recap` is {host: {"ok": 3, "changed": 0, …}}."""

    returncode: int
    output: str = field(repr=False)

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The numbers of its last lines."""
        lines = re.findall(r"^(\S+)\s+: (ok=.*)$", self.output, re.MULTILINE)
        return {
            host: {key: int(n) for key, n in re.findall(r"(\w+)=(\d+)", rest)}
            for host, rest in lines
        }

    def total(self, key: str) -> int:
        """Of all hosts."""
        return sum(numbers[key] for numbers in self.recap.values())

    def or_fail(self) -> Played:
        """Itself; LabError with its output unless it succeeded."""
        if self.returncode:
            raise LabError(self.output)
        return self


def login_with_sudo(below: System) -> None:
    """Make the user of WITH_SUDO on a system that has sudo."""
    below.run("useradd", "--create-home", "--shell", "/bin/sh", "deploy").or_fail()
    rule = below.root / "etc/sudoers.d/deploy"
    rule.write_text("deploy ALL=(ALL) NOPASSWD: ALL\n", encoding="ascii")
    rule.chmod(0o440)


@contextlib.contextmanager
def host(name: str, below: System, folder: Path) -> Iterator[Host]:
    """A host over the system `below`, which must not change meanwhile."""
    for part in ("upper", "work", "root"):
        (folder / part).mkdir(parents=True)
    apart = ("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child")
    command = [*apart, "--", "sh", "-ec", _MOUNT, "sh", str(below.root), str(folder)]
    started = process.start(f"host {name}", command, folder, folder / "log")
    found: list[int] = []

    def is_up() -> bool:
        pid = process.descendant(started.pid, "sleep")
        found[:] = [pid] if pid else []
        return bool(found)

    try:
        process.wait_ready(started, is_up)
        yield Host(name, folder, found[0])
    finally:
        for pid in found:  # the first of its namespace: it hears no SIGTERM
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.stop(started)


@dataclass(frozen=True)
class Control:
    """A control machine with one version of ansible-core and the collection, as built."""

    version: str
    folder: Path
    inventory: Path

    @property
    def programs(self) -> Path:
        """Where its commands are."""
        return _CHECKOUT / VERSIONS[self.version] / "bin"

    def environment(self) -> dict[str, str]:
        """What Ansible gets to know of this machine."""
        return {
            "PATH": f"{self.programs}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_COLLECTIONS_PATHS": str(self.folder / "collections"),
            "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": os.environ.get("FLEET_FORKS", "6"),
            "ANSIBLE_LOCALHOST_WARNING": "0",
        }

    def command(self, *line: str, seconds: float = 3600) -> Played:
        """Run one of Ansible's commands, or another program."""
        done = subprocess.run(
            [shutil.which(line[0], path=self.environment()["PATH"]) or line[0], *line[1:]],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Played(done.returncode, done.stdout)

    def play(self, name: str, *more: str) -> Played:
        """Run a playbook of the collection."""
        return self.command(
            "ansible-playbook", "-i", str(self.inventory), f"univ_lyon1.tcs.{name}", *more
        )


def write_inventory(
    path: Path, hosts: list[Host], common: Mapping[str, Any], each: Mapping[str, Mapping[str, Any]]
) -> Path:
    """An inventory of the hosts: variables of all, and of each by its name."""
    where = {
        "ansible_connection": "nsenter",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_become": False,
    }
    known = {
        one.name: {"ansible_nsenter_pid": one.pid, **where, **each.get(one.name, {})}
        for one in hosts
    }
    return write_private(path, json.dumps({"all": {"hosts": known, "vars": {**common}}}))
