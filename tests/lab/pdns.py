"""PowerDNS, the authoritative server, with zones in SQLite: a primary that takes updates."""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.lab import process
from tests.lab.errors import MissingProgram
from tests.lab.ports import Endpoint
from tests.lab.server import NameServer, wait_for
from tests.lab.zones import Key, Zone

PACKAGE = "pdns-server"
BACKEND_PACKAGE = "pdns-backend-sqlite3"
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")

# Nothing here about caches: packet, query and negative cache are as PowerDNS has them by default.
# consistent-backends and the like stay the default, too; only what a lab cannot do without is set.
_CONFIG = """\
launch=gsqlite3
gsqlite3-database=pdns.sqlite3
local-address={address}
local-port={port}
server-id={identity}
socket-dir=.
daemon=no
guardian=no
security-poll-suffix=
dnsupdate=yes
{options}
"""


@dataclass(frozen=True)
class Pdns(NameServer):
    """A PowerDNS that runs: `endpoint` answers, `folder` has its configuration, database, log."""

    def control(self, *args: str) -> str:
        """Run pdns_control against this server: its output, or LabError."""
        return _run("pdns_control", self.folder, *args)

    def util(self, *args: str) -> str:
        """Run pdnsutil on this server's database: its output, or LabError."""
        return _run("pdnsutil", self.folder, *args)


@contextlib.contextmanager
def running(
    folder: Path,
    endpoint: Endpoint,
    zones: Sequence[Zone],
    keys: Sequence[Key],
    rights: Optional[Mapping[str, Sequence[str]]] = None,
    update_from: Sequence[str] = ("127.0.0.0/8", "::1"),
    options: str = "",
) -> Iterator[Pdns]:
    """Run a primary for `zones` in `folder` until the context ends.

    `rights`: {zone: names of the keys that may write it, anything and anywhere}, by default every
    key every zone; a zone without keys takes unsigned updates. `update_from`: the addresses that
    may send them. `options` is further text for pdns.conf. `Zone.policy` is BIND's, and not read.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    identity = f"pdns-{secrets.token_hex(8)}"
    config = _CONFIG.format(
        address=endpoint.address, port=endpoint.port, identity=identity, options=options
    )
    (folder / "pdns.conf").write_text(config, encoding="utf-8")
    if rights is None:
        rights = {zone.name: [key.name for key in keys] for zone in zones}
    command = [process.need("pdns_server", PACKAGE), "--config-dir=."]
    _fill(folder, zones, keys, rights, update_from)
    started = process.start("pdns", command, folder, folder / "pdns.log")
    with process.running(started):
        server = Pdns("pdns", folder, endpoint, started)
        wait_for(server, [zone.name for zone in zones], identity, "Address already in use")
        yield server


def check_programs() -> None:
    """MissingProgram if PowerDNS or its SQLite backend is not installed."""
    for program in ("pdns_server", "pdnsutil", "pdns_control"):
        process.need(program, PACKAGE)
    if not SCHEMA.exists():
        raise MissingProgram(f"{SCHEMA} not found: apt-get install {BACKEND_PACKAGE}")


def _fill(
    folder: Path,
    zones: Sequence[Zone],
    keys: Sequence[Key],
    rights: Mapping[str, Sequence[str]],
    update_from: Sequence[str],
) -> None:
    """Make the database: zones by pdnsutil; the keys not, as their secrets would be arguments."""
    check_programs()
    file = folder / "pdns.sqlite3"
    for old in folder.glob("pdns.sqlite3*"):
        old.unlink()
    file.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(str(file), isolation_level=None)) as database:
        database.executescript(SCHEMA.read_text(encoding="utf-8"))
        database.executemany(
            "INSERT INTO tsigkeys (name, algorithm, secret) VALUES (?, ?, ?)",
            [(key.name.lower(), key.algorithm, key.secret) for key in keys],
        )
    for zone in zones:
        path = folder / f"{zone.name}.zone"
        path.write_text(zone.text, encoding="utf-8")
        _run("pdnsutil", folder, "load-zone", zone.name, path.name)
    with contextlib.closing(sqlite3.connect(str(file), isolation_level=None)) as database:
        metadata = [
            (kind, content, zone.name)
            for zone in zones
            for kind, contents in (
                ("ALLOW-DNSUPDATE-FROM", update_from),
                ("TSIG-ALLOW-DNSUPDATE", [n.lower() for n in rights.get(zone.name, ())]),
            )
            for content in contents
        ]
        database.executemany(
            "INSERT INTO domainmetadata (domain_id, kind, content)"
            " SELECT id, ?, ? FROM domains WHERE name = ?",
            metadata,
        )


def _run(program: str, folder: Path, *args: str) -> str:
    command = [process.need(program, PACKAGE), "--config-dir=.", *args]
    return process.output(f"{program} {' '.join(args)}", command, folder)
