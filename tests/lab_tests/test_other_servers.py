"""Knot and PowerDNS in the lab do what the tests of DNS-01 rely on."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Union

import pytest

from tests.lab import knot, pdns, ports, process, zones
from tests.lab.errors import LabError, MissingProgram, PortTaken
from tests.lab.ports import Endpoint
from tests.lab.require import cannot_run
from tests.lab.server import Change

ZONE = zones.Zone("x.test", zones.zone_text("x.test", {"ns1": "127.0.0.1"}, "alias CNAME www"))
OTHER = zones.Zone("y.test", zones.zone_text("y.test", {"ns1": "127.0.0.1"}))
KEY = zones.new_key("tcs-lyon1")
STRANGER = zones.new_key("stranger")
ADD = ("_acme-challenge.www", 60, "TXT", "value")
NAME = "_acme-challenge.www.x.test"

Server = Union[knot.Knot, pdns.Pdns]
Start = Callable[..., "contextlib.AbstractContextManager[Server]"]


def start_knot(folder: Path, endpoint: Endpoint) -> "contextlib.AbstractContextManager[Server]":
    rights = [knot.challenges("x.test", KEY.name, "www", "")]
    return knot.running(folder, endpoint, [ZONE, OTHER], [KEY, STRANGER], rights)


def start_pdns(folder: Path, endpoint: Endpoint) -> "contextlib.AbstractContextManager[Server]":
    rights = {"x.test": [KEY.name], "y.test": [STRANGER.name]}
    return pdns.running(folder, endpoint, [ZONE, OTHER], [KEY, STRANGER], rights)


def require_servers() -> None:
    """Go on only where both can run."""
    try:
        for program in ("knotd", "knotc"):
            process.need(program, knot.PACKAGE)
        pdns.check_programs()
        process.need("setpriv", "util-linux")
    except MissingProgram as error:
        cannot_run(str(error))


@pytest.fixture(params=[start_knot, start_pdns], ids=["knot", "pdns"])
def start(request: pytest.FixtureRequest) -> Start:
    """Starts one kind of server."""
    require_servers()
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with ports.claimed() as port:
        yield Endpoint("127.0.0.1", port)


@pytest.fixture
def server(start: Start, endpoint: Endpoint, tmp_path: Path) -> Iterator[Server]:
    with start(tmp_path, endpoint) as started:
        yield started


def test_an_update_is_visible_at_once_and_so_is_its_end(server: Server) -> None:
    # The question before has the absence cached, where a server caches.
    assert server.txt(NAME) == []
    assert server.update("x.test", KEY, [ADD, (ADD[0], 60, "TXT", "second")]) == "NOERROR"
    assert server.txt(NAME) == ["second", "value"]
    assert server.update("x.test", KEY, delete=[(ADD[0], "TXT", "value")]) == "NOERROR"
    assert server.txt(NAME) == ["second"]
    assert server.update("x.test", KEY, delete=[(ADD[0], "TXT", "second")]) == "NOERROR"
    assert server.txt(NAME) == []


def test_the_challenge_of_the_zone_itself(server: Server) -> None:
    assert server.update("x.test", KEY, [("_acme-challenge", 60, "TXT", "apex")]) == "NOERROR"
    assert server.txt("_acme-challenge.x.test") == ["apex"]


def test_an_unsigned_update_is_refused(server: Server) -> None:
    code = server.update("x.test", None, [ADD])
    assert code == ("NOTAUTH" if isinstance(server, knot.Knot) else "REFUSED")
    assert server.txt(NAME) == []


def test_a_key_without_rights_is_refused(server: Server) -> None:
    if isinstance(server, knot.Knot):
        with pytest.raises(Exception, match="didn't know the key"):
            server.update("x.test", STRANGER, [ADD])
    else:
        assert server.update("x.test", STRANGER, [ADD]) == "REFUSED"
    assert server.txt(NAME) == []


def test_a_server_stops_and_its_folder_can_be_used_again(
    start: Start, endpoint: Endpoint, tmp_path: Path
) -> None:
    for _ in range(2):
        with start(tmp_path, endpoint) as server:
            assert server.txt(NAME) == []
            assert server.update("x.test", KEY, [ADD]) == "NOERROR"
            assert server.txt(NAME) == ["value"]
        assert server.process.popen.returncode is not None


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_noticed(start: Start, tmp_path: Path, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        with pytest.raises(PortTaken, match="in use"):
            with start(tmp_path, Endpoint("127.0.0.1", other.getsockname()[1])):
                pass


def test_ipv6(start: Start, tmp_path: Path) -> None:
    if not ports.has_ipv6_loopback():
        cannot_run("no ::1 here")
    with ports.claimed() as port, start(tmp_path, Endpoint("::1", port)) as server:
        assert server.update("x.test", KEY, [ADD]) == "NOERROR"
        assert server.txt(NAME) == ["value"]


def test_a_long_path(start: Start, endpoint: Endpoint, tmp_path: Path) -> None:
    # Longer than the 107 bytes that the path of a Unix socket may have.
    with start(tmp_path / ("long" * 30), endpoint) as server:
        assert server.control("status" if isinstance(server, knot.Knot) else "rping")


def test_secrets_are_for_the_owner_only(server: Server) -> None:
    secret = KEY.secret.encode()
    holders = [path for path in server.folder.iterdir() if path.is_file()]
    holders = [path for path in holders if secret in path.read_bytes()]
    assert [path.name for path in holders] == [
        "knot.conf" if isinstance(server, knot.Knot) else "pdns.sqlite3"
    ]
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def test_a_server_runs_as_who_starts_it_and_logs_to_its_file(
    start: Start, endpoint: Endpoint, tmp_path: Path
) -> None:
    with start(tmp_path, endpoint) as server:
        uid = Path(f"/proc/{server.process.pid}").stat().st_uid
        assert uid == os.getuid()
        own = "PowerDNS" if isinstance(server, pdns.Pdns) else "Knot DNS"
        assert own in server.log.read_text("utf-8")


def test_a_fault_in_the_configuration_shows_the_log(endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    with pytest.raises(LabError, match="(?s)knot ended with 1.*nonsense"):
        with knot.running(tmp_path / "knot", endpoint, [ZONE], [KEY], options="nonsense:"):
            pass
    with pytest.raises(LabError, match="(?s)pdns ended with 1.*nonsense"):
        with pdns.running(tmp_path / "pdns", endpoint, [ZONE], [KEY], options="nonsense=1"):
            pass


# Knot's rights


@pytest.mark.parametrize(
    "change",
    [
        ("_acme-challenge.mail", 60, "TXT", "x"),
        ("sub._acme-challenge.www", 60, "TXT", "x"),
        ("_acme-challenge.www", 60, "A", "127.0.0.9"),
        ("www", 60, "TXT", "x"),
    ],
)
def test_knot_grants_names_and_types(change: Change, endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    with start_knot(tmp_path, endpoint) as server:
        with pytest.raises(Exception, match="didn't know the key"):
            server.update("x.test", KEY, [ADD, change])
        assert server.txt(NAME) == []


def test_knot_freezes(endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    rights = [knot.Right("x.test", KEY.name)]
    with knot.running(tmp_path, endpoint, [ZONE], [KEY], rights) as server:
        server.control("-b", "zone-freeze", "x.test")
        assert server.update("x.test", KEY, [ADD]) == "REFUSED"
        server.control("-b", "zone-thaw", "x.test")
        assert server.update("x.test", KEY, [ADD]) == "NOERROR"
        with pytest.raises(LabError, match="knotc zone-freeze nope.test"):
            server.control("zone-freeze", "nope.test")


# PowerDNS's rights


def test_pdns_looks_at_the_address(endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    with pdns.running(
        tmp_path,
        endpoint,
        [ZONE],
        [KEY],
        update_from=["192.0.2.1"],
        options="allow-dnsupdate-from=",
    ) as server:
        assert server.update("x.test", KEY, [ADD]) == "REFUSED"


def test_pdns_without_a_key_takes_unsigned_updates(endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    with pdns.running(tmp_path, endpoint, [ZONE], [KEY], rights={}) as server:
        assert server.update("x.test", None, [ADD]) == "NOERROR"
        assert server.txt(NAME) == ["value"]


def test_pdns_shows_what_its_tools_say(endpoint: Endpoint, tmp_path: Path) -> None:
    require_servers()
    with start_pdns(tmp_path, endpoint) as server:
        assert isinstance(server, pdns.Pdns)
        assert server.util("list-all-zones").split() == ["x.test", "y.test"]
        with pytest.raises(LabError, match="pdnsutil nonsense"):
            server.util("nonsense")


@pytest.mark.parametrize("program", ["knotd", "pdns_server"])
def test_a_missing_program_names_its_package(
    program: str, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    begin = start_knot if program == "knotd" else start_pdns
    with pytest.raises(MissingProgram, match=f"^{program} not found: apt-get install "):
        with begin(tmp_path, endpoint):
            pass


def test_a_missing_backend_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_servers()
    monkeypatch.setattr(pdns, "SCHEMA", tmp_path / "schema.sql")
    with pytest.raises(MissingProgram, match="apt-get install pdns-backend-sqlite3"):
        pdns.check_programs()
