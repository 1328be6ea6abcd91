"""The proxy does to messages what its behaviours say, and leaves nothing behind."""

import contextlib
import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import pytest

from tests.lab import bind, ports, proxy, require, zones
from tests.lab.errors import LabError, PortTaken
from tests.lab.ports import Endpoint

KEY = zones.new_key("tcs-lyon1")
NAME = "_acme-challenge.www.x.test"
SHORT = 0.2

Ask = Callable[..., dns.message.Message]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bind.Bind]:
    """A BIND with one zone; each test has a value of its own."""
    require.require_lab()
    text = zones.zone_text("x.test", {"ns1": "127.0.0.1"})
    zone = zones.Zone("x.test", text, (f"grant {KEY.name} zonesub ANY;",))
    with ports.claimed() as port:
        endpoint = Endpoint("127.0.0.1", port)
        with bind.primary(tmp_path_factory.mktemp("bind"), endpoint, [zone], [KEY]) as started:
            yield started


def update(value: str) -> dns.update.UpdateMessage:
    key = dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm)
    message = dns.update.UpdateMessage("x.test", keyring=key, keyname=key.name)
    message.add("_acme-challenge.www", 60, "TXT", value)
    return message


def query(name: str = "www.x.test", rdtype: str = "A") -> dns.message.Message:
    return dns.message.make_query(name, rdtype)


def udp(
    between: proxy.Proxy, message: dns.message.Message, seconds: float = 5
) -> dns.message.Message:
    at = between.endpoint
    return dns.query.udp(message, at.address, timeout=seconds, port=at.port)


def tcp(
    between: proxy.Proxy, message: dns.message.Message, seconds: float = 5
) -> dns.message.Message:
    at = between.endpoint
    return dns.query.tcp(message, at.address, timeout=seconds, port=at.port)


def raw(between: proxy.Proxy, message: dns.message.Message) -> bytes:
    """Everything that comes back over TCP until the proxy closes the connection or is done."""
    wire = message.to_wire()
    at = between.endpoint
    with socket.create_connection((at.address, at.port), 5) as connection:
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            return stream.read()


def open_files() -> int:
    gc.collect()  # dnspython up to 2.7 leaves the closing of its selectors to it
    return len(os.listdir("/proc/self/fd"))


# What passes


def test_messages_pass_and_are_counted(server: bind.Bind) -> None:
    with proxy.running(server.endpoint) as between:
        assert udp(between, query()).answer[0][0].to_text() == "127.0.0.1"
        assert tcp(between, query("x.test", "SOA")).flags & dns.flags.AA
        answer = tcp(between, update("passes"))
        assert answer.rcode() == dns.rcode.NOERROR
        assert answer.had_tsig
        assert between.count("QUERY") == 2
        assert between.count("QUERY", "udp") == between.count("QUERY", "tcp") == 1
        assert between.count("UPDATE", "tcp") == between.count("UPDATE") == 1
        assert between.count("NOTIFY") == 0
        first, second, third = between.queries
    assert "passes" in server.txt(NAME)
    assert (first.transport, first.opcode, first.name, first.count) == (
        "udp",
        "QUERY",
        "www.x.test",
        1,
    )
    assert (second.transport, second.name, second.signed) == ("tcp", "x.test", False)
    assert (third.opcode, third.name, third.signed) == ("UPDATE", "x.test", True)
    assert isinstance(third.message, dns.update.UpdateMessage)
    assert [rrset.name.to_text() for rrset in third.message.update] == [f"{NAME}."]


def test_several_messages_on_one_connection(server: bind.Bind) -> None:
    with proxy.running(server.endpoint) as between:
        at = between.endpoint
        with socket.create_connection((at.address, at.port), 5) as connection:
            for _ in range(3):
                assert dns.query.tcp(query(), at.address, sock=connection).answer
        assert between.count("QUERY", "tcp") == 3


def test_many_at_once(server: bind.Bind) -> None:
    with proxy.running(server.endpoint) as between:
        answers: list[dns.message.Message] = []
        askers = [
            threading.Thread(target=lambda ask=ask: answers.append(ask(between, query())))
            for ask in [udp, tcp] * 10
        ]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert len(answers) == between.count("QUERY") == 20
        assert sorted(q.count for q in between.queries if q.transport == "udp") == [*range(1, 11)]


# Behaviours


def test_unsigned(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.unsigned) as between:
        reply = raw(between, update("unsigned"))[2:]
        # As dnspython reads it: before 2.9 it takes the reply, from then on it raises FormError.
        with contextlib.suppress(dns.exception.FormError):
            assert not tcp(between, update("unsigned")).had_tsig
    message = dns.message.from_wire(reply)
    assert message.rcode() == dns.rcode.NOERROR
    assert not message.had_tsig
    assert "unsigned" in server.txt(NAME)


def test_what_has_no_signature_stays_as_it_is(server: bind.Bind) -> None:
    wire = query().to_wire()
    assert proxy.without_tsig(wire) == wire
    with proxy.running(server.endpoint, proxy.unsigned) as between:
        assert udp(between, query()).answer


def test_wrong_id(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.wrong_id) as between:
        for ask in (udp, tcp):
            with pytest.raises(dns.query.BadResponse):
                ask(between, query())


def test_truncated_udp(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.truncated_udp) as between:
        answer = udp(between, query())
        assert answer.flags & dns.flags.TC
        assert not answer.answer
        answer, over_tcp = dns.query.udp_with_fallback(
            query(), between.endpoint.address, timeout=5, port=between.endpoint.port
        )
        assert over_tcp
        assert answer.answer


