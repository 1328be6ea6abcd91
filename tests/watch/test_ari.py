"""When the CA wants a certificate renewed, as it says by ARI (RFC 9773), and when it is asked."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.watch import ari
from certbot_tcs_lyon1.watch.fetch import Fetcher
from certbot_tcs_lyon1.watch.record import Record
from tests.watch import rude

#: A day ahead, so that no note is past while these tests run.
NOW = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
LATER = {"start": "2126-07-20T10:00:00Z", "end": "2126-07-21T10:00:00Z"}


def reply(content: object, *headers: str, status: str = "200 OK") -> bytes:
    """A web server's answer, in JSON."""
    body = json.dumps(content)
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A CA that gives its directory, and then these answers; one request more is a failure."""
    sent: list[bytes] = []
    with rude.answering_in_turn(sent) as url:
        sent += [reply({"renewalInfo": f"{url}/ari"}), *answers]
        yield url


def find(certificate, server, work_dir, hours=0.0):
    """The reason, as a run of certbot some hours from now finds it."""
    at = NOW + datetime.timedelta(hours=hours)
    return ari.find(certificate, server, Record(str(work_dir)), Fetcher(), at)


def test_a_ca_without_ari_is_asked_for_its_directory_once_a_day(ca, tmp_path):
    leaf = ca.issue().certificate
    with rude.answering_in_turn([reply({"newOrder": "x"})] * 2) as url:
        for hours in (0, 5, 23, 25, 30):
            assert find(leaf, url, tmp_path, hours) is None


def test_a_directory_that_is_out_of_reach_is_tried_again_the_next_day(ca, tmp_path):
    leaf = ca.issue().certificate
    with rude.answering_in_turn([reply({}, status="503 Busy"), reply({})]) as url:
        with pytest.raises(WatchError, match="503"):
            find(leaf, url, tmp_path)
        assert find(leaf, url, tmp_path, 23) is None
        assert find(leaf, url, tmp_path, 25) is None


def test_a_ca_that_fails_is_asked_again_after_six_hours(ca, tmp_path):
    leaf = ca.issue().certificate
    with answering(reply({}, status="500 Oops"), reply({"suggestedWindow": LATER})) as url:
        with pytest.raises(WatchError, match="500"):
            find(leaf, url, tmp_path)
        assert find(leaf, url, tmp_path, 5) is None
        assert find(leaf, url, tmp_path, 7) is None


@pytest.mark.parametrize(
    ("header", "hours"),
    [
        (f"Retry-After: {email.utils.format_datetime(NOW + datetime.timedelta(hours=3))}", 3),
        ("Retry-After: 7200", 2),
        ("Retry-After: 0", 1 / 60),
        ("Retry-After: 99999999", 24),
        ("Retry-After: soon", 6),
        ("X-Other: 1", 6),
    ],
    ids=["date", "seconds", "at once", "long after", "no time", "none"],  # the same in each worker
)
def test_the_ca_says_when_it_is_asked_again_within_a_minute_and_a_day(ca, tmp_path, header, hours):
    leaf = ca.issue().certificate
    answer = reply({"suggestedWindow": LATER}, header)
    with answering(answer) as url:
        for after in (0, hours * 0.9):
            assert find(leaf, url, tmp_path, after) is None
    with pytest.raises(WatchError):  # it would be asked now, and nothing listens there any more
        find(leaf, url, tmp_path, hours * 1.1)


@pytest.mark.parametrize(
    "window",
    [
        None,
        [],
        {},
        {"start": LATER["end"], "end": LATER["start"]},
        {**LATER, "start": "tomorrow"},
        {**LATER, "start": "2026-13-01T00:00:00Z"},
        {**LATER, "start": "2026-07-20T10:00:00"},
        {**LATER, "end": "0001-01-01T00:00:00+10:00"},
    ],
)
def test_a_window_that_is_none_is_no_reason(ca, tmp_path, window):
    with answering(reply({"suggestedWindow": window})) as url, pytest.raises(WatchError):
        find(ca.issue().certificate, url, tmp_path)


@pytest.mark.parametrize("why", [None, 7, "", "https://ca.test/why"])
def test_what_the_ca_gives_as_its_explanation_is_shown(ca, tmp_path, why):
    window = {"start": "2026-07-20T10:00:00.5+02:00", "end": "2026-07-21T10:00:00Z"}
    with answering(reply({"suggestedWindow": window, "explanationURL": why})) as url:
        found = find(ca.issue().certificate, url, tmp_path)
    shown = " (https://ca.test/why)" if isinstance(why, str) and why else ""
    assert found.text == f"the CA asks for its renewal since 2026-07-20 08:00 UTC{shown}"


def test_the_ca_is_not_asked_about_a_certificate_that_ari_cannot_name(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "www.labo.test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    plain = builder.sign(key, hashes.SHA256())  # without an authority key identifier
    assert find(plain, "http://127.0.0.1:9/", tmp_path) is None
