#!/usr/bin/python
# Copyright: Université Claude Bernard Lyon 1; Apache License 2.0 (see LICENSE.txt)
"""The facts of one machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcs_certificates
short_description: Facts on the certificates of certbot with the plugin tcs-lyon1
version_added: "0.1.0"
description:
  - Runs C(certbot-tcs-lyon1 status --json) and keeps what it says as the fact C(tcs_lyon1).
  - It changes nothing, and no secret is in it.
options:
  bin:
    description: Folder of the commands with a slash at its end, empty for those of the system.
    type: str
    default: ""
author:
  - Université Claude Bernard Lyon 1 (@univ-lyon1)
"""

EXAMPLES = r"""
- name: Read what certificates there are
  univ_lyon1.tcs.tcs_certificates:
"""

RETURN = r"""
ansible_facts:
  description: C(tcs_lyon1), the JSON of schema 1; without the command, C(installed) is false.
  returned: always
  type: dict
  contains:
    tcs_lyon1:
      description: See the manual certbot-tcs-lyon1(8), and C(installed).
      type: dict
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.univ_lyon1.tcs.plugins.module_utils import status


def main():
    """Run the module."""
    spec = {"bin": {"type": "str", "default": ""}}
    module = AnsibleModule(spec, supports_check_mode=True)
    facts = status.read(module, module.params["bin"])
    module.exit_json(changed=False, ansible_facts={"tcs_lyon1": facts})


if __name__ == "__main__":
    main()
