"""Orders of new certificates on a bad day, by this plugin and by others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional

from tests.bench import contestants, measure
from tests.bench.contestants import NO_WAIT, OURS, Contestant
from tests.bench.runs import Sample
from tests.bench.stage import TWO, Stage
from tests.lab.ports import Endpoint

LEGO = "lego"

#: Seconds after which an order is taken for failed.
_TIMEOUT = 240.0

#: Runs something once, with this update server.
Run = Callable[[Endpoint], Sample]


def by(name: str, stage: Stage, count: int, zone: str = TWO, tells: str = "") -> Optional[Run]:
    """How a contestant orders one certificate for so many new names; None if it is not here.

    :param tells: a pattern of what certbot is to say
    """
    if name == LEGO:
        return _lego(stage, zone) if shutil.which("lego") else None
    make = {OURS: _ours, NO_WAIT: _rfc2136}[name]
    return make(stage, count, zone, tells)


def _ours(stage: Stage, count: int, zone: str, tells: str) -> Run:
    stage.configure(stage.lab.client)
    contestant = ready(contestants.ours(stage.lab))

    def run(server: Endpoint) -> Sample:
        stage.configure(contestant.client, server)
        return certonly(contestant, count, zone, tells)

    return run


def _rfc2136(stage: Stage, count: int, zone: str, tells: str) -> Run:
    contestant = ready(contestants.rfc2136(stage.lab)[0])

    def run(server: Endpoint) -> Sample:
        contestants.rfc2136(stage.lab, server)
        return certonly(contestant, count, zone, tells)

    return run


def ready(contestant: Contestant) -> Contestant:
    """The contestant, with an account."""
    if not contestant.client.accounts():
        contestants.check_alone(contestant)
        measure.warm_up(contestant)
    return contestant


def certonly(contestant: Contestant, count: int, zone: str, tells: str = "") -> Sample:
    """Order one certificate for so many new names of a zone."""
    measure.forget_runs(contestant)
    return certbot(contestant, measure.order(contestant, measure.names(count, zone)), tells)


def certbot(contestant: Contestant, args: list[str], tells: str = "") -> Sample:
    """Run certbot once."""
    try:
        timed = measure.time_certbot(contestant, args)
    except subprocess.TimeoutExpired as error:
        return Sample(False, float(error.timeout), 0, 0)
    said = measure.output_of(contestant).read_text(encoding="utf-8", errors="replace")
    told = len(re.findall(tells, said)) if tells else 0
    return Sample(timed.code == 0, timed.seconds, timed.cpu, timed.peak_kib, told)


def _lego(stage: Stage, zone: str) -> Run:
    """lego, with the lab's secondary as its resolver."""
    folder = stage.lab.folder / "lego"
    folder.mkdir(exist_ok=True)

    def run(server: Endpoint) -> Sample:
        command = _lego_command(stage, folder, measure.names(1, zone)[0])
        key = stage.lab.key
        environment = {
            **os.environ,
            "LEGO_CA_CERTIFICATES": str(stage.lab.pebble.ca_bundle),
            "RFC2136_NAMESERVER": str(server),
            "RFC2136_TSIG_KEY": f"{key.name}.",
            "RFC2136_TSIG_SECRET": key.secret,
            "RFC2136_TSIG_ALGORITHM": f"{key.algorithm}.",
        }
        try:
            timed = measure.time_command(command, environment, folder / "output.txt", _TIMEOUT)
        except subprocess.TimeoutExpired:
            return Sample(False, _TIMEOUT, 0, 0)
        return Sample(timed.code == 0, timed.seconds, timed.cpu, timed.peak_kib)

    if not (folder / "accounts").exists():
        run(stage.update_server)  # registers
    return run


def _lego_command(stage: Stage, folder: Path, name: str) -> list[str]:
    lab = stage.lab
    return [
        *(str(shutil.which("lego")), "--path", str(folder), "--server", lab.pebble.directory_url),
        *("--accept-tos", "--email", contestants.EMAIL, "--dns.resolvers", str(stage.resolver)),
        *("--eab", "--kid", lab.eab_kid, "--hmac", lab.eab_hmac_key),
        *("--dns", "rfc2136", "--domains", name, "run"),
    ]


def with_client(contestant: Contestant, stage: Stage, name: str) -> Contestant:
    """The same plugin, with a certbot of its own."""
    return replace(contestant, client=stage.lab.new_client(name))
