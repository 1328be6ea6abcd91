"""The reference lists every key of the department config once."""

from __future__ import annotations

import re
from pathlib import Path

import certbot_tcs_lyon1
from certbot_tcs_lyon1.department.keys import KEYS
from tests.integration.options import defined_in

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference.rst").read_text("utf-8")


def test_it_lists_every_key_once():
    shared = {("department", name) for name in KEYS["tcs"]}
    expected = {(kind, name) for kind, keys in KEYS.items() for name in keys} - shared
    assert sorted(re.findall(r"^\.\. key:: (\w+) (\w+)$", TEXT, re.MULTILINE)) == sorted(expected)


def test_the_options_are_those_of_the_manual():
    assert defined_in(TEXT) == defined_in(certbot_tcs_lyon1.__doc__)
