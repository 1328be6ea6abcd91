"""SECURITY.rst: each test that it names is there, so no sentence outlives what holds it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"``(tests/\S+\.py)::(\w+)``", (ROOT / "SECURITY.rst").read_text("utf-8"))


def test_it_names_tests():
    assert len(NAMED) > 30


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_it_names_is_there(file, name):
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert name in functions
