"""A Samba controller of an Active Directory, with its internal DNS; in a network namespace only."""

import contextlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags

from tests.lab import process
from tests.lab.errors import LabError
from tests.lab.ports import Endpoint
from tests.lab.server import NameServer

PACKAGE = "samba-ad-dc samba-ad-provision winbind samba"
REALM = "AD.UNIV-LYON1.FR"  # docs/dns.rst's
ZONE = REALM.lower()
HOST = f"dc1.{ZONE}"
ACCOUNT = f"svc-certbot@{REALM}"

_SMB_CONF = """\
[global]
 netbios name = DC1
 workgroup = LYONAD
 realm = {realm}
 server role = active directory domain controller
 interfaces = {address}/8
 bind interfaces only = yes
 private dir = {folder}/state/private
 state directory = {folder}/state/state
 lock directory = {folder}/state
 cache directory = {folder}/state/cache
 pid directory = {folder}/state
 ncalrpc dir = {folder}/state/ncalrpc
 ntp signd socket directory = {folder}/state/ntp_signd
 winbindd socket directory = {folder}/state/winbindd
 log file = {folder}/samba.log
 logging = file
 log level = 1
 server services = rpc, ldap, kdc, dns
 tls enabled = no
 dns update command = /bin/true
[sysvol]
 path = {folder}/state/state/sysvol
"""
_KRB5_CONF = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 rdns = false
{more}
[realms]
 {realm} = {{
  kdc = {address}:88
 }}
[domain_realm]
 .{zone} = {realm}
"""


@dataclass(frozen=True)
class Samba(NameServer):
    """A controller that runs. `keytab` is of `ACCOUNT`, an ordinary account of the domain."""

    @property
    def keytab(self) -> Path:
        return self.folder / "svc-certbot.keytab"

    @property
    def environment(self) -> dict[str, str]:
        """What a Kerberos client of it needs here, where no resolver has its SRV records."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf")}

    def shell(self, commands: str, folder: Path) -> None:
        """Run commands in `folder` as root of the controller would, which resolves by itself.

        Only root can do it: the controller's smb.conf and resolv.conf lie over this machine's.
        """
        own = {"smb.conf": "/etc/samba/smb.conf", "resolv.conf": "/etc/resolv.conf"}
        mounts = "".join(f"mount --bind {self.folder / name} {own[name]}\n" for name in own)
        inner = shlex.quote(f"{mounts}{commands}")
        process.shell(
            f"unshare --mount --propagation=private sh -euc {inner}\n", folder, {"PYTHONPATH": ""}
        )


def check_programs() -> None:
    """MissingProgram for the first program that is not installed."""
    for program in ("samba", "samba-tool", "winbindd"):
        process.need(program, PACKAGE)


@contextlib.contextmanager
def running(folder: Path, address: str) -> Iterator[Samba]:
    """Provision a domain with one account, and run its controller (5 s) until the context ends."""
    check_programs()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    values = {"realm": REALM, "zone": ZONE, "address": address, "folder": folder, "more": ""}
    _provision(folder, address)
    (folder / "smb.conf").write_text(_SMB_CONF.format(**values), encoding="ascii")
    (folder / "krb5.conf").write_text(_KRB5_CONF.format(**values), encoding="ascii")
    conf = ("-s", str(folder / "smb.conf"))
    (folder / "resolv.conf").write_text(f"nameserver {address}\n", encoding="ascii")
    _tool("user", "create", "svc-certbot", "Passw0rd!1", *conf)
    keytab = folder / "svc-certbot.keytab"
    _tool("domain", "exportkeytab", str(keytab), "--principal=svc-certbot", *conf)
    keytab.chmod(0o600)
    command = [process.need("samba", PACKAGE), "-F", "--no-process-group", "-M", "single", *conf]
    started = process.start("samba", command, folder, folder / "samba.out")
    with process.running(started):
        server = Samba("samba", folder, Endpoint(address, 53), started)
        process.wait_ready(started, lambda: _answers(server), 60)
        yield server


def _answers(server: Samba) -> bool:
    with contextlib.suppress(OSError, EOFError, dns.exception.DNSException):
        return bool(server.query(HOST, "A", seconds=0.5).answer)
    return False


def _provision(folder: Path, address: str) -> None:
    _tool(
        *("domain", "provision", f"--targetdir={folder}/state", f"--realm={REALM}"),
        *("--domain=LYONAD", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL"),
        *("--host-name=dc1", f"--host-ip={address}", "--adminpass=Passw0rd!x"),
        *(f"--option=interfaces={address}/8", "--option=bind interfaces only=yes"),
    )


def _tool(*args: str) -> str:
    done = subprocess.run(
        [process.need("samba-tool", PACKAGE), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": ""},
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise LabError(f"samba-tool {' '.join(args[:2])}: {done.stdout}")
    return done.stdout
