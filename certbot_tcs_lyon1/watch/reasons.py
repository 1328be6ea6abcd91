"""Finding the reason to replace a certificate now."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import Optional

from cryptography import x509

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import Report, foreign
from certbot_tcs_lyon1.watch import ari, cache, crl
from certbot_tcs_lyon1.watch.crl import Crl, Point, Revocation
from certbot_tcs_lyon1.watch.fetch import Fetcher
from certbot_tcs_lyon1.watch.record import Reason, Record

logger = logging.getLogger(__name__)

#: After this time without a valid CRL the user is warned.
PATIENCE = 3 * cache.DAY


@dataclass(frozen=True)
class Watched:
    """A certificate that is watched.

    :ivar name: of the lineage
    :ivar chain: PEM
    :ivar campaign: the department's `replace_issued_before`
    :ivar ari_server: the ACME directory for ARI; "" to make no use of ARI
    """

    name: str
    certificate: x509.Certificate
    chain: bytes
    campaign: Optional[datetime.datetime] = None
    ari_server: str = ""


class Watch:
    """Finds reasons, for the lineages of one process.

    :param work_dir: certbot's work folder
    """

    def __init__(self, work_dir: str, report: Report) -> None:
        self._record = Record(work_dir)
        self._fetcher = Fetcher()
        self._crls = cache.CrlCache(work_dir, self._fetcher)
        self._report = report
        cache.tidy(work_dir)

    def reason(
        self, watched: Watched, now: datetime.datetime, crls: bool = True
    ) -> Optional[Reason]:
        """Return the reason to replace the certificate now; None without one, or if that is
        unknown.

        :param now: UTC
        :param crls: whether to look at CRLs (`revocation_check`)
        """
        looks = (self._revoked, self._campaign, self._ari)
        for look in looks if crls else looks[1:]:
            try:
                found = look(watched, now)
            except WatchError as error:
                logger.debug("%s: %s", watched.name, error)
                continue
            serial = watched.certificate.serial_number
            if found is not None and not self._record.is_done(watched.name, serial, found):
                return found
        return None

    def begin(self, watched: Watched, reason: Reason, live_dir: str) -> None:
        """Record that the certificate is about to be replaced for this reason.

        :param live_dir: certbot's folder `live`
        :raises WatchError: it can't be recorded; then the certificate must not be replaced
        """
        serial = watched.certificate.serial_number
        self._record.begin(watched.name, serial, reason, live_dir)

    def _revoked(self, watched: Watched, now: datetime.datetime) -> Optional[Reason]:
        found = self._revocation(watched, now)
        if found is None:
            return None
        code = f", reason {found.reason}" if found.reason else ""
        text = f"revoked by the CA on {found.date:%Y-%m-%d}{code}"
        if not found.is_final:
            self._report.warning(
                f"{watched.name}: {text}, which may be taken back, so it is not replaced. Ask the "
                "CA, or replace it: certbot renew --force-renewal --cert-name "
                f"{watched.name}"
            )
            return None
        key = f"{watched.certificate.serial_number:x}"
        return Reason("revoked", key, text, found.reason == "keyCompromise")

    def _revocation(self, watched: Watched, now: datetime.datetime) -> Optional[Revocation]:
        """Return the entry of the first CRL that has one; None if no CRL has one."""
        certificate, faults = watched.certificate, []
        points = [point for point in crl.points(certificate) if point.urls]
        if not points:
            return None
        issuers = crl.issuers(certificate, watched.chain)
        mark = points[0].urls[0]
        for point, url in ((one, url) for one in points for url in one.urls):
            try:
                found = self._crls.get(url, issuers, now)
                revocation = found.crl.find(certificate, point)
            except WatchError as error:
                faults.append(error if error.where else WatchError(error.cause, where=url))
                continue
            if revocation is not None or _is_conclusive(found.crl, point):
                self._record.forget("unusable", mark)
                if found.fault is not None:
                    self._warn(found.fault, found.asked, now)
                return revocation
        if faults:
            self._note_unusable(mark, faults, now)
        return None

    def _note_unusable(self, mark: str, faults: list[WatchError], now: datetime.datetime) -> None:
        """Log why no CRL can be used, and warn the user after three days."""
        for fault in faults:
            logger.debug("CRL: %s", fault)
        since = self._record.time("unusable", mark)
        if not 0 < since <= now.timestamp():
            since = now.timestamp()
            self._record.note("unusable", mark, since)
        day = datetime.datetime.fromtimestamp(since, datetime.timezone.utc)
        self._warn(faults[0], day, now)

    def _warn(self, fault: WatchError, since: datetime.datetime, now: datetime.datetime) -> None:
        if now - since >= PATIENCE:
            self._report.warning(
                f"CRL {foreign(str(fault))} It has been so since {since:%Y-%m-%d}: if the CA "
                "revokes a certificate of this issuer, it will not be noticed. Look whether this "
                "machine can reach the URL (a proxy?); if others can't either, tell the CA"
            )

    def _campaign(self, watched: Watched, now: datetime.datetime) -> Optional[Reason]:
        day = watched.campaign
        begin = crl.not_before(watched.certificate)
        if day is None or begin >= day:
            return None
        text = (
            f"issued on {begin:%Y-%m-%d}, and the department config says replace_issued_before = "
            f"{day:%Y-%m-%dT%H:%M:%SZ}"
        )
        return Reason("campaign", day.isoformat(), text)

    def _ari(self, watched: Watched, now: datetime.datetime) -> Optional[Reason]:
        if not watched.ari_server:
            return None
        return ari.find(watched.certificate, watched.ari_server, self._record, self._fetcher, now)


def _is_conclusive(found: Crl, point: Point) -> bool:
    """Return whether a certificate that is not in the CRL is not revoked for any reason."""
    return not (found.is_partial or point.is_partial)
