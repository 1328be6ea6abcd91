"""A CA of the tests' own, by OpenSSL: certificates with distribution points, and CRLs."""

from __future__ import annotations

import datetime
import itertools
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.lab import process
from tests.lab.certbot import Certbot

NAME = "www.labo.univ-lyon1.test"
#: The first certificate of a lineage that is watched.
ORDER = ("certonly", "--non-interactive", "--configurator", "tcs-lyon1", "-d", NAME)

_CONFIG = """\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {name}
[ca_ext]
basicConstraints = critical, CA:TRUE
{usage}
subjectKeyIdentifier = hash
[ca]
default_ca = own
[own]
database = {folder}/index.txt
default_md = sha256
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
crl_extensions = crl_ext
[crl_ext]
authorityKeyIdentifier = keyid:always
{extensions}
"""
_NEW_KEY = {
    "ec": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}
_serials = itertools.count(0x4C594F4E31_0000_0001)


@dataclass(frozen=True)
class Leaf:
    """A certificate of the CA's: PEM, and as cryptography has it."""

    pem: bytes
    certificate: x509.Certificate

    @property
    def serial(self) -> int:
        return self.certificate.serial_number


class Authority:
    """A CA in a folder of its own; `name` is its common name, `usage` what its key is for."""

    def __init__(
        self,
        folder: Path,
        algorithm: str = "ec",
        name: str = "CA of the tests",
        usage: str = "keyCertSign, cRLSign",
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.name = name
        self.usage = f"keyUsage = critical, {usage}" if usage else ""
        self._configure()
        self.openssl(*_NEW_KEY[algorithm], "-out", "ca.key")
        self.openssl(
            *("req", "-x509", "-new", "-key", "ca.key", "-config", "ca.cnf"),
            *("-extensions", "ca_ext", "-days", "3650", "-out", "ca.pem"),
        )
        self.pem = (folder / "ca.pem").read_bytes()
        self.openssl(*_NEW_KEY["ec"], "-out", "leaf.key")

    def openssl(self, *args: str) -> None:
        """Run OpenSSL in the CA's folder."""
        subprocess.run(
            [process.need("openssl", "openssl"), *args],
            cwd=str(self.folder),
            check=True,
            capture_output=True,
        )

    def _configure(self, extensions: Sequence[str] = ()) -> None:
        text = _CONFIG.format(
            name=self.name,
            folder=self.folder,
            usage=self.usage,
            extensions="\n".join(extensions),
        )
        (self.folder / "ca.cnf").write_text(text, encoding="utf-8")

    def issue(
        self,
        points: Sequence[str] = (),
        more: Sequence[str] = (),
        key: str = "leaf.key",
        names: Sequence[str] = (NAME,),
        days_old: int = 0,
    ) -> Leaf:
        """A certificate; each of `points` is a distribution point's URL, `more` are lines of the
        extensions, and `key` is a key's path; it began `days_old` ago."""
        sections = [f"[p{i}]\nfullname = URI:{url}" for i, url in enumerate(points)]
        lines = [
            "subjectAltName = " + ",".join(f"DNS:{name}" for name in names),
            "authorityKeyIdentifier = keyid",
            *more,
        ]
        if points:
            lines.append("crlDistributionPoints = " + ",".join(f"p{i}" for i in range(len(points))))
        text = "\n".join(["[e]", *lines, *sections, ""])
        (self.folder / "leaf.cnf").write_text(text, encoding="utf-8")
        self.openssl(
            "req", "-new", "-key", key, "-subj", f"/CN={names[0]}", "-config", "ca.cnf", "-out", "r"
        )
        self.openssl(
            *("x509", "-req", "-in", "r", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-set_serial", hex(next(_serials)), "-days", "90"),
            *("-extfile", "leaf.cnf", "-extensions", "e", "-out", "leaf.pem"),
        )
        pem = (self.folder / "leaf.pem").read_bytes()
        leaf = Leaf(pem, x509.load_pem_x509_certificate(pem))
        return self._backdated(leaf, days_old) if days_old else leaf

    def _backdated(self, leaf: Leaf, days: int) -> Leaf:
        """The same, begun earlier: OpenSSL can do it from 3.4 on only."""
        now = datetime.datetime.now(datetime.timezone.utc)
        old = leaf.certificate
        builder = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(old.issuer)
            .public_key(old.public_key())
            .serial_number(old.serial_number)
            .not_valid_before(now - datetime.timedelta(days=days))
            .not_valid_after(now + datetime.timedelta(days=90))
        )
        for extension in old.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        made = builder.sign(key, hashes.SHA256())
        return Leaf(made.public_bytes(serialization.Encoding.PEM), made)

    def sign_crl(
        self, builder: x509.CertificateRevocationListBuilder, forged: Optional[Any] = None
    ) -> bytes:
        """A CRL that OpenSSL's command can't make, as DER; it begins an hour ago, for a day.

        It is signed by the CA, or by another's Ed25519 key, `forged`.
        """
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        hour = datetime.timedelta(hours=1)
        issuer = x509.load_pem_x509_certificate(self.pem).subject
        builder = builder.issuer_name(issuer).last_update(now - hour).next_update(now + 24 * hour)
        key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        signed = builder.sign(forged or key, None if forged else hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.DER)

    def crl(
        self,
        revoked: Mapping[int, str],
        extensions: Sequence[str] = (),
        expired: bool = False,
        form: str = "DER",
        at: Optional[datetime.datetime] = None,
        options: Sequence[str] = (),
    ) -> bytes:
        """A CRL of serial numbers, each with a reason as OpenSSL writes it, "" for none.

        `extensions` are lines of OpenSSL's configuration, `options` are of its command; it is
        issued now, or `at` (UTC).
        """
        self._configure(extensions)
        day = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        stamp = f"{day:%y%m%d%H%M%S}Z"
        rows = [
            "\t".join(
                (
                    "R",
                    "491231235959Z",
                    f"{stamp},{reason}".rstrip(","),
                    _hex(serial),
                    "unknown",
                    "/CN=x",
                )
            )
            for serial, reason in revoked.items()
        ]
        (self.folder / "index.txt").write_text("".join(row + "\n" for row in rows), "utf-8")
        times = ["-crldays", "7"]
        begin = datetime.datetime(2026, 1, 1) if expired else at
        if begin is not None:
            pair = (begin, begin + datetime.timedelta(days=1 if expired else 7))
            first, last = (f"{time:%Y%m%d%H%M%S}Z" for time in pair)
            times = ["-crl_lastupdate", first, "-crl_nextupdate", last]
        self.openssl(
            *("ca", "-gencrl", "-config", "ca.cnf", "-out", "crl.pem"),
            *(*times, *options),
        )
        self.openssl("crl", "-in", "crl.pem", "-outform", form, "-out", "crl.out")
        return (self.folder / "crl.out").read_bytes()


def _hex(serial: int) -> str:
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else "0" + text


def exchange(
    client: Certbot, ca: Authority, points: list[str], lineage: str = NAME, days_old: int = 0
) -> Leaf:
    """Exchange the live certificate for one of the tests' CA, of the same key."""
    live = client.live(lineage, "privkey.pem")
    leaf = ca.issue(points, key=str(live.resolve()), days_old=days_old)
    client.live(lineage).resolve().write_bytes(leaf.pem)
    client.live(lineage, "chain.pem").resolve().write_bytes(ca.pem)
    client.live(lineage, "fullchain.pem").resolve().write_bytes(leaf.pem + ca.pem)
    return leaf
