"""Ports for the lab's servers, chosen at run time."""

import contextlib
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.lab.errors import LabError, PortTaken

LOOPBACKS = ("127.0.0.1", "::1")
_ATTEMPTS = 5
# Below Linux's ephemeral ports (32768 and up), so that no client socket takes one in passing.
_RANGE = range(20000, 32000)


T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint:
    """An address and a port; as text `127.0.0.1:53` or `[::1]:53`."""

    address: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


def has_ipv6_loopback() -> bool:
    """Does this machine have ::1?"""
    return _is_free("::1", 0)


def loopbacks() -> Sequence[str]:
    """The loopback addresses that this machine has."""
    return LOOPBACKS if has_ipv6_loopback() else LOOPBACKS[:1]


@contextlib.contextmanager
def claimed(port: int = 0) -> Iterator[int]:
    """A port that is free, TCP and UDP, on every loopback address, and that no other lab takes.

    With `port` that one, claimed only against other labs. The claim is a Unix socket with an
    abstract name: it goes with the process, leaves no file, and is visible in this network
    namespace only. It is needed because named shares ports (SO_REUSEPORT): two of them given one
    port both start, without an error, and the kernel deals the queries out between them (measured
    with BIND 9.18).
    """
    with contextlib.ExitStack() as stack:
        for candidate in [port] if port else random.sample(_RANGE, 200):
            claim = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            try:
                claim.bind(f"\0tcs-lyon1-lab-port-{candidate}")
            except OSError:
                continue
            if port or all(_is_free(address, candidate) for address in loopbacks()):
                yield candidate
                return
        if port:
            raise PortTaken(f"port {port} is used by another lab")
        raise LabError(f"no free port between {_RANGE[0]} and {_RANGE[-1]}")


def enter(
    stack: contextlib.ExitStack, make: Callable[[], contextlib.AbstractContextManager[T]]
) -> T:
    """Enter the context that `make` makes; when a port was taken meanwhile, another one."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(PortTaken):
            return stack.enter_context(make())
    return stack.enter_context(make())


def listens(at: Endpoint) -> bool:
    """Does somebody take TCP connections there?"""
    with contextlib.suppress(OSError), socket.create_connection((at.address, at.port), timeout=1):
        return True
    return False


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(family, kind) as attempt:
                if kind == socket.SOCK_STREAM:
                    # As servers do: connections in TIME_WAIT don't make a port taken.
                    attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                attempt.bind((address, port))
        except OSError:
            return False
    return True
