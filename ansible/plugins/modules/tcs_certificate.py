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
  - Renews it if its department is another or gone, so that certbot would renew it no more.
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
    description: Renew it, once, where CA or account are not those of its department; it is an error
      if they are not after that either.
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


def misplaced(params, one):
    """Is the lineage of another department than is wanted, or of none that renews it?

    One that somebody has taken out of the renewal (autorenew = False) is left so.
    """
    other = params["department"] not in ("", one["department"])
    misfit = one["misfit"] and one["autorenew"]
    return one["department"] is not None and bool(other or misfit)


def moved(one, departments):
    """Have server and account of the lineage become others than those of its department?"""
    for department in departments:
        if department["name"] == one["department"]:
            other_account = one["account"] not in department["accounts"]
            return one["server"] != department["server"] or other_account
    return False


def needed(params, one, departments):
    """What is to be done: "order", "renew", "deploy" or ""."""
    if one is None or set(params["names"]) != set(one["names"]):
        return "order"
    if params["take_over"] and one["authenticator"] != PLUGIN:
        return "order"
    if misplaced(params, one) or (params["move"] and moved(one, departments)):
        return "renew"
    if one["installer"] == PLUGIN and any(file["fault"] for file in one["deployed"]):
        return "deploy"
    return ""


def arguments(params, action):
    """The arguments of certbot that do it."""
    named = ["--non-interactive", "--cert-name", params["name"]]
    department = params["department"]
    chosen = ["--tcs-lyon1-department", department] if department else []
    if action == "order":
        given = ["certonly", "--configurator", PLUGIN]
        given += ["--force-renewal"] if params["take_over"] else []
        return given + chosen + named + [word for name in params["names"] for word in ("-d", name)]
    # A renewal keeps what the lineage has: authenticator, hooks, kind of key.
    force = ["--force-renewal"] + chosen if action == "renew" else []
    return ["renew", "--no-random-sleep-on-renew"] + force + named


def find(facts, name):
    """The lineage of that name, or None."""
    return next((one for one in facts["lineages"] if one["name"] == name), None)


def successor(module, one, departments):
    """The name of the department in the place of the lineage's, to which certbot would keep."""
    if len(departments) != 1:
        text = "{}: {}. In tcs_certificates, name its department, and it is renewed with that."
        module.fail_json(msg=text.format(one["name"], one["misfit"].rstrip(".")))
    return departments[0]["name"]


def fault_after(params, action, one, departments):
    """What is not as certbot was to make it, though it says that it did; "" if all is."""
    if one is None:
        return "certbot has none of that name"
    if one["fault"]:
        return one["fault"]
    left = needed(params, one, departments)
    if left == "order":
        return "it has other names, or another authenticator"
    if misplaced(params, one):
        return one["misfit"] or "it has the department {}".format(one["department"])
    if left == action == "renew":
        text = "it still has {} and account {}; look for server, account and eab_kid in cli.ini"
        return text.format(one["server"], one["account"])
    return ""


def act(module, action):
    """Have certbot do it, and look whether it did; the lineage afterwards."""
    params = module.params
    certbot = params["bin"] + "certbot"
    code, out, err = module.run_command([certbot] + arguments(params, action))
    if code:
        text = "certbot could not {} {}: {}".format(action, params["name"], err.strip())
        module.fail_json(msg=text[-4000:], stdout=out[-4000:], rc=code)
    facts = status.read(module, params["bin"])
    if not facts["installed"]:
        module.fail_json(msg="certbot-tcs-lyon1 is not there, so nobody knows what certbot made")
    after = find(facts, params["name"])
    fault = fault_after(params, action, after, facts["departments"])
    if fault:
        text = "certbot was to {} {}, and it is not as it should be: {}"
        module.fail_json(msg=text.format(action, params["name"], fault))
    return after


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
    one = find(facts, params["name"])
    if one is None and not params["names"]:
        module.fail_json(msg="certbot has no certificate {}".format(params["name"]))
    if one and one["fault"]:  # an order mends none of them, and would be made at each run
        text = "{}: {}; see on this host: certbot certificates"
        module.fail_json(msg=text.format(params["name"], one["fault"]))
    names = one["names"] if one else []
    # As certbot keeps them.
    params["names"] = [name.lower().rstrip(".") for name in params["names"] or names]
    action = needed(params, one, facts["departments"])
    if action and one and misplaced(params, one):
        params["department"] = params["department"] or successor(module, one, facts["departments"])
    wanted = params["names"] if action == "order" else names
    diff = {"before": "\n".join(sorted(names) + [""]), "after": "\n".join(sorted(wanted) + [""])}
    if action and not module.check_mode:
        one = act(module, action)
    serial = one["serial"] if one else ""
    module.exit_json(changed=bool(action), action=action, serial=serial, diff=diff)


if __name__ == "__main__":
    main()
