#!/usr/bin/python
# Copyright: Université Claude Bernard Lyon 1; Apache License 2.0 (see LICENSE.txt)
"""One certificate: ordered once for each state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tcs_certificate
short_description: A certificate of certbot with the plugin tcs-lyon1
version_added: "0.1.0"
description:
  - Orders the certificate if certbot has none of this name, or if that has other DNS names.
  - Puts it where C([install]) sections want it, if it is not there.
  - Renewed before it is due, where asked, it moves to its department's CA or in a campaign.
options:
  name:
    description: Name of the certificate, certbot's C(--cert-name).
    type: str
    required: true
  names:
    description: DNS names in it; without them, those that it has, and it must be there.
    type: list
    elements: str
  department:
    description: Department that orders it, where names do not tell.
    type: str
    default: ""
  take_over:
    description: Order it anew, once, where it was not ordered by the plugin.
    type: bool
    default: false
  move:
    description: Renew it, once, where CA or account are not those of its department.
    type: bool
    default: false
  bin:
    description: Folder of the commands with a slash at its end, empty for those of the system.
    type: str
    default: ""
author:
  - Université Claude Bernard Lyon 1 (@univ-lyon1)
"""

EXAMPLES = r"""
- name: Have a certificate
  univ_lyon1.tcs.tcs_certificate:
    name: www.labo.univ-lyon1.fr
    names: [www.labo.univ-lyon1.fr, labo.univ-lyon1.fr]
"""

RETURN = r"""
action:
  description: What was done, or in a check would be, C(order), C(renew), C(deploy) or empty.
  returned: always
  type: str
serial:
  description: The serial number of the certificate afterwards, or empty.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.univ_lyon1.tcs.plugins.module_utils import status

PLUGIN = "tcs-lyon1"


def moved(one, departments):
    """Have server and account of the lineage become others than those of its department?"""
    for department in departments:
        if department["name"] == one["department"]:
            other_account = department["account"] != one["account"]
            return one["server"] != department["server"] or other_account
    return False


def needed(params, one, departments):
    """What is to be done: "order", "renew", "deploy" or ""."""
    if one is None or set(params["names"]) != set(one["names"]):
        return "order"
    if params["take_over"] and one.get("authenticator", PLUGIN) != PLUGIN:
        return "order"
    if params["move"] and moved(one, departments):
        return "renew"
    if one.get("installer") == PLUGIN and any(file["fault"] for file in one["deployed"]):
        return "deploy"
    return ""


def arguments(params, action):
    """The arguments of certbot that do it."""
    named = ["--non-interactive", "--cert-name", params["name"]]
    if action == "order":
        given = ["certonly", "--configurator", PLUGIN]
        given += ["--force-renewal"] if params["take_over"] else []
        given += ["--tcs-lyon1-department", params["department"]] if params["department"] else []
        return given + named + [word for name in params["names"] for word in ("-d", name)]
    force = ["--force-renewal"] if action == "renew" else []
    return ["renew", "--no-random-sleep-on-renew"] + force + named


def find(facts, name):
    """The lineage of that name, or None."""
    return next((one for one in (facts or {}).get("lineages", []) if one["name"] == name), None)


def main():
    """Run the module."""
    spec = {
        "name": {"type": "str", "required": True},
        "names": {"type": "list", "elements": "str"},
        "department": {"type": "str", "default": ""},
        "take_over": {"type": "bool", "default": False},
        "move": {"type": "bool", "default": False},
        "bin": {"type": "str", "default": ""},
    }
    module = AnsibleModule(spec, supports_check_mode=True)
    params = module.params
    facts = status.read(module, params["bin"])
    before = find(facts, params["name"])
    if before is None and not params["names"]:
        module.fail_json(msg="certbot has no certificate {}".format(params["name"]))
    if before and before["fault"]:  # an order mends none of them, and would be made at each run
        text = "{}: {}; see on this host: certbot certificates"
        module.fail_json(msg=text.format(params["name"], before["fault"]))
    given = params["names"] or before["names"]
    params["names"] = [name.lower().rstrip(".") for name in given]  # as certbot keeps them
    action = needed(params, before, (facts or {}).get("departments", []))
    serial = before["serial"] if before else ""
    names = before["names"] if before else []
    wanted = sorted(params["names"]) if action == "order" else names
    diff = {"before": "\n".join(sorted(names) + [""]), "after": "\n".join(sorted(wanted) + [""])}
    if action and not module.check_mode:
        certbot = params["bin"] + "certbot"
        code, out, err = module.run_command([certbot] + arguments(params, action))
        if code:
            text = "certbot could not {} {}: {}".format(action, params["name"], err.strip())
            module.fail_json(msg=text[-4000:], stdout=out[-4000:], rc=code)
        after = find(status.read(module, params["bin"]), params["name"])
        serial = after["serial"] if after else ""
        if after is None or after["fault"] or needed(params, after, []) == "order":
            why = after["fault"] if after else "certbot has none of that name"
            text = "certbot was to {} {}, and it is not there as it should be: {}"
            module.fail_json(msg=text.format(action, params["name"], why or "other names"))
    module.exit_json(changed=bool(action), action=action, serial=serial, diff=diff)


if __name__ == "__main__":
    main()
