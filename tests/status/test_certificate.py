"""What `status` reads of a certificate without cryptography is what cryptography reads."""

from __future__ import annotations

import base64
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certbot_tcs_lyon1.status import certificate

KEYS = {
    "RSA": rsa.generate_private_key(65537, 2048),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
}
ISSUER = KEYS["P-256"]
_2026 = datetime.datetime(2026, 11, 26, 12, 30, 15, tzinfo=datetime.timezone.utc)


def _pem(key, end=_2026 + datetime.timedelta(days=90), issuer=NameOID.COMMON_NAME) -> bytes:
    name = x509.Name([x509.NameAttribute(issuer, "Université")])
    alt = [
        x509.DNSName("www.labo.univ-lyon1.test"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.RFC822Name("rao@univ-lyon1.test"),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0xFEDCBA9876543210)
        .not_valid_before(_2026)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(alt), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(ISSUER, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@pytest.mark.parametrize("issuer", [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME])
@pytest.mark.parametrize("end", [_2026 + datetime.timedelta(days=90), _2026.replace(year=2060)])
@pytest.mark.parametrize("kind", KEYS)
def test_names_validity_and_usages_are_read_whatever_the_key(kind, end, issuer):
    found = certificate.parse(_pem(KEYS[kind], end, issuer))
    assert found.names == ("www.labo.univ-lyon1.test", "192.0.2.1", "2001:db8::1")
    assert (found.not_before, found.not_after) == (_2026.timestamp(), end.timestamp())
    assert (found.serial, found.issuer) == ("00fedcba9876543210", "Université")
    assert (found.client_auth, found.names_crl) == (True, False)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("kind", KEYS)
def test_the_key_of_a_certificate_is_told_from_another(kind, form):
    found = certificate.parse(_pem(KEYS[kind]))
    for name, key in KEYS.items():
        pem = key.private_bytes(Encoding.PEM, form, NoEncryption())
        assert certificate.is_key_of(pem, found) is (name == kind)


def test_a_key_that_holds_no_public_key_or_is_damaged_is_left_to_openssl():
    found = certificate.parse(_pem(ed25519.Ed25519PrivateKey.generate()))
    for pem in (
        b"",
        b"-----BEGIN PRIVATE KEY-----\nabcde\n-----END PRIVATE KEY-----\n",
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ):
        assert certificate.is_key_of(pem, found) is False


@pytest.mark.parametrize("byte", [0x00, 0x30, 0x7F, 0x80, 0xFF])
def test_a_certificate_that_is_damaged_anywhere_is_read_or_refused(byte):
    """A service may give any bytes: nothing else than ValueError may come of them."""
    der = base64.b64decode(b"".join(_pem(KEYS["RSA"]).splitlines()[1:-1]))
    refused = 0
    for at in range(len(der)):
        for damaged in (der[:at], der[:at] + bytes([byte]) + der[at + 1 :]):
            try:
                certificate.parse_der(damaged)
            except ValueError:
                refused += 1
    assert refused >= len(der)
