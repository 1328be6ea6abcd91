"""What `certbot-tcs-lyon1 status --json` says on the managed host."""

from __future__ import annotations

import json

SCHEMA = 1


def read(module, folder):
    """The status as a dict, or None where the command isn't installed (`folder`: of it, or "")."""
    command = folder + "certbot-tcs-lyon1" if folder else module.get_bin_path("certbot-tcs-lyon1")
    if not command:
        return None
    try:
        code, out, err = module.run_command([command, "status", "--json"], handle_exceptions=False)
    except OSError:
        return None
    if code:
        module.fail_json(msg=f"{command} status failed: {err.strip()[-2000:]}")
    facts = json.loads(out)
    if facts.get("schema") != SCHEMA:
        text = "{0} status has schema {1}, and this collection reads {2}: update the collection"
        module.fail_json(msg=text.format(command, facts.get("schema"), SCHEMA))
    return facts
