"""CONTRIBUTING.rst, whose steps are lists of files."""

from __future__ import annotations

import re

from tests.docs import blocks

TEXT = (blocks.ROOT / "CONTRIBUTING.rst").read_text(encoding="utf-8")


def test_every_file_that_it_names_is_there() -> None:
    named = set(re.findall(r"``([\w.-]+/[\w./-]*)``|image:: (\S+)", TEXT))
    paths = {text or image for text, image in named}
    assert {"tests/env/packages", "docs/diagrams/rooms.svg", "certbot_tcs_lyon1/plugin.py"} <= paths
    assert [path for path in sorted(paths) if not (blocks.ROOT / path).exists()] == []


def test_every_room_of_the_package_is_on_the_plan() -> None:
    plan = (blocks.ROOT / "docs" / "diagrams" / "rooms.svg").read_text(encoding="utf-8")
    folder = blocks.ROOT / "certbot_tcs_lyon1"
    rooms = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
    rooms -= {"__init__", "__pycache__"}
    missing = {room for room in rooms if not re.search(rf"\b{room}\b", plan)}
    assert missing == set()
