"""For tests: what can't run here is skipped with the reason, and fails on CI."""

import os
from typing import NoReturn, Optional

import pytest

from tests.lab import lab, namespace
from tests.lab.errors import MissingProgram


def require_lab() -> None:
    """Go on only where the lab can run."""
    try:
        lab.check_programs()
    except MissingProgram as error:
        cannot_run(str(error))


def require_namespace() -> None:
    """Go on only where a network namespace can be made."""
    reason: Optional[str] = namespace.why_not()
    if reason:
        cannot_run(reason)


def require_root(why: str) -> None:
    """Go on only as root, which the test needs because `why`."""
    if os.geteuid() != 0:
        cannot_run(f"{why}: only root can do that")


def cannot_run(reason: str) -> NoReturn:
    """Skip the test, or fail it if CI is set in the environment."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
