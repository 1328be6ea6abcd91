"""Whoever copies the commands of a document, on a bare Debian 12, gets what it promises."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.distros import packages
from tests.docs import blocks
from tests.lab import namespace, system
from tests.lab.require import cannot_run, require_lab, require_namespace
from tests.lab.system import System


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A bare Debian 12 whose apt has fetched already what the documents install."""
    require_lab()
    require_namespace()
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    deb = packages.built(f"{packages.NAME}_*_all.deb")
    wanted = {
        word
        for name in blocks.PLAYED
        for block in blocks.of(blocks.ROOT / name)
        if block.mark == "run"
        for line in re.findall(r"^apt install (.*)$", block.text, re.MULTILINE)
        for word in line.split()
        if not word.startswith(("-", "./"))
    }
    folder = tmp_path_factory.mktemp("prepared") / "system"
    with system.fresh("bookworm", folder, system.BOOTABLE) as debian:
        shutil.copy(deb, debian.root / "root")
        debian.run("apt-get", "update").or_fail()
        fetch = ("apt-get", "install", "--yes", "--download-only", f"/root/{deb.name}")
        debian.run(*fetch, *sorted(wanted)).or_fail()
        yield debian


@pytest.mark.parametrize("document", list(blocks.PLAYED))
def test_the_commands_of_the_document_work_in_their_order(prepared, tmp_path, document):
    with system.copied(prepared, tmp_path / "system") as machine:
        stage = [sys.executable, "-m", "tests.guide.stage", document, str(machine.root)]
        done = subprocess.run(
            namespace.command([*stage, str(tmp_path)]),
            cwd=str(blocks.ROOT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
    print(done.stdout)
    assert done.returncode == 0
    served = re.findall(r"^Served: (\d+) certificates", done.stdout, re.MULTILINE)
    assert served == [str(blocks.PLAYED[document])]
