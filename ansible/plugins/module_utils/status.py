"""What `certbot-tcs-lyon1 status --json` says on the managed host."""

from __future__ import annotations

import json

SCHEMA = 1


def read(module, folder):
    """The status, with `installed`: false where there is no command (`folder`: its, or "")."""
    none = {"installed": False, "lineages": [], "departments": []}
    command = folder + "certbot-tcs-lyon1" if folder else module.get_bin_path("certbot-tcs-lyon1")
    if not command:
        return none
    try:
        code, out, err = module.run_command([command, "status", "--json"], handle_exceptions=False)
    except OSError:
        return none
    if code:
        module.fail_json(msg=f"{command} status failed: {err.strip()[-2000:]}")
    facts = json.loads(out)
    if facts.get("schema") != SCHEMA:
        text = "{0} status has schema {1}, and this collection reads {2}: update the collection"
        module.fail_json(msg=text.format(command, facts.get("schema"), SCHEMA))
    return dict(facts, installed=True)
