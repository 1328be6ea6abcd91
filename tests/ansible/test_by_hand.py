"""A machine that was set up by hand comes under Ansible, and none of its secrets is shown."""

from __future__ import annotations

from typing import Any

from tests.ansible.fleet import Control, write_inventory
from tests.ansible.inventory import variables
from tests.lab.files import write_private
from tests.lab.lab import Lab
from tests.lab.pebble import new_hmac_key
from tests.lab.zones import new_key


def test_keys_that_someone_wrote_into_the_config_are_not_shown_by_diff(
    lab: Lab, control: Control, hosts_of: Any
) -> None:
    [host] = hosts_of({"twelve": "bookworm"})
    old = [new_hmac_key(), new_key("old").secret, new_hmac_key(), new_key("older").secret]
    config = host.files.config_dir / "tcs-lyon1.ini"
    write_private(
        config,
        f"[department labo]\neab_kid = kid\n  EAB_HMAC_KEY={old[0]}\n"
        f"[dns]\nserver = ns\nkey_name = k\nkey_secret = {old[1]}\n"
        f";eab_hmac_key = {old[2]}\n# key_secret = {old[3]}\n",
    )
    write_inventory(control.inventory, [host], variables(lab), {})
    played = control.play("certificates", "--tags", "tcs_config", "--check", "--diff", "-vvv")
    played.or_fail()
    assert played.total("changed") >= 1
    for secret in (*old, lab.eab_hmac_key, lab.key.secret):
        assert secret not in played.output
    assert all(secret in config.read_text("ascii") for secret in old)
