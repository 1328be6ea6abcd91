"""The DNS wing by itself: no certbot runs here, only the lab's name servers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import pytest

from certbot_tcs_lyon1.department.settings import DnsServer, Endpoint, Settings, TsigKey
from certbot_tcs_lyon1.dns01 import challenge, journal
from certbot_tcs_lyon1.dns01.challenge import Servers
from certbot_tcs_lyon1.dns01.records import Batch, TxtRecord
from certbot_tcs_lyon1.errors import DnsError
from tests.lab import ports
from tests.lab.lab import Lab
from tests.lab.require import require_lab

logger = logging.getLogger(__name__)

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
        TsigKey(lab.key.name, lab.key.algorithm, lab.key.secret),
        None,
        check_servers=both,
    )
    return replace(section, **changes)


@dataclass(frozen=True)
class Desk:
    """One run of the DNS wing: a department config, a journal, and what is known of servers."""

    settings: Settings
    journal_path: str
    servers: Servers

    def plan(self, *records: TxtRecord) -> list[Batch]:
        return challenge.plan(records, self.settings, self.servers)

    def publish(self, *records: TxtRecord) -> list[Batch]:
        return challenge.publish(self.plan(*records), self.journal_path, self.servers)

    def confirm(
        self, batches: Sequence[Batch], warn: Callable[[str], object] = logger.warning
    ) -> None:
        challenge.confirm(batches, self.servers, lambda warning: warn(str(warning)))

    def put(self, *records: TxtRecord, **options: Any) -> None:
        """Publish and confirm."""
        self.confirm(self.publish(*records), **options)

    def withdraw(self) -> list[str]:
        """As a new process does, which knows nothing of the servers."""
        return self.withdraw_here(Servers(self.servers.timing))

    def withdraw_here(self, servers: Optional[Servers] = None) -> list[str]:
        """As this process does, for its next lineage."""
        left = challenge.withdraw(self.settings, self.journal_path, servers or self.servers)
        return list(map(str, left))

    def journal(self) -> list[journal.Entry]:
        return journal.read(self.journal_path)

    def refused(self, *records: TxtRecord, left: int = 0) -> str:
        """What the user is told; `left`: batches that stay in the journal, because nobody signed
        the refusal."""
        with pytest.raises(DnsError) as caught:
            self.publish(*records)
        assert len(self.journal()) == left
        return str(caught.value)


@pytest.fixture
def servers() -> Servers:
    """What a process knows of name servers at its start: nothing."""
    return Servers()


@pytest.fixture
def desk_with(tmp_path: Path, servers: Servers) -> Iterator[Callable[..., Desk]]:
    """Make a desk from sections; what it published is withdrawn when the test ends."""
    desks: list[Desk] = []

    def make(*sections: DnsServer) -> Desk:
        settings = Settings("/etc/letsencrypt/tcs-lyon1.ini", (), sections, (), ())
        desks.append(Desk(settings, str(tmp_path / f"journal-{len(desks)}.json"), servers))
        return desks[-1]

    yield make
    for desk in desks:
        desk.withdraw()


@pytest.fixture
def desk(lab: Lab, desk_with: Callable[..., Desk]) -> Desk:
    """A desk with the lab's `[dns]` section."""
    return desk_with(dns_section(lab))


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Kerberos realm (`realm.Realm`); whoever asks for it is a client of its KDC."""
    from tests.dns01 import realm as realms  # noqa: PLC0415 - it needs this module

    require_lab()
    with realms.running(tmp_path_factory.mktemp("kerberos")) as made:
        yield made
