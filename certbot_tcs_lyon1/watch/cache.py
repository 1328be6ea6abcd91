"""CRLs in certbot's work folder: each is fetched at most once a day, or until its next update.

A file is a line of JSON (URL, ETag, Last-Modified, time of the last request), and the CRL. Only a
valid CRL replaces the one that is there, so that nobody on the way can. A file that no lineage has
used in three days is removed.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Optional, Union

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.watch import fetch
from certbot_tcs_lyon1.watch.crl import Crl
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME

if TYPE_CHECKING:
    from cryptography import x509

logger = logging.getLogger(__name__)

DAY = datetime.timedelta(days=1)
_UNWANTED = 3 * DAY
_MOST_BYTES = fetch.MOST_BYTES + 64 * 1024


@dataclass(frozen=True)
class CachedCrl:
    """A valid CRL.

    :ivar asked: when its server was last asked successfully (UTC)
    :ivar etag: the header ETag; "" if there was none
    :ivar modified: the header Last-Modified; "" if there was none
    :ivar fault: why the server could not be asked since
    """

    crl: Crl
    asked: datetime.datetime
    etag: str
    modified: str
    data: bytes = field(repr=False)
    fault: Optional[WatchError] = None

    def is_fresh(self, now: datetime.datetime) -> bool:
        """Return whether its server need not be asked yet."""
        end = self.crl.next_update
        return end is not None and self.asked <= now < min(self.asked + DAY, end)


class CrlCache:
    """The CRLs of one process.

    :param work_dir: certbot's work folder
    """

    def __init__(self, work_dir: str, fetcher: fetch.Fetcher) -> None:
        self._work_dir = work_dir
        self._fetcher = fetcher
        self._known: dict[Any, Union[CachedCrl, WatchError]] = {}

    def get(
        self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
    ) -> CachedCrl:
        """Return the valid CRL at `url`; its server is asked at most once in a process.

        :param now: UTC
        :raises WatchError: there is no valid one
        """
        key = (url, *issuers)
        if key not in self._known:
            try:
                self._known[key] = self._load(url, issuers, now)
            except WatchError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, WatchError):
            raise found
        return found

    def _load(
        self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
    ) -> CachedCrl:
        path = _path(self._work_dir, url)
        cached = peek(self._work_dir, url, issuers, now)
        if cached is not None and cached.is_fresh(now):
            return cached
        try:
            fresh = self._ask(url, cached, now)
            if cached is None or fresh.crl is not cached.crl:
                fresh.crl.verify(issuers, now)
            before, after = cached.crl.this_update if cached else None, fresh.crl.this_update
            if before is not None and after < before:
                raise WatchError(f"it is older ({after}) than the one that is kept ({before})")
        except WatchError as error:
            fault = error if error.where else WatchError(error.cause, where=url)
            if cached is None:
                raise fault from None
            logger.debug("%s The one of %s is still valid.", fault, cached.asked)
            with contextlib.suppress(OSError):
                os.utime(path)  # it was used
            return replace(cached, fault=fault)
        _write(path, url, fresh)
        return fresh

    def _ask(self, url: str, cached: Optional[CachedCrl], now: datetime.datetime) -> CachedCrl:
        """Fetch the CRL, unless it is unchanged.

        :raises WatchError: the server gives no answer, or not a CRL
        """
        headers = {}
        if cached is not None:
            known = {"If-None-Match": cached.etag, "If-Modified-Since": cached.modified}
            headers = {name: value for name, value in known.items() if value}
        answer = self._fetcher.get(url, headers)
        if answer.status == 304 and cached is not None:
            return replace(cached, asked=now)
        etag, modified = (_validator(answer.headers, one) for one in ("etag", "last-modified"))
        return CachedCrl(Crl(answer.body), now, etag, modified, answer.body)


def tidy(work_dir: str) -> None:
    """Remove files that no lineage has used of late, and those that a killed run has left."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(os.path.join(work_dir, CRL_FOLDER_NAME)):
            if entry.stat(follow_symlinks=False).st_mtime < time.time() - _UNWANTED.total_seconds():
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def peek(
    work_dir: str, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
) -> Optional[CachedCrl]:
    """Return the CRL that is kept for a URL; None if there is none, or it is not valid any more.

    Nothing is fetched or changed.
    """
    path = _path(work_dir, url)
    try:
        head, _, data = disk.read(path, _MOST_BYTES)[0].partition(b"\n")
        fields = json.loads(head)
        asked = datetime.datetime.fromtimestamp(fields["asked"], datetime.timezone.utc)
        crl = Crl(data)
        crl.verify(issuers, now)
        cached = CachedCrl(crl, asked, str(fields["etag"]), str(fields["modified"]), data)
        return cached if fields["url"] == url else None
    except Exception as error:  # there is none, or the file holds anything
        logger.debug("%s: not used: %s", path, error)
        return None


def _path(work_dir: str, url: str) -> str:
    name = hashlib.sha256(url.encode()).hexdigest()
    return os.path.join(work_dir, CRL_FOLDER_NAME, name)


def _validator(headers: Mapping[str, str], name: str) -> str:
    """Return a header that is sent back with the next request; "" if it can't be a header."""
    text = headers.get(name, "")
    return text if len(text) <= 200 and text.isascii() and text.isprintable() else ""


def _write(path: str, url: str, cached: CachedCrl) -> None:
    head = {
        "url": url,
        "etag": cached.etag,
        "modified": cached.modified,
        "asked": cached.asked.timestamp(),
    }
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        disk.write(path, json.dumps(head).encode() + b"\n" + cached.data)
    except OSError as error:  # the next run fetches it again
        logger.debug("%s can't be written: %s", path, error)
