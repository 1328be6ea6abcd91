"""A machine with certbot's folders as certbot lays them out, and certificates of any age."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.resolver
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.install.conftest import key_pem
from tests.lab import unbound, zones
from tests.lab.files import write_private
from tests.lab.lab import Lab, ini
from tests.lab.pebble import new_hmac_key

NAME = "www.labo.univ-lyon1.test"
SERVER = "https://localhost:14000/dir"
ACCOUNT = "0123456789abcdef"

_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, left: float, days: float, client_auth: bool = True) -> bytes:
    """PEM of a certificate of so many days of which `left` percent are left."""
    lifetime = datetime.timedelta(days=days)
    end = datetime.datetime.now(datetime.timezone.utc) + lifetime * left / 100
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if client_auth else []
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab CA")]))
        .public_key(_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - lifetime)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(_KEY, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Machine:
    """certbot's folders, below one."""

    folder: Path

    @property
    def config_dir(self) -> Path:
        return self.folder / "etc"

    @property
    def logs_dir(self) -> Path:
        return self.folder / "log"

    def issue(
        self,
        name: str = NAME,
        left: float = 80,
        days: float = 90,
        client_auth: bool = True,
        options: str = "",
    ) -> bytes:
        """A new version of a lineage; its certificate."""
        archive, live = self.config_dir / "archive" / name, self.config_dir / "live" / name
        archive.mkdir(parents=True, exist_ok=True)
        live.mkdir(parents=True, exist_ok=True)
        number = len(list(archive.glob("cert*.pem"))) + 1
        pem = certificate(name, left, days, client_auth)
        content = {"cert": pem, "chain": pem, "fullchain": pem + pem, "privkey": key_pem(_KEY)}
        for kind, data in content.items():
            (archive / f"{kind}{number}.pem").write_bytes(data)
            link = live / f"{kind}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/{name}/{kind}{number}.pem")
        renewal = self.config_dir / "renewal" / f"{name}.conf"
        renewal.parent.mkdir(exist_ok=True)
        paths = "".join(f"{kind} = {live}/{kind}.pem\n" for kind in content)
        renewal.write_text(
            f"version = 4.0.0\narchive_dir = {archive}\n{paths}[renewalparams]\n"
            f"account = {ACCOUNT}\nauthenticator = tcs-lyon1\ninstaller = tcs-lyon1\n"
            f"server = {SERVER}\ntcs_lyon1_department = labo\n{options}"
        )
        return pem

    def account(self) -> Path:
        """The lineages' ACME account; its folder."""
        folder = self.config_dir / "accounts" / "localhost:14000" / "dir" / ACCOUNT
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "regr.json").write_text(json.dumps({"body": {}, "uri": f"{SERVER}/acct/1"}))
        (folder / "private_key.json").write_text(json.dumps({"kty": "RSA"}))
        (folder / "tcs-lyon1.json").write_text(json.dumps({"eab_kid": "kid-1"}))
        return folder

    def configure(self, more: str = "") -> Path:
        """Write the department config."""
        sections = {
            "tcs": {"server": SERVER, "agree_tos": "yes"},
            "department labo": {"eab_kid": "kid-1", "eab_hmac_key": new_hmac_key()},
        }
        return write_private(self.config_dir / "tcs-lyon1.ini", ini(sections, more))

    def log(self, failed: str = "", days: float = 0, verb: str = "renew", more: str = "") -> None:
        """certbot's log of a run so many days ago, as certbot 1.12 to 5.8 write it: the verb isn't
        among the arguments."""
        self.logs_dir.mkdir(exist_ok=True)
        when = datetime.datetime.now() - datetime.timedelta(days=days)
        stamp = when.strftime("%Y-%m-%d %H:%M:%S,123")
        lines = [f"{stamp}:DEBUG:certbot._internal.main:Arguments: ['-q'{more}]"]
        if failed:
            lines.append(f"{stamp}:ERROR:certbot._internal.renewal:{failed}")
            lines.append(
                f"{stamp}:ERROR:certbot._internal.log:1 renew failure(s), 0 parse failure(s)"
            )
        elif verb == "renew":
            lines.append(f"{stamp}:DEBUG:certbot._internal.renewal:no renewal failures")
        (self.logs_dir / "letsencrypt.log").write_text("\n".join(lines) + "\n")

    def arguments(self, verb: str, *more: str) -> list[str]:
        """The command line of `certbot-tcs-lyon1` on this machine."""
        folders = [f"--config-dir={self.config_dir}", f"--work-dir={self.folder / 'var'}"]
        return [verb, *folders, f"--logs-dir={self.logs_dir}", *more]

    def run(self, verb: str, *more: str, before: Sequence[str] = ()) -> tuple[int, str]:
        """Exit code and output of the command, as a process of its own."""
        command = [*before, sys.executable, "-m", "certbot_tcs_lyon1.status.command"]
        done = subprocess.run(
            [*command, *self.arguments(verb, *more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        return done.returncode, done.stdout.decode()


@pytest.fixture(scope="session")
def resolver(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dns.resolver.Resolver]:
    """A resolver that knows the lab's zones."""
    at = dict.fromkeys((zones.PARENT, zones.CHILD), lab.primary.endpoint)
    with unbound.running(tmp_path_factory.mktemp("resolver"), at, {}) as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which all is right."""
    from certbot_tcs_lyon1.status import timer

    tmp_path.chmod(0o755)
    on = timer.Timer("certbot.timer", enabled=True, active=True)
    monkeypatch.setattr(timer, "find", lambda: on)
    made = Machine(tmp_path)
    made.issue()
    yesterday = time.time() - 86400
    for path in (made.config_dir / "archive" / NAME).iterdir():
        os.utime(path, (yesterday, yesterday))
    made.account()
    made.configure()
    made.log()
    return made
