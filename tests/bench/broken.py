"""What is broken meanwhile: packets that nftables drops, a server that is slow or rations answers.

Each is a context that gives the update server that certbot is told of. Packets are dropped where
they arrive: dropped where they leave, their sender would be told.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable

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
def hidden_primary(stage: Stage) -> Iterator[Endpoint]:
    """A healthy network, and an update server that is no name server of the zone."""
    yield stage.back_door


@contextlib.contextmanager
def between(stage: Stage) -> Iterator[Endpoint]:
    """A healthy network, with the proxy that the slow ones have, too."""
    with proxy.running(stage.update_server) as server:
        yield server.endpoint


@contextlib.contextmanager
def slow_to_answer(stage: Stage) -> Iterator[Endpoint]:
    """The update server answers everything after 2.5 s."""
    with proxy.running(stage.update_server, proxy.after(2.5)) as server:
        yield server.endpoint


@contextlib.contextmanager
def slow_to_update(stage: Stage) -> Iterator[Endpoint]:
    """The update server answers an UPDATE after 16 s; queries at once."""
    with proxy.running(stage.update_server, proxy.only(proxy.after(16), opcode="UPDATE")) as server:
        yield server.endpoint


@contextlib.contextmanager
def rate_limited(stage: Stage) -> Iterator[Endpoint]:
    """Both name servers give five like answers a second to a client, and no more."""
    with _limited(stage.lab.primary), _limited(stage.lab.secondary):
        yield stage.update_server


def _dropping(
    *rules: str, server: Callable[[Stage], Endpoint] = lambda stage: stage.update_server
) -> Callable[[Stage], contextlib.AbstractContextManager[Endpoint]]:
    """Arriving packets that one of the rules matches are dropped."""

    @contextlib.contextmanager
    def dropping(stage: Stage) -> Iterator[Endpoint]:
        with _dropped(rules):
            yield server(stage)

    return dropping


#: No UDP to the zone's name servers; TCP passes.
udp_filtered = _dropping(f"ip daddr {_BOTH} udp dport 53")

#: 30 % of UDP packets are lost, each way.
udp_lossy = _dropping(
    f"ip daddr {_BOTH} udp dport 53 numgen random mod 100 < 30",
    f"ip saddr {_BOTH} udp sport 53 numgen random mod 100 < 30",
)

#: The third name server of a zone drops everything.
third_silent = _dropping(f"ip6 daddr {THIRD} {_ANY_TO_53}")

#: Every name server drops everything; the update server, a hidden one, does not.
all_silent = _dropping(f"ip daddr {_BOTH} {_ANY_TO_53}", server=lambda stage: stage.back_door)

#: This system's resolver drops everything.
resolver_silent = _dropping(f"ip daddr {RESOLVER} {_ANY_TO_53}")


def resolve_by_the_lab(folder: Path) -> None:
    """From now on RESOLVER is this system's resolver, in this mount namespace."""
    own = folder / "resolv.conf"
    own.write_text(f"nameserver {RESOLVER}\n", encoding="ascii")
    mount = process.need("mount", "mount")
    subprocess.run([mount, "--bind", str(own), str(_RESOLV_CONF.resolve())], check=True)


@contextlib.contextmanager
def _dropped(rules: Sequence[str]) -> Iterator[None]:
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
