"""A proxy before a name server, for what no server does by itself.

    with proxy.running(primary.endpoint, proxy.only(proxy.unsigned, opcode="UPDATE")) as between:
        ...                       # give the plugin between.endpoint as its server
        assert between.count("UPDATE", "tcp") == 1

A behaviour is a function of two arguments. It gets the `Query` that came in and `ask`, which has
the server answer it (only then does the server see it at all), and returns what goes back:

- the bytes of a message, perhaps those of `ask()`;
- `SILENCE`: nothing, and over TCP the connection stays open;
- `Cut(data)`: over TCP `data` as it is, without a length before it, and the end of the connection;
- `Late(data, event)`: `data` when the event is set.

Ready-made are `passed`, `unsigned`, `wrong_id`, `truncated_udp`, `garbled`, `silent`, `silent_udp`,
`lost`, `closed`, `cut_tcp`; `refuse_with(rcode)`, `late(event)` and `after(seconds)` make one;
`only` and `first` narrow one down. No zone transfers: one message is answered by one.
"""

import contextlib
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

import dns.flags
import dns.message
import dns.opcode
import dns.rcode

from tests.lab import ports
from tests.lab.errors import LabError, PortTaken
from tests.lab.ports import Endpoint

UDP = "udp"
TCP = "tcp"
SILENCE = None
SERVER_SECONDS = 10
_TSIG = 250


@dataclass(frozen=True)
class Query:
    """A message that came in: the `count`th (from 1) of its transport and opcode.

    `message` is its parsed form without the TSIG record; `signed` says whether it had one.
    """

    transport: str
    opcode: str
    count: int
    signed: bool
    message: dns.message.Message
    wire: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The name asked for, or the zone of an UPDATE, without the dot at its end."""
        return self.message.question[0].name.to_text(omit_final_dot=True).lower()


@dataclass(frozen=True)
class Cut:
    """Over TCP: send `data` as it is and close the connection. Over UDP it is silence."""

    data: bytes = b""


@dataclass(frozen=True)
class Late:
    """Send `data` once `event` is set; on that connection nothing is answered before."""

    data: bytes
    event: threading.Event


Ask = Callable[[], bytes]
Answer = Union[bytes, Cut, Late, None]
Behaviour = Callable[[Query, Ask], Answer]


# Behaviours


def passed(query: Query, ask: Ask) -> Answer:
    """What the server answers."""
    return ask()


def unsigned(query: Query, ask: Ask) -> Answer:
    """The server's answer without its TSIG."""
    return without_tsig(ask())


def wrong_id(query: Query, ask: Ask) -> Answer:
    """The server's answer with another id; a TSIG in it goes on naming the right one."""
    reply = ask()
    return bytes([reply[0] ^ 0xFF, reply[1] ^ 0xFF]) + reply[2:]


def truncated_udp(query: Query, ask: Ask) -> Answer:
    """Over UDP only header and question, with the flag TC."""
    if query.transport == TCP:
        return ask()
    reply = dns.message.make_response(query.message)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def garbled(query: Query, ask: Ask) -> Answer:
    """The server's answer with every bit after the flags turned round: no message any more."""
    reply = ask()
    return reply[:4] + bytes(byte ^ 0xFF for byte in reply[4:])


def silent(query: Query, ask: Ask) -> Answer:
    """Nothing, and the server hears nothing."""
    return SILENCE


def silent_udp(query: Query, ask: Ask) -> Answer:
    """Nothing over UDP; over TCP the server's answer."""
    return SILENCE if query.transport == UDP else ask()


def lost(query: Query, ask: Ask) -> Answer:
    """Nothing, though the server has done what it was asked for."""
    ask()
    return SILENCE


def closed(query: Query, ask: Ask) -> Answer:
    """Over TCP the end of the connection at once; the server hears nothing."""
    return Cut()


