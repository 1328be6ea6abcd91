"""Runs of `certbot renew`: forced, with a journal that can't be emptied, and with idle lineages."""

from __future__ import annotations

from pathlib import Path

from certbot_tcs_lyon1.authenticator import JOURNAL_NAME
from certbot_tcs_lyon1.dns01 import journal
from tests.bench import contestants, measure, orders
from tests.bench.contestants import Contestant
from tests.bench.orders import Run
from tests.bench.runs import Sample
from tests.bench.stage import TWO, Stage
from tests.lab import proxy, zones
from tests.lab.ports import Endpoint

RENEW = ("renew", "-n", "--no-random-sleep-on-renew", "--max-log-backups", "0")


def lineages(
    stage: Stage, name: str, count: int, zone: str = TWO, plugin: str = "--authenticator"
) -> Contestant:
    """A certbot with so many lineages: one that was ordered, and copies of it.

    :param plugin: the option that this plugin is asked for by
    """
    contestant = orders.with_client(contestants.ours(stage.lab), stage, name)
    client = contestant.client
    stage.configure(client)
    args = measure.order(contestant, measure.names(1, zone))
    args[args.index("--authenticator")] = plugin
    measure.time_certbot(contestant, ["plugins"])  # makes certbot's folders
    result = client.run(*args, "--cert-name", "n0", env=contestant.environment)
    assert result.returncode == 0, result.output
    for number in range(1, count):
        client.copy_lineage("n0", f"n{number}")
    return contestant


def forced(stage: Stage, count: int, zone: str, tells: str = "") -> Run:
    """Renew all lineages, due or not."""
    contestant = lineages(stage, f"{count}-in-{zone}", count, zone)

    def run(server: Endpoint) -> Sample:
        stage.configure(contestant.client, server)
        return orders.certbot(contestant, [*RENEW, "--force-renewal"], tells)

    return run


def with_journal(stage: Stage, count: int) -> tuple[Run, Run]:
    """Renew all lineages, first without and then with an entry in the journal, of another section,
    whose only server takes connections and answers nothing."""
    contestant = lineages(stage, "journal", count)
    path = contestant.client.folder / "work" / JOURNAL_NAME
    other = f"dns autre.{zones.PARENT}"

    def renew(server: Endpoint, silent: Endpoint) -> Sample:
        section = f"[{other}]\nserver = {silent}\nkey_file = {stage.lab.key_file}\n"
        stage.configure(contestant.client, server, more=section)
        return orders.certbot(contestant, [*RENEW, "--force-renewal"], "could not be withdrawn")

    def run(server: Endpoint) -> Sample:
        with proxy.running(server, proxy.silent) as silent:
            here = silent.endpoint
            zone = other.split()[1]
            records = ((f"_acme-challenge.left.{zone}", "left"),)
            entry = journal.Entry(other, zone, here.address, here.port, "silent", records)
            journal.add(str(path), entry)
            sample = renew(server, here)
        path.unlink()  # it is there still
        return sample

    return lambda server: renew(server, server), run


class Idle:
    """A certbot with many lineages, of which some are due at every run.

    `texts` are their files in `renewal/`, which a run changes.
    """

    def __init__(self, stage: Stage, idle: int, due: int) -> None:
        self.contestant = lineages(stage, "idle", idle + due)
        self._folder = self.contestant.client.config_dir / "renewal"
        self._due = [self._folder / f"n{number}.conf" for number in range(due)]
        for file in self._due:
            text = file.read_text(encoding="utf-8")
            file.write_text(f"renew_before_expiry = 9999 days\n{text}", encoding="utf-8")
        self._texts = {file: file.read_text("utf-8") for file in self._folder.glob("*.conf")}

    def ours(self) -> Sample:
        """Renew with this plugin in the files."""
        return self._renew(self._texts)

    def standalone(self) -> Sample:
        """Renew with certbot's own `--standalone` in the files."""
        return self._renew({file: _standalone(text) for file, text in self._texts.items()})

    def _renew(self, texts: dict[Path, str]) -> Sample:
        before = self._versions()
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
        sample = orders.certbot(self.contestant, list(RENEW))
        renewed = self._versions() - before
        assert not sample.ok or renewed == len(self._due), f"{renewed} were renewed"
        return sample

    def _versions(self) -> int:
        archive = self.contestant.client.config_dir / "archive"
        return sum(1 for file in self._due for _ in (archive / file.stem).glob("cert*.pem"))


def _standalone(text: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("tcs_lyon1_")]
    return "\n".join([*lines, ""]).replace(
        "authenticator = tcs-lyon1", "authenticator = standalone"
    )
