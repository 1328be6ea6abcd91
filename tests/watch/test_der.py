"""The two looks at a CRL's bytes, against the library's own."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509

from certbot_tcs_lyon1.watch import der
from tests.watch.authority import Authority

SERIALS = (1, 127, 128, 255, 256, 2**64, 2**158, 2**159 - 1)


def made(ca: Authority, serials: tuple[int, ...], *extensions: x509.ExtensionType) -> bytes:
    builder = x509.CertificateRevocationListBuilder()
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        entry = entry.revocation_date(datetime.datetime(2051 if serial == 128 else 2026, 1, 1))
        for extension in extensions:
            entry = entry.add_extension(extension, critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return ca.sign_crl(builder)


def extension(size: int) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))


@pytest.mark.parametrize("size", [None, 1, 60, 90, 110, 130, 300, 70000])
def test_every_entry_s_serial_number_is_found_whatever_its_length(ca, size):
    crl = made(ca, SERIALS, *([] if size is None else [extension(size)]))
    assert der.serials(crl) == {der.integer(serial) for serial in SERIALS}


def test_a_crl_without_entries_has_none(ca):
    assert der.serials(made(ca, ())) == frozenset()
    assert der.serials(ca.crl({})) == frozenset()


def test_the_serial_numbers_are_those_that_the_library_has(ca):
    crl = ca.crl({2**120 + number * 7: "superseded" for number in range(1000)})
    found = x509.load_der_x509_crl(crl)
    assert der.serials(crl) == {der.integer(entry.serial_number) for entry in found}


def test_the_signed_part_is_what_the_library_says(ca, rsa_ca):
    for crl in (made(ca, SERIALS), rsa_ca.crl({5: ""})):
        assert der.signed_part(crl) == x509.load_der_x509_crl(crl).tbs_certlist_bytes


@pytest.mark.parametrize("data", [b"", b"0", b"0\x80", b"0\x82\xff", b"0\x84\xff\xff\xff\xff0"])
def test_what_is_no_der_is_refused(data):
    for look in (der.signed_part, der.serials):
        with pytest.raises(ValueError, match="no DER"):
            look(data)
