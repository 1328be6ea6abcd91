"""Tests that run where no packet can leave: in a network namespace with nothing but a loopback."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from tests.lab import namespace
from tests.lab.require import require_namespace

ROOT = Path(__file__).parents[2]


def alone(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run the test as it is where there is only a loopback, and else in a namespace of its own, by
    another pytest."""
    if [name for _, name in socket.if_nameindex()] == ["lo"]:
        return test
    module = Path(sys.modules[test.__module__].__file__ or "")

    def elsewhere() -> None:
        require_namespace()
        words = ("-q", "-p", "no:cacheprovider", f"{module}::{test.__name__}")
        done = subprocess.run(
            namespace.command([sys.executable, "-m", "pytest", *words]),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            timeout=120,
            check=False,
        )
        assert " passed" in done.stdout, done.stdout

    functools.update_wrapper(elsewhere, test)
    del elsewhere.__wrapped__  # pytest would look there for the fixtures
    return elsewhere
