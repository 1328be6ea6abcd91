"""A lab for the tests of the lab itself."""

from collections.abc import Iterator

import pytest

from tests.lab import lab as laboratory
from tests.lab.require import require_lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[laboratory.Lab]:
    """One lab for all tests that leave it as it was, or change only names of their own."""
    require_lab()
    with laboratory.start(tmp_path_factory.mktemp("lab")) as started:
        yield started
