"""One nginx and two CAs for all tests of the watch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.watch import web as web_module
from tests.watch.authority import Authority
from tests.watch.web import Web


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web_module.running(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ec")


@pytest.fixture(scope="session")
def rsa_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "rsa", "rsa")
