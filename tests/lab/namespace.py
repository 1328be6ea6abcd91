"""A network of its own for a command, with a loopback only: there, servers can have port 53.

    python -m tests.lab.namespace -- COMMAND…

Root gets it at once; others by way of a user namespace, where the system permits those. Other
addresses than 127.0.0.1 and ::1 are there as well (ADDRESSES), because named binds only what an
interface has.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Optional

from tests.lab import process
from tests.lab.errors import LabError, MissingProgram

ADDRESSES = ("127.0.0.2/8", "127.0.0.3/8", "fd00::2/64", "fd00::3/64")
_INSIDE = "--inside"


def command(inner: Sequence[str]) -> list[str]:
    """The command that runs `inner` in a network namespace of its own."""
    here = [sys.executable, "-m", "tests.lab.namespace", _INSIDE, "--", *inner]
    return [*_unshare(), *here]


def why_not() -> Optional[str]:
    """Why no namespace can be made here; None if one can."""
    try:
        process.need("ip", "iproute2")
        attempt = [*_unshare(), process.need("ip", "iproute2"), "link", "set", "lo", "up"]
    except MissingProgram as error:
        return str(error)
    done = subprocess.run(
        attempt, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return f"no network namespace: {done.stdout.strip()}" if done.returncode else None


def _unshare() -> list[str]:
    return [
        process.need("unshare", "util-linux"),
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "--net",
    ]


def _bring_up() -> None:
    """Bring the loopback up (it is down in a new namespace), with the extra addresses."""
    ip = process.need("ip", "iproute2")
    subprocess.run([ip, "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run([ip, "address", "add", address, "dev", "lo"], check=True)


def main(args: Sequence[str]) -> int:
    """Become the command after `--`, in the namespace; return only if that can't be."""
    inside = list(args[:1]) == [_INSIDE]
    rest = args[1:] if inside else args
    if len(rest) < 2 or rest[0] != "--":
        print("usage: python -m tests.lab.namespace -- COMMAND...", file=sys.stderr)
        return 2
    try:
        if inside:
            _bring_up()
        line = list(rest[1:]) if inside else command(rest[1:])
        os.execvp(line[0], line)
    except (LabError, OSError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
