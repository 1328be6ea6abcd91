"""The package under test, and the systems that it is installed in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.distros import packages
from tests.distros.machine import Machine
from tests.lab import system
from tests.lab.lab import Lab


@pytest.fixture(scope="session")
def deb() -> Path:
    """The `.deb` that `make deb` has built."""
    return packages.built(f"{packages.NAME}_*_all.deb")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, deb: Path) -> Iterator[Callable]:
    """`installed(RELEASE)`: a minimal system in which apt has installed certbot and the package.

    There is one for each release, to be copied.
    """

    def make(new: system.System) -> None:
        new.run("apt-get", "update").or_fail()
        packages.install(new, deb, "certbot")
        new.run("apt-get", "clean").or_fail()

    with packages.by_release(tmp_path_factory.mktemp("installed"), make) as made:
        yield made


@pytest.fixture
def machine_of(installed: Callable, tmp_path: Path) -> Iterator[Callable]:
    """`machine_of(RELEASE, LAB)`: a machine of its own for this test, with that lab's config."""
    with contextlib.ExitStack() as stack:

        def make(release: str, lab: Lab) -> Machine:
            folder = tmp_path / f"{release}-system"
            machine = Machine(stack.enter_context(system.copied(installed(release), folder)))
            machine.join(lab)
            return machine

        yield make


@pytest.fixture(params=system.RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release in turn."""
    return str(request.param)
