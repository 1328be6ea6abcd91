"""An MIT KDC, and a BIND that takes updates signed by its tickets (GSS-TSIG, RFC 3645)."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import bind, ports, process
from tests.lab.ports import Endpoint
from tests.lab.zones import Key, Zone

REALM = "UNIV-LYON1.FR"  # docs/dns.rst's
PACKAGE = "krb5-kdc krb5-admin-server"
ACCOUNT = f"certbot@{REALM}"

_KRB5_CONF = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
{more}
[realms]
 {realm} = {{
  kdc = {kdc}
 }}
[domain_realm]
 .univ-lyon1.test = {realm}
 localhost = {realm}
"""
_KDC_CONF = """\
[kdcdefaults]
 kdc_listen = {kdc}
 kdc_tcp_listen = {kdc}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/acl
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
 default = FILE:{folder}/kdc.log
"""


@dataclass(frozen=True)
class Kdc:
    """A KDC that runs. `environment` is what a client of it needs: where its krb5.conf is."""

    folder: Path
    endpoint: Endpoint
    process: process.Process

    @property
    def environment(self) -> dict[str, str]:
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf")}

    def admin(self, *commands: str) -> str:
        """Run commands of kadmin.local, on the database itself; their output."""
        return _admin(self.folder, *commands)

    def keytab(self, principal: str, file: str, *options: str) -> Path:
        """Make the principal, if there is none, and a keytab (0600) with its keys."""
        path = self.folder / file
        self.admin(
            f"addprinc -randkey {principal}", f"ktadd -k {path} {' '.join(options)} {principal}"
        )
        path.chmod(0o600)
        return path

    def shell(self, commands: str, folder: Path) -> None:
        """Run commands in `folder` as who runs the KDC would."""
        process.shell(commands, folder, _settings(self.folder))

    def krb5_conf(self, file: str, more: str = "", kdc: str = "") -> dict[str, str]:
        """Another krb5.conf: the environment of a client with it."""
        path = self.folder / file
        path.write_text(
            _KRB5_CONF.format(realm=REALM, kdc=kdc or self.endpoint, more=more), encoding="ascii"
        )
        return {"KRB5_CONFIG": str(path)}


def check_programs() -> None:
    """MissingProgram for the first program that is not installed."""
    for program in ("krb5kdc", "kdb5_util", "kadmin.local"):
        process.need(program, PACKAGE)


@contextlib.contextmanager
def kdc(folder: Path) -> Iterator[Kdc]:
    """Run a KDC with an empty realm in `folder` until the context ends."""
    check_programs()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with ports.claimed() as port:
        endpoint = Endpoint("127.0.0.1", port)
        values = {"realm": REALM, "kdc": endpoint, "folder": folder, "more": ""}
        (folder / "krb5.conf").write_text(_KRB5_CONF.format(**values), encoding="ascii")
        (folder / "kdc.conf").write_text(_KDC_CONF.format(**values), encoding="ascii")
        make = [process.need("kdb5_util", PACKAGE), "-r", REALM, "create", "-s", "-P", "x"]
        subprocess.run(make, env=_environment(folder), check=True, capture_output=True, timeout=30)
        command = [process.need("krb5kdc", PACKAGE), "-n", "-P", str(folder / "kdc.pid")]
        started = process.start("kdc", command, folder, folder / "kdc.out", _settings(folder))
        with process.running(started):
            process.wait_ready(started, lambda: ports.listens(endpoint))
            yield Kdc(folder, endpoint, started)


@contextlib.contextmanager
def bind_with_gss(
    folder: Path,
    realm: Kdc,
    zones: Sequence[Zone],
    *hosts: str,
    address: str = "127.0.0.1",
    port: int = 0,
    keys: Sequence[Key] = (),
) -> Iterator[bind.Bind]:
    """Run a primary that takes updates by tickets for `DNS/host`, and by these TSIG keys.

    :param port: one that was claimed; by default it claims one
    """
    for host in hosts:
        keytab = realm.keytab(f"DNS/{host}", f"{folder.name}.keytab")
    with ports.claimed(port) as port:
        options = f'tkey-gssapi-keytab "{keytab}";'
        with (
            _krb5_config(realm),
            bind.primary(folder, Endpoint(address, port), zones, keys, options=options) as server,
        ):
            yield server


@contextlib.contextmanager
def _krb5_config(realm: Kdc) -> Iterator[None]:
    """Set the servers' krb5.conf, for those that are started meanwhile."""
    # No replay cache: it would be a file in /var/tmp.
    ours = {**realm.environment, "KRB5RCACHENAME": "none:"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _admin(folder: Path, *commands: str) -> str:
    done = subprocess.run(
        [process.need("kadmin.local", PACKAGE), "-r", REALM],
        input="\n".join([*commands, "quit", ""]),
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


def _settings(folder: Path) -> dict[str, str]:
    return {
        "KRB5_CONFIG": str(folder / "krb5.conf"),
        "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
    }


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **_settings(folder)}
