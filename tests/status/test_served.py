"""What a service really gives, on the services themselves, and on some that never answer."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
import time
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department.settings import STARTTLS, Service
from certbot_tcs_lyon1.status import certificate, command, served
from tests.lab import services
from tests.lab.require import require_root
from tests.status import starttls
from tests.status.conftest import NAME, Machine


@pytest.fixture(scope="module")
def folder():
    """A folder that a service's user can enter; pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="tcs-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="module")
def version(folder):
    """The folder of a certificate's version in the archive, which no other version replaces."""
    machine = Machine(folder / "machine")
    machine.folder.mkdir()
    machine.issue()
    return machine.config_dir / "archive" / NAME


STARTED = {
    "": services.nginx,
    "smtp": services.postfix,
    "imap": lambda *args: starttls.dovecot(*args, "imap"),
    "pop3": lambda *args: starttls.dovecot(*args, "pop3"),
    "ldap": starttls.slapd,
    "ftp": starttls.vsftpd,
    "postgres": starttls.postgres,
}


def test_every_protocol_that_the_config_takes_is_tried_here():
    assert set(STARTED) == {"", *STARTTLS}


@pytest.fixture(scope="module")
def running(folder, version):
    """The port of the server of a protocol, which is started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        ports = {}

        def port(protocol: str) -> int:
            if protocol:
                require_root("a server that becomes another user is started")
            if protocol not in ports:
                start = STARTED[protocol]
                place = folder / (protocol or "https")
                made = start(place, version / "fullchain1.pem", version / "privkey1.pem")
                ports[protocol] = stack.enter_context(made).port
            return ports[protocol]

        yield port


def _ask(*asked: Service) -> list[served.Served]:
    answers = served.fetch(asked)
    return [answers[service] for service in asked]


@pytest.mark.parametrize("protocol", STARTED)
def test_the_certificate_that_a_service_gives_is_seen(running, version, protocol):
    (answer,) = _ask(Service("localhost", running(protocol), protocol))
    assert answer.fault == ""
    assert answer.der == certificate.parse((version / "cert1.pem").read_bytes()).der


@pytest.mark.parametrize("other", ["", *STARTTLS])
@pytest.mark.parametrize("protocol", ["", "smtp", "imap", "ldap"])
def test_a_protocol_that_the_service_does_not_speak_is_told_in_time(
    running, monkeypatch, protocol, other
):
    if other == protocol:
        return
    port = running(protocol)
    monkeypatch.setattr(served, "SECONDS", 1.0)
    begun = time.monotonic()
    (answer,) = _ask(Service("localhost", port, other))
    assert answer.der is None
    assert answer.fault
    assert "\n" not in answer.fault
    assert time.monotonic() - begun < served.SECONDS + 1


def test_check_tells_each_service_that_gives_another_certificate_than_the_live_one(
    running, version, machine, capsys
):
    places = [f"localhost:{running(how)}{how and f' starttls={how}'}" for how in STARTED]
    path = machine.folder / "copy.pem"
    machine.configure(
        f"[install all]\ncertificate = {NAME}\nfullchain = {path}\nserves = {', '.join(places)}\n"
    )
    for kind in ("cert", "fullchain", "privkey", "chain"):
        content = (version / f"{kind}1.pem").read_bytes()
        (machine.config_dir / "archive" / NAME / f"{kind}1.pem").write_bytes(content)
    path.write_bytes((version / "fullchain1.pem").read_bytes())
    assert command.main(machine.arguments("check")) == 0
    capsys.readouterr()
    pem = machine.issue()
    path.write_bytes(pem + pem)
    assert command.main(machine.arguments("check")) == 2
    output = capsys.readouterr().out
    for place in places:
        assert f"CRITICAL: {NAME} {place.split()[0]} gives another certificate" in output


@contextlib.contextmanager
def _server(say):
    """A server on loopback that has `say(connection)` talk to each client; its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    threading.Thread(target=_quietly, args=(say, connection), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _quietly(say, connection) -> None:
    with connection, contextlib.suppress(OSError):
        say(connection)


def _nothing(connection) -> None:
    """Neither a word nor an end."""
    while connection.recv(1000):
        pass


def _drops(connection) -> None:
    """A byte now and then, for ever: each `recv` alone is in time."""
    while True:
        connection.sendall(b"2")
        time.sleep(0.05)


def _lines(connection) -> None:
    """Lines of an answer that never ends, as fast as they go."""
    while True:
        connection.sendall(b"220-x\r\n* x\r\n")


def _long(connection) -> None:
    """One line that never ends."""
    while True:
        connection.sendall(b"x" * 65536)


def _huge_ldap(connection) -> None:
    """An answer that says that it is 4 GiB."""
    connection.recv(100)
    connection.sendall(b"\x30\x84\xff\xff\xff\xff" + b"x" * 100000)
    _nothing(connection)


@pytest.mark.parametrize("say", [_nothing, _drops, _lines, _long, _huge_ldap])
def test_a_service_that_stalls_or_never_ends_takes_its_five_seconds_at_most(say, monkeypatch):
    monkeypatch.setattr(served, "SECONDS", 0.5)
    with _server(say) as port:
        begun = time.monotonic()
        answers = _ask(*(Service("127.0.0.1", port, how) for how in ("", *STARTTLS)))
    assert time.monotonic() - begun < 1.5
    assert all(answer.der is None and answer.fault for answer in answers)


def test_the_bounds_are_those_that_the_manual_names():
    assert (served.SECONDS, served.ALL_SECONDS) == (5, 30)


def test_a_hundred_services_that_stall_take_the_seconds_of_all_together(monkeypatch):
    monkeypatch.setattr(served, "SECONDS", 0.5)
    monkeypatch.setattr(served, "ALL_SECONDS", 1.0)
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(_server(_nothing)) for _ in range(100)]
        begun = time.monotonic()
        answers = _ask(*(Service("127.0.0.1", port) for port in ports))
        assert time.monotonic() - begun < 1.5
    assert any("of all services together" in answer.fault for answer in answers)
    assert all("no answer within" in answer.fault for answer in answers)


