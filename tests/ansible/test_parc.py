"""The page for fleets: its files and commands, in their order, on two machines."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.conftest import control_with
from tests.ansible.fleet import Control, Host
from tests.docs import blocks
from tests.lab.files import write_private
from tests.lab.lab import Lab

PAGE = blocks.ROOT / "docs" / "parc.rst"


def fill_in(text: str, lab: Lab) -> str:
    """What the reader fills in, and the lab in place of the university."""
    servers = [str(one.endpoint) for one in (lab.primary, lab.secondary)]
    names = {
        "KEY_ID": lab.eab_kid,
        "HMAC_KEY": lab.eab_hmac_key,
        "TSIG_KEY": json.dumps(lab.key_file.read_text("ascii")),
        "[ns-maj.univ-lyon1.fr]": f"{json.dumps(servers[:1])}\n    check_servers: {servers}",
        "agree_tos: true": f"agree_tos: true\n  server: {lab.pebble.directory_url}",
    }
    for word, instead in names.items():
        text = text.replace(word, instead)
    return re.sub(r"(?<!nom@)univ-lyon1\.fr", "univ-lyon1.test", text)


def run(control: Control, text: str) -> str:
    """Run the commands as the reader would; their output."""
    done = control.command("bash", "-ec", text, seconds=900)
    print(done.output)
    assert done.returncode == 0, done.output[-6000:]
    return done.output


def by_hand(host: Host, name: str) -> int:
    """Make the certificate one that was ordered without the plugin; its serial number."""
    conf = host.files.config_dir / "renewal" / f"{name}.conf"
    text = conf.read_text("utf-8").replace(
        "authenticator = tcs-lyon1", "authenticator = standalone"
    )
    kept = [line for line in text.splitlines() if not line.startswith(("installer", "tcs_lyon1"))]
    conf.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return host.files.certificate(name).serial


@pytest.fixture
def newest(tmp_path: Path, collection: Path, deb: Path) -> Control:
    """A control machine on which the package and the collection lie ready."""
    made = control_with("newest", tmp_path / "control", collection)
    shutil.rmtree(made.folder / "collections", ignore_errors=True)
    for file in (collection, deb):
        shutil.copy(file, made.folder)
    return made


def test_the_page_takes_two_machines_to_certificates_and_takes_over_what_was_made_by_hand(
    lab: Lab, newest: Control, hosts_of: Any
) -> None:
    hosts = {one.name: one for one in hosts_of({"www": "bookworm", "mail": "bookworm"})}
    for name, one in hosts.items():
        reach = {
            "ansible_connection": "nsenter",
            "ansible_nsenter_pid": one.pid,
            "ansible_become": False,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        write_private(newest.folder / "host_vars" / f"{name}.yml", json.dumps(reach))
    played, before = 0, 0
    mail = "mail.labo.univ-lyon1.test"
    for block in blocks.of(PAGE):
        if block.mark == "file":
            write_private(newest.folder / block.about, fill_in(block.text, lab))
            continue
        assert (block.mark, block.about) == ("run", "control")
        if "take_over" in block.text:
            before = by_hand(hosts["mail"], mail)
        output = run(newest, block.text)
        played += 1
        assert lab.eab_hmac_key not in output
        assert lab.key.secret not in output
        if "take_over" in block.text:
            taken = hosts["mail"].files.certificate(mail).serial
            assert taken != before
            assert hosts["mail"].files.renewal(mail)["authenticator"] == "tcs-lyon1"
    assert played == 7
    assert hosts["mail"].files.certificate(mail).serial == taken
    names = hosts["www"].files.certificate("www.labo.univ-lyon1.test").names
    assert names == ("labo.univ-lyon1.test", "www.labo.univ-lyon1.test")
