"""The Ansible collection, as far as it can be looked at without Ansible."""

from __future__ import annotations

import yaml

from certbot_tcs_lyon1.department.keys import KEYS
from tests.release.source import ROOT

ROLE = ROOT / "ansible" / "roles" / "certbot"


def test_the_ansible_role_takes_every_key_but_inline_secrets() -> None:
    variables = {
        "tcs": "tcs_common",
        "department": "tcs_departments",
        "dns": "tcs_dns",
        "install": "tcs_targets",
    }
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text("utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    headers = {"name", "domain"}
    inline = {"key_name", "key_algorithm", "key_secret", "eab_hmac_key_file"}  # it writes the last
    taken = {kind: set(options[name]["options"]) - headers for kind, name in variables.items()}
    assert taken == {kind: set(keys) - inline for kind, keys in KEYS.items()}
