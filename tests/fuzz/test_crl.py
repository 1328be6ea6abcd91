"""A CRL, which anybody on the way may have written: it comes by http."""

from __future__ import annotations

import contextlib
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.watch import der
from certbot_tcs_lyon1.watch.crl import Crl

_NOW = datetime.datetime(2026, 1, 1)
_KEY = ec.derive_private_key(7, ec.SECP256R1())
_REVOKED = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(_NOW)
_CRL = (
    x509.CertificateRevocationListBuilder()
    .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]))
    .last_update(_NOW)
    .next_update(_NOW + datetime.timedelta(days=9))
    .add_revoked_certificate(_REVOKED.build())
    .sign(_KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.DER)
)


@given(st.integers(0, len(_CRL)), st.binary(max_size=6), st.integers(0, 8))
def test_a_crl_with_other_bytes_in_it_is_read_or_refused(at, data, dropped):
    with contextlib.suppress(errors.Error):
        crl = Crl(_CRL[:at] + data + _CRL[at + dropped :])
        crl.verify([], datetime.datetime.now(datetime.timezone.utc))


@given(st.integers(0, len(_CRL)), st.binary(max_size=6), st.integers(0, 8))
def test_serial_numbers_are_those_that_the_library_reads_whatever_the_bytes(at, data, dropped):
    changed = _CRL[:at] + data + _CRL[at + dropped :]
    try:
        read = {der.integer(entry.serial_number) for entry in x509.load_der_x509_crl(changed)}
    except (ValueError, OverflowError):
        with contextlib.suppress(ValueError, IndexError):
            der.serials(changed)
        return
    assert der.serials(changed) == read


@given(st.binary(max_size=200) | st.binary(max_size=99).map(b"-----BEGIN X509 CRL-----\n".__add__))
def test_a_crl_of_any_bytes_is_refused(data):
    with contextlib.suppress(errors.Error):
        Crl(data)
