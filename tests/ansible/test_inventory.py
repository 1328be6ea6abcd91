"""What people write into an inventory or on the command line, and what the playbooks make of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ansible.fleet import Control, write_inventory
from tests.ansible.inventory import no_secret_in, variables
from tests.lab.lab import Lab


@pytest.mark.parametrize("playbook", ["certificates", "move_ca", "replace_before"])
def test_a_wrong_type_or_key_is_told_before_anything_is_written_and_no_secret_with_it(
    lab: Lab, control: Control, hosts_of: Any, playbook: str
) -> None:
    [host] = hosts_of({"one": "bookworm"})
    right = variables(lab)
    [labo], [dns] = right["tcs_departments"], right["tcs_dns"]
    misspelt = {"eab_hmac_keyy" if key == "eab_hmac_key" else key: labo[key] for key in labo}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("tcs_departments", {"tcs_departments": labo}),
        ("eab_hmac_keyy", {"tcs_departments": [misspelt]}),
        ("key_secret", {"tcs_dns": [{**dns, "key_secret": lab.key.secret}]}),
    ]
    for word, changes in wrong:
        write_inventory(control.inventory, [host], {**right, **changes}, {})
        refused = control.play(playbook, "--diff", "-vvv")
        assert refused.returncode != 0
        assert "Validation of arguments failed" in refused.output
        assert word in refused.output
        assert no_secret_in(refused.output, lab)
        assert refused.total("changed") == 0


def test_a_boolean_on_the_command_line_is_one(lab: Lab, control: Control, hosts_of: Any) -> None:
    hosts = hosts_of({"one": "bookworm", "two": "bookworm"})
    write_inventory(control.inventory, hosts, {**variables(lab), "tcs_venv": "/opt/certbot"}, {})
    units = ("certificates", "--check", "--tags", "tcs_timer")
    without = control.play(*units, "-e", "tcs_timer=false").or_fail()
    assert without.total("changed") == 0
    assert control.play(*units, "-e", "tcs_timer=true").or_fail().total("changed") == 2

    alone = ("certificates", "--tags", "always", "-e")
    control.play(*alone, "tcs_eab_single_use=false").or_fail()
    refused = control.play(*alone, "tcs_eab_single_use=true")
    assert refused.returncode != 0
    assert "Give each host a Key ID of its own" in refused.output


def test_a_check_of_a_virtual_environment_that_has_the_wheel_changes_nothing(
    lab: Lab, control: Control, hosts_of: Any, wheel: Any
) -> None:
    """The wheel alone is installed: what it needs is not on loopback."""
    [host] = hosts_of({"one": "bookworm"})
    host.run("sh", "-ec", "printf '[install]\nno-deps = yes\n' > /etc/pip.conf")
    in_venv = {**variables(lab), "tcs_wheel": str(wheel), "tcs_venv": "/opt/certbot"}
    write_inventory(control.inventory, [host], in_venv, {})
    command = ("certificates", "--tags", "tcs_install")
    control.play(*command).or_fail()
    assert host.run("/opt/certbot/bin/pip", "show", "certbot-tcs-lyon1").returncode == 0
    for more in ((), ("--check", "--diff")):
        again = control.play(*command, *more).or_fail()
        assert again.total("changed") == 0, again.output
