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
from tests.lab.require import cannot_run


@pytest.fixture(scope="session")
def deb() -> Path:
    """The `.deb` that `make deb` has built."""
    return packages.built("python3-certbot-tcs-lyon1_*_all.deb")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, deb: Path) -> Iterator[Callable]:
    """`installed(RELEASE)`: a minimal system in which apt has installed certbot and the package.

    There is one for each release, to be copied.
    """
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    made: dict[str, system.System] = {}
    with contextlib.ExitStack() as stack:

        def install(release: str) -> system.System:
            if release not in made:
                folder = tmp_path_factory.mktemp("installed") / release
                new = stack.enter_context(system.fresh(release, folder))
                new.run("apt-get", "update").or_fail()
                packages.install(new, deb, "certbot")
                new.run("apt-get", "clean").or_fail()
                made[release] = new
            return made[release]

        yield install


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
