"""Where a test's department config is."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where a test's department config is written, by `write`."""
    return tmp_path / "tcs-lyon1.ini"
