"""A host on which things changed since its certificates were ordered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.conftest import control_with
from tests.ansible.fleet import Control, Host, Played, write_inventory
from tests.ansible.inventory import variables
from tests.lab import pebble
from tests.lab.lab import Lab

WWW, MAIL = "www.labo.univ-lyon1.test", "mail.labo.univ-lyon1.test"


@dataclass
class Day:
    """A host with two certificates, its control machine, and a second CA, which it trusts."""

    lab: Lab
    other: pebble.Pebble
    host: Host
    control: Control
    deb: Path

    def play(self, playbook: str, changes: dict[str, Any] | None = None, *more: str) -> Played:
        """Run the playbook with the inventory of the lab and the changes."""
        common = {**variables(self.lab, self.deb), **(changes or {})}
        common.setdefault("tcs_certificates", [{"name": WWW}, {"name": MAIL}])
        write_inventory(self.control.inventory, [self.host], common, {})
        return self.control.play(playbook, *more)

    def serials(self) -> dict[str, int]:
        """Of both certificates."""
        return {name: self.host.files.certificate(name).serial for name in (WWW, MAIL)}

    def kept(self, key: str) -> list[str]:
        """That option of both renewal confs."""
        return [self.host.files.renewal(name)[key] for name in (WWW, MAIL)]


@pytest.fixture
def day(lab: Lab, tmp_path: Path, hosts_of: Any, deb: Path, collection: Path) -> Iterator[Day]:
    """The host as it was set up by Ansible."""
    keys = {lab.eab_kid: lab.eab_hmac_key}
    with pebble.running(tmp_path / "other", lab.secondary.endpoint, keys) as other:
        [host] = hosts_of({"one": "bookworm"})
        where = "/usr/local/share/ca-certificates/other.crt"
        text = other.ca_bundle.read_text("ascii")
        host.run("sh", "-ec", f"echo '{text}' > {where}; update-ca-certificates")
        made = Day(lab, other, host, control_with("newest", tmp_path / "control", collection), deb)
        made.play("certificates").or_fail()
        yield made


def test_a_second_account_of_the_same_key_id_is_no_reason_to_renew(day: Day) -> None:
    day.host.run("mv", "/etc/letsencrypt/accounts", "/etc/letsencrypt/kept")
    forced = ("certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name")
    done = day.host.run(*forced, MAIL)
    assert done.returncode == 0, done.stderr
    day.host.run("cp", "-r", "/etc/letsencrypt/kept/.", "/etc/letsencrypt/accounts")
    assert len(set(day.kept("account"))) == 2
    before = day.serials()
    again = day.play("move_ca").or_fail()
    assert day.serials() == before
    assert again.total("changed") == 0
    assert "one has moved" not in again.output


def test_a_renewal_that_moves_nothing_is_told(day: Day) -> None:
    """Who wrote a server into cli.ini has taken the choice from the department config."""
    before = day.serials()
    new = {"tcs_common": {"server": day.other.directory_url, "agree_tos": True}}
    new["tcs_common"]["email"] = "prenom.nom@univ-lyon1.fr"
    cli = f"echo server = {day.lab.pebble.directory_url} > /etc/letsencrypt/cli.ini"
    day.host.run("sh", "-ec", cli)
    for more in (("--check",), ("-e", "tcs_move_now=false"), ("--check",)):
        quiet = day.play("move_ca", new, *more).or_fail()
        assert day.serials() == before
        assert "one has moved" not in quiet.output
    assert "one would move" in quiet.output

    stopped = day.play("move_ca", new)
    assert stopped.returncode != 0
    assert f"it still has {day.lab.pebble.directory_url}" in stopped.output
    assert "one has moved" not in stopped.output
    assert "Done so far: none" in stopped.output

    day.host.run("rm", "/etc/letsencrypt/cli.ini")
    assert "one has moved" in day.play("move_ca", new).or_fail().output
    assert day.kept("server") == [day.other.directory_url] * 2


def test_the_certificates_of_a_department_that_was_renamed_are_renewed_once_with_what_they_have(
    day: Day,
) -> None:
    lines = r"s|^\[renewalparams\]|&\nreuse_key = True\nrenew_hook = /bin/true|"
    for name in (WWW, MAIL):
        day.host.run("sed", "-i", lines, f"/etc/letsencrypt/renewal/{name}.conf")
    before = day.serials()
    [labo] = variables(day.lab)["tcs_departments"]
    renamed = {"tcs_departments": [{**labo, "name": "chimie"}]}
    assert day.play("certificates", renamed).or_fail().total("changed") >= 1
    after = day.serials()
    assert not set(before.values()) & set(after.values())
    assert day.kept("tcs_lyon1_department") == ["chimie", "chimie"]
    assert day.kept("reuse_key") == ["True", "True"]
    assert day.kept("renew_hook") == ["/bin/true", "/bin/true"]
    assert not (day.host.files.config_dir / "tcs-lyon1.labo.hmac").exists()
    assert day.play("certificates", renamed).or_fail().total("changed") == 0
    assert day.serials() == after

    day.play("move_ca").or_fail()  # back to the old name
    assert day.kept("tcs_lyon1_department") == ["labo", "labo"]

    elsewhere = {"name": "chimie", "domains": ["chimie.univ-lyon1.test"]}
    two = [{**labo, **elsewhere}, {**labo, "name": "physique"}]
    before = day.serials()
    unnamed = day.play("certificates", {"tcs_departments": two})
    assert unnamed.returncode != 0
    assert "there is no [department labo]" in unnamed.output
    assert "In tcs_certificates, name its department" in unnamed.output
    assert day.serials() == before
    named = {"tcs_departments": two}
    named["tcs_certificates"] = [{"name": one, "department": "physique"} for one in (WWW, MAIL)]
    for changed in (1, 0):
        assert day.play("certificates", named).or_fail().total("changed") == changed
    assert day.kept("tcs_lyon1_department") == ["physique", "physique"]
