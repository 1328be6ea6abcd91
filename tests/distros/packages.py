"""The packages under test: what `make deb` and `make dist` have built, and an older `.deb`."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

from tests.lab import process, system
from tests.lab.require import cannot_run
from tests.lab.system import System

NAME = "python3-certbot-tcs-lyon1"
OLDER = "0.0.9"
_DIST = Path(__file__).resolve().parents[2] / "dist"
_MODULES = "usr/lib/python3/dist-packages"


def built(pattern: str) -> Path:
    """The newest file of `dist` whose name fits."""
    files = sorted(_DIST.glob(pattern), key=lambda file: file.stat().st_mtime)
    if not files:
        cannot_run(f"no {_DIST}/{pattern}: make deb dist")
    return files[-1]


@contextlib.contextmanager
def by_release(
    folder: Path, make: Callable[[System], object], include: Sequence[str] = ()
) -> Iterator[Callable[[str], System]]:
    """Systems in `folder` until the context ends: `made(RELEASE)`, each made on first use.

    `make` has a minimal one (with the packages of `include`) to make more of.
    """
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    made: dict[str, System] = {}
    with contextlib.ExitStack() as stack:

        def one(release: str) -> System:
            if release not in made:
                new = stack.enter_context(system.fresh(release, folder / release, include))
                make(new)
                made[release] = new
            return made[release]

        yield one


def install(system: System, deb: Path, *more: str) -> process.Done:
    """Install the file, and more packages or options, as an administrator would, with apt."""
    place = system.root / "root" / deb.name
    shutil.copyfile(deb, place)
    return system.run("apt-get", "install", "-y", *more, f"/root/{deb.name}").or_fail()


def older(deb: Path, folder: Path) -> Path:
    """The same package as version OLDER, made in `folder`."""
    tree = folder / "older"
    dpkg_deb = process.need("dpkg-deb", "dpkg")
    subprocess.run([dpkg_deb, "--raw-extract", str(deb), str(tree)], check=True)
    _edit(tree / "DEBIAN/control", r"^Version: .*$", f"Version: {OLDER}-1")
    _edit(
        tree / _MODULES / "certbot_tcs_lyon1/__init__.py",
        r"^__version__ = .*$",
        f'__version__ = "{OLDER}"',
    )
    (metadata,) = (tree / _MODULES).glob("certbot_tcs_lyon1-*")
    _edit(metadata / "METADATA", r"^Version: .*$", f"Version: {OLDER}")
    metadata.rename(metadata.with_name(f"certbot_tcs_lyon1-{OLDER}{metadata.suffix}"))
    made = folder / f"{NAME}_{OLDER}-1_all.deb"
    command = [dpkg_deb, "--root-owner-group", "--build", str(tree), str(made)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


def traces(system: System) -> list[str]:
    """What there is of the package among the system's Python modules, sorted."""
    return sorted(path.name for path in (system.root / _MODULES).glob("certbot_tcs_lyon1*"))


def _edit(path: Path, line: str, instead: str) -> None:
    text, count = re.subn(line, instead, path.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1, path
    path.write_text(text, encoding="utf-8")
