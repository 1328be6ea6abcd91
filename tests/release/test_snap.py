"""The snap, as far as it can be looked at without snapcraft."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml
from certbot._internal import snap_config

from tests.release.source import ROOT, VERSION, make_sdist, need, run

SNAP = ROOT / "snap"
BASES = {"core24": "python3.12"}


@pytest.fixture
def snap() -> dict[str, Any]:
    """What snapcraft.yaml says."""
    return dict(yaml.safe_load((SNAP / "snapcraft.yaml").read_text(encoding="utf-8")))


def test_certbots_snap_finds_the_plugin_by_the_content_interface(snap: dict[str, Any]) -> None:
    python = BASES[snap["base"]]
    assert snap["slots"]["certbot"] == {
        "interface": "content",
        "content": "certbot-1",
        "read": [f"$SNAP/lib/{python}/site-packages"],
    }
    # Only a snap of the same Python is looked into; certbot before 3.0 does not say which it has.
    assert python == getattr(snap_config, "CURRENT_PYTHON_VERSION_STRING", python)


def test_the_snap_gets_certbots_version_where_its_hook_reads_it(snap: dict[str, Any]) -> None:
    hook = (ROOT / "snap" / "hooks" / "post-refresh").read_text(encoding="utf-8")
    assert f"{snap['plugs']['certbot-metadata']['target']}/certbot-version.txt" in hook
    assert snap["plugs"]["certbot-metadata"] == {
        "interface": "content",
        "content": "metadata-1",
        "target": "$SNAP/certbot-shared",
    }
    assert "certbot-shared" in snap["parts"]["certbot-metadata"]["override-build"]


def test_the_snap_says_the_version_of_the_package(snap: dict[str, Any]) -> None:
    script = snap["parts"][snap["adopt-info"]]["override-pull"]
    said = run(
        "bash", "-euc", f'craftctl() {{ echo "$@"; }}\n{script}', env={"CRAFT_PART_SRC": str(ROOT)}
    )
    assert said.splitlines() == ["default", f"set version={VERSION}"]


def test_the_snap_brings_dnspython_and_leaves_certbot_to_certbots_snap(
    snap: dict[str, Any], tmp_path: Path
) -> None:
    need({}, ["pip", "setuptools", "wheel"])
    environment = snap["parts"]["certbot-tcs-lyon1"]["build-environment"]
    run("tar", "-xzf", str(make_sdist(tmp_path)), "-C", str(tmp_path))
    run(
        *("/usr/bin/python3", "-m", "pip", "wheel", "--no-deps", "--no-index"),
        *("--no-build-isolation", "--use-pep517", "--wheel-dir", str(tmp_path), "."),
        folder=tmp_path / f"certbot_tcs_lyon1-{VERSION}",
        env={name: value for entry in environment for name, value in entry.items()},
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [re.split(r"\W", line)[0] for line in required] == ["dnspython"]


@pytest.mark.parametrize(
    ("certbot", "exit_code"),
    [("2.11.0", 1), ("3.0.0", 0), ("5.8.0", 0), ("10.0.0", 0), (None, 0)],
    ids=str,
)
def test_a_refresh_waits_for_a_certbot_that_finds_the_plugin(
    certbot: str | None, exit_code: int, tmp_path: Path
) -> None:
    hook = SNAP / "hooks" / "post-refresh"
    assert os.access(hook, os.X_OK)
    (tmp_path / "certbot-shared").mkdir()
    if certbot is not None:
        (tmp_path / "certbot-shared" / "certbot-version.txt").write_text(f"{certbot}\n")
    env = {**os.environ, "SNAP": str(tmp_path), "SNAP_DATA": str(tmp_path)}
    assert subprocess.run([hook], env=env, check=False).returncode == exit_code
