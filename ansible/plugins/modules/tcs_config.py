#!/usr/bin/python
# Copyright: Université Claude Bernard Lyon 1; Apache License 2.0 (see LICENSE.txt)
"""The department config and the secrets that it names, all of them or none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcs_config
short_description: Write the department config and its files of secrets, once they are found right
version_added: "0.1.0"
description:
  - Writes everything aside, has C(certbot-tcs-lyon1 test) judge it, then puts all files in place.
  - If something is wrong, what is there stays as it was. A check judges nothing.
  - The files belong to root, mode 0600.
  - The HMAC key's file of a department that is gone is removed.
  - Of the old config a diff shows sections and the keys that the new one has as well; anything else
    could be a key, also in a comment.
options:
  path:
    description: The department config.
    type: path
    required: true
  content:
    description: What is in it; empty, it is neither written nor judged.
    type: str
    default: ""
  files:
    description: HMAC and TSIG keys, keytabs, passwords.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where.
        type: path
        required: true
      content:
        description: What is in it, as text.
        type: str
      content_base64:
        description: Or as base64, for a keytab.
        type: str
  bin:
    description: Folder of the commands with a slash at its end, empty for those of the system.
    type: str
    default: ""
author:
  - Université Claude Bernard Lyon 1 (@univ-lyon1)
"""

EXAMPLES = r"""
- name: Write the config and a keytab
  univ_lyon1.tcs.tcs_config:
    path: /etc/letsencrypt/tcs-lyon1.ini
    content: "{{ lookup('ansible.builtin.template', 'tcs-lyon1.ini.j2') }}"
    files:
      - path: /etc/letsencrypt/tcs-lyon1.keytab
        content_base64: "{{ vault_keytab }}"
"""

RETURN = r"""
written:
  description: The files that were written, or in a check would be.
  returned: success
  type: list
  elements: str
"""

import base64
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule


def arguments():
    """What the module takes."""
    file = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "no_log": True},
        "content_base64": {"type": "str", "no_log": True},
    }
    return {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "default": ""},
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": file,
            "mutually_exclusive": [("content", "content_base64")],
            "required_one_of": [("content", "content_base64")],
        },
        "bin": {"type": "str", "default": ""},
    }


def secrets(module):
    """What each file of secrets shall hold, by its path."""
    wanted = {}
    for file in module.params["files"]:
        if file["content_base64"] is None:
            content = file["content"].encode("utf-8")
        else:
            try:
                text = "".join(file["content_base64"].split())
                content = base64.b64decode(text, validate=True)
            except ValueError:
                module.fail_json(msg="content_base64 for {} is not base64".format(file["path"]))
        if not content.strip():
            module.fail_json(msg="what is to be in {} is empty".format(file["path"]))
        wanted[file["path"]] = content
    return wanted


def shown(old, new):
    """The old config as a diff may show it: what Ansible does not write could hold a secret."""
    lines = new.splitlines()
    keys = {line.partition("=")[0].strip() for line in lines if "=" in line and line[0] not in "#;"}
    text = []
    for line in old.splitlines():
        key, sign, value = line.partition("=")
        if line not in lines and not re.fullmatch(r"\[[^]]*\]", line):
            public = sign and key.strip().lower() in keys
            line = re.sub(r"\s[;#].*", " (not shown)", line) if public else "(not shown)"
        text.append(line)
    return "\n".join(text + [""])


def without_secrets(text):
    """The text without keys that stand in it: the role has files for them, others may not."""
    return re.sub(r"(?im)^([ \t]*(?:eab_hmac_key|key_secret)[ \t]*=).*", r"\1 (not shown)", text)


def held(path):
    """What a file holds; None if it is not there."""
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def write_aside(path, content):
    """Write a file (0600) beside that path; where."""
    folder, name = os.path.split(path)
    handle, aside = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError:
        os.unlink(aside)
        raise
    return aside


def judge(module, config, asides):
    """Fail unless a copy of the config that names the files aside is right."""
    lines = []
    for line in config.splitlines():
        key, sign, value = line.partition("=")
        aside = asides.get(value.strip())
        lines.append(f"{key}= {aside}" if sign and aside else line)
    path = module.params["path"]
    copy = write_aside(path, "\n".join(lines + [""]).encode("utf-8"))
    try:
        line = [module.params["bin"] + "certbot-tcs-lyon1", "test", "--tcs-lyon1-config", copy]
        code, out, err = module.run_command(line)
    finally:
        os.unlink(copy)
    if code:
        text = out + err
        for real, aside in list(asides.items()) + [(path, copy)]:
            text = text.replace(aside, real)
        module.fail_json(msg=f"nothing was written: {text.strip()}", rc=code)


def replace(module, wanted):
    """Put the files in place, all or none."""
    asides = {}
    try:
        for path, content in wanted.items():
            asides[path] = write_aside(path, content)
        if module.params["content"]:
            judge(module, module.params["content"], asides)
        for path in wanted:
            os.replace(asides[path], path)
            del asides[path]
    except OSError as error:
        module.fail_json(msg=str(error))
    finally:
        for aside in asides.values():
            os.unlink(aside)


def remove_hmac_files(path, old, new):
    """Remove the files, as the role names them, that the old config named and the new does not."""
    stem = re.escape(os.path.splitext(path)[0])
    named = re.compile(rf"^eab_hmac_key_file = ({stem}\.[^/\n]+\.hmac)$", re.MULTILINE)
    for one in set(named.findall(old)):
        if one not in new and os.path.exists(one):
            os.unlink(one)


def main():
    """Run the module."""
    module = AnsibleModule(arguments(), supports_check_mode=True)
    path, config = module.params["path"], module.params["content"].encode("utf-8")
    wanted = secrets(module)
    if config:
        wanted[path] = config  # the last that is put in place
    there = {one: held(one) for one in wanted}
    written = [one for one in wanted if there[one] != wanted[one]]
    before, after = (there.get(path) or b"").decode("utf-8", "replace"), module.params["content"]
    diff = {}
    if path in written:
        seen = without_secrets(shown(before, after)), without_secrets(after)
        diff = {"before": seen[0], "after": seen[1], "before_header": path}
    if written and not module.check_mode:
        replace(module, {one: wanted[one] for one in written})
        if path in written:
            remove_hmac_files(path, before, after)
    changed = bool(written)
    for one in wanted:
        if os.path.exists(one):
            changed = module.set_mode_if_different(one, "0600", changed)
            changed = module.set_owner_if_different(one, "root", changed)
            changed = module.set_group_if_different(one, "root", changed)
    module.exit_json(changed=changed, written=written, diff=diff)


if __name__ == "__main__":
    main()
