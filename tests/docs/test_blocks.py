"""Every command and every config in the documentation says how it is tested."""

from __future__ import annotations

import inspect
import re

import pytest

import certbot_tcs_lyon1
from certbot_tcs_lyon1.department import reader
from tests.docs import blocks
from tests.lab import zones
from tests.lab.files import write_private
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


#: The documents of which tests take each kind of block: those that tests/guide plays, and the
#: pages for the DNS, test_dns_page's. A department config is loaded below, wherever it stands.
PLAY = {str(blocks.ROOT / name) for name in blocks.PLAYED}
PARC = {str(blocks.ROOT / "docs" / "parc.rst")}  # tests/ansible/test_parc.py
SUPERVISION = {str(blocks.SUPERVISION)}
DNS = {str(blocks.ROOT / "docs" / name) for name in ("dns.rst", "dns.en.rst")}
TAKEN_FROM = {
    **{("run", system): DNS for system in ("bind", "knot", "pdns", "web", "samba", "kdc")},
    **{
        ("load", what): DNS
        for what in (
            *("dns section", "zone", "bind", "bind views", "knot", "pdns"),
            *("kerberos section", "kerberos grant"),
        )
    },
    **{("load", what): SUPERVISION for what in blocks.texts(blocks.SUPERVISION)},
    ("run", "debian-12"): PLAY,
    ("run", "control"): PARC,
    ("run", "debian-12, anew"): PLAY,
    ("past", "debian-12"): PLAY,
    ("load", "department"): {str(path) for path in DOCUMENTS},
}


@pytest.mark.parametrize("block", [b for b in EVERY if b.mark in ("run", "past", "load")], ids=str)
def test_a_command_or_config_stands_where_tests_take_it(block):
    assert str(block.path) in TAKEN_FROM[block.mark, block.about]


@pytest.mark.parametrize("block", [b for b in EVERY if b.mark in ("file", "output")], ids=str)
def test_a_file_or_output_stands_where_tests_take_it(block):
    assert str(block.path) in (PLAY | PARC if block.mark == "file" else PLAY | DNS)


@pytest.mark.parametrize(
    "block", [b for b in EVERY if (b.mark, b.about) == ("load", "department")], ids=str
)
def test_a_department_config_loads_as_it_is_shown(block, tmp_path):
    """With the portal's values, the TSIG key's file, and a department if it shows none."""
    zones.write_key_file(tmp_path / "tcs-lyon1.key", zones.new_key("tcs-lyon1"))
    text = block.text if "[department " in block.text else f"{DEPARTMENT}\n{block.text}"
    text = text.replace("= KEY_ID", "= kid").replace("= HMAC_KEY", f"= {new_hmac_key()}")
    text = text.replace("= /etc/letsencrypt/tcs-lyon1.key", f"= {tmp_path}/tcs-lyon1.key")
    path = write_private(tmp_path / "tcs-lyon1.ini", text)
    assert reader.read(str(path)).warnings == ()


def test_what_the_manual_shows_is_in_a_tested_block_elsewhere(tmp_path):
    """The docstring has no marks, for `pydoc` would show them."""
    path = tmp_path / "manual.rst"
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


def test_what_the_readme_points_to_is_there():
    """It is read where the repository is shown; the site has links of its own (test_site)."""
    text = (blocks.ROOT / "README.rst").read_text(encoding="utf-8")
    named = re.findall(r"<(?!http)([^>`]+)>`_|^\.\. image:: (\S+)", text, re.MULTILINE)
    paths = {link or image for link, image in named}
    assert {"docs/guide-drao.rst", "docs/bench.svg"} <= paths
    assert [path for path in sorted(paths) if not (blocks.ROOT / path).is_file()] == []
