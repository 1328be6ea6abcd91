"""A machine that really boots, reached as most are: by a user with sudo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.fleet import WITH_SUDO, Control, Host, login_with_sudo, write_inventory
from tests.ansible.inventory import certificate_each, variables
from tests.lab import system
from tests.lab.lab import Lab
from tests.lab.require import cannot_run
from tests.lab.system import Booted

_INCLUDE = ("ca-certificates", "python3", "python3-apt", "sudo", *system.BOOTABLE)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Booted]:
    """A Debian 12 with systemd and without certbot."""
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    with system.fresh("bookworm", tmp_path / "system", _INCLUDE) as made:
        made.run("apt-get", "update").or_fail()
        login_with_sudo(made)
        with system.booted(made, tmp_path / "boot.log") as booted:
            yield booted


def test_a_check_of_a_machine_without_certbot_succeeds_and_then_its_timer_runs(
    lab: Lab, control: Control, running: Booted, tmp_path: Path, deb: Path
) -> None:
    hosts = [Host("one", tmp_path, running.leader)]
    each = certificate_each(hosts)
    each["one"].update(WITH_SUDO)

    in_venv = {**variables(lab), "tcs_venv": "/opt/certbot"}
    write_inventory(control.inventory, hosts, in_venv, each)
    assert control.play("certificates", "--check", "--diff").or_fail().total("changed") >= 4

    write_inventory(control.inventory, hosts, variables(lab, deb), each)
    assert control.play("certificates", "--check", "--diff").or_fail().total("changed") >= 4

    parts = ("--tags", "tcs_install,tcs_config,tcs_timer")
    control.play("certificates", *parts).or_fail()
    for state in ("is-enabled", "is-active"):
        running.run("systemctl", state, "certbot.timer").or_fail()
    assert control.play("certificates", *parts).or_fail().total("changed") == 0
