"""The formats of deployed files: certbot's PEM files unchanged, combined PEM, and PKCS#12."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.lineage import Lineage, certificates

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

#: Rounds of key derivation: few, since the password is stored on the same machine.
_ROUNDS = 20000


def render(kind: str, lineage: Lineage, password: bytes) -> bytes:
    """Return the content of a file of this kind.

    :param kind: one of `settings.WRITTEN`
    :param password: of a `pkcs12`
    :raises InstallError: the lineage can't be read, for a PKCS#12
    """
    if kind == "pkcs12":
        return _pkcs12(lineage, password)
    return pem(kind, lineage)


def pem(kind: str, lineage: Lineage) -> bytes:
    """Return the content of a PEM file of this kind."""
    if kind == "combined":
        return lineage.privkey + lineage.fullchain  # key, certificate, chain
    data: bytes = getattr(lineage, kind)
    return data


def _pkcs12(lineage: Lineage, password: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

    try:
        key = cast("PKCS12PrivateKeyTypes", load_pem_private_key(lineage.privkey, None))
        certificate = x509.load_pem_x509_certificate(lineage.cert)
        chain = [x509.load_pem_x509_certificate(pem) for pem in certificates(lineage.chain)]
    except (ValueError, TypeError):
        raise InstallError(
            f"version {lineage.version} of {lineage.name} cannot be read",
            "see: certbot certificates",
        ) from None
    return pkcs12.serialize_key_and_certificates(
        lineage.name.encode(), key, certificate, chain, _encryption(password)
    )


def _encryption(password: bytes) -> KeySerializationEncryption:
    """Return 3DES and SHA-1, which every `keytool` (Java 8 before 8u301) and OpenSSL can read.

    cryptography before 38 uses these, and offers no choice.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    if not hasattr(pkcs12, "PBES"):
        return serialization.BestAvailableEncryption(password)
    return (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(password)
    )
