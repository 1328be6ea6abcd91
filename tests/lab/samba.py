"""A Samba controller of an Active Directory, with its internal DNS; in a network namespace only.

It is this machine's, or that of another Debian in its own root (`system.System`).
"""

import contextlib
import functools
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import dns.exception
import dns.flags

from tests.lab import process
from tests.lab.ports import Endpoint
from tests.lab.server import NameServer
from tests.lab.system import System

PACKAGE = "samba-ad-dc samba-ad-provision winbind samba"
REALM = "AD.UNIV-LYON1.FR"  # docs/dns.rst's
ZONE = REALM.lower()
HOST = f"dc1.{ZONE}"
ACCOUNT = f"svc-certbot@{REALM}"

#: Makes the line that runs a command where Samba is.
Line = Callable[[Sequence[str]], list[str]]

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

    line: Line

    @property
    def keytab(self) -> Path:
        return self.folder / "svc-certbot.keytab"

    @property
    def environment(self) -> dict[str, str]:
        """What a Kerberos client of it needs here, where no resolver has its SRV records."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf")}

    def tool(self, *args: str) -> str:
        """Run samba-tool on its database; the output."""
        return _tool(self.line, *args, "-s", str(self.folder / "smb.conf"))

    def export(self, account: str) -> Path:
        """A keytab (0600) with the keys that the account has now."""
        path = self.folder / f"{account}.keytab"
        self.tool("domain", "exportkeytab", str(path), f"--principal={account}")
        path.chmod(0o600)
        return path

    def shell(self, commands: str, folder: Path) -> None:
        """Run commands in `folder` as root of the controller would, which resolves by itself.

        Only root can do it: the controller's smb.conf and resolv.conf lie over this machine's.
        """
        own = {"smb.conf": "/etc/samba/smb.conf", "resolv.conf": "/etc/resolv.conf"}
        mounts = "".join(f"mount --bind {self.folder / name} {own[name]}\n" for name in own)
        inner = shlex.join(self.line(["sh", "-euc", f"cd {folder}\n{mounts}{commands}"]))
        process.shell(
            f"unshare --mount --propagation=private {inner}\n", folder, {"PYTHONPATH": ""}
        )


def check_programs() -> None:
    """MissingProgram for the first program that is not installed."""
    for program in ("samba", "samba-tool", "winbindd"):
        process.need(program, PACKAGE)


@contextlib.contextmanager
def running(folder: Path, address: str, other: Optional[System] = None) -> Iterator[Samba]:
    """Provision a domain with one account, and run its controller (5 s) until the context ends.

    :param other: the system whose Samba it is, with `PACKAGE` installed; by default this machine
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    if other is None:
        check_programs()
        line = _line
    else:
        line = functools.partial(_line_within, other.root, folder)
    values = {"realm": REALM, "zone": ZONE, "address": address, "folder": folder, "more": ""}
    _provision(line, folder, address)
    (folder / "smb.conf").write_text(_SMB_CONF.format(**values), encoding="ascii")
    (folder / "krb5.conf").write_text(_KRB5_CONF.format(**values), encoding="ascii")
    conf = ("-s", str(folder / "smb.conf"))
    (folder / "resolv.conf").write_text(f"nameserver {address}\n", encoding="ascii")
    _tool(line, "user", "create", "svc-certbot", "Passw0rd!1", *conf)
    command = line(["samba", "-F", "--no-process-group", "-M", "single", *conf])
    started = process.start("samba", command, folder, folder / "samba.out")
    with process.running(started):
        server = Samba("samba", folder, Endpoint(address, 53), started, line)
        process.wait_ready(started, lambda: _answers(server), 60)
        server.export("svc-certbot")
        yield server


def _answers(server: Samba) -> bool:
    with contextlib.suppress(OSError, EOFError, dns.exception.DNSException):
        return bool(server.query(HOST, "A", seconds=0.5).answer)
    return False


def _provision(line: Line, folder: Path, address: str) -> None:
    _tool(
        line,
        *("domain", "provision", f"--targetdir={folder}/state", f"--realm={REALM}"),
        *("--domain=LYONAD", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL"),
        *("--host-name=dc1", f"--host-ip={address}", "--adminpass=Passw0rd!x"),
        *(f"--option=interfaces={address}/8", "--option=bind interfaces only=yes"),
    )


def _line(command: Sequence[str]) -> list[str]:
    return [process.need(command[0], PACKAGE), *command[1:]]


def _line_within(root: Path, folder: Path, command: Sequence[str]) -> list[str]:
    """By chroot, for several at once: systemd-nspawn runs one in each root."""
    mount = (
        'mkdir -p "$1$2" && mount --bind "$2" "$1$2" && mount -t proc proc "$1/proc"'
        ' && mount --bind /dev "$1/dev" && root=$1 && shift 2 && exec chroot "$root" "$@"'
    )
    apart = [process.need("unshare", "util-linux"), "--mount", "--propagation=private"]
    return [*apart, "sh", "-euc", mount, "sh", str(root), str(folder), *command]


def _tool(line: Line, *args: str) -> str:
    command = line(["samba-tool", *args])
    return process.output(
        f"samba-tool {' '.join(args[:2])}", command, Path(), seconds=120, env={"PYTHONPATH": ""}
    )
