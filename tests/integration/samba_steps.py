"""What certbot must do, and the user is told, where the DNS is a Samba's Active Directory.

    python -m tests.integration.samba_steps [ROOT]   # in a network namespace

ROOT is another Debian's root, whose Samba it is to be.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.settings import Keytab
from certbot_tcs_lyon1.dns01.records import Address
from certbot_tcs_lyon1.errors import DnsError
from tests.department.keytabs import AES256, RC4, keytab
from tests.dns01 import gss_once
from tests.docs import dns_page
from tests.integration.kerberos_steps import JOURNAL, KID, STEPS, Ground
from tests.lab import bind, pebble, samba, unbound, zones
from tests.lab.certbot import Certbot, find_executable
from tests.lab.ports import Endpoint
from tests.lab.system import System

ADDRESS = "127.0.0.2"
#: A zone of a BIND, with aliases into Samba's.
ALIASES = "labo.univ-lyon1.test"
TARGET = f"proof.{samba.ZONE}"
KEY = zones.new_key("tcs-lyon1")


def controller(ground: Ground) -> samba.Samba:
    assert isinstance(ground.server, samba.Samba)
    return ground.server


def refused(ground: Ground, **changes: Any) -> str:
    """What the user is told of one record; `changes` are of what would have been taken."""
    place = {
        "key": keyfiles.parse_keytab(ground.keytab.read_bytes()),
        "host": samba.HOST,
        "zone": ground.zone,
        "name": f"_acme-challenge.any.{ground.zone}",
        **changes,
    }
    server = Address(ADDRESS, 53, place.pop("host"))
    with pytest.raises(DnsError) as caught:
        gss_once.add_and_withdraw(server=server, **place)
    return str(caught.value)


def the_commands_of_docs_dns_are_enough_for_one_name(ground: Ground) -> None:
    """Whose record it is that the page creates beforehand: the controller's."""
    server = controller(ground)
    folder, name = server.folder / "page", f"www.{ground.zone}"
    folder.mkdir()
    for block in dns_page.blocks(dns_page.FRENCH):
        if (block.mark, block.about) == ("run", "samba"):
            server.shell(block.text, folder)
    order = ("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
    other = ground.certbot(*order)
    assert other.returncode == 1
    assert "unsigned" in other.output
    done = replace(ground, keytab=folder / "tcs-lyon1.keytab").certbot(*order)
    assert done.returncode == 0, done.output
    assert ground.txt(name) == ["essai"]


def an_alias_that_samba_hides_is_told(ground: Ground) -> None:
    """Samba (4.17, 4.22) shows no CNAME to who asks for TXT or SOA, so no CA can follow."""
    name = f"aliased.{ground.zone}"
    ground.edit(f"_acme-challenge.{name}.", "CNAME", f"elsewhere.{ground.zone}.")
    done = ground.certbot("certonly", "-n", "-a", "tcs-lyon1", "-d", name)
    assert done.returncode == 1
    assert f"unsigned, YXRRSET. A CNAME stands at _acme-challenge.{name}" in done.output
    assert not (ground.client.folder / JOURNAL).exists()


def an_alias_of_another_zone(ground: Ground) -> None:
    """A CNAME in BIND's zone, whose target is in Samba's."""
    ground.certonly(f"www.{ALIASES}")
    assert ground.server.txt(TARGET) == []


def a_right_that_is_missing_is_told(ground: Ground) -> None:
    """The record at dc1 is the controller's: 4.17 says SERVFAIL, 4.22 REFUSED."""
    told = refused(ground, name=f"dc1.{ground.zone}")
    assert "unsigned, " in told
    assert "(A;;RPWP;;;SID of the account)" in told


def what_happened_to_an_account_is_told(ground: Ground) -> None:
    """Each row as the directory's KDC answers."""
    server = controller(ground)
    for name, command, words in (
        ("off", ("disable",), "is disabled, locked or expired"),
        ("over", ("setexpiry", "--days=-1"), "is disabled, locked or expired"),
        ("changed", ("setpassword", "--newpassword=Passw0rd!2"), "its password was changed since"),
        (
            *("stale", ("setpassword", "--newpassword=Passw0rd!1", "--must-change-at-next-login")),
            "the password of stale@",
        ),
        ("gone", ("delete",), f"knows no account gone@{samba.REALM}"),
    ):
        server.tool("user", "create", name, "Passw0rd!1")
        if name != "stale":
            path = server.export(name)
        server.tool("user", command[0], name, *command[1:])
        if name == "stale":
            path = server.export(name)
        told = refused(ground, key=keyfiles.parse_keytab(path.read_bytes()))
        assert words in told, (name, told)
        assert "administrator of the directory" in told


def a_keytab_that_the_directory_does_not_take_is_told(ground: Ground) -> None:
    controller(ground).tool("spn", "add", f"HTTP/www.{ground.zone}", "svc-certbot")
    service = f"HTTP/www.{ground.zone}@{samba.REALM}"
    told = refused(ground, key=keyfiles.parse_keytab(keytab((service, AES256))))
    assert "a service's name such as HTTP/host is no account" in told
    told = refused(ground, key=Keytab(samba.ACCOUNT, keytab((samba.ACCOUNT, RC4))))
    assert "export the keytab again with AES keys" in told


def another_controllers_name_is_told_and_the_domains_leads_to_the_controller(
    ground: Ground,
) -> None:
    server = controller(ground)
    server.tool("user", "create", "dc2", "Passw0rd!1")
    server.tool("spn", "add", f"DNS/dc2.{ground.zone}", "dc2")
    told = refused(ground, host=f"dc2.{ground.zone}")
    assert f"rejects the ticket for DNS/dc2.{ground.zone} (BADKEY)" in told
    assert "name in `server` the controller itself" in told
    key = keyfiles.parse_keytab(ground.keytab.read_bytes())
    for host in (ground.zone, ADDRESS, f"alias.{ground.zone}"):
        name = f"_acme-challenge.byname.{ground.zone}"
        gss_once.add_and_withdraw(key, Address(ADDRESS, 53, host), ground.zone, name)


def a_wrong_zone_is_told(ground: Ground) -> None:
    below = f"below.{ground.zone}"
    assert "NOTIMP" in refused(ground, zone=below, name=f"_acme-challenge.{below}")
    told = refused(ground, zone="elsewhere.test", name="_acme-challenge.elsewhere.test")
    assert "NOTAUTH. This server does not hold the zone" in told
    told = refused(ground, name="_acme-challenge.elsewhere.test")
    assert "says, unsigned, NOTZONE" in told


def a_clock_that_is_off_is_told(ground: Ground) -> None:
    server = controller(ground)
    conf = server.folder / "no-timesync.conf"
    own = (server.folder / "krb5.conf").read_text("ascii")
    conf.write_text(own.replace("rdns = false", "rdns = false\n kdc_timesync = 0"), "ascii")
    for env, other in ((server.environment, "name server"), ({"KRB5_CONFIG": str(conf)}, "KDC")):
        told = gss_once.told_with_clock(
            *("+10m", ground.keytab, Address(ADDRESS, 53, samba.HOST), ground.zone),
            *(f"_acme-challenge.late.{ground.zone}", env),
        )
        assert f"clocks of this machine and of the {other} differ by more than 300 s" in told, told


SAMBAS_STEPS = (
    the_commands_of_docs_dns_are_enough_for_one_name,
    *STEPS,
    an_alias_of_another_zone,
    an_alias_that_samba_hides_is_told,
    a_right_that_is_missing_is_told,
    what_happened_to_an_account_is_told,
    a_keytab_that_the_directory_does_not_take_is_told,
    another_controllers_name_is_told_and_the_domains_leads_to_the_controller,
    a_wrong_zone_is_told,
    a_clock_that_is_off_is_told,
)


def main(root: Optional[str] = None) -> int:
    """All steps on one controller."""
    other = System(Path(root)) if root else None
    text = zones.zone_text(
        *(ALIASES, {"ns1": "127.0.0.3"}, f"_acme-challenge.www CNAME {TARGET}.\n")
    )
    aliases = zones.Zone(ALIASES, text, (f"grant {KEY.name} zonesub ANY;",))
    with tempfile.TemporaryDirectory() as made:
        folder, hmac = Path(made), pebble.new_hmac_key()
        key_file = zones.write_key_file(folder / "tsig.key", KEY)
        with (
            samba.running(folder / "samba", ADDRESS, other) as server,
            bind.primary(folder / "bind", Endpoint("127.0.0.3", 53), [aliases], [KEY]) as static,
            unbound.running(
                folder / "unbound",
                {samba.ZONE: server.endpoint, ALIASES: static.endpoint},
                {},
                validates=False,
            ) as resolver,
            pebble.running(
                *(folder / "pebble", Endpoint("127.0.0.1", resolver.port), {KID: hmac}, 0, 90, ())
            ) as ca,
        ):
            os.environ.update(server.environment)
            client = Certbot(folder / "certbot", ca.ca_bundle, find_executable())
            ground = Ground(
                *(samba.ZONE, server, server.keytab, server.environment, hmac, ca, client),
                *(ADDRESS, f"[dns {ALIASES}]\nserver = 127.0.0.3\nkey_file = {key_file}\n"),
            )
            for step in SAMBAS_STEPS:
                step(ground)
                print(step.__name__, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
