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
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class Kept:
    """A CRL that counts.

    `asked` is when its server last had it, `fault` why it has it no more.
    """

    crl: Crl
    asked: datetime.datetime
    etag: str
    modified: str
    data: bytes = field(repr=False)
    fault: Optional[WatchError] = None

    def is_fresh(self, now: datetime.datetime) -> bool:
        """Whether its server need not be asked."""
        end = self.crl.next_update
        return self.asked <= now < self.asked + DAY and end is not None and now < end


class Crls:
    """The CRLs of one process.

    :param work_dir: certbot's
    """

    def __init__(self, work_dir: str, fetcher: fetch.Fetcher) -> None:
        self._folder = os.path.join(work_dir, FOLDER_NAME)
        self._fetcher = fetcher
        self._known: dict[Any, Union[Kept, WatchError]] = {}

    def get(self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime) -> Kept:
        """The CRL at `url`, verified; the server is asked at most once in a process.

        :raises WatchError: there is none that counts
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

    def _load(self, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime) -> Kept:
        path = _path(self._folder, url)
        kept = _read(path, url, issuers, now)
        if kept is not None and kept.is_fresh(now):
            return kept
        try:
            fresh = self._ask(url, kept, now)
            if kept is None or fresh.crl is not kept.crl:
                fresh.crl.verify(issuers, now)
                _check_order(fresh.crl, kept)
        except WatchError as error:
            fault = error if error.where else WatchError(error.cause, where=url)
            if kept is None:
                raise fault from None
            logger.debug("%s The one of %s still counts.", fault, kept.asked)
            with contextlib.suppress(OSError):
                os.utime(path)  # it is wanted
            return replace(kept, fault=fault)
        _write(path, url, fresh)
        return fresh

    def _ask(self, url: str, kept: Optional[Kept], now: datetime.datetime) -> Kept:
        """What the server has.

        :raises WatchError: it can't be had
        """
        headers = {}
        if kept is not None and kept.etag:
            headers["If-None-Match"] = kept.etag
        if kept is not None and kept.modified:
            headers["If-Modified-Since"] = kept.modified
        answer = self._fetcher.get(url, headers)
        if answer.status == 304:
            if kept is None:
                raise WatchError("HTTP status 304, though nothing was kept", where=url)
            return replace(kept, asked=now)
        etag, modified = (_validator(answer.headers, one) for one in ("etag", "last-modified"))
        return Kept(Crl(answer.body), now, etag, modified, answer.body)


def tidy(work_dir: str) -> None:
    """Remove what no lineage has wanted of late, and what a run that was killed has left."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(os.path.join(work_dir, FOLDER_NAME)):
            if entry.stat(follow_symlinks=False).st_mtime < time.time() - _UNWANTED.total_seconds():
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def peek(
    work_dir: str, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
) -> Optional[tuple[Crl, datetime.datetime]]:
    """The CRL that is kept of a URL, if it counts still, and when its server was last asked.

    Nothing is fetched, and nothing changes.
    """
    path = _path(os.path.join(work_dir, FOLDER_NAME), url)
    found = _read(path, url, issuers, now)
    return (found.crl, found.asked) if found else None


def _path(folder: str, url: str) -> str:
    return os.path.join(folder, hashlib.sha256(url.encode()).hexdigest())


def _validator(headers: Mapping[str, str], name: str) -> str:
    """What is sent back to the server at the next time; "" where that could be no header."""
    text = headers.get(name, "")
    return text if len(text) <= 200 and text.isascii() and text.isprintable() else ""


def _check_order(fresh: Crl, kept: Optional[Kept]) -> None:
    """
    :raises WatchError: the CA has issued the one that is kept later
    """
    before, after = kept.crl.this_update if kept else None, fresh.this_update
    if before is not None and after is not None and after < before:
        raise WatchError(f"it is older ({after}) than the one that is kept ({before})")


def _read(
    path: str, url: str, issuers: Sequence[x509.Certificate], now: datetime.datetime
) -> Optional[Kept]:
    """What is kept, if it counts still."""
    try:
        head, _, data = disk.read(path, _MOST_BYTES)[0].partition(b"\n")
        said = json.loads(head)
        asked = datetime.datetime.fromtimestamp(said["asked"], datetime.timezone.utc)
        crl = Crl(data)
        crl.verify(issuers, now)
        kept = Kept(crl, asked, str(said["etag"]), str(said["modified"]), data)
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
        OverflowError,
        RecursionError,
    ) as error:
        logger.debug("%s: not used: %s", path, error)
        return None


def _write(path: str, url: str, kept: Kept) -> None:
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
