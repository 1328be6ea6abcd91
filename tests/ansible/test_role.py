"""One file of variables and two commands: certificates on three Debian systems."""

from __future__ import annotations

from typing import Any

from tests.ansible.fleet import Control, write_inventory
from tests.ansible.inventory import certificate_each, no_secret_in, serials, variables
from tests.lab import leaks
from tests.lab.lab import Lab

RELEASES = {"eleven": "bullseye", "twelve": "bookworm", "thirteen": "trixie"}


def test_one_command_gives_certificates_on_three_systems_and_the_next_changes_nothing(
    lab: Lab, control: Control, hosts_of: Any, deb: Any
) -> None:
    hosts = hosts_of(RELEASES)
    write_inventory(control.inventory, hosts, variables(lab, deb), certificate_each(hosts))

    checked = control.play("certificates", "--check", "--diff", "-vvv").or_fail()
    assert all(numbers["changed"] >= 4 for numbers in checked.recap.values())
    assert not any((one.files.config_dir / "tcs-lyon1.ini").exists() for one in hosts)

    first = control.play("certificates", "--diff", "-vvv").or_fail()
    before = serials(hosts)
    assert len(set(before.values())) == 3
    second = control.play("certificates").or_fail()
    assert second.total("changed") == 0, second.output
    third = control.play("certificates", "--check", "--diff").or_fail()
    assert third.total("changed") == 0, third.output
    assert serials(hosts) == before

    assert "[department labo]" in first.output
    assert all(no_secret_in(run.output, lab) for run in (checked, first, second, third))
    for one in hosts:
        secret = [one.files.config_dir / name for name in ("tcs-lyon1.key", "tcs-lyon1.labo.hmac")]
        assert [file.stat().st_mode & 0o777 for file in secret] == [0o600, 0o600]
        upper = one.folder / "upper"
        assert leaks.files_with([lab.eab_hmac_key, lab.key.secret], upper, except_for=secret) == []
