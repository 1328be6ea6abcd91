"""What certbot must do where updates are signed by Kerberos; on any server, each step by itself."""

from __future__ import annotations

import base64
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address
from tests.integration import commands
from tests.lab import pebble, ports, process, proxy
from tests.lab.certbot import Certbot, Result
from tests.lab.lab import ini
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
    more: str = ""  # of the department config

    def certbot(self, *args: str) -> Result:
        """Run certbot with the plugin and this ground's department config."""
        sections = {
            "tcs": {
                "server": self.ca.directory_url,
                "email": "prenom.nom@univ-lyon1.fr",
                "agree_tos": "yes",
            },
            "department test-dsi": {"eab_kid": KID, "eab_hmac_key": self.hmac_key},
            "dns": {
                "server": self.updates_to,
                "keytab": str(self.keytab),
                "check_servers": str(self.server.endpoint),
            },
        }
        self.client.configure(ini(sections, self.more))
        return self.client.run(*args, env=self.environment)

    def certonly(self, *names: str) -> Result:
        """Order a certificate for the names; the plugin must leave nothing in the zone."""
        options = [option for name in names for option in ("-d", name)]
        done = self.certbot("certonly", "-n", "-a", "tcs-lyon1", *options)
        assert done.returncode == 0, done.output
        assert "Exception ignored" not in done.output
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
        place = Address(here.address, here.port, here.address)
        Servers().sign(message, key, place, dns.name.from_text(self.zone))
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


def two_servers(ground: Ground) -> None:
    """In one order, each with a context of its own; a dead one comes first."""
    other = f"other.{ground.zone}"
    with (
        ports.claimed() as nobody,
        proxy.running(ground.server.endpoint) as first,
        proxy.running(ground.server.endpoint) as second,
    ):
        section = (
            f"[dns {other}]\nserver = {second.endpoint}\nkeytab = {ground.keytab}\n"
            f"check_servers = {ground.server.endpoint}\n"
        )
        updates_to = f"127.0.0.1:{nobody}, {first.endpoint}"
        replace(ground, updates_to=updates_to, more=section).certonly(f"a.{ground.zone}", other)
        for between in (first, second):
            kinds = [query.message.question[0].rdtype for query in between.queries]
            assert kinds.count(dns.rdatatype.TKEY) == 1
            assert between.count("UPDATE", "tcp") == 2  # there and away


def a_kill_and_the_next_run(ground: Ground) -> None:
    name = f"killed.{ground.zone}"

    def kill(query: proxy.Query, ask: Any) -> Any:
        if query.opcode != "UPDATE":
            return ask()
        ask()
        commands.kill(ground.client)
        return proxy.SILENCE

    with proxy.running(ground.server.endpoint, kill) as between:
        through = replace(ground, updates_to=str(between.endpoint))
        done = through.certbot("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
        assert done.returncode == -signal.SIGKILL
        assert len(ground.txt(name)) == 1
        between.behave = proxy.passed
        through.certonly(name)


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
    assert not list((ground.client.folder / "tmp").iterdir())
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


STEPS = (
    issue_and_renew,
    wildcard_and_apex,
    a_hundred_names,
    two_servers,
    a_kill_and_the_next_run,
    nothing_of_a_key_or_ticket_is_left,
)
