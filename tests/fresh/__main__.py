"""`python -m tests.fresh [root] [user]`: the README's two commands, as somebody new to it has them.

`make demo` and `make test`, each on a minimal Debian 12 of its own, in a clean clone of this
checkout's last commit, with nothing run before it; as root, and as a user with sudo. It ends at the
first that fails. Only root can do it, for debootstrap makes the machines (tests/lab/system.py).

The machine reaches the registries as this one does: what apt and pip are told here, by files and by
the environment, they are told there, and it trusts the CAs that were added here.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab import process, system
from tests.lab.errors import LabError
from tests.lab.system import System

CHECKOUT = Path(__file__).resolve().parents[2]
COMMANDS = (("make", "demo"), ("make", "test"))
HOMES = {"root": "/root", "user": "/home/user"}
#: What somebody has who has cloned a repository and may use sudo.
INSTALLED = ("ca-certificates", "git", "make", "sudo")

#: pip's files, for everybody and for who runs this, and where both are for everybody.
_PIP_FILES = {
    Path("/etc/pip.conf"): "etc/pip.conf",
    Path.home() / ".config/pip/pip.conf": "etc/xdg/pip/pip.conf",
}
_ADDED_CAS = "usr/local/share/ca-certificates"
_PROXY = r"(?i:\w+_proxy)"
_TOLD = re.compile(rf"PIP_\w+|\w+_CA_BUNDLE|SSL_CERT_(FILE|DIR)|{_PROXY}")


def main(args: Sequence[str]) -> int:
    """Run both commands as each of the users named, by default as both; the exit code."""
    users = args or list(HOMES)
    if not set(users) <= set(HOMES):
        print("usage: python -m tests.fresh [root] [user]", file=sys.stderr)
        return 2
    reason = system.why_not()
    if reason:
        raise LabError(reason)
    code = 0
    with tempfile.TemporaryDirectory(prefix="fresh-") as folder, process.exit_on_sigterm():
        for user, command in itertools.product(users, COMMANDS):
            print(f"\n== {' '.join(command)}, as {user}, on a fresh Debian 12", flush=True)
            code = run(user, command, Path(folder) / "system")
            if code != 0:
                break
    return code  # with no word after the command's last


def run(user: str, command: Sequence[str], folder: Path) -> int:
    """The exit code of the command, run by the user in a clean clone, on a machine in `folder`."""
    home = HOMES[user]
    with system.fresh("bookworm", folder, INSTALLED) as machine:
        connect(machine)
        clone(machine.root / home[1:] / "clone")
        if user != "root":
            machine.run("sh", "-euc", _ADD_USER, "sh", user).or_fail()
        line = machine.line(
            command,
            env={**told(user), "HOME": home},
            options=(
                f"--user={user}",
                f"--chdir={home}/clone",
                "--hostname=localhost",  # which sudo can resolve
                "--capability=all",  # root has them on a machine: the tests make networks
                *(f"--bind-ro={path}" for path in folders_of_pip()),
            ),
        )
        # On a machine /tmp is on the disk; a container's is a tenth of the memory.
        env = {**os.environ, "SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
        done = subprocess.run(
            process.dies_with_us(line), env=env, stdin=subprocess.DEVNULL, check=False
        )
    return done.returncode


def clone(folder: Path) -> None:
    """Clone this checkout's last commit, whoever owns the checkout."""
    trusting = ("GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
    command = ["git", "clone", "--quiet", CHECKOUT.as_uri(), str(folder)]
    subprocess.run(["env", *trusting, *command], check=True)


_ADD_USER = r"""
useradd --create-home --shell /bin/bash "$1"
chown -R "$1:" "/home/$1"
echo "$1 ALL = (ALL) NOPASSWD: ALL
Defaults env_keep += \"http_proxy https_proxy no_proxy\"" > /etc/sudoers.d/fresh
"""


def connect(machine: System) -> None:
    """Let the machine's apt and pip reach what those of this machine reach."""
    acquire = subprocess.run(
        ["apt-config", "dump", "Acquire"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    (machine.root / "etc/apt/apt.conf.d/99fresh").write_text(acquire, encoding="utf-8")
    for path, name in _PIP_FILES.items():
        if path.is_file():
            (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, machine.root / name)
    if Path("/", _ADDED_CAS).is_dir():
        shutil.copytree(Path("/", _ADDED_CAS), machine.root / _ADDED_CAS, dirs_exist_ok=True)
        machine.run("update-ca-certificates").or_fail()


def told(user: str) -> dict[str, str]:
    """What the environment tells pip here; and root, with CI set, that nothing may be skipped."""
    env = {name: value for name, value in os.environ.items() if _TOLD.fullmatch(name)}
    if user == "root" and "CI" in os.environ:
        env["CI"] = os.environ["CI"]
    return env


def folders_of_pip() -> list[str]:
    """The folders of this machine that pip takes packages from; an index has files beside it."""
    texts = [value for name, value in os.environ.items() if name.startswith("PIP_")]
    texts += [path.read_text(encoding="utf-8") for path in _PIP_FILES if path.is_file()]
    words = " ".join(texts).split()
    found = {Path(word) for word in words if word.startswith("/")}
    found |= {Path(word[7:]).parent for word in words if word.startswith("file:///")}
    return sorted(str(path) for path in found if path.is_dir())


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(str(error))
