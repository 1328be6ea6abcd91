"""What the plugin costs where it isn't needed: nothing heavy is imported before it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.test_issue_and_renew import CERTONLY
from tests.lab import lab as lab_module
from tests.lab.require import require_lab


def imported_by(client, *args: str) -> set[str]:
    """The modules that a run of certbot imported."""
    client.run("--version")  # makes the folders
    done = subprocess.run(
        [sys.executable, "-X", "importtime", client.executable, *args, *client.folder_options()],
        env=client.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("args", [("--version",), ("plugins",), ("certificates",)])
def test_other_commands_import_nothing_but_the_porch(client, args):
    ours = {name for name in imported_by(client, *args) if name.startswith("certbot_tcs_lyon1")}
    assert "certbot_tcs_lyon1.compat" in ours
    # What certbot imports by name (the entry point) is not in Python's list on every version.
    assert ours <= {
        "certbot_tcs_lyon1",
        "certbot_tcs_lyon1.compat",
        "certbot_tcs_lyon1.plugin",
    }


def test_dnspython_stays_out_until_a_challenge_is_answered(tmp_path):
    require_lab()
    with lab_module.start(tmp_path, authz_reuse=100) as lab:
        lab.write_department_config()
        assert lab.certbot(*CERTONLY).returncode == 0
        modules = imported_by(lab.client, "renew", "--force-renewal")
    assert "certbot_tcs_lyon1.department" in modules
    assert not any(name == "dns" or name.startswith("dns.") for name in modules)
