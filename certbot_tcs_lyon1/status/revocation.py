"""Revocation of the certificates, by the CRLs that `certbot renew` has fetched before."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from certbot_tcs_lyon1.status.facts import Folders, Lineage
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME, Record


def check_revocation(found: Iterable[Lineage], folders: Folders) -> list[Lineage]:
    """Return the lineages with `revoked`, `watched` and `crl_asked` filled in."""
    record = Record(folders.work_dir)
    if not (
        os.path.isdir(os.path.join(folders.work_dir, CRL_FOLDER_NAME)) or record.has("unusable")
    ):
        return list(found)  # and cryptography isn't loaded
    now = datetime.datetime.now(datetime.timezone.utc)
    known: dict[Any, Any] = {}
    return [
        lineage if lineage.fault else _with_crl(lineage, folders, now, known, record)
        for lineage in found
    ]


def _with_crl(
    lineage: Lineage,
    folders: Folders,
    now: datetime.datetime,
    known: dict[Any, Any],
    record: Record,
) -> Lineage:
    from cryptography import x509

    from certbot_tcs_lyon1.errors import WatchError
    from certbot_tcs_lyon1.watch import cache, crl

    try:
        certificate = x509.load_der_x509_certificate(lineage.der)
        with open(
            os.path.join(folders.config_dir, "live", lineage.name, "chain.pem"), "rb"
        ) as file:
            issuers = crl.issuers(certificate, file.read())
        urls = [(point, url) for point in crl.points(certificate) for url in point.urls]
        for point, url in urls:
            key = (url, tuple(issuer.subject.public_bytes() for issuer in issuers))
            if key not in known:
                known[key] = cache.peek(folders.work_dir, url, issuers, now)
            if known[key] is None:
                continue
            entry = known[key].crl.find(certificate, point)
            revoked = entry is not None and entry.is_final
            when = int(known[key].asked.timestamp())
            return replace(lineage, watched=True, revoked=revoked, crl_asked=when)
        since = record.time("unusable", urls[0][1]) if urls else 0
        return replace(lineage, crl_asked=int(since)) if since else lineage
    except (WatchError, OSError, ValueError):
        pass  # then it is not watched, and that is shown
    return lineage
