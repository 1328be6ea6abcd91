"""The lab for the tests: started once, and a certbot of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import certbot
import pytest

from tests.lab import lab as lab_module
from tests.lab import proxy
from tests.lab.certbot import Certbot
from tests.lab.lab import Lab
from tests.lab.require import require_lab


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors; on an old certbot, whose own libraries warn of each other, ours are."""
    if int(certbot.__version__.split(".")[0]) < 4:
        config.addinivalue_line("filterwarnings", "default")
        config.addinivalue_line("filterwarnings", r"error:::certbot_tcs_lyon1(\..*)?")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for tests that leave it as they found it."""
    require_lab()
    with lab_module.start(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def client(lab: Lab, tmp_path: Path) -> Certbot:
    """A certbot that knows nothing yet."""
    return Certbot(tmp_path / "certbot", lab.pebble.ca_bundle, lab.client.executable)


@pytest.fixture
def configure(client: Certbot) -> Callable[[str], Path]:
    """Write the text as `client`'s department config, where the plugin looks for it."""
    return client.configure


@pytest.fixture
def between(lab: Lab) -> Iterator[proxy.Proxy]:
    """A proxy before the lab's primary, which passes everything until it is told otherwise."""
    with proxy.running(lab.primary.endpoint) as running:
        yield running
