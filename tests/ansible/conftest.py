"""The collection as `make collection` builds it, the systems below the hosts, and the lab."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.fleet import VERSIONS, Control, Host, host
from tests.distros import packages
from tests.lab import system
from tests.lab.lab import Lab
from tests.lab.require import cannot_run

_CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def deb() -> Path:
    """The `.deb` that `make deb` has built."""
    return packages.built(f"{packages.NAME}_*_all.deb")


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that `make dist` has built."""
    return packages.built("certbot_tcs_lyon1-*.whl")


@pytest.fixture(scope="session")
def collection() -> Path:
    """The collection that `make collection` has built."""
    return packages.built("univ_lyon1-tcs-*.tar.gz")


@pytest.fixture(params=VERSIONS)
def control(request: pytest.FixtureRequest, tmp_path: Path, collection: Path) -> Control:
    """A control machine with each version of ansible-core, which has installed the collection."""
    return control_with(request.param, tmp_path / "control", collection)


def control_with(version: str, folder: Path, collection: Path) -> Control:
    """A control machine in `folder`."""
    if not (_CHECKOUT / VERSIONS[version]).exists():
        cannot_run(f"no {VERSIONS[version]}: make fleet")
    folder.mkdir()
    made = Control(version, folder, folder / "inventory.json")
    made.command("ansible-galaxy", "collection", "install", str(collection)).or_fail()
    return made


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[Callable]:
    """`bare(RELEASE)`: a Debian with Python, which trusts the lab's CA, to put hosts over."""

    def make(new: system.System) -> None:
        new.trust(lab.pebble.ca_bundle)
        new.run("apt-get", "update").or_fail()

    include = ("ca-certificates", "python3", "python3-apt")
    with packages.by_release(tmp_path_factory.mktemp("bare"), make, include) as made:
        yield made


@pytest.fixture
def hosts_of(bare: Callable, tmp_path: Path) -> Iterator[Callable]:
    """`hosts_of({NAME: RELEASE})`: hosts over bare systems."""
    with contextlib.ExitStack() as stack:

        def make(wanted: dict[str, Any]) -> list[Host]:
            return [
                stack.enter_context(host(name, bare(release), tmp_path / "hosts" / name))
                for name, release in wanted.items()
            ]

        yield make
