"""Knot DNS: a primary that takes updates, with its own words for who may write what."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.files import write_private
from tests.lab.ports import Endpoint
from tests.lab.server import NameServer, wait_for
from tests.lab.zones import Key, Zone

PACKAGE = "knot"

# A Unix socket's path has 107 bytes at most, and knotd makes relative paths absolute: so this one.
_SOCKET = "/proc/self/cwd/knot.sock"
# Without udp-workers and so on Knot starts threads by the number of processors.
_CONFIG = """\
server:
    listen: [{listen}]
    identity: {identity}
    rundir: .
    pidfile: knot.pid
    automatic-acl: off
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
control:
    listen: {socket}
database:
    storage: db
log:
  - target: stderr
    any: info
{options}
"""
_ZONE = """\
  - domain: {name}.
    file: {name}.zone
    storage: .
"""


@dataclass(frozen=True)
class Right:
    """What a key may write in a zone: `types` at the owner names `names` and nowhere else.

    Names are relative to the zone, or end with a dot. `match` is Knot's update-owner-match: equal,
    sub (below a name) or sub-or-equal. No names: everywhere; no types: any.
    """

    zone: str
    key: str
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ("TXT",)
    match: str = "equal"


@dataclass(frozen=True)
class Knot(NameServer):
    """A Knot that runs: `endpoint` answers, `folder` holds its configuration, zones and log."""

    def control(self, *args: str) -> str:
        """Run knotc against this server: its output, or LabError."""
        command = [process.need("knotc", PACKAGE), "-s", _SOCKET, *args]
        return process.output(f"knotc {' '.join(args)} ({self.name})", command, self.folder)


def challenges(zone: str, key: str, *hosts: str) -> Right:
    """The least right that works: TXT at `_acme-challenge.HOST`; "" is the zone itself."""
    names = (f"_acme-challenge.{host}".rstrip(".") for host in hosts)
    return Right(zone, key, tuple(names))


@contextlib.contextmanager
def running(
    folder: Path,
    endpoint: Endpoint,
    zones: Sequence[Zone],
    keys: Sequence[Key],
    rights: Sequence[Right] = (),
    options: str = "",
    more_addresses: Sequence[str] = (),
) -> Iterator[Knot]:
    """Run a primary for `zones` in `folder` until the context ends.

    Who may write is in `rights`; `Zone.policy` is BIND's, and not read. `options` is further text
    for knot.conf, of sections that are not in it yet (server, control, database and log are).
    `more_addresses`: on which it listens, too, with the same port.
    """
    folder = folder.resolve()
    _make(folder)
    for zone in zones:
        (folder / f"{zone.name}.zone").write_text(zone.text, encoding="utf-8")
    identity = f"knot-{secrets.token_hex(8)}"
    listen = ", ".join(f"{ip}@{endpoint.port}" for ip in (endpoint.address, *more_addresses))
    config = _config(listen, identity, zones, keys, rights, options)
    write_private(folder / "knot.conf", config)
    command = [process.need("knotd", PACKAGE), "-c", "knot.conf"]
    started = process.start("knot", command, folder, folder / "knot.log")
    with process.running(started):
        server = Knot("knot", folder, endpoint, started)
        wait_for(server, [zone.name for zone in zones], identity, "cannot bind address")
        yield server


def _make(folder: Path) -> None:
    """Make the folder; of an earlier run it loses the journal, which would be played back."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / "db")
    (folder / "db").mkdir(mode=0o700)


def _config(
    listen: str,
    identity: str,
    zones: Sequence[Zone],
    keys: Sequence[Key],
    rights: Sequence[Right],
    options: str,
) -> str:
    acls = {f"acl{number}": right for number, right in enumerate(rights)}
    lines = [
        _CONFIG.format(
            listen=listen,
            identity=identity,
            socket=_SOCKET,
            options=options,
        )
    ]
    lines += ["key:", *(_key(key) for key in keys)] if keys else []
    lines += ["acl:", *(_acl(name, right) for name, right in acls.items())] if acls else []
    lines.append("zone:")
    for zone in zones:
        names = [name for name, right in acls.items() if right.zone == zone.name]
        lines.append(_ZONE.format(name=zone.name))
        lines += [f"    acl: [{', '.join(names)}]"] if names else []
    return "\n".join(lines)


def _key(key: Key) -> str:
    return f"  - id: {key.name}\n    algorithm: {key.algorithm}\n    secret: {key.secret}\n"


def _acl(name: str, right: Right) -> str:
    lines = [f"  - id: {name}", f"    key: {right.key}", "    action: update"]
    if right.types:
        lines.append(f"    update-type: [{', '.join(right.types)}]")
    if right.names:
        lines.append("    update-owner: name")
        lines.append(f"    update-owner-match: {right.match}")
        lines.append(f"    update-owner-name: [{', '.join(right.names)}]")
    return "\n".join(lines) + "\n"
