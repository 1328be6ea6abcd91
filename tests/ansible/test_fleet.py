"""A fleet from its first certificates to another CA: every host in one run, nothing twice.

FLEET hosts, by default 6; with FLEET_FIGURES=FILE what it took is written there, as JSON.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.conftest import control_with
from tests.ansible.fleet import (
    WITH_SUDO,
    Control,
    Host,
    Played,
    host,
    login_with_sudo,
    write_inventory,
)
from tests.ansible.inventory import certificate_each, no_secret_in, serials, variables
from tests.distros import packages
from tests.lab import pebble, system
from tests.lab.lab import EAB_KID, Lab
from tests.lab.pebble import new_hmac_key
from tests.lab.require import cannot_run

SIZE = int(os.environ.get("FLEET", "6"))
BATCH = max(2, SIZE // 10)

_WITH_DATE = """\
tcs_common:
  agree_tos: true
  replace_issued_before: {}
  server: {}
"""
_WITH_MODE = """\
tcs_targets:
  - name: web
    certificate: www
    combined: /etc/haproxy/www.pem
    mode: {}
"""


@dataclass
class Fleet:
    """The hosts, their control machine, and what each run took."""

    lab: Lab
    other: pebble.Pebble
    hosts: list[Host]
    control: Control
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    def plan(self, changes: dict[str, Any], each: dict[str, Any] | None = None) -> None:
        """Write the inventory: that of the lab with the changes, and those of single hosts.

        The last host is reached as most are: as a user with sudo.
        """
        own = certificate_each(self.hosts)
        own[self.hosts[-1].name].update(WITH_SUDO)
        for name, more in (each or {}).items():
            own[name].update(more)
        common = {**variables(self.lab), **changes}
        write_inventory(self.control.inventory, self.hosts, common, own)

    def play(self, what: str, name: str, *more: str) -> Played:
        """Run the playbook, and keep what it took."""
        with self.measured(what):
            played = self.control.play(name, *more)
        assert no_secret_in(played.output, self.lab)
        return played

    @contextlib.contextmanager
    def measured(self, what: str) -> Iterator[None]:
        """Keep what is done within took of time, of the name servers, and of their processors."""
        before, begun = self._counts(), time.monotonic()
        yield
        seconds = time.monotonic() - begun
        used = {key: round(value - before[key], 2) for key, value in self._counts().items()}
        self.figures[what] = {"seconds": round(seconds, 1), **used}

    def _counts(self) -> dict[str, float]:
        cpu = 0.0
        for server in (self.lab.primary, self.lab.secondary):
            fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return {
            "updates": self.lab.primary.statistics().get("UPDATE", 0),
            "queries": sum(
                server.statistics().get("QUERY", 0)
                for server in (self.lab.primary, self.lab.secondary)
            ),
            "named_cpu_seconds": round(cpu, 2),
        }

    def updates(self) -> list[str]:
        """The records that the name server's update log says were added or deleted."""
        return [line for line in self.lab.primary.update_log() if "_acme-challenge" in line]

    def leftovers(self) -> list[str]:
        """The hosts that still have a TXT record."""
        name = "_acme-challenge.{}.labo.univ-lyon1.test"
        return [
            one.name
            for one in self.hosts
            if self.lab.primary.query(name.format(one.name), "TXT").answer
        ]


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, lab: Lab, deb: Path, collection: Path
) -> Iterator[Fleet]:
    """Hosts over one Debian 12 with the package, and a second CA, with keys of its own."""
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    folder = tmp_path_factory.mktemp("fleet")
    with contextlib.ExitStack() as stack:
        keys = {"new-kid": lab.eab_hmac_key}
        endpoint = lab.secondary.endpoint
        other = stack.enter_context(pebble.running(folder / "other", endpoint, keys))
        include = ("ca-certificates", "python3", "python3-apt")
        below = stack.enter_context(system.fresh("bookworm", folder / "system", include))
        below.run("apt-get", "update").or_fail()
        packages.install(below, deb, "certbot", "sudo")
        login_with_sudo(below)
        below.run("apt-get", "clean").or_fail()
        trusted = below.root / "usr/local/share/ca-certificates"
        for number, server in enumerate((lab.pebble, other)):
            (trusted / f"lab-{number}.crt").write_bytes(server.ca_bundle.read_bytes())
        below.run("update-ca-certificates").or_fail()
        names = [f"h{number:03}" for number in range(SIZE)]
        hosts = [stack.enter_context(host(name, below, folder / name)) for name in names]
        yield Fleet(lab, other, hosts, control_with("newest", folder / "control", collection))


