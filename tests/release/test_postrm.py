"""What the .deb says when it is removed, of files that anybody may have put there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "debian" / "python3-certbot-tcs-lyon1.postrm"


def test_a_pipe_does_not_hold_it_up_and_odd_names_are_shown_as_they_are(tmp_path):
    renewal = tmp_path / "renewal"
    renewal.mkdir()
    os.mkfifo(renewal / "pipe.conf")
    for name in ("www.labo.univ-lyon1.fr", "back\\nslash", "escape\x1b[2J", "other"):
        plugin = "apache" if name == "other" else "tcs-lyon1"
        (renewal / f"{name}.conf").write_text(f"authenticator = {plugin}\n")
    script = SCRIPT.read_text().replace("/etc/letsencrypt", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", script, "postrm", "remove"], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:-1] == [
        "  back\\nslash",
        "  escape?[2J",
        "  www.labo.univ-lyon1.fr",
    ]
