"""One record added and withdrawn, signed by Kerberos, in a process that may have another clock.

    python -m tests.dns01.gss_once KEYTAB ADDRESS PORT HOST ZONE NAME

HOST is what the department config calls the server. What the user would be told is printed, and the
exit code is then 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dns.name

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, SigningKey
from certbot_tcs_lyon1.dns01 import update
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, Batch, Location, txt_record
from certbot_tcs_lyon1.errors import DnsError
from tests.lab import process


def add_and_withdraw(key: SigningKey, server: Address, zone: str, name: str) -> None:
    """Add a record and withdraw it.

    :raises DnsError: as the user is told
    """
    servers = Servers()
    section = DnsServer("", (Endpoint(server.label, server.port),), key, None)
    place = Location(dns.name.from_text(zone), server)
    batch = Batch(place, section, (txt_record(name, "value"),), 0.0)
    update.add_records(batch, servers)
    update.delete_records(batch, servers)


def told_with_clock(
    shift: str, keytab: Path, server: Address, zone: str, name: str, env: Mapping[str, str]
) -> str:
    """What the user is told on a machine whose clock is off by `shift` (faketime's: "+10m")."""
    faketime = process.need("faketime", "faketime")
    place = (str(keytab), server.ip, str(server.port), server.label, zone, name)
    done = subprocess.run(
        [faketime, "-f", shift, sys.executable, "-m", "tests.dns01.gss_once", *place],
        env={**os.environ, **env, "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    return done.stdout


def main(keytab: str, ip: str, port: str, host: str, zone: str, name: str) -> int:
    """The command line."""
    key = keyfiles.parse_keytab(Path(keytab).read_bytes())
    try:
        add_and_withdraw(key, Address(ip, int(port), host), zone, name)
    except DnsError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
