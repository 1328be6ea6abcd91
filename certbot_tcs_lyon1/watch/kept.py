"""CRLs in certbot's work folder: each asked for at most once a day, or until its next update.

A file is a line of JSON (URL, ETag, Last-Modified, when the server was last asked), and the CRL.
Only one that counts is kept, so that nobody on the way can put another in place of a good one. A
file that no lineage has asked for in three days is removed.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Union

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1.errors import DiskError, WatchError
from certbot_tcs_lyon1.watch import fetch
from certbot_tcs_lyon1.watch.crl import Crl

if TYPE_CHECKING:
    from cryptography import x509

logger = logging.getLogger(__name__)

FOLDER_NAME = "tcs-lyon1-crls"

DAY = datetime.timedelta(days=1)
_UNWANTED = 3 * DAY
_MOST_BYTES = fetch.MOST_BYTES + 64 * 1024


@dataclass(frozen=True)
class _Kept:
    etag: str
    modified: str
    asked: datetime.datetime
    crl: Crl
    data: bytes = field(repr=False)

    def is_fresh(self, now: datetime.datetime) -> bool:
        end = self.crl.next_update
        return self.asked <= now < self.asked + DAY and end is not None and now < end


class Crls:
    """The CRLs of one process.

    :param work_dir: certbot's
    """

    def __init__(self, work_dir: str) -> None:
        self._folder = os.path.join(work_dir, FOLDER_NAME)
        self._known: dict[Any, Union[Crl, WatchError]] = {}
        self._tidied = False

    def get(self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime) -> Crl:
        """The CRL at `url`, verified; the server is asked at most once in a process.

        :raises WatchError: there is none that counts
        """
        if not self._tidied:
            self._tidied = True
            _tidy(self._folder, now)
        key = (url, *(issuer.public_bytes(_der()) for issuer in issuers))
        if key not in self._known:
            try:
                self._known[key] = self._load(url, issuers, now)
            except WatchError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, WatchError):
            raise found
        return found

    def _load(self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime) -> Crl:
        path = os.path.join(self._folder, hashlib.sha256(url.encode()).hexdigest())
        kept = _read(path, url, issuers, now)
        if kept is not None and kept.is_fresh(now):
            return kept.crl
        try:
            fresh = _ask(url, kept, now)
            if kept is None or fresh.crl is not kept.crl:
                fresh.crl.verify(issuers, now)
        except WatchError as error:
            if kept is None:
                raise WatchError(error.cause, where=url) from None
            logger.debug("%s; the one of %s still counts", error, kept.asked)
            with contextlib.suppress(OSError):
                os.utime(path)  # it is wanted
            return kept.crl
        _write(path, url, fresh)
        return fresh.crl


def peek(
    work_dir: str, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
) -> Optional[tuple[Crl, datetime.datetime]]:
    """The CRL that is kept of a URL, if it counts still, and when its server was last asked.

    Nothing is fetched, and nothing changes.
    """
    path = os.path.join(work_dir, FOLDER_NAME, hashlib.sha256(url.encode()).hexdigest())
    found = _read(path, url, issuers, now)
    return (found.crl, found.asked) if found else None


def _der() -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.Encoding.DER


def _ask(url: str, kept: Optional[_Kept], now: datetime.datetime) -> _Kept:
    """What the server has.

    :raises WatchError: it can't be had
    """
    headers = {}
    if kept is not None and kept.etag:
        headers["If-None-Match"] = kept.etag
    if kept is not None and kept.modified:
        headers["If-Modified-Since"] = kept.modified
    answer = fetch.get(url, headers)
    if answer.status == 304:
        if kept is None:
            raise WatchError("the answer is HTTP 304, though nothing was kept", where=url)
        return _Kept(kept.etag, kept.modified, now, kept.crl, kept.data)
    return _Kept(
        answer.headers.get("etag", ""),
        answer.headers.get("last-modified", ""),
        now,
        Crl(answer.body),
        answer.body,
    )


def _read(
    path: str, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
) -> Optional[_Kept]:
    """What is kept, if it counts still."""
    try:
        head, _, data = disk.read(path, _MOST_BYTES)[0].partition(b"\n")
        said = json.loads(head)
        asked = datetime.datetime.fromtimestamp(said["asked"], datetime.timezone.utc)
        crl = Crl(data)
        crl.verify(issuers, now)
        kept = _Kept(str(said["etag"]), str(said["modified"]), asked, crl, data)
        return kept if said["url"] == url else None
    except FileNotFoundError:
        return None
    except (
        OSError,
        DiskError,
        WatchError,
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
    ) as error:
        logger.debug("%s: not used: %s", path, error)
        return None


def _write(path: str, url: str, kept: _Kept) -> None:
    head = {
        "url": url,
        "etag": kept.etag,
        "modified": kept.modified,
        "asked": kept.asked.timestamp(),
    }
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        disk.write(path, json.dumps(head).encode() + b"\n" + kept.data)
    except OSError as error:  # then it is fetched at the next run again
        logger.debug("%s can't be written: %s", path, error)


def _tidy(folder: str, now: datetime.datetime) -> None:
    """Remove what no lineage has wanted of late, and what a run that was killed has left."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.stat(follow_symlinks=False).st_mtime < (now - _UNWANTED).timestamp():
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
