"""What the inventory says of the lab and its hosts, and what these must have in the end."""

from __future__ import annotations

from typing import Any

from tests.ansible.fleet import Host
from tests.lab.lab import Lab

KEY_FILE = "/etc/letsencrypt/tcs-lyon1.key"


def variables(lab: Lab, deb: Any = "") -> dict[str, Any]:
    """The variables of all hosts, for this lab."""
    servers = [str(one.endpoint) for one in (lab.primary, lab.secondary)]
    return {
        "tcs_deb": str(deb),
        "tcs_common": {
            "server": lab.pebble.directory_url,
            "email": "prenom.nom@univ-lyon1.fr",
            "agree_tos": True,
        },
        "tcs_departments": [
            {
                "name": "labo",
                "eab_kid": lab.eab_kid,
                "eab_hmac_key": lab.eab_hmac_key,
                "domains": ["univ-lyon1.test"],
            }
        ],
        "tcs_dns": [{"server": servers[:1], "key_file": KEY_FILE, "check_servers": servers}],
        "tcs_secret_files": [{"path": KEY_FILE, "content": lab.key_file.read_text("ascii")}],
    }


def certificate_each(hosts: list[Host]) -> dict[str, dict[str, Any]]:
    """One certificate for each host, named for it."""
    return {
        one.name: {"tcs_certificates": [{"name": f"{one.name}.labo.univ-lyon1.test"}]}
        for one in hosts
    }


def serials(hosts: list[Host]) -> dict[str, int]:
    """The serial number of each host's certificate."""
    name = "{}.labo.univ-lyon1.test"
    return {one.name: one.files.certificate(name.format(one.name)).serial for one in hosts}


def no_secret_in(text: str, lab: Lab) -> bool:
    """Is none of the lab's secrets there?"""
    return not any(secret in text for secret in (lab.eab_hmac_key, lab.key.secret))
