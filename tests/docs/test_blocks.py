"""Every command and every config in the documentation says how it is tested."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import department
from tests.docs import blocks
from tests.lab import zones
from tests.lab.pebble import new_hmac_key

DOCUMENTS = [blocks.ROOT / "README.rst", *sorted((blocks.ROOT / "docs").glob("*.rst"))]
DEPARTMENT = "[department labo]\neab_kid = KEY_ID\neab_hmac_key = HMAC_KEY\n"
EVERY = [block for path in DOCUMENTS for block in blocks.of(path)]


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_a_block_says_how_it_is_tested(block):
    assert block.mark, (
        f"{block.path}, line {block.line}: put a mark in front (tests/docs/blocks.py)"
    )
    assert block.about or block.mark == "output", "a mark says with what, where, or why not"


def test_a_system_that_commands_are_run_on_is_one_that_the_tests_have():
    """Debian 12 is that of tests/guide, the others are those of test_dns_page."""
    systems = {block.about for block in EVERY if block.mark == "run"}
    assert systems == {"debian-12", "bind", "knot", "pdns", "web"}


@pytest.mark.parametrize(
    "block", [b for b in EVERY if (b.mark, b.about) == ("load", "department")], ids=str
)
def test_a_department_config_loads_as_it_is_shown(block, tmp_path):
    """With the portal's values, the TSIG key's file, and a department if it shows none."""
    zones.write_key_file(tmp_path / "tcs-lyon1.key", zones.new_key("tcs-lyon1"))
    text = block.text if "[department " in block.text else f"{DEPARTMENT}\n{block.text}"
    text = text.replace("= KEY_ID", "= kid").replace("= HMAC_KEY", f"= {new_hmac_key()}")
    path = tmp_path / "tcs-lyon1.ini"
    path.touch(mode=0o600)
    path.write_text(text.replace("= /etc/letsencrypt/tcs-lyon1.key", f"= {tmp_path}/tcs-lyon1.key"))
    assert department.read(str(path)).warnings == ()


def test_every_config_to_be_loaded_is_of_a_kind_that_tests_load():
    """The others are test_dns_page's."""
    kinds = {block.about for block in EVERY if block.mark == "load"}
    assert kinds == {"department", "dns section", "zone", "bind", "bind views", "knot", "pdns"}


def test_what_the_manual_shows_is_in_a_tested_block_elsewhere(tmp_path):
    """The docstring has no marks, for `pydoc` would show them."""
    path = Path(tmp_path / "manual.rst")
    path.write_text(inspect.cleandoc(certbot_tcs_lyon1.__doc__ or ""), encoding="utf-8")
    tested = {
        line.strip()
        for block in EVERY
        if block.mark != "output"
        for line in block.text.splitlines()
    }
    missing = {
        line.strip()
        for block in blocks.of(path)
        for line in block.text.splitlines()
        if line.strip() and line.strip() not in tested
    }
    assert missing == set()