def moved_to(fleet: Fleet, kid: str = "new-kid") -> dict[str, Any]:
    """What the inventory says of the new CA."""
    old = variables(fleet.lab)
    return {
        "tcs_common": {**old["tcs_common"], "server": fleet.other.directory_url},
        "tcs_departments": [{**old["tcs_departments"][0], "eab_kid": kid}],
    }


def orders(server: pebble.Pebble) -> int:
    """How many were made at this CA."""
    return server.requests().count(("POST", "/order-plz"))


def test_a_fleet_gets_certificates_and_moves_in_batches_with_nothing_ordered_twice(
    fleet: Fleet,
) -> None:
    begun = orders(fleet.lab.pebble)
    fleet.plan({})
    assert fleet.play("first", "certificates").or_fail().total("changed") >= SIZE
    first = serials(fleet.hosts)
    records = len(fleet.updates())
    assert len(set(first.values())) == SIZE
    assert fleet.leftovers() == []

    assert fleet.play("second", "certificates").or_fail().total("changed") == 0
    assert (serials(fleet.hosts), len(fleet.updates())) == (first, records)
    checked = fleet.play("check", "certificates", "--check", "--diff").or_fail()
    assert checked.total("changed") == 0

    # One host of the second batch has a Key ID that the new CA doesn't know.
    broken = fleet.hosts[BATCH].name
    wrong = {broken: {"tcs_departments": moved_to(fleet, "unknown-kid")["tcs_departments"]}}
    fleet.plan(moved_to(fleet), wrong)
    batch = ("-e", f"tcs_batch={BATCH}")
    stopped = fleet.play("move, stopped", "move_ca", *batch)
    assert stopped.returncode != 0
    there = serials(fleet.hosts)
    moved = {one for one in there if there[one] != first[one]}
    assert moved == {one.name for one in fleet.hosts[: 2 * BATCH]} - {broken}
    assert all(f"{one} has moved" in stopped.output for one in sorted(moved)[:BATCH])
    # Those of the batch that was the last as well, though nobody asks them any more.
    assert f"Done so far: {', '.join(sorted(moved))}." in " ".join(stopped.output.split())

    fleet.plan(moved_to(fleet))
    fleet.play("move, gone on", "move_ca", *batch).or_fail()
    end = serials(fleet.hosts)
    assert {one: end[one] for one in moved} == {one: there[one] for one in moved}
    assert not set(end.values()) & set(first.values())
    assert fleet.leftovers() == []
    assert fleet.play("move, again", "move_ca", *batch).or_fail().total("changed") == 0
    assert serials(fleet.hosts) == end

    changes = moved_to(fleet)
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=-1)
    changes["tcs_common"]["replace_issued_before"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    fleet.plan(changes)
    fleet.play("campaign, nothing older", "replace_before", *batch).or_fail()
    assert serials(fleet.hosts) == end
    now = datetime.datetime.now(datetime.timezone.utc)
    changes["tcs_common"]["replace_issued_before"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    fleet.plan(changes)
    fleet.play("campaign", "replace_before", *batch).or_fail()
    replaced = serials(fleet.hosts)
    assert not set(replaced.values()) & set(end.values())
    fleet.play("campaign, again", "replace_before", *batch).or_fail()
    assert serials(fleet.hosts) == replaced
    assert fleet.leftovers() == []

    table = fleet.play("table", "table").or_fail()
    assert all(f"{one.name}.labo.univ-lyon1.test" in table.output for one in fleet.hosts)
    added = [line for line in fleet.updates() if "adding an RR" in line]
    for one in fleet.hosts:
        mine = [line for line in added if f"_acme-challenge.{one.name}." in line]
        # First, move, campaign; Pebble takes a valid authorization again in one of 100 orders.
        assert len(mine) in (2, 3), mine
    assert orders(fleet.lab.pebble) - begun == SIZE
    assert orders(fleet.other) == 2 * SIZE

    # Without Ansible, one host after another: what the fleet is compared with.
    with fleet.measured(f"{BATCH} by hand"):
        for one in fleet.hosts[:BATCH]:
            by_hand = one.run("certbot", "renew", "--force-renewal", "--no-random-sleep-on-renew")
            assert by_hand.returncode == 0, by_hand.stderr
    report = os.environ.get("FLEET_FIGURES")
    if report:
        text = json.dumps({"hosts": SIZE, "runs": fleet.figures}, indent=1)
        Path(report).write_text(text + "\n", encoding="utf-8")


def test_a_key_id_good_once_on_two_hosts_is_told_before_anything_runs(fleet: Fleet) -> None:
    fleet.plan({"tcs_eab_single_use": True})
    for playbook in ("certificates", "move_ca", "replace_before"):
        refused = fleet.play("single use", playbook, "--limit", fleet.hosts[0].name)
        assert refused.returncode != 0
        assert "Give each host a Key ID of its own" in refused.output
        assert EAB_KID in refused.output
        assert refused.total("changed") == 0
    own = variables(fleet.lab)["tcs_departments"][0]
    each = {one.name: {"tcs_departments": [{**own, "eab_kid": one.name}]} for one in fleet.hosts}
    fleet.plan({"tcs_eab_single_use": True}, each)
    fleet.play("single use", "certificates", "--tags", "always").or_fail()


def test_a_config_that_is_wrong_does_not_replace_the_one_that_is_there(fleet: Fleet) -> None:
    fleet.plan({})
    fleet.play("right", "certificates", "--tags", "tcs_config").or_fail()
    config = [one.files.config_dir / "tcs-lyon1.ini" for one in fleet.hosts]
    before = [file.read_bytes() for file in config]
    fleet.plan({"tcs_dns": [{"server": ["127.0.0.1:99999"], "key_file": "/nowhere"}]})
    refused = fleet.play("wrong", "certificates", "--tags", "tcs_config")
    assert refused.returncode != 0
    assert "99999" in refused.output
    assert [file.read_bytes() for file in config] == before


def test_a_wrong_secret_leaves_the_config_and_every_key_as_they_were(fleet: Fleet) -> None:
    keytab = {"path": "/etc/letsencrypt/other.keytab"}
    files = variables(fleet.lab)["tcs_secret_files"]
    old = {"tcs_secret_files": [*files, {**keytab, "content_base64": "AAEC"}]}
    fleet.plan(old)
    fleet.play("right", "certificates", "--tags", "tcs_config").or_fail()
    before = [_files(one) for one in fleet.hosts]
    assert "other.keytab" in before[0]

    [labo] = variables(fleet.lab)["tcs_departments"]
    changed = {**keytab, "content_base64": "AwQF"}
    cut_short = fleet.lab.key_file.read_text("ascii").replace("secret", "secrt")
    wrong: list[dict[str, Any]] = [
        {"tcs_departments": [{**labo, "eab_hmac_key": labo["eab_hmac_key"][:-1]}]},
        {"tcs_secret_files": [{**files[0], "content": cut_short}, changed]},
        {"tcs_departments": [{**labo, "eab_hmac_key": new_hmac_key(), "domains": ["-"]}]},
    ]
    for number, changes in enumerate(wrong):
        fleet.plan({"tcs_secret_files": [*files, changed], **changes})
        refused = fleet.play(f"wrong {number}", "certificates", "--tags", "tcs_config")
        assert refused.returncode != 0
        assert "nothing was written" in refused.output
        assert ".hmac." not in refused.output, "a file aside is named in place of the real one"
        assert [_files(one) for one in fleet.hosts] == before

    fleet.plan({"tcs_secret_files": [*files, changed]})
    fleet.play("right again", "certificates", "--tags", "tcs_config").or_fail()
    assert {**before[0], "other.keytab": (b"\3\4\5", 0o600)} == _files(fleet.hosts[0])


def _files(one: Host) -> dict[str, tuple[bytes, int]]:
    """What stands in the files of certbot's folder, and their modes."""
    files = (file for file in one.files.config_dir.iterdir() if file.is_file())
    return {file.name: (file.read_bytes(), file.stat().st_mode & 0o777) for file in files}


def test_what_yaml_makes_of_a_date_or_a_mode_without_quotes_is_never_written(fleet: Fleet) -> None:
    """The inventory is JSON, which has no dates: they stand in a file as people write it."""
    fleet.plan({})
    more = fleet.control.inventory.with_name("more.yml")
    config = fleet.hosts[0].files.config_dir / "tcs-lyon1.ini"
    command = ("certificates", "--tags", "tcs_config", "-e", f"@{more}", "--limit", "h000")

    for written in ("2026-07-21", "2026-07-21T14:00:00Z"):
        more.write_text(_WITH_DATE.format(written, fleet.lab.pebble.directory_url), "ascii")
        fleet.play(written, *command).or_fail()
        assert f"replace_issued_before = {written}\n" in config.read_text("ascii")

    before = config.read_bytes()
    for mode in ("0640", "640"):
        more.write_text(_WITH_MODE.format(mode), "ascii")
        refused = fleet.play(mode, *command)
        assert refused.returncode != 0
        assert 'mode: "0640"' in refused.output.replace("\\", "")
        assert config.read_bytes() == before
    more.write_text(_WITH_MODE.format('"0640"'), "ascii")
    fleet.play("quoted", *command).or_fail()
    assert "mode = 0640\n" in config.read_text("ascii")
