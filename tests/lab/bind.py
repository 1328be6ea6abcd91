"""BIND: primaries that take updates, and secondaries that follow them."""

import contextlib
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.lab import ports, process
from tests.lab.files import write_private
from tests.lab.ports import Endpoint
from tests.lab.server import NameServer, wait_for
from tests.lab.zones import Key, Zone, new_key

PACKAGE = "bind9"
NEVER = None

# Only the log tells: named goes on where just TCP is taken. Where UDP is, BIND 9.18 gives no reason
# and ends.
_CANNOT_LISTEN = r"address in use|creating IPv[46] interface .*failed"

# The three rates: at BIND's default of 20 a second it works in ticks of half a second, so that the
# second of two changes reached the secondary 0.5 s late, and so did the second zone at the start.
_OPTIONS = """\
options {{
    directory "{folder}";
    server-id "{identity}";
    {listen}
    recursion no;
    serial-query-rate 1000;
    notify-rate 1000;
    startup-notify-rate 1000;
    empty-zones-enable no;
    dnssec-validation no;
    pid-file none;
    {lock_file}
    session-keyfile "{folder}/session.key";
    statistics-file "named.stats";
    minimal-responses no;
    {options}
}};
controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "rndc-key"; }}; }};
logging {{
    channel everything {{ file "named.log"; severity info; print-time yes; print-category yes; }};
    channel queries {{ file "queries.log"; severity info; print-time yes; }};
    channel updates {{ file "updates.log"; severity info; print-time yes; }};
    category default {{ everything; }};
    category queries {{ queries; }};
    category update {{ updates; }};
    category update-security {{ updates; }};
}};
"""


@dataclass(frozen=True)
class Bind(NameServer):
    """A BIND that runs: `endpoint` answers, `folder` holds its configuration, zones and logs."""

    def rndc(self, *args: str) -> str:
        """Run rndc against this server: its output, or LabError."""
        command = [process.need("rndc", PACKAGE), "-c", str(self.folder / "rndc.conf"), *args]
        return process.output(f"rndc {' '.join(args)} ({self.name})", command, self.folder)

    def statistics(self) -> dict[str, int]:
        """How many requests came in so far, by opcode: {"QUERY": 7, "UPDATE": 1}."""
        file = self.folder / "named.stats"
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
        self.rndc("stats")
        section = file.read_text(encoding="utf-8").split("++ Incoming Requests ++")[1]
        counts = re.findall(r"^ +(\d+) (\S+)$", section.split("\n++")[0], re.MULTILINE)
        return {opcode: int(count) for count, opcode in counts}

    def query_log(self) -> list[str]:
        """One line for each query so far, as `name class type flags…`, oldest first."""
        return re.findall(r"query: (.*)$", self._read("queries.log"), re.MULTILINE)

    def update_log(self) -> list[str]:
        """What updates changed or were refused so far, one line each, oldest first."""
        return self._read("updates.log").splitlines()

    def _read(self, file: str) -> str:
        return (self.folder / file).read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def primary(
    folder: Path,
    endpoint: Endpoint,
    zones: Sequence[Zone],
    keys: Sequence[Key],
    notify: Sequence[Endpoint] = (),
    notify_delay: Optional[int] = 0,
    transfer_key: Optional[Key] = None,
    options: str = "",
) -> Iterator[Bind]:
    """Run a primary for `zones` in `folder` until the context ends.

    Every endpoint of `notify` hears of a change after `notify_delay` seconds (BIND's own default is
    5; with NEVER not at all, so that secondaries stay behind until `rndc("refresh", zone)` there).
    Transfers need `transfer_key` if there is one. `options` is text for BIND's options block.
    """
    _make(folder)
    for zone in zones:
        (folder / f"{zone.name}.zone").write_text(zone.text, encoding="utf-8")
    signed = f' key "{transfer_key.name}"' if transfer_key else ""
    hear = " ".join(f"{e.address} port {e.port}{signed};" for e in notify)
    if notify_delay is NEVER or not notify:
        prompt = "notify no;"
    else:
        prompt = f"notify explicit; notify-delay {notify_delay}; also-notify {{ {hear} }};"
    allow = f"allow-transfer {{ {signed or 'any'}; }};"
    blocks = [
        f'zone "{zone.name}" {{ type primary; file "{zone.name}.zone"; {_policy(zone)} }};'
        for zone in zones
    ]
    everyone = [*keys, *([transfer_key] if transfer_key else [])]
    config = "\n".join([*(key.text() for key in everyone), *blocks])
    names = [zone.name for zone in zones]
    options = f"{options} {prompt} {allow}"
    with _running("primary", folder, endpoint, names, options, config) as server:
        yield server


