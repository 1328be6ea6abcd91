"""Runs of `certbot renew` whose lineages' certificates have a CRL, on a CA of the tests' own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME
from tests.bench import orders
from tests.bench.renewals import RENEW, lineages
from tests.bench.runs import Sample
from tests.bench.stage import Stage
from tests.watch import web
from tests.watch.authority import Authority, exchange


@contextlib.contextmanager
def watched(
    stage: Stage, count: int, entries: int, is_cached: bool
) -> Iterator[tuple[Callable[[], Sample], Callable[[], Sample]]]:
    """How to renew so many idle lineages with one CRL of so many entries: without and with it.

    :param is_cached: an earlier run has fetched it
    """
    name = f"watched-{count}-{entries}"
    contestant = lineages(stage, name, 1, plugin="--configurator")
    client, folder = contestant.client, stage.lab.folder / name
    with web.running(folder / "web") as server:
        ca = Authority(folder / "ca")
        url = server.put("ca.crl", ca.crl({0x1000 + number: "" for number in range(entries)}))
        exchange(client, ca, [url], "n0")
        for number in range(1, count):
            client.copy_lineage("n0", f"n{number}")
        kept: Path = client.folder / "work" / CRL_FOLDER_NAME

        def run(check: str) -> Sample:
            stage.configure(client, tcs={"revocation_check": check})
            if not is_cached:
                shutil.rmtree(kept, ignore_errors=True)
            before = len(server.requests())
            sample = orders.certbot(contestant, list(RENEW))
            asked = len(server.requests()) - before
            assert asked == int(check == "yes" and not is_cached), f"asked {asked} times"
            return sample

        if is_cached:
            stage.configure(client)
            orders.certbot(contestant, list(RENEW))
        yield lambda: run("no"), lambda: run("yes")
