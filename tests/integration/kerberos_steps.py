"""What certbot must do where updates are signed by Kerberos; on any server, each step by itself.

python -m tests.integration.kerberos_steps        # on Samba, in a network namespace
"""

from __future__ import annotations

import base64
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dns.name
import dns.query
import dns.rcode
import dns.update
import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint
from certbot_tcs_lyon1.dns01 import signing, update
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Batch, Location, Refused, txt_record
from tests.docs import dns_page
from tests.lab import pebble, process, proxy, samba
from tests.lab.certbot import Certbot, Result, find_executable
from tests.lab.server import NameServer

KID = "test-dsi-kid"
JOURNAL = "work/tcs-lyon1-journal.json"


@dataclass(frozen=True)
class Ground:
    """A server that takes Kerberos' signatures for `zone`, the account's keytab, CA and certbot."""

    zone: str
    server: NameServer
    keytab: Path
    environment: Mapping[str, str]
    hmac_key: str
    ca: pebble.Pebble
    client: Certbot
    updates_to: str

    def certbot(self, *args: str) -> Result:
        """Run certbot with the plugin and this ground's department config."""
        path = self.client.config_dir / "tcs-lyon1.ini"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(
            f"[tcs]\nserver = {self.ca.directory_url}\nemail = prenom.nom@univ-lyon1.fr\n"
            f"agree_tos = yes\n[department test-dsi]\neab_kid = {KID}\n"
            f"eab_hmac_key = {self.hmac_key}\n[dns]\nserver = {self.updates_to}\n"
            f"keytab = {self.keytab}\ncheck_servers = {self.server.endpoint}\n",
            encoding="utf-8",
        )
        return self.client.run(*args, env=self.environment)

    def certonly(self, *names: str) -> Result:
        """Order a certificate for the names; the plugin must leave nothing in the zone."""
        options = [option for name in names for option in ("-d", name)]
        done = self.certbot("certonly", "-n", "-a", "tcs-lyon1", *options)
        assert done.returncode == 0, done.output
        assert not any(self.txt(name) for name in names)
        assert not (self.client.folder / JOURNAL).exists()
        return done

    def txt(self, name: str) -> list[str]:
        """The challenge's records of a name, on the server."""
        return self.server.txt(f"_acme-challenge.{name.replace('*.', '')}")

    def edit(self, name: str, rdtype: str, value: str) -> None:
        """Add a record as the account does."""
        key = keyfiles.parse_keytab(self.keytab.read_bytes())
        message = dns.update.UpdateMessage(self.zone)
        message.add(dns.name.from_text(name), 60, rdtype, value)
        here = self.server.endpoint
        place = (here.address, here.port, here.address)
        signing.Signer().sign(message, key, place, dns.name.from_text(self.zone))
        wire = dns.query.tcp(message, here.address, 5, here.port).rcode()
        assert wire == dns.rcode.NOERROR


def issue_and_renew(ground: Ground) -> None:
    name = f"first.{ground.zone}"
    ground.certonly(name)
    first = ground.client.certificate(name).serial
    done = ground.certbot("renew", "--force-renewal", "--cert-name", name)
    assert done.returncode == 0, done.output
    assert ground.client.certificate(name).serial != first


def wildcard_and_apex(ground: Ground) -> None:
    ground.certonly(ground.zone, f"*.{ground.zone}")


def a_hundred_names(ground: Ground) -> None:
    ground.certonly(*(f"n{number}.{ground.zone}" for number in range(100)))


def an_alias(ground: Ground) -> None:
    target = f"elsewhere.{ground.zone}"
    ground.edit(f"_acme-challenge.aliased.{ground.zone}.", "CNAME", f"{target}.")
    ground.certonly(f"aliased.{ground.zone}")
    assert ground.server.txt(target) == []