@contextlib.contextmanager
def secondary(
    folder: Path,
    endpoint: Endpoint,
    zones: Sequence[str],
    source: Endpoint,
    transfer_key: Optional[Key] = None,
    options: str = "",
) -> Iterator[Bind]:
    """Run a secondary of the primary at `source`; it has the zones when the context begins."""
    _make(folder)
    signed = f' key "{transfer_key.name}"' if transfer_key else ""
    primaries = f"primaries {{ {source.address} port {source.port}{signed}; }};"
    blocks = [f'zone "{z}" {{ type secondary; file "{z}.zone"; {primaries} }};' for z in zones]
    config = "\n".join([transfer_key.text() if transfer_key else "", *blocks])
    # A primary on 127.0.0.1 notifies ::1 from ::1, which `primaries` doesn't list.
    hear = f"notify no; allow-notify {{ {signed or 'any'}; }};"
    with _running("secondary", folder, endpoint, zones, f"{options} {hear}", config) as server:
        yield server


def _make(folder: Path) -> None:
    """Make the folder anew: an earlier run's journals don't fit the zones."""
    if (folder / "named.conf").exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _policy(zone: Zone) -> str:
    return f"update-policy {{ {' '.join(zone.policy)} }};" if zone.policy else ""


@contextlib.contextmanager
def _running(
    name: str, folder: Path, endpoint: Endpoint, zones: Sequence[str], options: str, more: str
) -> Iterator[Bind]:
    """Run named with what all have, plus `options` and `more`; it answers for `zones`."""
    folder = folder.resolve()
    identity = f"{name}-{secrets.token_hex(8)}"
    with ports.claimed() as control:
        rndc_key = new_key("rndc-key")
        config = _OPTIONS.format(
            folder=folder,
            identity=identity,
            listen=_listen(endpoint),
            lock_file=_lock_file(),
            options=options,
            control=control,
        )
        write_private(folder / "named.conf", f"{config}{rndc_key.text()}{more}\n")
        write_private(folder / "rndc.conf", _rndc_conf(rndc_key, control))
        started = process.start(name, _command(folder), folder, folder / "named.log")
        with process.running(started):
            server = Bind(name, folder, endpoint, started)
            wait_for(server, zones, identity, _CANNOT_LISTEN)
            yield server


def _command(folder: Path) -> list[str]:
    """How to run named. Until it has read how to log, it logs to the file of -L.

    It is a copy because Debian's AppArmor profile confines /usr/sbin/named, by that path, to
    /etc/bind and /var/{cache,lib}/bind: it could not read its configuration here.
    """
    program = shutil.copy(process.need("named", PACKAGE), folder / "named")
    return [str(program), "-f", "-n", "1", "-L", "named.log", "-c", "named.conf"]


def _lock_file() -> str:
    """What lets two named run on one machine: before 9.20 a second one needs to be allowed."""
    command = [process.need("named", PACKAGE), "-v"]
    version = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    numbers = re.findall(r"\d+", version)
    return "lock-file none;" if (int(numbers[0]), int(numbers[1])) < (9, 20) else ""


def _listen(endpoint: Endpoint) -> str:
    here, other = ("-v6", "") if ":" in endpoint.address else ("", "-v6")
    return (
        f"listen-on{here} port {endpoint.port} {{ {endpoint.address}; }}; "
        f"listen-on{other} {{ none; }};"
    )


def _rndc_conf(key: Key, port: int) -> str:
    options = f'default-key "{key.name}"; default-server 127.0.0.1; default-port {port};'
    return f"{key.text()}options {{ {options} }};\n"
