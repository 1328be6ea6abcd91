"""The version stands in the package; what has to repeat it repeats the same."""

from __future__ import annotations

import re

from tests.release.source import ROOT, VERSION


def test_the_debian_changelog_says_the_version_of_the_package() -> None:
    first = (ROOT / "debian" / "changelog").read_text(encoding="utf-8").splitlines()[0]
    match = re.match(r"certbot-tcs-lyon1 \((.+)-\d+\) ", first)
    assert match is not None
    assert match[1] == VERSION


def test_the_changelog_of_the_collection_says_its_version() -> None:
    galaxy = (ROOT / "ansible" / "galaxy.yml").read_text(encoding="utf-8")
    changelog = (ROOT / "ansible" / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0]
    assert re.findall(r"^version: (.+)$", galaxy, re.MULTILINE) == [newest]


def test_no_document_has_to_be_edited_for_a_new_version() -> None:
    """A file's name is written with `*` there."""
    pages = {*ROOT.glob("*.rst"), *ROOT.glob("docs/**/*.rst"), ROOT / "ansible" / "README.md"}
    pages -= {ROOT / "CHANGELOG.rst"}
    assert [page.name for page in pages if VERSION in page.read_text(encoding="utf-8")] == []
