"""What a CRL says of a certificate, and which CRLs count."""

from __future__ import annotations

import datetime
import logging
import os
import socket
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import Report
from certbot_tcs_lyon1.watch import fetch, kept
from certbot_tcs_lyon1.watch.record import Record
from certbot_tcs_lyon1.watch.why import Watch, Watched


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def reason(ca, leaf, work_dir, at=None, watch=None):
    """Why the leaf is replaced, as one run of certbot sees it."""
    watch = watch or Watch(kept.Crls(str(work_dir)), Report(lambda line: None))
    watched = Watched("www", leaf.certificate, ca.pem)
    return watch.reason(watched, Record(str(work_dir)), at or now())


@pytest.mark.parametrize("form", ["DER", "PEM"])
@pytest.mark.parametrize("algorithm", ["ec", "rsa"])
def test_a_revoked_certificate_is_to_be_replaced(ca, rsa_ca, web, tmp_path, form, algorithm):
    authority = {"ec": ca, "rsa": rsa_ca}[algorithm]
    leaf = authority.issue([f"{web.url}/{algorithm}-{form}.crl"])
    web.put(f"{algorithm}-{form}.crl", authority.crl({leaf.serial: "superseded"}, form=form))
    found = reason(authority, leaf, tmp_path)
    assert "superseded" in found.text
    assert not found.needs_new_key


def test_one_whose_key_is_compromised_gets_a_new_key(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/key.crl"])
    web.put("key.crl", ca.crl({leaf.serial: "keyCompromise"}))
    assert reason(ca, leaf, tmp_path).needs_new_key


@pytest.mark.parametrize("why", ["", "unspecified"])
def test_one_that_is_revoked_without_a_reason_is_replaced(ca, web, tmp_path, why):
    leaf = ca.issue([f"{web.url}/bare{why}.crl"])
    web.put(f"bare{why}.crl", ca.crl({leaf.serial: why}))
    found = reason(ca, leaf, tmp_path)
    assert "reason" not in found.text


def test_one_that_is_not_revoked_is_left_alone(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/other.crl"])
    web.put("other.crl", ca.crl({leaf.serial + 999: "superseded"}))
    assert reason(ca, leaf, tmp_path) is None


def test_one_on_hold_is_told_and_not_replaced(ca, web, tmp_path, caplog):
    leaf = ca.issue([f"{web.url}/hold.crl"])
    web.put("hold.crl", ca.crl({leaf.serial: "certificateHold"}))
    assert reason(ca, leaf, tmp_path) is None
    assert "certificateHold" in caplog.text


IDP = "issuingDistributionPoint = critical, @idp"
#: Lines of OpenSSL's configuration that make a CRL which says nothing of the certificate.
NOT_FOR_IT = {
    "of another partition": [IDP, "[idp]", "fullname = URI:http://127.0.0.1/another.crl"],
    "for CAs": [IDP, "[idp]", "onlyCA = TRUE"],
    "for attributes": [IDP, "[idp]", "onlyAA = TRUE"],
    "a delta CRL": ["2.5.29.27 = critical, ASN1:INTEGER:1"],
    "with an unknown critical extension": ["1.2.3.4 = critical, ASN1:NULL"],
}


@pytest.mark.parametrize("kind", NOT_FOR_IT)
def test_a_crl_of_another_kind_or_scope_does_not_count(ca, web, tmp_path, kind):
    name = kind.replace(" ", "-")
    leaf = ca.issue([f"{web.url}/{name}.crl"])
    web.put(f"{name}.crl", ca.crl({leaf.serial: "superseded"}, NOT_FOR_IT[kind]))
    assert reason(ca, leaf, tmp_path) is None


@pytest.mark.parametrize("more", ["", "onlyuser = TRUE", "onlysomereasons = superseded"])
def test_the_partition_of_its_own_distribution_point_counts(ca, web, tmp_path, more):
    name = f"own{len(more)}.crl"
    leaf = ca.issue([f"{web.url}/{name}"])
    lines = [IDP, "[idp]", f"fullname = URI:{web.url}/{name}", *filter(None, [more])]
    web.put(name, ca.crl({leaf.serial: "superseded"}, lines))
    assert reason(ca, leaf, tmp_path) is not None


@pytest.mark.parametrize("whose", ["ours", "another CA's"])
def test_an_entry_of_an_indirect_crl_counts_for_its_own_issuer(ca, web, tmp_path, whose):
    leaf = ca.issue([f"{web.url}/indirect-{whose[:3]}.crl"])
    other = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another CA")])
    issuer = leaf.certificate.issuer
    day = datetime.datetime(2026, 7, 20)
    key = serialization.load_pem_private_key((ca.folder / "ca.key").read_bytes(), None)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer)
        .last_update(now().replace(tzinfo=None) - datetime.timedelta(hours=1))
        .next_update(now().replace(tzinfo=None) + datetime.timedelta(days=1))
        .add_extension(
            x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True
        )
    )
    for serial, name in ((7, other), (leaf.serial, issuer if whose == "ours" else None)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(day)
        if name is not None:
            names = x509.CertificateIssuer([x509.DirectoryName(name)])
            entry = entry.add_extension(names, critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign(key, hashes.SHA256())
    web.put(f"indirect-{whose[:3]}.crl", signed.public_bytes(serialization.Encoding.DER))
    assert (reason(ca, leaf, tmp_path) is not None) == (whose == "ours")


@pytest.mark.parametrize("fault", ["expired", "another key", "cut", "html", "empty"])
def test_a_crl_that_cannot_be_trusted_is_no_reason(ca, web, tmp_path, fault):
    leaf = ca.issue([f"{web.url}/{fault[:3]}.crl"])
    entries = {leaf.serial: "superseded"}
    if fault == "another key":
        from tests.watch.authority import Authority

        data = Authority(tmp_path / "impostor").crl(entries)  # of the same name
    else:
        data = ca.crl(entries, expired=fault == "expired")
    data = {"cut": data[:-20], "html": b"<html>hello</html>", "empty": b""}.get(fault, data)
    web.put(f"{fault[:3]}.crl", data)
    assert reason(ca, leaf, tmp_path) is None


def test_the_second_distribution_point_is_asked_where_the_first_is_dead(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/reset", f"{web.url}/second.crl"])
    web.put("second.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None


def test_a_certificate_with_ocsp_alone_is_left_to_certbot(ca, web, tmp_path):
    leaf = ca.issue(more=["authorityInfoAccess = OCSP;URI:http://127.0.0.1:9/"])
    assert reason(ca, leaf, tmp_path) is None
    assert not os.path.exists(tmp_path / kept.FOLDER_NAME)


@pytest.mark.parametrize("path", ["reset", "to-file", "loop", "html", "none", "drip.crl"])
def test_a_server_that_misbehaves_is_no_reason_and_no_failure(ca, web, tmp_path, path, monkeypatch):
    monkeypatch.setattr(fetch.get, "__defaults__", (1.5, fetch.MOST_BYTES))
    leaf = ca.issue([f"{web.url}/{path}"])
    web.put("drip.crl", ca.crl({leaf.serial: "superseded"}))
    begin = time.monotonic()
    assert reason(ca, leaf, tmp_path) is None
    assert time.monotonic() - begin < 5


def test_a_redirect_to_http_is_followed(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/moved"])
    web.put("good.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None


def test_a_server_that_stalls_is_given_up_in_time(tmp_path):
    with socket.socket() as stalling:
        stalling.bind(("127.0.0.1", 0))
        stalling.listen()
        begin = time.monotonic()
        with pytest.raises(WatchError):
            fetch.get(f"http://127.0.0.1:{stalling.getsockname()[1]}/", {}, seconds=0.5)
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "http://u:p@h/", "http:///x"])
def test_only_http_without_a_password_is_asked(url):
    with pytest.raises(WatchError):
        fetch.get(url, {}, seconds=2)


def test_65_mib_are_not_read(web):
    with open(web.root / "huge", "wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(WatchError, match="larger"):
        fetch.get(f"{web.url}/huge", {})


def test_a_run_fetches_a_crl_once_and_the_next_day_asks_whether_it_changed(ca, web, tmp_path):
    leaf, other = (ca.issue([f"{web.url}/daily.crl"]) for _ in range(2))
    web.put("daily.crl", ca.crl({leaf.serial + 999: "superseded"}))
    watch = Watch(kept.Crls(str(tmp_path)), Report(lambda line: None))
    for one in (leaf, other):
        assert reason(ca, one, tmp_path, watch=watch) is None
    reason(ca, leaf, tmp_path)
    assert web.requests().count("/daily.crl 200") == 1
    (file,) = (tmp_path / kept.FOLDER_NAME).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600

    tomorrow = now() + datetime.timedelta(hours=25)
    assert reason(ca, leaf, tmp_path, at=tomorrow) is None
    assert web.requests().count("/daily.crl 304") == 1
    reason(ca, leaf, tmp_path, at=tomorrow + datetime.timedelta(hours=1))
    assert len([line for line in web.requests() if line.startswith("/daily.crl")]) == 2


def test_a_bad_answer_does_not_displace_a_crl_that_counts(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/displaced.crl"])
    web.put("displaced.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None
    web.put("displaced.crl", b"<html>hello</html>")
    tomorrow = now() + datetime.timedelta(hours=25)
    assert reason(ca, leaf, tmp_path, at=tomorrow) is not None


def test_a_crl_that_no_certificate_wants_is_removed(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/unwanted.crl"])
    web.put("unwanted.crl", ca.crl({}))
    reason(ca, leaf, tmp_path)
    (file,) = (tmp_path / kept.FOLDER_NAME).iterdir()
    long_ago = time.time() - 4 * 86400
    os.utime(file, (long_ago, long_ago))
    other = ca.issue([f"{web.url}/reset"])
    reason(ca, other, tmp_path)
    assert list((tmp_path / kept.FOLDER_NAME).iterdir()) == []


def test_the_user_is_warned_after_three_days_without_a_crl(ca, web, tmp_path, caplog):
    leaf = ca.issue([f"{web.url}/reset"])
    reason(ca, leaf, tmp_path)
    reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(days=2))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(days=3, minutes=1))
    (warning,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert f"{web.url}/reset" in warning.getMessage()


def test_100_000_entries_are_searched(ca, web, tmp_path):
    leaf, other = (ca.issue([f"{web.url}/large.crl"]) for _ in range(2))
    entries = {2**120 + i: "" for i in range(100_000)}
    web.put("large.crl", ca.crl({**entries, leaf.serial: "superseded"}))
    watch = Watch(kept.Crls(str(tmp_path)), Report(lambda line: None))
    assert reason(ca, leaf, tmp_path, watch=watch) is not None
    assert reason(ca, other, tmp_path, watch=watch) is None
