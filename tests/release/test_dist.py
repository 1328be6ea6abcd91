"""What `make dist` builds: the same bytes from the same commit, wherever and whenever."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import certbot_tcs_lyon1
from tests.lab.require import cannot_run
from tests.release import source

PYTHON = source.ROOT / ".venv-dist" / "bin" / "python"


def build(folder: Path, umask: int) -> dict[str, Path]:
    """Build in a copy of the tree in `folder`, whose files are of now; what was built, by name."""
    if not PYTHON.exists():
        cannot_run("there is no .venv-dist: make .venv-dist/made")
    source.run("tar", "-xzf", str(source.make_sdist(folder)), "-C", str(folder))
    (tree,) = (entry for entry in folder.iterdir() if entry.is_dir())
    for path in tree.rglob("*"):
        path.chmod(path.stat().st_mode & ~umask)
        os.utime(path)
    done = subprocess.run(
        ["sh", "release/make-dist", str(PYTHON)],
        cwd=str(tree),
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path for path in (tree / "dist").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("one"), 0o022)


def test_two_people_build_the_same_bytes(built, tmp_path):
    again = build(tmp_path, 0o077)

    def sums(files: dict[str, Path]) -> dict[str, str]:
        return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}

    assert len(built) == 2
    assert sums(again) == sums(built)


def test_both_bear_the_version_of_the_package(built):
    name = f"certbot_tcs_lyon1-{certbot_tcs_lyon1.__version__}"
    assert set(built) == {f"{name}.tar.gz", f"{name}-py3-none-any.whl"}


def test_the_wheel_has_the_whole_package_and_nothing_else(built):
    (wheel,) = (path for name, path in built.items() if name.endswith(".whl"))
    package = Path(certbot_tcs_lyon1.__file__).parent
    expected = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected


def test_the_sdist_has_the_tests_and_the_documentation(built):
    (sdist,) = (path for name, path in built.items() if name.endswith(".tar.gz"))
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/department/test_reader.py", "docs/guide-drao.rst", "Makefile"} <= names
