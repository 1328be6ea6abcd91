"""The CA's own word on when to renew: ARI (RFC 9773), for a certbot that does not know it."""

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
from certbot_tcs_lyon1.watch.fetch import Fetcher
from certbot_tcs_lyon1.watch.reason import Reason
from certbot_tcs_lyon1.watch.record import Record

_MOST_BYTES = 64 * 1024
_MOST_SECONDS = 10

#: How long an answer holds without Retry-After (RFC 9773, 4.3.2), and the bounds for one.
_USUAL, _LEAST, _MOST = 6 * 3600, 60, 86400


def find(
    certificate: x509.Certificate,
    server: str,
    record: Record,
    fetcher: Fetcher,
    now: datetime.datetime,
) -> Optional[Reason]:
    """The reason, once the window that the CA suggests has begun.

    :param server: the ACME directory URL
    :raises WatchError: the CA's answer can't be had or understood
    """
    name = certificate_id(certificate)
    wait = record.get("ari", name) if name else None
    if not name or (isinstance(wait, (int, float)) and now.timestamp() < wait <= _end(now, _MOST)):
        return None
    url = _renewal_info(server, record, fetcher, now)
    if not url:
        return None
    try:
        answer = fetcher.get(f"{url.rstrip('/')}/{name}", {}, _MOST_SECONDS, _MOST_BYTES)
    except WatchError:
        record.note("ari", name, _end(now, _USUAL))
        raise
    record.note("ari", name, _end(now, _retry_after(answer.headers.get("retry-after"), now)))
    reason = _reason(answer.body, now)
    if reason is not None:
        record.forget("ari", name)  # a replacement that fails is tried again at the next run
    return reason


def certificate_id(certificate: x509.Certificate) -> str:
    """RFC 9773, 4.1; "" for a certificate without an authority key identifier."""
    try:
        key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ""
    serial = certificate.serial_number
    content = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{_base64(key.key_identifier)}.{_base64(content)}" if key.key_identifier else ""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _end(now: datetime.datetime, seconds: float) -> float:
    return now.timestamp() + seconds


def _renewal_info(server: str, record: Record, fetcher: Fetcher, now: datetime.datetime) -> str:
    """Where the directory says that ARI is, "" for nowhere; it is read once a day."""
    known = record.get("directories", server)
    until = known[1] if isinstance(known, list) and len(known) == 2 else None
    if isinstance(until, (int, float)) and now.timestamp() < until <= _end(now, _MOST):
        return str(known[0])
    url = ""
    try:
        found = _json(fetcher.get(server, {}, _MOST_SECONDS, _MOST_BYTES).body)
        url = str(found.get("renewalInfo") or "")
    finally:
        record.note("directories", server, [url, _end(now, _MOST)])
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
    """Seconds, from a number of them or a date (RFC 9110, 10.2.3)."""
    seconds: float = _USUAL
    if text and re.fullmatch("[0-9]{1,9}", text):
        seconds = int(text)
    elif text:
        with contextlib.suppress(TypeError, ValueError):
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now.timestamp()
    return min(max(seconds, _LEAST), _MOST)


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
    why = found.get("explanationURL")
    see = f" ({foreign(why)})" if isinstance(why, str) and why else ""
    text = f"the CA asks for its renewal since {start:%Y-%m-%d %H:%M} UTC{see}"
    return Reason("ari", f"{start.isoformat()}/{end.isoformat()}", text)


def _time(text: Any) -> datetime.datetime:
    """A time of RFC 3339, without the fraction of a second."""
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
