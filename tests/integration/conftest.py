"""Other CAs beside the lab's, and how certbot gets to them."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.commands import STAGING
from tests.lab import front, pebble, ports
from tests.lab.lab import Lab


@pytest.fixture
def second_ca(lab: Lab, tmp_path: Any, request: Any) -> Any:
    """Another CA; it demands no EAB, except as parameter "with EAB", and then has the same key."""
    keys = lab.eab_keys if getattr(request, "param", "") == "with EAB" else {}
    with pebble.running(tmp_path / "second", lab.secondary.endpoint, keys) as server:
        bundle = lab.pebble.ca_bundle.read_text() + server.ca_bundle.read_text()
        (tmp_path / "both.pem").write_text(bundle)
        yield server


@pytest.fixture
def both_cas(second_ca: pebble.Pebble, tmp_path: Any) -> dict[str, str]:
    """The environment in which certbot trusts both CAs' TLS certificates."""
    return {"REQUESTS_CA_BUNDLE": str(tmp_path / "both.pem")}


class _Tunnels(socketserver.ThreadingTCPServer):
    """A proxy for HTTPS that leads to one port here, whatever host it is asked for."""

    daemon_threads = True

    def __init__(self, port: int, target: int) -> None:
        super().__init__(("127.0.0.1", port), _Tunnel)
        self.target = target


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Tunnels

    def handle(self) -> None:
        while self.rfile.readline().strip():  # CONNECT and its headers
            pass
        with socket.create_connection(("127.0.0.1", self.server.target)) as there:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(there, self.connection))
            back.start()
            _pass_on(self.connection, there)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)


@pytest.fixture
def staging(lab: Lab, second_ca: pebble.Pebble, tmp_path: Any) -> Iterator[dict[str, str]]:
    """The environment in which certbot finds `second_ca` at Let's Encrypt's staging URL."""
    with ports.claimed() as port, ports.claimed() as proxy_port:
        ca = front.Front(second_ca, front.passed, STAGING, ("127.0.0.1", port), tmp_path)
        bundle = lab.pebble.ca_bundle.read_text() + ca.ca_bundle.read_text()
        (tmp_path / "staging.pem").write_text(bundle)
        with _Tunnels(proxy_port, port) as tunnels:
            threading.Thread(target=tunnels.serve_forever, args=(0.01,), daemon=True).start()
            ca.start()
            try:
                yield {
                    "HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}",
                    "NO_PROXY": "localhost",
                    "REQUESTS_CA_BUNDLE": str(tmp_path / "staging.pem"),
                }
            finally:
                ca.stop()
                tunnels.shutdown()
        ca.raise_fault()
