"""When the CA wants a certificate renewed: ARI (RFC 9773), for certbot before 4.1."""

from __future__ import annotations

import base64
import contextlib
import datetime
import email.utils
import json
import re
from typing import Any, Optional

from cryptography import x509

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.watch import crl, der
from certbot_tcs_lyon1.watch.fetch import Fetcher
from certbot_tcs_lyon1.watch.record import Reason, Record

_MOST_BYTES = 64 * 1024
_MOST_SECONDS = 10

#: Seconds until the next request: without Retry-After (RFC 9773 §4.3.2), at least, at most.
_DEFAULT_WAIT, _SHORTEST_WAIT, _LONGEST_WAIT = 6 * 3600, 60, 86400


def find(
    certificate: x509.Certificate,
    server: str,
    record: Record,
    fetcher: Fetcher,
    now: datetime.datetime,
) -> Optional[Reason]:
    """Return the reason to renew, if the window that the CA suggests has begun.

    :param server: the ACME directory URL
    :param now: UTC
    :raises WatchError: the CA gives no answer, or not one that can be understood
    """
    name = certificate_id(certificate)
    if not name or _is_early(record, name, now):
        return None
    url = _renewal_info(server, record, fetcher, now)
    if not url:
        return None
    try:
        answer = fetcher.get(f"{url.rstrip('/')}/{name}", {}, _MOST_SECONDS, _MOST_BYTES)
    except WatchError:
        record.note("ari", name, _end(now, _DEFAULT_WAIT))
        raise
    record.note("ari", name, _end(now, _retry_after(answer.headers.get("retry-after"), now)))
    reason = _reason(answer.body, now)
    if reason is not None:
        record.forget("ari", name)  # if the replacement fails, the next run tries it again
    return reason


def certificate_id(certificate: x509.Certificate) -> str:
    """Return the certificate's ARI identifier (RFC 9773 §4.1); "" without authority key id."""
    issuer = crl.extension(certificate, x509.AuthorityKeyIdentifier)
    if issuer is None or not issuer.key_identifier:
        return ""
    return f"{_base64(issuer.key_identifier)}.{_base64(der.integer(certificate.serial_number))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _end(now: datetime.datetime, seconds: float) -> float:
    return now.timestamp() + seconds


def _is_early(record: Record, key: str, now: datetime.datetime) -> bool:
    """Return whether it is too early for the next request, for a certificate or a directory."""
    return now.timestamp() < record.time("ari", key) <= _end(now, _LONGEST_WAIT)


def _renewal_info(server: str, record: Record, fetcher: Fetcher, now: datetime.datetime) -> str:
    """Return the ARI URL in the directory, "" without one; it is fetched once a day."""
    if _is_early(record, server, now):
        return record.text("directories", server)
    url = ""
    try:
        found = _json(fetcher.get(server, {}, _MOST_SECONDS, _MOST_BYTES).body)
        url = str(found.get("renewalInfo") or "")
    finally:
        record.note("directories", server, url)
        record.note("ari", server, _end(now, _LONGEST_WAIT))
    return url


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WatchError("the CA's answer is no JSON object")
    return found


def _retry_after(text: Optional[str], now: datetime.datetime) -> float:
    """Return the seconds of a header Retry-After: a number or a date (RFC 9110 §10.2.3)."""
    seconds: float = _DEFAULT_WAIT
    if text and re.fullmatch("[0-9]{1,9}", text):
        seconds = int(text)
    elif text:
        with contextlib.suppress(TypeError, ValueError):
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now.timestamp()
    return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)


def _reason(body: bytes, now: datetime.datetime) -> Optional[Reason]:
    found = _json(body)
    window = found.get("suggestedWindow")
    if not isinstance(window, dict):
        raise WatchError("the CA's answer has no suggestedWindow")
    start, end = _time(window.get("start")), _time(window.get("end"))
    if end < start:
        raise WatchError("the window that the CA suggests ends before it begins")
    if now < start:
        return None
    url = found.get("explanationURL")
    explanation = f" ({foreign(url)})" if isinstance(url, str) and url else ""
    text = f"the CA asks for its renewal since {start:%Y-%m-%d %H:%M} UTC{explanation}"
    return Reason("ari", f"{start.isoformat()}/{end.isoformat()}", text)


def _time(text: Any) -> datetime.datetime:
    """Return a time of RFC 3339, without fractions of a second, UTC.

    :raises WatchError: it is not one
    """
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", str(text)
    )
    try:
        if match is None:
            raise ValueError
        zone = "+00:00" if match[3] in "Zz" else match[3]
        found = datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
        return found.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        raise WatchError("the window that the CA suggests has no time of RFC 3339") from None
