"""What is broken meanwhile: packets that nftables drops, a server that is slow or rations answers.

Each is a context that gives the update server that certbot is told of. Packets are dropped where
they arrive: dropped where they leave, their sender would be told.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.stage import FIRST, RESOLVER, SECOND, THIRD, Stage
from tests.lab import process, proxy
from tests.lab.bind import Bind
from tests.lab.ports import Endpoint

_BOTH = f"{{ {FIRST}, {SECOND} }}"
_ANY_TO_53 = "meta l4proto { tcp, udp } th dport 53"
_RESOLV_CONF = Path("/etc/resolv.conf")


@contextlib.contextmanager
def nothing(stage: Stage) -> Iterator[Endpoint]:
    """A healthy network."""
    yield stage.update_server


@contextlib.contextmanager
def udp_filtered(stage: Stage) -> Iterator[Endpoint]:
    """No UDP to the zone's name servers; TCP passes."""
    with _dropped(f"ip daddr {_BOTH} udp dport 53"):
        yield stage.update_server


@contextlib.contextmanager
def udp_lossy(stage: Stage) -> Iterator[Endpoint]:
    """30 % of UDP packets are lost, each way."""
    at_random = "numgen random mod 100 < 30"
    there, back = f"ip daddr {_BOTH} udp dport 53", f"ip saddr {_BOTH} udp sport 53"
    with _dropped(f"{there} {at_random}", f"{back} {at_random}"):
        yield stage.update_server


@contextlib.contextmanager
def third_silent(stage: Stage) -> Iterator[Endpoint]:
    """The third name server of a zone drops everything."""
    with _dropped(f"ip6 daddr {THIRD} {_ANY_TO_53}"):
        yield stage.update_server


@contextlib.contextmanager
def hidden_primary(stage: Stage) -> Iterator[Endpoint]:
    """A healthy network, and an update server that is no name server of the zone."""
    yield stage.back_door


@contextlib.contextmanager
def all_silent(stage: Stage) -> Iterator[Endpoint]:
    """Every name server drops everything; the update server, a hidden one, does not."""
    with _dropped(f"ip daddr {_BOTH} {_ANY_TO_53}"):
        yield stage.back_door


@contextlib.contextmanager
def resolver_silent(stage: Stage) -> Iterator[Endpoint]:
    """This system's resolver drops everything."""
    with _dropped(f"ip daddr {RESOLVER} {_ANY_TO_53}"):
        yield stage.update_server


@contextlib.contextmanager
def between(stage: Stage) -> Iterator[Endpoint]:
    """A healthy network, with the proxy that the slow ones have, too."""
    with proxy.running(stage.update_server) as server:
        yield server.endpoint


@contextlib.contextmanager
def slow_to_answer(stage: Stage) -> Iterator[Endpoint]:
    """The update server answers everything after 2.5 s."""
    with proxy.running(stage.update_server, _after(2.5)) as server:
        yield server.endpoint


@contextlib.contextmanager
def slow_to_update(stage: Stage) -> Iterator[Endpoint]:
    """The update server answers an UPDATE after 16 s; queries at once."""
    with proxy.running(stage.update_server, proxy.only(_after(16), opcode="UPDATE")) as server:
        yield server.endpoint


@contextlib.contextmanager
def rate_limited(stage: Stage) -> Iterator[Endpoint]:
    """Both name servers give five like answers a second to a client, and no more."""
    with _limited(stage.lab.primary), _limited(stage.lab.secondary):
        yield stage.update_server


def resolve_by_the_lab(folder: Path) -> None:
    """From now on RESOLVER is this system's resolver, in this mount namespace."""
    own = folder / "resolv.conf"
    own.write_text(f"nameserver {RESOLVER}\n", encoding="ascii")
    mount = process.need("mount", "mount")
    subprocess.run([mount, "--bind", str(own), str(_RESOLV_CONF.resolve())], check=True)


@contextlib.contextmanager
def _dropped(*rules: str) -> Iterator[None]:
    """Drop arriving packets that one of the rules matches."""
    lines = "".join(f"    {rule} drop\n" for rule in rules)
    head = "type filter hook input priority 0"
    _nft(f"table inet bench {{\n  chain arriving {{\n    {head}\n{lines}  }}\n}}\n")
    try:
        yield
    finally:
        _nft("delete table inet bench\n")


def _nft(text: str) -> None:
    command = [process.need("nft", "nftables"), "-f", "-"]
    subprocess.run(command, input=text.encode("ascii"), check=True, timeout=30)


def _after(seconds: float) -> proxy.Behaviour:
    def behave(query: proxy.Query, ask: proxy.Ask) -> proxy.Answer:
        reply = ask()
        time.sleep(seconds)
        return reply

    return behave


@contextlib.contextmanager
def _limited(server: Bind) -> Iterator[None]:
    file = server.folder / "named.conf"
    text = file.read_text(encoding="utf-8")
    limit = "options {\n    rate-limit { responses-per-second 5; };"
    file.write_text(text.replace("options {", limit, 1), encoding="utf-8")
    server.rndc("reconfig")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")
        server.rndc("reconfig")
