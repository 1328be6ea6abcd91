"""Two profiles: `short`, always the same examples; `long` (FUZZ=long), which keeps its finds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

#: Milliseconds that one example may take.
_DEADLINE = 2000

settings.register_profile(
    "short",
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=_DEADLINE,
    suppress_health_check=_SLOW,
)
settings.register_profile(
    "long",
    max_examples=1000,
    database=DirectoryBasedExampleDatabase(Path(__file__).with_name("seeds")),
    deadline=_DEADLINE,
    suppress_health_check=_SLOW,
)
settings.load_profile(os.environ.get("FUZZ", "short"))


@pytest.fixture(autouse=True, scope="session")
def _nothing_but_loopback() -> None:
    """Whatever address is made up, no packet leaves the machine."""
    found = [name for _, name in socket.if_nameindex()]
    assert found == ["lo"], f"run `make fuzz`: these are no place for made-up addresses: {found}"
