"""A lineage as certbot keeps it: the links in `live/NAME` point to files in `archive/NAME`."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.errors import InstallError

KINDS = ("cert", "chain", "fullchain", "privkey")

_VERSION = re.compile(r"cert([0-9]+)\.pem")


@dataclass(frozen=True)
class Lineage:
    """One version of a lineage: certbot's number for it, its files (PEM), and their paths."""

    name: str
    version: int
    cert: bytes
    chain: bytes
    fullchain: bytes
    privkey: bytes = field(repr=False)
    paths: Mapping[str, str]


def read(folder: str) -> Lineage:
    """Read the live version.

    :param folder: the lineage's folder `live/NAME`
    :raises InstallError: there is none, or it cannot be read
    """
    paths = {kind: os.path.join(folder, f"{kind}.pem") for kind in KINDS}
    return _read(os.path.basename(folder), version(folder) or 0, paths)


def read_previous(folder: str, steps: int = 1) -> Optional[Lineage]:
    """Read the version `steps` before the live one from certbot's archive; None if there is none.

    :param folder: the lineage's folder `live/NAME`
    :raises InstallError: it cannot be read
    """
    live = version(folder)
    if live is None:
        return None
    archive = os.path.dirname(os.path.realpath(os.path.join(folder, "cert.pem")))
    matches = [_VERSION.fullmatch(name) for name in os.listdir(archive)]
    earlier = sorted(int(match[1]) for match in matches if match and int(match[1]) < live)
    if len(earlier) < steps:
        return None
    number = earlier[-steps]
    paths = {kind: os.path.join(archive, f"{kind}{number}.pem") for kind in KINDS}
    return _read(os.path.basename(folder), number, paths)


def version(folder: str) -> Optional[int]:
    """Return the number of the live version; None if certbot has no such lineage.

    :param folder: the lineage's folder `live/NAME`
    """
    try:
        link = os.readlink(os.path.join(folder, "cert.pem"))
    except OSError:
        return None
    match = _VERSION.fullmatch(os.path.basename(link))
    return int(match[1]) if match else None


def check_pair(lineage: Lineage) -> None:
    """Check that key and certificate belong together, as OpenSSL does when a service loads them.

    :raises InstallError: they don't
    """
    key = lineage.paths["privkey"]
    for path in (lineage.paths["cert"], lineage.paths["fullchain"]):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without a password, OpenSSL would ask on the terminal for that of an encrypted key.
            context.load_cert_chain(path, key, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "it is encrypted or damaged"
            raise InstallError(
                f"{path} and its key {key} cannot be used together ({reason})",
                f"get another: certbot renew --force-renewal --cert-name {lineage.name}",
            ) from None


def certificates(pem: bytes) -> list[bytes]:
    """Return each certificate of a PEM file, in PEM."""
    end = b"-----END CERTIFICATE-----"
    return [part + end for part in pem.split(end)[:-1]]


def _read(name: str, number: int, paths: Mapping[str, str]) -> Lineage:
    content = {}
    for kind, path in paths.items():
        try:
            with open(path, "rb") as file:
                content[kind] = file.read()
        except OSError as error:
            raise InstallError(
                f"cannot be read: {error.strerror}", "see: certbot certificates", where=path
            ) from None
    return Lineage(name, number, **content, paths=paths)
