"""`python -m tests.matrix [PLATFORM…]`: all tests of the wheel, on the certbot of each platform.

A platform is a file of pip constraints beside this one, and its first lines say what it is. For
each there is a virtual environment with those versions and the wheel from dist/; the tests come
from the sdist, whose own copy of the package is taken away, so that only the wheel can be tested.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = Path(__file__).resolve().parent
FOLDER = CHECKOUT / "build" / "matrix"
TEST_TOOLS = CHECKOUT / "tests" / "env" / "test.txt"

_SHOWN = ("certbot", "python", "dnspython")
_VERSIONS = """
import importlib.metadata as metadata, platform
print(metadata.version("certbot"), platform.python_version(), metadata.version("dnspython"))
"""
_WIDTHS = (16, 8, 8, 9)


@dataclass(frozen=True)
class Platform:
    """A platform: its file's name, what it is, and the Python that it has (`3.9`)."""

    key: str
    title: str
    python: str

    @property
    def constraints(self) -> Path:
        """The versions that it ships."""
        return CONSTRAINTS / f"{self.key}.txt"


@dataclass(frozen=True)
class Row:
    """A line of the table at the end; `passed` and `total` count tests, less the skipped ones."""

    title: str
    versions: tuple[str, ...]
    passed: int = 0
    total: int = 0
    trouble: str = ""

    @property
    def is_green(self) -> bool:
        """Whether every test passed, and there were some."""
        return not self.trouble and 0 < self.passed == self.total


def main(args: Sequence[str]) -> int:
    """Run the platforms named, by default all; the exit code."""
    every = platforms()
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("platform", nargs="*", help=f"some of: {', '.join(every)}")
    wanted = parser.parse_args(args).platform or list(every)
    unknown = [key for key in wanted if key not in every]
    if unknown:
        parser.error(f"no such platform: {', '.join(unknown)} (there are {', '.join(every)})")
    FOLDER.mkdir(parents=True, exist_ok=True)
    source, wheel = unpack_sdist(), the_only("*.whl")
    rows = []
    for key in wanted:
        print(f"{every[key].title} ...", flush=True)
        rows.append(run(every[key], source, wheel))
        print(line(rows[-1]), flush=True)
    print("\n" + table(rows))
    return 0 if all(row.is_green for row in rows) else 1


def platforms() -> dict[str, Platform]:
    """The platforms by the names of their files, the oldest certbot first."""
    found = []
    for path in CONSTRAINTS.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        head = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
        certbot = re.search(r"^certbot==([0-9.]+)", text, re.MULTILINE)
        if not {"platform", "python", "date", "source"} <= set(head) or certbot is None:
            raise LabError(f"{path}: its first lines must say platform, python, date and source")
        order = tuple(int(part) for part in certbot[1].split("."))
        found.append((order, Platform(path.stem, head["platform"], head["python"])))
    return {platform.key: platform for _, platform in sorted(found, key=lambda pair: pair[0])}


def the_only(pattern: str) -> Path:
    """What `make dist` built."""
    found = sorted((CHECKOUT / "dist").glob(f"certbot_tcs_lyon1-{pattern}"))
    if len(found) != 1:
        raise LabError(f"not one dist/certbot_tcs_lyon1-{pattern}: run make dist")
    return found[0]


def unpack_sdist() -> Path:
    """The sdist's folder, without the package."""
    folder = FOLDER / "sdist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checked(["tar", "-xzf", str(the_only("*.tar.gz")), "-C", str(folder)], FOLDER / "sdist.log")
    (source,) = folder.iterdir()
    shutil.rmtree(source / "certbot_tcs_lyon1")
    return source


def run(platform: Platform, source: Path, wheel: Path) -> Row:
    """Make the platform's environment if need be, and run the tests in it."""
    try:
        python = environment(platform, wheel)
    except (LabError, OSError) as error:
        return Row(platform.title, ("-",) * len(_SHOWN), trouble=str(error))
    versions = subprocess.check_output([str(python), "-c", _VERSIONS], text=True).split()
    report = FOLDER / f"{platform.key}.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "4"]
    command += ["--ignore", "tests/fuzz"]  # it wants a namespace of its own, whatever the certbot
    log = FOLDER / f"{platform.key}.log"
    code = logged([*command, f"--junitxml={report}"], source, log)
    passed, total = counted(report)
    trouble = "" if code == 0 else f"pytest ended with {code}; see {log}"
    if trouble:
        print(process.tail(log, 40), flush=True)
    return Row(platform.title, tuple(versions), passed, total, trouble)


def environment(platform: Platform, wheel: Path) -> Path:
    """The Python of the platform's virtual environment, with the wheel in it."""
    folder = FOLDER / platform.key
    python, made = folder / "bin" / "python", folder / "made"
    sources = (platform.constraints, TEST_TOOLS)
    log = FOLDER / f"{platform.key}-install.log"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--constraint", str(platform.constraints)]
    if not (made.exists() and python.exists()) or any(
        p.stat().st_mtime > made.stat().st_mtime for p in sources
    ):
        checked([interpreter(platform), "-m", "venv", "--clear", str(folder)], log)
        checked([*install, "certbot", "setuptools", "--requirement", str(TEST_TOOLS)], log)
        made.touch()
    checked([*pip, "uninstall", "--yes", "certbot-tcs-lyon1"], log)
    checked([*install, str(wheel)], log)
    return python


def interpreter(platform: Platform) -> str:
    """The Python that the platform has; LabError if it isn't to be had here."""
    command = ["sh", str(CHECKOUT / "tests" / "env" / "python"), platform.python]
    own = CONSTRAINTS / f"python{platform.python}"
    if own.exists():  # makes it
        command = ["sh", str(own), str(FOLDER / own.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(done.stderr.strip())
    return done.stdout.strip()


def checked(command: Sequence[str], log: Path) -> None:
    """Run a command; LabError with the end of its output if it fails."""
    if logged(command, CHECKOUT, log) != 0:
        raise LabError(f"{' '.join(command)} failed:\n{process.tail(log)}")


def logged(command: Sequence[str], folder: Path, log: Path) -> int:
    """Run a command with its output in a file; the exit code. What can't be tested here fails."""
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=str(folder),
            env={**os.environ, "CI": "true"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode


def counted(report: Path) -> tuple[int, int]:
    """How many tests passed, and how many there were, less those that were skipped."""
    if not report.exists():
        return 0, 0
    suite = ElementTree.parse(report).getroot().find("testsuite")
    kinds = ("tests", "skipped", "failures", "errors")
    tests, skipped, *bad = (0 if suite is None else int(suite.get(kind, "0")) for kind in kinds)
    return tests - skipped - sum(bad), tests - skipped


def line(row: Row) -> str:
    """A row of the table."""
    verdict = row.trouble.splitlines()[0] if row.trouble else f"{row.passed} of {row.total}"
    cells = zip((row.title, *row.versions), _WIDTHS)
    return "  ".join([*(text.ljust(width) for text, width in cells), verdict])


def table(rows: Sequence[Row]) -> str:
    """All rows under their heads."""
    head = line(Row("platform", _SHOWN, trouble="tests passed"))
    return "\n".join([head, *(line(row) for row in rows)])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        sys.exit(str(error))
