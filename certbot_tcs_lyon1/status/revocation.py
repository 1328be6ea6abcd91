"""What the CRLs that `certbot renew` has kept say of the certificates; nothing is fetched here."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from certbot_tcs_lyon1.status.facts import Folders, Lineage
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME, Record

if TYPE_CHECKING:
    from cryptography import x509


def look(found: Iterable[Lineage], places: Folders) -> list[Lineage]:
    """The lineages with what is known of their revocation: `watched` are those whose CRL is kept,
    and `crl_asked` is when its server last answered, or since when it can't be had."""
    record = Record(places.work_dir)
    if not (
        os.path.isdir(os.path.join(places.work_dir, CRL_FOLDER_NAME)) or record.has("unusable")
    ):
        return list(found)  # and cryptography isn't loaded
    now = datetime.datetime.now(datetime.timezone.utc)
    known: dict[Any, Any] = {}
    return [one if one.fault else _with_crl(one, places, now, known, record) for one in found]


def _with_crl(
    one: Lineage, places: Folders, now: datetime.datetime, known: dict[Any, Any], record: Record
) -> Lineage:
    from cryptography import x509

    from certbot_tcs_lyon1.errors import WatchError
    from certbot_tcs_lyon1.watch import cache, crl

    try:
        certificate = x509.load_der_x509_certificate(one.der)
        with open(os.path.join(places.config_dir, "live", one.name, "chain.pem"), "rb") as file:
            issuers = crl.issuers(certificate, file.read())
        urls = list(_urls(certificate))
        for point, url in urls:
            key = (url, tuple(issuer.subject.public_bytes() for issuer in issuers))
            if key not in known:
                known[key] = cache.peek(places.work_dir, url, issuers, now)
            if known[key] is None:
                continue
            list_of, asked = known[key]
            entry = list_of.find(certificate, point)
            revoked = entry is not None and entry.is_final
            when = int(asked.timestamp())
            return replace(one, watched=True, revoked=revoked, crl_asked=when)
        since = record.get("unusable", urls[0][1]) if urls else None
        return replace(one, crl_asked=int(since)) if isinstance(since, (int, float)) else one
    except (WatchError, OSError, ValueError):
        pass  # then it is not watched, and that is shown
    return one


def _urls(certificate: x509.Certificate) -> Iterator[tuple[Any, str]]:
    from certbot_tcs_lyon1.watch import crl

    return ((point, url) for point in crl.points(certificate) for url in point.urls)
