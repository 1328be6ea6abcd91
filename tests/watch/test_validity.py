"""Why a CRL does not count for a certificate: each reason in certbot's log, and no replacement."""

from __future__ import annotations

import datetime
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from certbot_tcs_lyon1.report import Report
from certbot_tcs_lyon1.watch import der
from certbot_tcs_lyon1.watch.reasons import Watch, Watched
from tests.watch import rude
from tests.watch.authority import Authority

PRIVATE = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")
ORIGIN = x509.ExtensionOID.ISSUING_DISTRIBUTION_POINT


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def reason(leaf, work_dir, chain: bytes):
    """Why the leaf is replaced, as one run of certbot sees it."""
    watch = Watch(str(work_dir), Report(lambda line: None))
    return watch.reason(Watched("www", leaf.certificate, chain), now())


def entry(leaf):
    """The leaf's entry in a CRL."""
    revoked = x509.RevokedCertificateBuilder().serial_number(leaf.serial)
    return revoked.revocation_date(datetime.datetime(2026, 7, 20))


def of_the_future(ca, leaf, folder):
    return ca.crl({leaf.serial: "superseded"}, at=now() + datetime.timedelta(days=1))


def of_another_issuer(ca, leaf, folder):
    return Authority(folder / "other", name="Another CA").crl({leaf.serial: "superseded"})


def signed_by_another_algorithm(ca, leaf, folder):
    builder = x509.CertificateRevocationListBuilder().add_revoked_certificate(entry(leaf).build())
    return ca.sign_crl(builder, ed25519.Ed25519PrivateKey.generate())


def with_a_scope_that_is_none(ca, leaf, folder):
    builder = x509.CertificateRevocationListBuilder().add_revoked_certificate(entry(leaf).build())
    return ca.sign_crl(
        builder.add_extension(x509.UnrecognizedExtension(ORIGIN, b"\x30\x05"), critical=True)
    )


def with_a_relative_name(ca, leaf, folder):
    name = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "1")])
    scope = x509.IssuingDistributionPoint(None, name, False, False, None, False, False)
    builder = x509.CertificateRevocationListBuilder().add_revoked_certificate(entry(leaf).build())
    return ca.sign_crl(builder.add_extension(scope, critical=True))


def with_an_unknown_entry(ca, leaf, folder):
    unknown = x509.UnrecognizedExtension(PRIVATE, b"\5\0")
    revoked = entry(leaf).add_extension(unknown, critical=True).build()
    return ca.sign_crl(x509.CertificateRevocationListBuilder().add_revoked_certificate(revoked))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (of_the_future, "it is of the future"),
        (of_another_issuer, "it is not signed by the certificate's issuer"),
        (signed_by_another_algorithm, "it is not signed by the certificate's issuer"),
        (with_a_scope_that_is_none, "its extensions can't be read"),
        (with_a_relative_name, "in a way that is not understood"),
        (with_an_unknown_entry, f"an entry's extension {PRIVATE.dotted_string} is unknown"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_why_a_crl_does_not_count_is_in_the_log(ca, web, tmp_path, caplog, made, words):
    caplog.set_level(logging.DEBUG)
    leaf = ca.issue([f"{web.url}/{made.__name__}"])
    web.put(made.__name__, made(ca, leaf, tmp_path))
    assert reason(leaf, tmp_path, ca.pem) is None
    assert words in caplog.text


def test_the_entries_of_a_forged_crl_are_not_even_read(ca, web, tmp_path, monkeypatch):
    leaf = ca.issue([f"{web.url}/forged.crl"])
    builder = x509.CertificateRevocationListBuilder().add_revoked_certificate(entry(leaf).build())
    web.put("forged.crl", ca.sign_crl(builder, ed25519.Ed25519PrivateKey.generate()))
    read = []
    monkeypatch.setattr(der, "serials", read.append)  # of 64 MiB that takes 7 s, and 400 MB
    assert reason(leaf, tmp_path, ca.pem) is None
    assert read == []


@pytest.mark.parametrize(
    ("usage", "counts"), [("keyCertSign", False), ("cRLSign", True), ("", True)]
)
def test_a_ca_whose_key_is_not_for_crls_revokes_nothing(web, tmp_path, usage, counts):
    ca = Authority(tmp_path / "ca", usage=usage)
    name = f"usage-{usage}.crl"
    leaf = ca.issue([f"{web.url}/{name}"])
    web.put(name, ca.crl({leaf.serial: "superseded"}))
    assert (reason(leaf, tmp_path, ca.pem) is not None) == counts


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (b"", "its issuer is not in its chain"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "the chain can't be"),
    ],
)
def test_without_its_issuer_in_the_chain_no_crl_can_count(ca, web, tmp_path, caplog, chain, words):
    caplog.set_level(logging.DEBUG)
    leaf = ca.issue([f"{web.url}/chain.crl"])
    web.put("chain.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(leaf, tmp_path, chain) is None
    assert words in caplog.text


def test_a_certificate_whose_distribution_points_are_none_is_left_alone(ca, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    leaf = ca.issue(more=["2.5.29.31 = DER:3005"])
    assert reason(leaf, tmp_path, ca.pem) is None
    assert "its extensions can't be read" in caplog.text


def test_of_a_points_names_the_one_for_http_is_asked(ca, web, tmp_path):
    leaf = ca.issue([f"ldap://127.0.0.1/cn=CRL,URI:{web.url}/named.crl"])
    web.put("named.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(leaf, tmp_path, ca.pem) is not None


def test_a_crl_for_some_reasons_is_not_the_last_word(ca, web, tmp_path):
    some = ["issuingDistributionPoint = critical, @idp", "[idp]", "onlysomereasons = keyCompromise"]
    leaf = ca.issue([f"{web.url}/some.crl", f"{web.url}/all.crl"])
    web.put("some.crl", ca.crl({}, some))
    (web.root / "all.crl").unlink(missing_ok=True)
    assert reason(leaf, tmp_path / "one", ca.pem) is None
    web.put("all.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(leaf, tmp_path / "two", ca.pem) is not None


def test_for_some_reasons_alone_it_is_neither_revoked_nor_a_fault(ca, web, tmp_path, caplog):
    some = ["issuingDistributionPoint = critical, @idp", "[idp]", "onlysomereasons = keyCompromise"]
    leaf = ca.issue([f"{web.url}/alone.crl"])
    web.put("alone.crl", ca.crl({}, some))
    caplog.set_level(logging.DEBUG)
    assert reason(leaf, tmp_path, ca.pem) is None
    assert "CRL:" not in caplog.text


def test_unchanged_from_a_server_that_has_sent_nothing_yet_is_no_crl(ca, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with rude.answering_in_turn([b"HTTP/1.1 304 Not Modified\r\n\r\n"]) as url:
        assert reason(ca.issue([f"{url}/x.crl"]), tmp_path, ca.pem) is None
    assert "it is no CRL" in caplog.text
