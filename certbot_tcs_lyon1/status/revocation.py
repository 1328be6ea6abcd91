"""Revocation of the certificates, by the CRLs that `certbot renew` has fetched before."""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Callable, Optional

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.status.facts import Folders, Lineage
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME, Record


def check_revocation(found: Iterable[Lineage], folders: Folders) -> list[Lineage]:
    """Return the lineages with `revoked`, `watched` and `crl_asked` filled in."""
    record = Record(folders.work_dir)
    if not (
        os.path.isdir(os.path.join(folders.work_dir, CRL_FOLDER_NAME)) or record.has("unusable")
    ):
        return list(found)  # and cryptography isn't loaded
    from certbot_tcs_lyon1.watch import cache

    now = datetime.datetime.now(datetime.timezone.utc)

    @functools.cache  # the certificates of a CA share its CRLs
    def peek(url: str, issuers: tuple[Any, ...]) -> Optional[cache.CachedCrl]:
        return cache.peek(folders.work_dir, url, issuers, now)

    return [
        lineage if lineage.fault else replace(lineage, **_look(lineage, folders, peek, record))
        for lineage in found
    ]


def _look(
    lineage: Lineage, folders: Folders, peek: Callable[..., Any], record: Record
) -> dict[str, Any]:
    """Return the fields to fill in; {} if the lineage is not watched."""
    from cryptography import x509

    from certbot_tcs_lyon1.watch import crl

    chain = os.path.join(folders.config_dir, "live", lineage.name, "chain.pem")
    try:
        certificate = x509.load_der_x509_certificate(lineage.der)
        with open(chain, "rb") as file:
            issuers = tuple(crl.issuers(certificate, file.read()))
        urls = [(point, url) for point in crl.points(certificate) for url in point.urls]
        for point, url in urls:
            cached = peek(url, issuers)
            if cached is not None:
                entry = cached.crl.find(certificate, point)
                return {
                    "watched": True,
                    "revoked": entry is not None and entry.is_final,
                    "crl_asked": int(cached.asked.timestamp()),
                }
        since = record.time("unusable", urls[0][1]) if urls else 0
        return {"crl_asked": int(since)} if since else {}
    except (WatchError, OSError, ValueError):
        return {}