def test_a_name_that_the_resolver_never_answers_for_is_told_in_time(monkeypatch):
    monkeypatch.setattr(served, "ALL_SECONDS", 0.5)
    stop = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: stop.wait(20) and [])
    begun = time.monotonic()
    (answer,) = _ask(Service("www.labo.univ-lyon1.test", 443))
    stop.set()
    assert time.monotonic() - begun < 5  # the resolver takes 20
    assert "no answer within" in answer.fault


def test_one_address_that_stalls_leaves_time_for_the_next(running, monkeypatch):
    """Of a name with an IPv6 address that no packet reaches, say."""
    monkeypatch.setattr(served, "SECONDS", 1.0)
    port = running("")
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        stalled = full.getsockname()
        waiting = []
        for _ in range(8):  # the queue is full then, and no further connection is taken
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(stalled)
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for address in (stalled, ("127.0.0.1", port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
        (answer,) = _ask(Service("www.labo.univ-lyon1.test", port))
        for one in waiting:
            one.close()
    assert answer.fault == ""


def test_a_port_where_nothing_listens_is_told(running):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (answer,) = _ask(Service("127.0.0.1", port))
    assert "refused" in answer.fault


def test_the_words_of_a_service_do_not_move_the_cursor():
    with _server(lambda one: one.sendall(b"500 \x1b[2J\xff no\r\n")) as port:
        (answer,) = _ask(Service("127.0.0.1", port, "smtp"))
    assert answer.fault.endswith("but says: 500 \\x1b[2J\ufffd no")


@pytest.mark.parametrize(
    ("protocol", "answer", "words"),
    [
        ("postgres", b"N", "it refuses TLS"),
        (
            "ldap",
            b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00",
            "it refuses StartTLS",
        ),
        ("smtp", b"220-one\r\n220 two\r\n500 no\r\n", "but says: 500 no"),
        ("imap", b"* OK one\r\n* CAPABILITY IMAP4\r\na BAD no\r\n", "but says: a BAD no"),
        ("imap", b"* BYE full\r\n", "but says: * BYE full"),
    ],
)
def test_a_service_that_refuses_tls_is_told_with_its_words(protocol, answer, words):
    def say(connection) -> None:
        connection.sendall(answer)
        _nothing(connection)

    with _server(say) as port:
        (found,) = _ask(Service("127.0.0.1", port, protocol))
    assert words in found.fault


def _with_no_time_in_it(pem: Path) -> bytes:
    """A certificate (PEM) whose end is none, which OpenSSL loads all the same."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(pem.read_text()))
    end = certificate.parse_der(bytes(der)).not_after
    at = der.index(time.strftime("%y%m%d%H%M%SZ", time.gmtime(end)).encode())
    der[at : at + 12] = b"999999999999"
    return ssl.DER_cert_to_PEM_cert(bytes(der)).encode()


def test_a_service_whose_certificate_cannot_be_read_is_told(version, machine, tmp_path, capsys):
    odd = tmp_path / "odd.pem"
    odd.write_bytes(_with_no_time_in_it(version / "cert1.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(odd, version / "privkey1.pem")

    def say(connection) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with _server(say) as port:
        machine.configure(
            f"[install web]\ncertificate = {NAME}\nfullchain = /x/y\nserves = 127.0.0.1:{port}\n"
        )
        assert command.main(machine.arguments("check")) == 2
    assert "the live version (one that cannot be read)" in capsys.readouterr().out


def test_a_service_that_wants_a_certificate_of_its_client_is_seen_all_the_same(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(version / "fullchain1.pem", version / "privkey1.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(version / "cert1.pem")
    with _server(lambda one: context.wrap_socket(one, server_side=True).recv(1)) as port:
        (answer,) = _ask(Service("127.0.0.1", port))
    assert answer.der is not None
