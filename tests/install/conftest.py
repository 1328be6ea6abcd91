"""The installer wing by itself: no certbot runs here, only a folder like its own, and a service."""

from __future__ import annotations

import datetime
import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from certbot_tcs_lyon1.department.settings import Target
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.install import deploy

NAME = "mail.labo.univ-lyon1.test"
PATHS = ("fullchain", "cert", "chain", "privkey", "combined", "pkcs12")


def new_pair(name: str, issuer: Optional[tuple[Any, x509.Name]] = None) -> tuple[Any, bytes]:
    """A key and a certificate (PEM) for it, signed by itself or by the issuer's key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issuer_name = issuer or (key, subject)
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(signer, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Any) -> bytes:
    """The key as certbot writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass(frozen=True)
class Shelf:
    """A folder like certbot's config folder, with `live` and `archive`."""

    folder: Path

    @property
    def live(self) -> str:
        return str(self.folder / "live")

    def certificate(self, name: str = NAME) -> str:
        """The certificate's folder."""
        return os.path.join(self.live, name)

    def issue(self, name: str = NAME) -> None:
        """Put a new version into the archive, and let the links of `live` lead to it."""
        archive, live = self.folder / "archive" / name, self.folder / "live" / name
        archive.mkdir(parents=True, exist_ok=True)
        live.mkdir(parents=True, exist_ok=True)
        number = len(list(archive.glob("cert*.pem"))) + 1
        authority, chain = new_pair("lab CA")
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab CA")])
        key, cert = new_pair(name, (authority, issuer))
        content = {
            "cert": cert,
            "chain": chain,
            "fullchain": cert + chain,
            "privkey": key_pem(key),
        }
        for kind, data in content.items():
            file = archive / f"{kind}{number}.pem"
            file.write_bytes(data)
            link = live / f"{kind}.pem"
            if link.is_symlink():
                link.unlink()
            link.symlink_to(f"../../archive/{name}/{kind}{number}.pem")

    def go_to(self, number: int) -> None:
        """Let the links of `live` lead to that version."""
        for link in Path(self.certificate()).iterdir():
            end = Path(os.readlink(link)).with_name(f"{link.stem}{number}.pem")
            link.unlink()
            link.symlink_to(end)

    def read(self, kind: str, name: str = NAME) -> bytes:
        """A file of the live version."""
        return Path(self.certificate(name), f"{kind}.pem").read_bytes()


@dataclass(frozen=True)
class Service:
    """A folder with a service's files, and what its commands did.

    `reload` makes `served` of the files, all of them in one step, as a daemon keeps them in memory.
    The commands fail while there is a file `test-fails` or `reload-fails`.
    """

    folder: Path
    target: Target

    @property
    def runs(self) -> list[str]:
        """The commands that ran, in order."""
        log = self.folder / "log"
        return log.read_text().split() if log.exists() else []

    def forget(self) -> None:
        """Begin the list of `runs` anew."""
        (self.folder / "log").write_text("")

    def section(self) -> str:
        """The target as a section of a department config."""
        values = {kind: getattr(self.target, kind) for kind in (*PATHS, "owner", "group")}
        values["certificate"] = self.target.certificate
        values["test"] = " ".join(self.target.test or ())
        values["reload"] = " ".join(self.target.reload or ())
        lines = [f"{key} = {value}\n" for key, value in values.items() if value]
        return f"[install {self.target.name}]\n" + "".join(lines)

    def path(self, kind: str) -> Path:
        """Where a file of this kind goes."""
        return Path(getattr(self.target, kind))

    def files(self) -> dict[str, tuple[bytes, int, int, int]]:
        """The target's files with their content, owner, group and mode."""
        found = {}
        for kind in PATHS:
            named = getattr(self.target, kind)
            if named is not None and os.path.exists(named):
                state = os.stat(named)
                content = Path(named).read_bytes()
                found[kind] = (content, state.st_uid, state.st_gid, state.st_mode & 0o7777)
        return found

    def served(self) -> bytes:
        """What the service has in memory."""
        path = self.folder / "served"
        return path.read_bytes() if path.exists() else b""

    def names(self) -> list[str]:
        """What lies in the folder of the files, hidden names too."""
        return sorted(os.listdir(self.folder / "tls"))


_SCRIPT = """\
cd {folder}
echo $1 >> log
if [ -e $1-fails ]; then echo "$1 of $TCS_LYON1_TARGET is broken"; exit 3; fi
[ $1 = reload ] || exit 0
for path in {paths}; do cat $path; done > served.new && mv served.new served
"""


def make_service(folder: Path, name: str = "mail", **changes: Any) -> Service:
    """A service that wants `fullchain`, `chain` and `privkey`, unless `changes` says otherwise."""
    tls = folder / "tls"
    tls.mkdir(parents=True)
    values: dict[str, Any] = dict.fromkeys(Target.__dataclass_fields__)
    values.update(
        name=name,
        certificate=NAME,
        fullchain=str(tls / "fullchain.pem"),
        chain=str(tls / "chain.pem"),
        privkey=str(tls / "privkey.pem"),
    )
    values.update(changes)
    script = folder / "service.sh"
    paths = [shlex.quote(values[kind]) for kind in PATHS if values[kind] is not None]
    script.write_text(_SCRIPT.format(folder=shlex.quote(str(folder)), paths=" ".join(paths)))
    for what in ("test", "reload"):
        values.setdefault(what, None)
        if what not in changes:
            values[what] = ("sh", str(script), what)
    return Service(folder, Target(**values))


@dataclass(frozen=True)
class Desk:
    """A shelf with a certificate, and where to deploy from it."""

    shelf: Shelf
    machine: deploy.Machine
    #: What the user was shown.
    said: list[str]

    def deploy(self, *services: Service) -> list[str]:
        """Deploy the live version to all of them."""
        targets = [service.target for service in services]
        self.said.clear()
        deploy.deploy_live(targets, self.shelf.certificate(), self.machine)
        return list(self.said)

    def refused(self, *services: Service) -> str:
        """What the user is told; no record may be left."""
        with pytest.raises(InstallError) as caught:
            self.deploy(*services)
        assert not os.path.exists(self.machine.records)
        return str(caught.value)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf with one certificate in version 1."""
    made = Shelf(tmp_path / "certbot" / "config")
    made.issue()
    return made


@pytest.fixture
def desk(shelf: Shelf, tmp_path: Path) -> Desk:
    """A desk whose forbidden folder is `certbot`."""
    work = tmp_path / "certbot" / "work"
    work.mkdir()
    said: list[str] = []
    keep_out = (str(tmp_path / "certbot"),)
    machine = deploy.Machine(str(work), dict(os.environ), keep_out, said.append)
    return Desk(shelf, machine, said)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service without any file yet."""
    return make_service(tmp_path / "service")


def changed(service: Service, **changes: Any) -> Service:
    """The service, with another target."""
    return replace(service, target=replace(service.target, **changes))
