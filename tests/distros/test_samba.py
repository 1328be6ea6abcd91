"""Debian 13's Samba (4.22), in its own root: all that `tests/integration` tries on Debian 12's."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lab import namespace, process, require, samba, system

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
        steps = [sys.executable, "-m", "tests.integration.samba_steps", str(debian.root)]
        process.output("samba_steps", namespace.command(steps), _CHECKOUT, seconds=300)
