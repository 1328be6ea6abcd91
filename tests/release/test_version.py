"""The version stands in the package; what has to repeat it repeats the same."""

from __future__ import annotations

import re

from tests.release.source import ROOT, VERSION


def test_the_debian_changelog_says_the_version_of_the_package() -> None:
    first = (ROOT / "debian" / "changelog").read_text(encoding="utf-8").splitlines()[0]
    match = re.match(r"certbot-tcs-lyon1 \((.+)-\d+\) ", first)
    assert match is not None
    assert match[1] == VERSION


def test_no_document_has_to_be_edited_for_a_new_version() -> None:
    """A file's name is written with `*` there."""
    pages = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    assert [page.name for page in pages if VERSION in page.read_text(encoding="utf-8")] == []
