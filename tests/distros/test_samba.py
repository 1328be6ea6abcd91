"""Debian 13's Samba (4.22), in its own root: all that `tests/integration` tries on Debian 12's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.lab import namespace, require, samba, system

_CHECKOUT = Path(__file__).resolve().parents[2]


def test_all_of_it_on_the_samba_of_debian_13(tmp_path: Path) -> None:
    require.require_lab()
    require.require_namespace()
    reason = system.why_not()
    if reason:
        require.cannot_run(reason)
    with system.fresh("trixie", tmp_path / "trixie") as debian:
        packages = [*samba.PACKAGE.split(), "krb5-user"]
        debian.run("apt-get", "update").or_fail()
        debian.run("apt-get", "install", "-y", "--no-install-recommends", *packages).or_fail()
        done = subprocess.run(
            namespace.command(
                [sys.executable, "-m", "tests.integration.samba_steps", str(debian.root)]
            ),
            cwd=_CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout
