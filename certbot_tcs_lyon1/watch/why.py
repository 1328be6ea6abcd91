"""From a certificate and its department to the reason why it is replaced now, or none."""

from __future__ import annotations

import datetime
import logging
from dataclasses import dataclass
from typing import Optional

from cryptography import x509

from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import Report, foreign
from certbot_tcs_lyon1.watch import ari, crl, kept
from certbot_tcs_lyon1.watch.crl import Crl, Point, Revocation
from certbot_tcs_lyon1.watch.fetch import Fetcher
from certbot_tcs_lyon1.watch.reason import Reason
from certbot_tcs_lyon1.watch.record import Record

logger = logging.getLogger(__name__)

#: After so long without a CRL that counts the user is told.
PATIENCE = 3 * kept.DAY


@dataclass(frozen=True)
class Watched:
    """A certificate and what is known of it.

    `chain` is PEM; `campaign` is the department's `replace_issued_before`; `ari_server` is the ACME
    directory that is asked for ARI, "" for none.
    """

    name: str
    certificate: x509.Certificate
    chain: bytes
    campaign: Optional[datetime.datetime] = None
    ari_server: str = ""


class Watch:
    """What one process learns of CRLs and CAs, and what was learnt before.

    :param work_dir: certbot's
    """

    def __init__(self, work_dir: str, report: Report) -> None:
        self._record = Record(work_dir)
        self._fetcher = Fetcher()
        self._crls = kept.Crls(work_dir, self._fetcher)
        self._report = report
        kept.tidy(work_dir)

    def reason(
        self, watched: Watched, now: datetime.datetime, crls: bool = True
    ) -> Optional[Reason]:
        """Why the certificate is replaced now. What can't be found out is no reason.

        :param now: UTC
        :param crls: whether they are looked at (`revocation_check`)
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
        """Note that the certificate is about to be replaced for this reason.

        :param live_dir: certbot's
        :raises WatchError: it can't be written down; then nothing may be ordered
        """
        serial = watched.certificate.serial_number
        self._record.begin(watched.name, serial, reason, live_dir)

    def _revoked(self, watched: Watched, now: datetime.datetime) -> Optional[Reason]:
        found = self._revocation(watched, now)
        if found is None:
            return None
        said = f", reason {found.reason}" if found.reason else ""
        text = f"revoked by the CA on {found.date:%Y-%m-%d}{said}"
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
        """The entry of the first CRL that has one."""
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
            if revocation is not None or _covers(found.crl, point):
                self._record.forget("unusable", mark)
                if found.fault is not None:
                    self._warn(found.fault, found.asked, now)
                return revocation
        if faults:
            self._tell(mark, faults, now)
        return None

    def _tell(self, mark: str, faults: list[WatchError], now: datetime.datetime) -> None:
        """Say that nobody can tell: at once for the log, after three days for the user."""
        for fault in faults:
            logger.debug("CRL: %s", fault)
        since = self._record.get("unusable", mark)
        if not isinstance(since, (int, float)) or not 0 <= since <= now.timestamp():
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


def _covers(found: Crl, point: Point) -> bool:
    """Whether a certificate that is not in it is not revoked, for whatever reason."""
    return not (found.is_partial or point.is_partial)
