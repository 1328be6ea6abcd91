"""What is got from a CRL's server, and from one that would do harm."""

from __future__ import annotations

import gzip
import resource
import socket
import threading
import time

import pytest

from certbot_tcs_lyon1 import download
from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.watch import fetch
from tests.watch import rude

OK = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024


def ask(url, headers=(), fetcher=None, **bounds):
    """What a server answers."""
    return (fetcher or fetch.Fetcher()).get(url, dict(headers), **bounds)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "http://u:p@h/", "http:///x"])
def test_only_http_without_a_password_is_asked(url):
    with pytest.raises(WatchError):
        ask(url, seconds=2)


def test_65_mib_are_not_read(web):
    with open(web.root / "huge", "wb") as file:
        file.truncate(65 * MIB)
    with pytest.raises(WatchError, match="more than"):
        ask(f"{web.url}/huge")


#: What a server begins with, and repeats without an end.
ENDLESS = {
    "a body": (OK + b"\r\n", b"x" * MIB),
    "a body in chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        b"100000\r\n" + b"x" * MIB + b"\r\n",
    ),
    "a line of its head": (OK + b"X: ", b"x" * 4096),
    "headers": (OK, b"X: y\r\n" * 100),
    "replies to go on": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a redirect's body": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x" * MIB),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_an_end_fills_no_memory(kind):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with rude.answering(*ENDLESS[kind]) as url, pytest.raises(WatchError):
        ask(url, seconds=3, most=4 * MIB)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


@pytest.mark.parametrize("status", [b"200 OK", b"302 Found\r\nLocation: /"])
def test_a_compressed_answer_is_not_unpacked(status):
    bomb = gzip.compress(bytes(300 * MIB), 1)
    head = b"HTTP/1.1 %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with rude.answering(head % (status, len(bomb)) + bomb) as url, pytest.raises(WatchError):
        ask(url, seconds=5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        (b"",),
        (b"", b"H", 0.05),
        (OK + b"Content-Length: 900\r\n\r\n",),
        (OK + b"Content-Length: 900\r\n\r\n", b"x", 0.05),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 900\r\n\r\n", b"x", 0.05),
    ],
    ids=["says nothing", "drips its head", "stalls", "drips", "drips a redirect"],
)
def test_a_server_that_takes_its_time_is_given_up_and_not_asked_again(answer):
    fetcher = fetch.Fetcher()
    with rude.answering(*answer) as url:
        begin = time.monotonic()
        with pytest.raises(WatchError):
            ask(f"{url}/one", fetcher=fetcher, seconds=0.5)
        assert time.monotonic() - begin < 2
        begin = time.monotonic()
        with pytest.raises(WatchError):
            ask(f"{url}/another", fetcher=fetcher)
        assert time.monotonic() - begin < 0.2


def test_a_connection_that_nobody_accepts_is_given_up_after_five_seconds():
    with socket.socket() as full:  # its queue is: the kernel answers no further one
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        begin = time.monotonic()
        with pytest.raises(WatchError):
            ask(f"http://127.0.0.1:{full.getsockname()[1]}/")
        assert 4 < time.monotonic() - begin < 8
        for one in waiting:
            one.close()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@h/"])
def test_a_redirect_to_something_else_than_http_is_not_followed(location):
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    with rude.answering(head.encode()) as url, pytest.raises(WatchError) as caught:
        ask(url, seconds=5)
    shown = location.replace("u:p@", "")
    assert f"it redirects to {shown}, and only http or https" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("localhost", True),
        ("2130706433", True),
        ("0x7f.1", True),
        ("0.0.0.0", True),
        ("169.254.169.254", True),
        ("10.1.2.3", True),
        ("134.214.1.1", False),
        ("[2001:660::1]", False),
    ],
)
def test_addresses_of_this_machine_and_its_network_are_known_however_written(host, inside):
    assert download._is_inside(f"http://{host}:8080/admin?do=it") == inside


def test_no_redirect_leads_from_the_internet_to_this_machine(web, monkeypatch):
    outside = f"{web.url}/moved"
    real = download._is_inside
    monkeypatch.setattr(download, "_is_inside", lambda url: url != outside and real(url))
    web.put("good.crl", b"x")
    with pytest.raises(WatchError, match="this machine"):
        ask(outside)
    monkeypatch.undo()
    assert ask(outside).body == b"x"


def test_the_proxy_of_the_environment_is_used_and_its_password_not_shown(web, monkeypatch, caplog):
    caplog.set_level(0)
    web.put("proxied", b"it")
    target = "http://127.0.0.1:9/proxied"  # where nothing listens
    monkeypatch.setenv("http_proxy", web.proxy.replace("//", "//user:secret-word@"))
    assert ask(target).body == b"it"
    monkeypatch.setenv("http_proxy", "http://user:secret-word@127.0.0.1:9")
    with pytest.raises(WatchError) as failed:
        ask(target)
    assert "secret-word" not in str(failed.value) + caplog.text
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(WatchError):
        ask(target)


def test_a_password_of_netrc_is_not_sent(web, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.touch(0o600)
    netrc.write_text("default login user password secret-word\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    web.put("open", b"x")
    ask(f"{web.url}/open")
    assert web.passwords() == {"-"}


def test_https_counts_where_the_certificate_is_trusted(web, monkeypatch):
    web.put("by-https", b"it")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(web.ca_bundle))
    assert ask(f"{web.https}/by-https").body == b"it"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(WatchError):
        ask(f"{web.https}/by-https")


def test_an_answer_that_ends_early_is_none():
    answer = OK + b"Content-Length: 900\r\n\r\nx"
    with rude.answering_in_turn([answer]) as url, pytest.raises(WatchError):
        ask(url)


def test_behind_a_proxy_a_name_is_fetched_that_cannot_be_resolved_here(web, monkeypatch):
    web.put("proxied", b"it")
    monkeypatch.setenv("http_proxy", web.proxy)
    assert ask(f"http://{'x' * 64}.test/proxied").body == b"it"  # too long to be looked up


def test_where_no_thread_can_be_started_a_crl_is_fetched_all_the_same(web):
    web.put("threadless", b"it")
    before = threading.stack_size(1 << 47)  # more than there is room for
    try:
        with pytest.raises(RuntimeError):
            threading.Thread(target=print).start()
        assert ask(f"{web.url}/threadless").body == b"it"
    finally:
        threading.stack_size(before)
