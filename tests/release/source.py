"""The source tree, the sdist that is made of it, and the commands that packages are built with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from tests.lab.require import cannot_run

ROOT = Path(__file__).resolve().parents[2]

VERSION = re.findall(
    r'^__version__ = "([^"]+)"$',
    (ROOT / "certbot_tcs_lyon1" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
)[0]

#: What a checkout holds and an sdist does not.
_NOT_IN_THE_SDIST = re.compile(r"\.(?!ci$)|(build|dist|__pycache__)$|.*\.(egg-info|py[cod])$")


def need(programs: Mapping[str, str], modules: Sequence[str]) -> None:
    """Go on only with these programs (and their Debian packages) and modules of Debian's Python."""
    for program, package in programs.items():
        if shutil.which(program) is None:
            cannot_run(f"{program} not found: apt-get install {package}")
    for module in modules:
        ask = ["/usr/bin/python3", "-I", "-c", f"import {module}"]
        if subprocess.run(ask, check=False).returncode:
            cannot_run(f"Debian's Python has no {module}: apt-get install python3-{module}")


def run(
    *command: str, folder: Optional[Path] = None, env: Optional[Mapping[str, str]] = None
) -> str:
    """What the command prints; the test fails with all of its output if the command does.

    It sees nothing of the test run around it: pytest and coverage would go on in it.
    """
    ours = ("COV", "PYTEST_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    result = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}"
    return result.stdout


def make_sdist(folder: Path) -> Path:
    """The sdist of the tree as it stands, in `folder`."""
    name = f"certbot_tcs_lyon1-{VERSION}"
    path = folder / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for entry in sorted(ROOT.iterdir()):
            if not _NOT_IN_THE_SDIST.match(entry.name):
                archive.add(entry, f"{name}/{entry.name}", filter=_in_the_sdist)
    return path


def _in_the_sdist(member: tarfile.TarInfo) -> Optional[tarfile.TarInfo]:
    return None if _NOT_IN_THE_SDIST.match(Path(member.name).name) else member
