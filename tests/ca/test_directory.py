"""A CA, or who plays it, that answers with what is no directory."""

from __future__ import annotations

import gzip
import http.server
import json
import resource
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from certbot_tcs_lyon1 import download
from certbot_tcs_lyon1.ca import directory
from certbot_tcs_lyon1.errors import ServerError
from tests.lab import tls

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]

GOOD = {"newOrder": "https://localhost/order", "meta": {"termsOfService": "https://localhost/t"}}
CONFIG: Any = SimpleNamespace(no_verify_ssl=False)


@pytest.fixture
def serve(tmp_path, monkeypatch) -> Iterator[Callable[[Answer], str]]:
    """Start an https server with an answer to every GET; its URL."""
    made = tls.make(tmp_path / "tls")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.ca_bundle))
    monkeypatch.setattr(directory.compat, "user_agent", lambda config: "test")
    servers: list[Any] = []

    def start(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.private_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *args: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"https://localhost:{server.server_address[1]}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def refused(url: str) -> str:
    began = time.monotonic()
    with pytest.raises(ServerError) as caught:
        directory.read(CONFIG, url)
    assert time.monotonic() - began < 5
    assert caught.value.where == url
    return str(caught.value)


def test_a_directory_is_read_with_its_meta(serve):
    found = directory.read(CONFIG, serve(sends(json.dumps(GOOD).encode())))
    assert found == GOOD
    assert directory.meta(found, "termsOfService") == "https://localhost/t"
    assert directory.meta({"meta": "no object"}, "termsOfService") is None


@pytest.mark.parametrize(
    "body", [b"[]", b"1", b"null", b"<html>", b"{}", b'{"newOrder": 1}', b"[" * 100000, b""]
)
def test_what_is_no_directory_is_refused(serve, body):
    assert "no ACME directory" in refused(serve(sends(body)))


def test_500_megabytes_are_not_read(serve):
    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(500):
            handler.wfile.write(b" " * (1 << 20))

    assert "more than 1048576 bytes" in refused(serve(endless))


def test_what_is_compressed_is_not_unpacked(serve):
    bomb = gzip.compress(b" " * 50_000_000)
    assert "compressed" in refused(serve(sends(bomb, Content_Encoding="gzip")))


def test_the_body_of_a_redirect_is_not_read_nor_unpacked(serve):
    bomb = gzip.compress(bytes(200 << 20), 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = refused(serve(sends(bomb, 302, Content_Encoding="gzip", Location="http://h/")))
    assert "only https" in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_a_drip_ends(serve, monkeypatch):
    monkeypatch.setattr(directory, "MOST_SECONDS", 0.5)
    enough = threading.Event()

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not enough.wait(0.05):
            handler.wfile.write(b" ")

    assert "no whole answer within 0.5 s" in refused(serve(drip))
    enough.set()


def test_a_redirect_is_followed_to_https_alone_and_not_for_ever(serve):
    good = serve(sends(json.dumps(GOOD).encode()))
    assert directory.read(CONFIG, serve(sends(b"", 302, Location=good))) == GOOD
    assert "only https" in refused(serve(sends(b"", 302, Location="http://localhost/\x1b[2J")))
    assert "redirects" in refused(serve(sends(b"", 302, Location="/")))


def test_a_server_that_is_silent_is_given_up_before_the_whole_time_is_over(serve, monkeypatch):
    monkeypatch.setattr(directory, "_SILENT_SECONDS", 0.5)
    enough = threading.Event()
    assert "timed out" in refused(serve(lambda handler: enough.wait(20) and None))
    enough.set()


def test_no_name_is_resolved_beside_the_request_for_a_proxy_does_that(serve, monkeypatch):
    def fail(url: str) -> bool:
        raise AssertionError(url)

    monkeypatch.setattr(download, "_is_inside", fail)
    good = serve(sends(json.dumps(GOOD).encode()))
    assert directory.read(CONFIG, serve(sends(b"", 302, Location=good))) == GOOD


def test_an_error_page_is_told_by_its_status(serve):
    assert "HTTP status 503" in refused(serve(sends(b"<html>busy", 503)))