def an_alias_that_samba_hides_is_told(ground: Ground) -> None:
    """Samba 4.17 answers a query for TXT or SOA at an alias with no CNAME, so no CA can follow."""
    name = f"aliased.{ground.zone}"
    ground.edit(f"_acme-challenge.{name}.", "CNAME", f"elsewhere.{ground.zone}.")
    done = ground.certbot("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
    assert done.returncode == 1
    assert f"unsigned, YXRRSET. A CNAME stands at _acme-challenge.{name}" in done.output
    assert not (ground.client.folder / JOURNAL).exists()


def a_right_that_is_missing_is_told(ground: Ground) -> None:
    """The record at dc1 is the controller's: 4.17 says SERVFAIL where it means REFUSED."""
    key = keyfiles.parse_keytab(ground.keytab.read_bytes())
    here = ground.server.endpoint
    section = DnsServer("", (Endpoint(here.address, here.port),), key, None)
    servers = Servers()
    [server] = servers.addresses_of(section.servers[0])
    place = Location(dns.name.from_text(ground.zone), server)
    record = txt_record(f"dc1.{ground.zone}", "value")
    with pytest.raises(Refused, match="unsigned, ") as caught:
        update.add_records(Batch(place, section, (record,), 0.0), servers)
    assert caught.value.claimed
    assert "(A;;RPWP;;;SID of the account)" in str(caught.value)


def a_kill_and_the_next_run(ground: Ground) -> None:
    name = f"killed.{ground.zone}"

    def kill(query: proxy.Query, ask: Any) -> Any:
        if query.opcode != "UPDATE":
            return ask()
        ask()
        _kill(ground.client)
        return proxy.SILENCE

    with proxy.running(ground.server.endpoint, kill) as between:
        through = replace(ground, updates_to=str(between.endpoint))
        done = through.certbot("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
        assert done.returncode == -signal.SIGKILL
        assert len(ground.txt(name)) == 1
        between.behave = proxy.passed
        through.certonly(name)


def _kill(client: Certbot) -> None:
    from tests.integration.test_crash_and_crowd import kill  # noqa: PLC0415

    kill(client)


def nothing_of_a_key_or_ticket_is_left(ground: Ground) -> None:
    """No file holds a key, and certbot writes none outside its folders."""
    traced = ground.client.folder / "strace"
    wrapper = ground.client.folder / "traced-certbot"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    strace = process.need("strace", "strace")
    calls = "open,openat,creat,rename,renameat,renameat2,mkdir,link,symlink"
    wrapper.write_text(
        f"#!/bin/sh\nexec {strace} -f -o {traced} -e trace={calls} "
        f'{ground.client.executable} "$@"\n',
        encoding="utf-8",
    )
    wrapper.chmod(0o700)
    client = replace(ground.client, executable=str(wrapper))
    replace(ground, client=client).certonly(f"traced.{ground.zone}")
    lines = traced.read_text("utf-8", errors="replace").splitlines()
    wrote = [
        line
        for line in lines
        if ("O_CREAT" in line or "O_WRONLY" in line or "O_RDWR" in line)
        and str(ground.client.folder) not in line
        and not any(
            # The package's own records go by descriptor; the coverage of the tests is measured.
            other in line
            for other in ("/dev/", "__pycache__", "ENOENT", ".json.tcs-lyon1-", "/.coverage")
        )
    ]
    assert not wrote, wrote
    assert not any("krb5cc" in line for line in lines)
    key = _last_key(ground.keytab.read_bytes())
    forms = [key, key.hex().encode(), base64.b64encode(key)]
    for path in ground.client.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(form in data for form in forms), path


def _last_key(keytab: bytes) -> bytes:
    """The key of the first entry: AES-256, 32 bytes, after its type and length."""
    at = keytab.index(b"\0\x12\0\x20")
    return keytab[at + 4 : at + 36]


def the_commands_of_docs_dns_are_enough_for_one_name(ground: Ground) -> None:
    """On Samba. Whose record it is that the page creates beforehand: the controller's."""
    assert isinstance(ground.server, samba.Samba)
    folder, name = ground.server.folder / "page", f"www.{ground.zone}"
    folder.mkdir()
    for block in dns_page.blocks(dns_page.FRENCH):
        if (block.mark, block.about) == ("run", "samba"):
            ground.server.shell(block.text, folder)
    order = ("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
    other = ground.certbot(*order)
    assert other.returncode == 1
    assert "unsigned" in other.output
    done = replace(ground, keytab=folder / "tcs-lyon1.keytab").certbot(*order)
    assert done.returncode == 0, done.output
    assert ground.txt(name) == ["essai"]


STEPS = (
    issue_and_renew,
    wildcard_and_apex,
    a_hundred_names,
    a_kill_and_the_next_run,
    nothing_of_a_key_or_ticket_is_left,
)


def main() -> int:
    """All steps on a Samba; its address is the namespace's."""
    with tempfile.TemporaryDirectory() as made:
        folder, hmac = Path(made), pebble.new_hmac_key()
        with (
            samba.running(folder / "samba", "127.0.0.2") as server,
            pebble.running(folder / "pebble", server.endpoint, {KID: hmac}, 0, 90, ()) as ca,
        ):
            os.environ.update(server.environment)
            client = Certbot(folder / "certbot", ca.ca_bundle, find_executable())
            ground = Ground(
                *(samba.ZONE, server, server.keytab, server.environment, hmac, ca, client),
                "127.0.0.2",
            )
            for step in (
                the_commands_of_docs_dns_are_enough_for_one_name,
                *STEPS,
                an_alias_that_samba_hides_is_told,
                a_right_that_is_missing_is_told,
            ):
                step(ground)
                print(step.__name__, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