@pytest.mark.parametrize("ask", [udp, tcp])
def test_garbled(server: bind.Bind, ask: Ask) -> None:
    with proxy.running(server.endpoint, proxy.garbled) as between:
        with pytest.raises(dns.exception.DNSException):
            ask(between, query())


def test_silent(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.silent) as between:
        for ask in (udp, tcp):
            with pytest.raises(dns.exception.Timeout):
                ask(between, update("silent"), SHORT)
        assert between.count("UPDATE") == 2
    assert "silent" not in server.txt(NAME)


def test_silent_udp(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.silent_udp) as between:
        with pytest.raises(dns.exception.Timeout):
            udp(between, query(), SHORT)
        assert tcp(between, query()).answer


def test_lost(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.lost) as between:
        assert raw(between, update("lost")) == b""
    assert "lost" in server.txt(NAME)


def test_closed(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.closed) as between:
        with pytest.raises(EOFError):
            tcp(between, update("closed"))
    assert "closed" not in server.txt(NAME)


def test_cut_tcp(server: bind.Bind) -> None:
    with proxy.running(server.endpoint, proxy.cut_tcp) as between:
        with pytest.raises(EOFError):
            tcp(between, update("cut"))
        cut = raw(between, query())
        assert len(cut) == 2 + int.from_bytes(cut[:2], "big") // 2
        assert udp(between, query()).answer
    assert "cut" in server.txt(NAME)


@pytest.mark.parametrize("rcode", ["SERVFAIL", "NOTIMP", "REFUSED", "NOERROR"])
def test_refuse_with(server: bind.Bind, rcode: str) -> None:
    with proxy.running(server.endpoint, proxy.refuse_with(rcode)) as between:
        assert dns.rcode.to_text(udp(between, query()).rcode()) == rcode
        reply = dns.message.from_wire(raw(between, update("refused"))[2:])
        assert dns.rcode.to_text(reply.rcode()) == rcode
        assert not reply.had_tsig
    assert "refused" not in server.txt(NAME)


@pytest.mark.parametrize("ask", [udp, tcp])
def test_late(server: bind.Bind, ask: Ask) -> None:
    event = threading.Event()
    with proxy.running(server.endpoint, proxy.first(1, proxy.late(event))) as between:
        with pytest.raises(dns.exception.Timeout):
            ask(between, query(), SHORT)
        assert ask(between, query()).answer  # the one that waits is in nobody's way
    with proxy.running(server.endpoint, proxy.late(event)) as between:
        threading.Timer(0.01, event.set).start()
        assert ask(between, query()).answer


def test_only(server: bind.Bind) -> None:
    refuse = proxy.refuse_with("SERVFAIL")
    with proxy.running(server.endpoint, proxy.only(refuse, opcode="UPDATE")) as between:
        assert udp(between, query()).rcode() == dns.rcode.NOERROR
        reply = dns.message.from_wire(raw(between, update("only"))[2:])
        assert reply.rcode() == dns.rcode.SERVFAIL
        between.behave = proxy.only(refuse, transport="udp", name="www.x.test")
        assert udp(between, query()).rcode() == dns.rcode.SERVFAIL
        assert udp(between, query("x.test")).rcode() == dns.rcode.NOERROR
        assert tcp(between, query()).rcode() == dns.rcode.NOERROR


def test_first(server: bind.Bind) -> None:
    refuse = proxy.first(2, proxy.refuse_with("SERVFAIL"))
    with proxy.running(server.endpoint, refuse) as between:
        codes = [dns.rcode.to_text(udp(between, query()).rcode()) for _ in range(3)]
    assert codes == ["SERVFAIL", "SERVFAIL", "NOERROR"]


# Starting and stopping


def test_nothing_is_left_behind(server: bind.Bind) -> None:
    threads, files = threading.active_count(), open_files()
    with contextlib.ExitStack() as clients:
        with proxy.running(server.endpoint, proxy.late(threading.Event())) as between:
            at = between.endpoint
            idle = clients.enter_context(socket.create_connection((at.address, at.port), 5))
            for ask in (udp, tcp):
                with pytest.raises(dns.exception.Timeout):
                    ask(between, query(), SHORT)
            before = time.monotonic()
        assert time.monotonic() - before < 1
        assert idle.recv(1) == b""
    assert threading.active_count() == threads
    assert open_files() == files
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((at.address, at.port), 5)


def test_a_port_of_choice_and_one_in_use(server: bind.Bind) -> None:
    with ports.claimed() as free:
        pass
    with proxy.running(server.endpoint, endpoint=Endpoint("127.0.0.1", free)) as between:
        assert between.endpoint.port == free
        with pytest.raises(PortTaken):
            with proxy.running(server.endpoint, endpoint=between.endpoint):
                pass
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as other:
            other.bind(("127.0.0.1", 0))
            files = open_files()
            with pytest.raises(PortTaken, match="in use"):
                with proxy.running(
                    server.endpoint, endpoint=Endpoint("127.0.0.1", other.getsockname()[1])
                ):
                    pass
            assert open_files() == files


def test_a_fault_in_a_behaviour_is_told_at_the_end(server: bind.Bind) -> None:
    def fail(query: proxy.Query, ask: proxy.Ask) -> proxy.Answer:
        raise ZeroDivisionError

    def run() -> None:
        with proxy.running(server.endpoint, fail) as between:
            assert raw(between, query()) == b""

    with pytest.raises(ZeroDivisionError):
        run()


def test_a_server_that_is_not_there_is_told_at_the_end(tmp_path: Path) -> None:
    def run(port: int) -> None:
        with proxy.running(Endpoint("127.0.0.1", port)) as between:
            assert raw(between, query()) == b""

    with ports.claimed() as port, pytest.raises(LabError, match="refused"):
        run(port)