def cut_tcp(query: Query, ask: Ask) -> Answer:
    """Over TCP the first half of the server's answer, and then the end of the connection."""
    reply = ask()
    if query.transport == UDP:
        return reply
    return Cut(_framed(reply)[: 2 + len(reply) // 2])


def refuse_with(rcode: str) -> Behaviour:
    """Answer with `rcode` (SERVFAIL, NOTIMP, …), unsigned; the server hears nothing."""
    code = dns.rcode.from_text(rcode)

    def refuse(query: Query, ask: Ask) -> Answer:
        reply = dns.message.make_response(query.message)
        reply.set_rcode(code)
        return reply.to_wire()

    return refuse


def late(event: threading.Event) -> Behaviour:
    """The server's answer, which it gives at once, but not before `event` is set."""

    def wait(query: Query, ask: Ask) -> Answer:
        return Late(ask(), event)

    return wait


def after(seconds: float) -> Behaviour:
    """The server's answer, which it gives at once, so many seconds later.

    Each message waits for itself alone.
    """

    def wait(query: Query, ask: Ask) -> Answer:
        answer = ask()
        threading.Event().wait(seconds)
        return answer

    return wait


def only(behave: Behaviour, opcode: str = "", transport: str = "", name: str = "") -> Behaviour:
    """`behave` for this opcode, transport and name (of the question); everything else passes."""

    def choose(query: Query, ask: Ask) -> Answer:
        wanted = (
            opcode in ("", query.opcode)
            and transport in ("", query.transport)
            and name in ("", query.name)
        )
        return behave(query, ask) if wanted else ask()

    return choose


def first(number: int, behave: Behaviour) -> Behaviour:
    """`behave` for the first `number` messages of a transport and opcode; then all passes."""

    def choose(query: Query, ask: Ask) -> Answer:
        return behave(query, ask) if query.count <= number else ask()

    return choose


# The proxy


class _Stopped(Exception):
    """The proxy is being stopped."""


class Proxy:
    """A proxy that runs: ask `endpoint`; `queries` came in so far, oldest first.

    `behave` may be replaced at any time, for messages that come in from then on.
    """

    def __init__(self, target: Endpoint, behave: Behaviour, endpoint: Endpoint) -> None:
        self.target = target
        self.behave = behave
        self.endpoint = endpoint
        self._queries: list[Query] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._fault: Optional[BaseException] = None
        self._sockets = contextlib.ExitStack()
        # Every wait for a socket waits for this pair as well: closing one end stops all of them.
        self._stop, self._stopped = socket.socketpair()
        self._sockets.enter_context(self._stopped)

    @property
    def queries(self) -> tuple[Query, ...]:
        with self._lock:
            return tuple(self._queries)

    def count(self, opcode: str, transport: str = "") -> int:
        """How many messages of an opcode (and transport) came in so far."""
        with self._lock:
            wanted = [transport] if transport else [UDP, TCP]
            return sum(self._counts[t, opcode] for t in wanted)

    def start(self) -> None:
        """Bind the port and answer from now on; PortTaken if somebody else has it."""
        try:
            udp = self._listen(socket.SOCK_DGRAM)
            tcp = self._listen(socket.SOCK_STREAM)
        except OSError as error:
            self.stop()
            raise PortTaken(f"proxy: {self.endpoint}: {error}") from error
        self._spawn(self._serve_udp, udp)
        self._spawn(self._serve_tcp, tcp)

    def stop(self) -> None:
        """Close all sockets and end all threads, whatever they wait for."""
        self._stop.close()
        while self._threads:  # one that ends may have started another
            self._threads.pop().join()
        self._sockets.close()

    def raise_fault(self) -> None:
        """Raise what went wrong in a behaviour, or between proxy and server."""
        if self._fault:
            raise self._fault

    def _listen(self, kind: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.endpoint.address else socket.AF_INET
        listening = self._sockets.enter_context(socket.socket(family, kind))
        if kind == socket.SOCK_STREAM:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((self.endpoint.address, self.endpoint.port))
        if kind == socket.SOCK_STREAM:
            listening.listen(128)
        return listening

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        def run() -> None:
            # A client that goes away is its own business; everything else is told at the end.
            try:
                work(*args)
            except (_Stopped, ConnectionError):
                pass
            except BaseException as error:
                self._fault = self._fault or error

        thread = threading.Thread(target=run, name=f"proxy {self.endpoint}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _wait(self, readable: socket.socket, seconds: Optional[float] = None) -> None:
        """Wait until there is something to read; _Stopped if the proxy is stopped meanwhile."""
        poll = select.poll()
        poll.register(readable, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000)]
        if self._stopped.fileno() in ready:
            raise _Stopped
        if not ready:
            raise LabError(f"proxy: {self.target} has not answered in {seconds} s")

    def _serve_udp(self, listening: socket.socket) -> None:
        while True:
            self._wait(listening)
            wire, client = listening.recvfrom(65535)
            self._spawn(self._answer_udp, listening, wire, client)

    def _answer_udp(self, listening: socket.socket, wire: bytes, client: tuple[Any, ...]) -> None:
        answer = self._answer(wire, UDP)
        if isinstance(answer, bytes):
            listening.sendto(answer, client)

    def _serve_tcp(self, listening: socket.socket) -> None:
        while True:
            self._wait(listening)
            self._spawn(self._answer_tcp, listening.accept()[0])

    def _answer_tcp(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(SERVER_SECONDS)
            while True:
                wire = self._receive_framed(connection)
                answer = self._answer(wire, TCP) if wire else Cut()
                if isinstance(answer, Cut):
                    connection.sendall(answer.data)
                    return
                if answer is not SILENCE:
                    connection.sendall(_framed(answer))

    def _answer(self, wire: bytes, transport: str) -> Union[bytes, Cut, None]:
        """Note the query and do with it as the behaviour says; waiting is done here."""
        query = self._note(wire, transport)
        answer = self.behave(query, lambda: self._ask(wire, transport))
        if not isinstance(answer, Late):
            return answer
        while not answer.event.wait(0.005):
            self._raise_if_stopped()
        return answer.data

    def _raise_if_stopped(self) -> None:
        if select.select([self._stopped], [], [], 0)[0]:
            raise _Stopped

    def _note(self, wire: bytes, transport: str) -> Query:
        plain = without_tsig(wire)
        message = dns.message.from_wire(plain)
        opcode = dns.opcode.to_text(message.opcode())
        with self._lock:
            self._counts[transport, opcode] += 1
            count = self._counts[transport, opcode]
            query = Query(transport, opcode, count, plain != wire, message, wire)
            self._queries.append(query)
        return query

    def _ask(self, wire: bytes, transport: str) -> bytes:
        """What the server answers, over the same transport."""
        family = socket.AF_INET6 if ":" in self.target.address else socket.AF_INET
        kind = socket.SOCK_DGRAM if transport == UDP else socket.SOCK_STREAM
        with socket.socket(family, kind) as upstream:
            upstream.settimeout(SERVER_SECONDS)
            try:
                upstream.connect((self.target.address, self.target.port))
                upstream.sendall(wire if transport == UDP else _framed(wire))
                if transport == UDP:
                    self._wait(upstream, SERVER_SECONDS)
                    return upstream.recv(65535)
                reply = self._receive_framed(upstream, SERVER_SECONDS)
            except ConnectionError as error:
                raise LabError(f"proxy: {self.target}: {error}") from error
        if not reply:
            raise LabError(f"proxy: {self.target} closed the connection")
        return reply

    def _receive_framed(self, connection: socket.socket, seconds: Optional[float] = None) -> bytes:
        """The next message on a TCP connection; b"" at its end."""
        head = self._receive(connection, 2, seconds)
        return self._receive(connection, struct.unpack("!H", head)[0], seconds) if head else b""

    def _receive(self, connection: socket.socket, size: int, seconds: Optional[float]) -> bytes:
        """`size` bytes; b"" if the other side closes before."""
        data = b""
        while len(data) < size:
            self._wait(connection, seconds)
            more = connection.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data


@contextlib.contextmanager
def running(
    target: Endpoint, behave: Behaviour = passed, endpoint: Optional[Endpoint] = None
) -> Iterator[Proxy]:
    """Run a proxy before the server at `target`, on `endpoint` or a free port of 127.0.0.1.

    What goes wrong in it (an exception in `behave`, a server that can't be reached) is raised when
    the context ends; until then the client sees silence or a closed connection.
    """
    with contextlib.ExitStack() as stack:
        proxy = ports.enter(stack, lambda: _bound(target, behave, endpoint))
        yield proxy
    proxy.raise_fault()


@contextlib.contextmanager
def _bound(target: Endpoint, behave: Behaviour, endpoint: Optional[Endpoint]) -> Iterator[Proxy]:
    with ports.claimed(endpoint.port if endpoint else 0) as port:
        proxy = Proxy(target, behave, endpoint or Endpoint("127.0.0.1", port))
        proxy.start()
        try:
            yield proxy
        finally:
            proxy.stop()


# Messages as bytes


def without_tsig(wire: bytes) -> bytes:
    """The message without its TSIG record, which is the last of all (RFC 8945 §5.1).

    By hand, because before 2.7 dnspython parses no signed message without its key.
    """
    questions, *counts = struct.unpack("!4H", wire[4:12])
    offset, last = 12, 12
    for _ in range(questions):
        offset = _end_of_name(wire, offset) + 4
    kind = 0
    for _ in range(sum(counts)):
        last, offset = offset, _end_of_name(wire, offset)
        kind, _, _, length = struct.unpack("!HHIH", wire[offset : offset + 10])
        offset += 10 + length
    if kind != _TSIG:
        return wire
    return wire[:10] + struct.pack("!H", counts[-1] - 1) + wire[12:last]


def _end_of_name(wire: bytes, offset: int) -> int:
    while wire[offset]:
        if wire[offset] >= 0xC0:  # a pointer ends a name (RFC 1035 §4.1.4)
            return offset + 2
        offset += wire[offset] + 1
    return offset + 1


def _framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire
