"""What a CRL says of a certificate, and which CRLs count."""

from __future__ import annotations

import datetime
import logging
import os
import re
import time

import pytest
from cryptography import x509

from certbot_tcs_lyon1.report import Report
from certbot_tcs_lyon1.watch import ari, fetch
from certbot_tcs_lyon1.watch.reasons import Watch, Watched
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME

DAY = datetime.datetime(2026, 7, 20)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def reason(ca, leaf, work_dir, at=None, watch=None):
    """Why the leaf is replaced, as one run of certbot sees it."""
    watch = watch or new_watch(work_dir)
    return watch.reason(Watched("www", leaf.certificate, ca.pem), at or now())


def new_watch(work_dir):
    """What a run of certbot begins with."""
    return Watch(str(work_dir), Report(lambda line: None))


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


def test_a_crl_that_is_signed_by_rsa_pss_counts(rsa_ca, web, tmp_path):
    leaf = rsa_ca.issue([f"{web.url}/pss.crl"])
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    web.put("pss.crl", rsa_ca.crl({leaf.serial: "superseded"}, options=options))
    assert reason(rsa_ca, leaf, tmp_path) is not None


@pytest.mark.parametrize("why", ["", "unspecified"])
def test_one_that_is_revoked_without_a_reason_is_replaced(ca, web, tmp_path, why):
    leaf = ca.issue([f"{web.url}/bare{why}.crl"])
    web.put(f"bare{why}.crl", ca.crl({leaf.serial: why}))
    found = reason(ca, leaf, tmp_path)
    assert "reason" not in found.text


#: The content of reasonCode, RFC 5280, 5.3.1: 7 is not used, 42 is of no RFC, the last is no DER.
STRANGE = {"unused": b"\x0a\x01\x07", "new": b"\x0a\x01\x2a", "broken": b"\x0a\x05"}


