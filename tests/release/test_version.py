"""The version, wherever the documentation repeats it."""

from __future__ import annotations

import re

from tests.release.source import ROOT, VERSION


def test_the_documentation_names_the_files_of_this_version() -> None:
    pages = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    named = [
        (page.name, version)
        for page in pages
        for version in re.findall(
            r"certbot[_-]tcs[_-]lyon1[_-](\d[\d.]*\d)", page.read_text(encoding="utf-8")
        )
    ]
    assert ("packaging.rst", VERSION) in named
    assert {version for _, version in named} == {VERSION}, named
