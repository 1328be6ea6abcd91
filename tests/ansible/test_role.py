"""One file of variables and two commands: certificates on three Debian systems."""

from __future__ import annotations

from typing import Any

from tests.ansible.fleet import Control, Host, write_inventory
from tests.lab import leaks
from tests.lab.lab import Lab

KEY_FILE = "/etc/letsencrypt/tcs-lyon1.key"
RELEASES = {"eleven": "bullseye", "twelve": "bookworm", "thirteen": "trixie"}


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


def test_one_command_gives_certificates_on_three_systems_and_the_next_changes_nothing(
    lab: Lab, control: Control, hosts_of: Any, deb: Any
) -> None:
    hosts = hosts_of(RELEASES)
    write_inventory(control.inventory, hosts, variables(lab, deb), certificate_each(hosts))

    checked = control.play("certificates", "--check", "--diff", "-vvv").or_fail()
    assert all(numbers["changed"] >= 4 for numbers in checked.recap.values())
    assert not any((one.files.config_dir / "tcs-lyon1.ini").exists() for one in hosts)

    first = control.play("certificates", "--diff", "-vvv").or_fail()
    before = serials(hosts)
    assert len(set(before.values())) == 3
    second = control.play("certificates").or_fail()
    assert second.total("changed") == 0, second.output
    third = control.play("certificates", "--check", "--diff").or_fail()
    assert third.total("changed") == 0, third.output
    assert serials(hosts) == before

    assert "[department labo]" in first.output
    assert all(no_secret_in(run.output, lab) for run in (checked, first, second, third))
    for one in hosts:
        secret = [one.files.config_dir / name for name in ("tcs-lyon1.key", "tcs-lyon1.labo.hmac")]
        assert [file.stat().st_mode & 0o777 for file in secret] == [0o600, 0o600]
        upper = one.folder / "upper"
        assert leaks.files_with([lab.eab_hmac_key, lab.key.secret], upper, except_for=secret) == []