@pytest.mark.parametrize("kind", STRANGE)
def test_one_that_is_revoked_for_an_unknown_reason_is_replaced(ca, web, tmp_path, kind):
    leaf = ca.issue([f"{web.url}/{kind}.crl"])
    code = x509.UnrecognizedExtension(x509.CRLEntryExtensionOID.CRL_REASON, STRANGE[kind])
    entry = x509.RevokedCertificateBuilder().serial_number(leaf.serial).revocation_date(DAY)
    entry = entry.add_extension(code, critical=False).build()
    builder = x509.CertificateRevocationListBuilder().add_revoked_certificate(entry)
    web.put(f"{kind}.crl", ca.sign_crl(builder))
    found = reason(ca, leaf, tmp_path)
    assert "revoked by the CA on 2026-07-20" in found.text
    assert not found.needs_new_key


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
    builder = x509.CertificateRevocationListBuilder().add_extension(
        x509.IssuingDistributionPoint(None, None, False, False, None, True, False), True
    )
    for serial, name in ((7, other), (leaf.serial, issuer if whose == "ours" else None)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(DAY)
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
        if name is not None:
            names = x509.CertificateIssuer([x509.DirectoryName(name)])
            entry = entry.add_extension(names, critical=True)
        builder = builder.add_revoked_certificate(entry.build())
    web.put(f"indirect-{whose[:3]}.crl", ca.sign_crl(builder))
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
    assert not os.path.exists(tmp_path / CRL_FOLDER_NAME)


@pytest.mark.parametrize("path", ["reset", "to-file", "loop", "html", "none", "drip.crl"])
def test_a_server_that_misbehaves_is_no_reason_and_no_failure(ca, web, tmp_path, path, monkeypatch):
    monkeypatch.setattr(fetch.Fetcher.get, "__defaults__", (1.5, fetch.MOST_BYTES))
    leaf = ca.issue([f"{web.url}/{path}"])
    web.put("drip.crl", ca.crl({leaf.serial: "superseded"}))
    begin = time.monotonic()
    assert reason(ca, leaf, tmp_path) is None
    assert time.monotonic() - begin < 5


def test_a_redirect_to_http_is_followed(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/moved"])
    web.put("good.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None


def test_a_run_fetches_a_crl_once_and_the_next_day_asks_whether_it_changed(ca, web, tmp_path):
    leaf, other = (ca.issue([f"{web.url}/daily.crl"]) for _ in range(2))
    web.put("daily.crl", ca.crl({leaf.serial + 999: "superseded"}))
    watch = new_watch(tmp_path)
    for one in (leaf, other):
        assert reason(ca, one, tmp_path, watch=watch) is None
    reason(ca, leaf, tmp_path)
    assert web.requests().count("/daily.crl 200") == 1
    (file,) = (tmp_path / CRL_FOLDER_NAME).iterdir()
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


def test_an_older_crl_does_not_displace_a_newer_one(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/replayed.crl"])
    older = ca.crl({}, at=now() - datetime.timedelta(days=1))
    web.put("replayed.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None
    web.put("replayed.crl", older)
    assert reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(hours=25)) is not None


def test_what_a_server_has_put_into_its_headers_does_not_spoil_the_next_request(ca, tmp_path):
    from tests.watch import rude

    head = 'HTTP/1.1 200 OK\r\nETag: "a"\r\n b\r\nLast-Modified: \xff\r\nContent-Length: '
    answers = []

    with rude.answering_in_turn(answers) as url:
        leaf = ca.issue([f"{url}/x.crl"])
        for entries in ({}, {leaf.serial: "superseded"}):
            body = ca.crl(entries)
            answers.append(head.encode("latin-1") + f"{len(body)}\r\n\r\n".encode() + body)
        assert reason(ca, leaf, tmp_path) is None
        assert reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(hours=25)) is not None


@pytest.mark.parametrize("abuse", ["another's file", "a link", "a folder", "a pipe", "cut"])
def test_what_lies_in_the_place_of_a_kept_crl_is_not_used(ca, web, tmp_path, abuse):
    leaf = ca.issue([f"{web.url}/{abuse[-4:]}.crl"])
    web.put(f"{abuse[-4:]}.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None
    (file,) = (tmp_path / CRL_FOLDER_NAME).iterdir()
    data = file.read_bytes()
    file.unlink()
    if abuse == "another's file":  # says that it is fresh, of a CRL that nobody has signed
        end = -1 if data[-1] else -2
        file.write_bytes(data[:end] + b"\0")
    elif abuse == "a link":
        file.symlink_to("/etc/passwd")
    elif abuse == "a folder":
        file.mkdir()
    elif abuse == "a pipe":
        os.mkfifo(file)
    else:
        file.write_bytes(data[:-9])
    assert reason(ca, leaf, tmp_path) is not None
    assert not file.is_symlink()


def test_nobody_else_gets_at_the_folder_of_kept_crls(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/kept.crl"])
    web.put("kept.crl", ca.crl({leaf.serial: "superseded"}))
    before = os.umask(0)
    try:
        reason(ca, leaf, tmp_path)
    finally:
        os.umask(before)
    folder = tmp_path / CRL_FOLDER_NAME
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)  # somebody has opened it: what lies there could be anybody's
    web.put("kept.crl", ca.crl({leaf.serial: "keyCompromise"}))
    assert reason(ca, leaf, tmp_path).needs_new_key


def test_a_crl_that_no_certificate_wants_is_removed(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/unwanted.crl"])
    web.put("unwanted.crl", ca.crl({}))
    reason(ca, leaf, tmp_path)
    (file,) = (tmp_path / CRL_FOLDER_NAME).iterdir()
    long_ago = time.time() - 4 * 86400
    os.utime(file, (long_ago, long_ago))
    new_watch(tmp_path)
    assert list((tmp_path / CRL_FOLDER_NAME).iterdir()) == []


def test_the_user_is_warned_after_three_days_without_a_crl(ca, web, tmp_path, caplog):
    leaf = ca.issue([f"{web.url}/reset"])
    reason(ca, leaf, tmp_path)
    reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(days=2))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(days=3, minutes=1))
    (warning,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert f"{web.url}/reset" in warning.getMessage()


def test_the_user_is_warned_too_where_the_last_crl_still_counts(ca, web, tmp_path, caplog):
    leaf = ca.issue([f"{web.url}/gone.crl"])
    web.put("gone.crl", ca.crl({}))
    reason(ca, leaf, tmp_path)
    (web.root / "gone.crl").unlink()
    for days, warnings in ((2, 0), (3.1, 1)):
        reason(ca, leaf, tmp_path, at=now() + datetime.timedelta(days=days))
        found = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(found) == warnings
    assert f"{web.url}/gone.crl" in found[0].getMessage()


def test_100_000_entries_are_searched(ca, web, tmp_path):
    leaf, other = (ca.issue([f"{web.url}/large.crl"]) for _ in range(2))
    entries = {2**120 + i: "" for i in range(100_000)}
    web.put("large.crl", ca.crl({**entries, leaf.serial: "superseded"}))
    watch = new_watch(tmp_path)
    assert reason(ca, leaf, tmp_path, watch=watch) is not None
    assert reason(ca, other, tmp_path, watch=watch) is None


def test_each_lineages_own_department_config_says_whether_crls_are_looked_at(ca, web, tmp_path):
    leaf = ca.issue([f"{web.url}/switch.crl"])
    web.put("switch.crl", ca.crl({leaf.serial: "superseded"}))
    watch, watched = new_watch(tmp_path), Watched("www", leaf.certificate, ca.pem)
    assert watch.reason(watched, now(), crls=False) is None
    assert watch.reason(watched, now(), crls=True) is not None


@pytest.mark.parametrize("asked", ["1e300", "Infinity", "NaN", "-1e300"])
def test_a_kept_time_that_is_none_is_fetched_anew(ca, web, tmp_path, asked):
    leaf = ca.issue([f"{web.url}/bent.crl"])
    web.put("bent.crl", ca.crl({leaf.serial: "superseded"}))
    reason(ca, leaf, tmp_path)
    (file,) = (tmp_path / CRL_FOLDER_NAME).iterdir()
    head, _, data = file.read_bytes().partition(b"\n")
    bent = re.sub(rb'"asked": [0-9.]+', b'"asked": ' + asked.encode(), head)
    assert bent != head
    file.write_bytes(bent + b"\n" + data)
    assert reason(ca, leaf, tmp_path) is not None


def test_a_url_that_is_none_hides_no_other_one(ca, web, tmp_path):
    leaf = ca.issue(["http://[x/crl", f"{web.url}/good.crl"])
    web.put("good.crl", ca.crl({leaf.serial: "superseded"}))
    assert reason(ca, leaf, tmp_path) is not None


def test_the_time_of_the_cas_window_is_told_in_utc():
    told = ari._time("2026-07-21T10:00:00+02:00")
    assert f"{told:%H:%M}" == "08:00"
