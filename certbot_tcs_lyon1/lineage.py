"""A certificate as certbot keeps it: `live/NAME`, whose links lead into `archive/NAME`."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.errors import InstallError

KINDS = ("cert", "chain", "fullchain", "privkey")

_VERSION = re.compile(r"cert([0-9]+)\.pem")


@dataclass(frozen=True)
class Lineage:
    """One version of a certificate; all but the names is PEM, `version` is certbot's number."""

    name: str
    version: int
    cert: bytes
    chain: bytes
    fullchain: bytes
    privkey: bytes = field(repr=False)
    cert_path: str
    fullchain_path: str
    privkey_path: str


def read(folder: str) -> Lineage:
    """The live version; `folder` is `live/NAME`.

    :raises InstallError: there is none, or it cannot be read
    """
    paths = {kind: os.path.join(folder, f"{kind}.pem") for kind in KINDS}
    return _read(os.path.basename(folder), version(folder) or 0, paths)


def read_previous(folder: str, steps: int = 1) -> Optional[Lineage]:
    """The version `steps` before the live one in certbot's archive; None if there is none.

    :param folder: `live/NAME`
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
    """The number of the live version; None if there is no such certificate of certbot's."""
    try:
        link = os.readlink(os.path.join(folder, "cert.pem"))
    except OSError:
        return None
    match = _VERSION.fullmatch(os.path.basename(link))
    return int(match[1]) if match else None


def check_pair(lineage: Lineage) -> None:
    """Check that key and certificate belong together, as OpenSSL would when a service loads them.

    :raises InstallError: they don't
    """
    for path in (lineage.cert_path, lineage.fullchain_path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # The password is asked for only if the key has one; without it, on the terminal.
            context.load_cert_chain(path, lineage.privkey_path, password="")
        except (ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or "it is encrypted or damaged"
            raise InstallError(
                f"{path} and its key {lineage.privkey_path} cannot be used together ({reason})",
                f"get another: certbot renew --force-renewal --cert-name {lineage.name}",
            ) from None


def _read(name: str, number: int, paths: dict[str, str]) -> Lineage:
    content = {}
    for kind, path in paths.items():
        try:
            with open(path, "rb") as file:
                content[kind] = file.read()
        except OSError as error:
            raise InstallError(
                f"cannot be read: {error.strerror}", "see: certbot certificates", where=path
            ) from None
    return Lineage(
        name=name,
        version=number,
        cert_path=paths["cert"],
        fullchain_path=paths["fullchain"],
        privkey_path=paths["privkey"],
        **content,
    )
