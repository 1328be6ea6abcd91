#!/usr/bin/python
# Copyright: Université Claude Bernard Lyon 1; Apache License 2.0 (see LICENSE.txt)
"""A file of bytes for root alone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcs_secret_file
short_description: Write a file of bytes, a keytab, for root alone
version_added: "0.1.0"
description:
  - Writes bytes that are given as base64, mode 0600; C(copy) can write text only.
options:
  path:
    description: Where.
    type: path
    required: true
  content_base64:
    description: What is in it.
    type: str
    required: true
author:
  - Université Claude Bernard Lyon 1 (@univ-lyon1)
"""

EXAMPLES = r"""
- name: Write the keytab
  univ_lyon1.tcs.tcs_secret_file:
    path: /etc/letsencrypt/tcs-lyon1.keytab
    content_base64: "{{ vault_keytab }}"
  no_log: true
"""

RETURN = r""" # """

import base64
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule


def main():
    """Run the module."""
    spec = {
        "path": {"type": "path", "required": True},
        "content_base64": {"type": "str", "required": True, "no_log": True},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    path = module.params["path"]
    try:
        content = base64.b64decode(module.params["content_base64"])
    except ValueError:
        module.fail_json(msg=f"content_base64 for {path} is not base64")
    there = None
    if os.path.exists(path):
        with open(path, "rb") as file:
            there = file.read()
    changed = there != content
    if changed and not module.check_mode:
        handle, aside = tempfile.mkstemp(dir=os.path.dirname(path))
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        module.atomic_move(aside, path)
    if os.path.exists(path):
        changed = module.set_mode_if_different(path, "0600", changed)
        changed = module.set_owner_if_different(path, "root", changed)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
