"""The packaging page names every file that the plugin leaves on a machine."""

from __future__ import annotations

import ast

from tests.docs.blocks import ROOT


def test_the_page_names_every_file_and_folder_of_the_plugin() -> None:
    names = {
        node.value.value
        for path in (ROOT / "certbot_tcs_lyon1").rglob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).endswith("NAME")
        if isinstance(node.value, ast.Constant) and str(node.value.value).startswith("tcs-lyon1")
    }
    assert len(names) == 8
    page = (ROOT / "docs" / "packaging.rst").read_text("utf-8")
    assert [name for name in sorted(names) if f"/{name}" not in page] == []
