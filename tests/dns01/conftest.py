"""The DNS wing by itself: no certbot runs here, only the lab's name servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certbot_tcs_lyon1 import department
from certbot_tcs_lyon1.department import DnsServer, Endpoint, Settings
from certbot_tcs_lyon1.dns01 import challenge, tsig
from tests.lab import ports
from tests.lab.lab import Lab

ZONE = "labo.univ-lyon1.test"
WWW = f"_acme-challenge.www.{ZONE}"


def endpoint(of: ports.Endpoint) -> Endpoint:
    """The lab's endpoint as the package's."""
    return Endpoint(of.address, of.port)


def dns_section(lab: Lab, **changes: Any) -> DnsServer:
    """The lab's `[dns]` section."""
    both = (endpoint(lab.primary.endpoint), endpoint(lab.secondary.endpoint))
    section = DnsServer(
        "",
        both[:1],
        tsig.TsigKey(lab.key.name, lab.key.algorithm, lab.key.secret),
        None,
        check_servers=both,
    )
    return replace(section, **changes)


def settings_with(*sections: DnsServer) -> Settings:
    """A department config with these sections."""
    return Settings("/etc/letsencrypt/tcs-lyon1.ini", (), sections, (), ())


@pytest.fixture
def settings(lab: Lab, tmp_path: Path) -> Settings:
    """The lab's department config, read from a file."""
    path = tmp_path / "tcs-lyon1.ini"
    path.touch(mode=0o600)
    path.write_text(lab.department_config(), encoding="utf-8")
    return department.read(str(path))


@pytest.fixture
def publish() -> Iterator[Callable[..., list[challenge.Batch]]]:
    """Plan and publish records; whatever was sent is withdrawn when the test ends."""
    sent: list[challenge.Batch] = []

    def run(config: Settings, *records: challenge.Record) -> list[challenge.Batch]:
        batches = challenge.plan(records, config)
        challenge.publish(batches, sent)
        return batches

    yield run
    challenge.withdraw(sent)
