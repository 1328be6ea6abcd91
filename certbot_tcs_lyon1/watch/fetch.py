"""Fetching CRLs and ARI for one process, which does not wait twice for a slow server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import download
from certbot_tcs_lyon1.download import Answer, DownloadError, Limits
from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.report import foreign

MOST_SECONDS = 30
MOST_BYTES = 64 * 1024 * 1024


class Fetcher:
    """Fetches URLs for one process; a server that has kept it waiting is not asked again."""

    def __init__(self) -> None:
        self._slow: set[str] = set()

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        seconds: float = MOST_SECONDS,
        most: int = MOST_BYTES,
    ) -> Answer:
        """Return the answer to a GET of `url`, also 304 to a conditional request.

        :param seconds: for all of it, see `download.Limits`
        :param most: bytes of the body
        :raises WatchError: any other answer, or none
        """
        limits = Limits(seconds, most)
        begin = time.monotonic()
        try:
            download.check_url(url, limits.schemes)
            if urlsplit(url).netloc in self._slow:
                raise DownloadError("its server was too slow before in this run")
            return download.get(url, headers, limits)
        except DownloadError as error:
            if time.monotonic() - begin >= min(download.CONNECT_SECONDS, seconds):
                self._slow.add(urlsplit(url).netloc)
            raise WatchError(str(error), where=foreign(url)) from None
