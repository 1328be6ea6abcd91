"""A front before Pebble that plays a CA: what Sectigo and HARICA do, and Pebble can't.

    with front.running(lab.pebble, front.refuse("newOrder", front.Problem("caa"))) as ca:
        ...                       # give the plugin ca.directory_url, and certbot ca.ca_bundle
        assert ca.count("newOrder") == 1

All requests go to Pebble as they came, `Host` included, of which Pebble makes the URLs in its
answers and the one that it expects in a signature: so no URL has to be rewritten.

A behaviour is a function of two arguments. It gets the `Request` that came in and `ask`, which has
Pebble answer it (only then does Pebble see it at all), and returns the `Reply` that goes back, or
`SILENCE`. Ready-made are `passed`, `own_challenges`, `fail_validation(problem)`,
`fail_order(problem)`, `refuse(step, problem)`, `slow(polls)` and `silent(step)`. A step is one of
directory, newNonce, newAccount, account, newOrder, authorization, challenge, finalize, order,
certificate.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import itertools
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from tests.lab import ports, tls
from tests.lab.errors import LabError, PortTaken
from tests.lab.pebble import Pebble

SILENCE = None
PEBBLE_SECONDS = 30

#: Pebble's paths, which it never changes, and the steps of RFC 8555 that they are.
_STEPS = {
    "/dir": "directory",
    "/nonce-plz": "newNonce",
    "/sign-me-up": "newAccount",
    "/my-account/": "account",
    "/order-plz": "newOrder",
    "/authZ/": "authorization",
    "/chalZ/": "challenge",
    "/finalize-order/": "finalize",
    "/my-order/": "order",
    "/certZ/": "certificate",
}

#: What belongs to a connection, or is counted anew, and isn't passed on.
_OWN_HEADERS = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 7807): the ACME type without its prefix, HTTP status, detail."""

    type: str
    detail: str = ""
    status: int = 400
    title: str = ""
    subproblems: Sequence[tuple[str, Problem]] = ()

    def document(self) -> dict[str, Any]:
        """The document as JSON; `subproblems` are (name, problem), as in RFC 8555 §6.7.1."""
        parts = [
            {**problem.document(), "identifier": {"type": "dns", "value": name}}
            for name, problem in self.subproblems
        ]
        return {
            "type": f"urn:ietf:params:acme:error:{self.type}",
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            **({"title": self.title} if self.title else {}),
            **({"subproblems": parts} if parts else {}),
        }


# Requests, replies, behaviours


@dataclass(frozen=True)
class Request:
    """What came in: `step` is "" for a path that is none of them."""

    method: str
    path: str
    step: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)
        return data

    def with_json(self, **changes: Any) -> Reply:
        """The same with keys of its JSON changed; a value None drops the key."""
        data = {**self.json(), **changes}
        kept = {key: value for key, value in data.items() if value is not None}
        return replace(self, body=json.dumps(kept).encode())


Ask = Callable[[], Reply]
Behaviour = Callable[[Request, Ask], Optional[Reply]]


def passed(request: Request, ask: Ask) -> Optional[Reply]:
    """What Pebble answers."""
    return ask()


def refuse(step: str, problem: Problem) -> Behaviour:
    """Answer `step` with `problem`; Pebble does not hear of it."""

    def behave(request: Request, ask: Ask) -> Optional[Reply]:
        if request.step != step:
            return ask()
        return Reply(
            problem.status,
            {"Content-Type": "application/problem+json"},
            json.dumps(problem.document()).encode(),
        )

    return behave


def own_challenges(request: Request, ask: Ask) -> Optional[Reply]:
    """Authorizations hold Sectigo's own types of challenge, which have no token.

    Seen where they are valid from the start, because the portal holds the domain as validated:
    acme2certifier #122; for that, start Pebble with `authz_reuse=100` and get a first certificate.
    Where they are pending, no client has a way to satisfy them: Posh-ACME #691.
    """
    reply = ask()
    if request.step != "authorization" or reply.status != 200:
        return reply
    authorization = reply.json()
    first = authorization["challenges"][0]
    kept = {key: first[key] for key in ("url", "status", "validated") if key in first}
    own = [{"type": name, **kept} for name in ("sectigo-email-01", "sectigo-dns-01")]
    return reply.with_json(challenges=own)


def slow(polls: int) -> Behaviour:
    """Once it is finalized an order is `processing` for the next `polls` looks at it.

    Sectigo takes 6 s as a rule, and at times minutes: cert-manager #4533, acme2certifier #252.
    """
    looks = itertools.count()

    def behave(request: Request, ask: Ask) -> Optional[Reply]:
        reply = ask()
        if request.step not in ("finalize", "order") or reply.status != 200:
            return reply
        if reply.json()["status"] not in ("processing", "valid"):
            return reply
        if request.step == "order" and next(looks) >= polls:
            return reply
        return reply.with_json(status="processing", certificate=None)

    return behave


def fail_order(problem: Problem) -> Behaviour:
    """Take the finalization, and then the order is `invalid` for this reason (RFC 8555 §7.1.3)."""

    def behave(request: Request, ask: Ask) -> Optional[Reply]:
        reply = ask()
        if request.step != "order" or reply.status != 200:
            return reply
        return reply.with_json(status="invalid", error=problem.document(), certificate=None)

    return behave


def fail_validation(problem: Problem) -> Behaviour:
    """Once a challenge is to be looked at, the authorization is `invalid` for this reason."""
    begun = threading.Event()

    def behave(request: Request, ask: Ask) -> Optional[Reply]:
        if request.step == "challenge":
            begun.set()
        reply = ask()
        if request.step != "authorization" or reply.status != 200 or not begun.is_set():
            return reply
        challenges = reply.json()["challenges"]
        failed = [{**c, "status": "invalid", "error": problem.document()} for c in challenges]
        return reply.with_json(status="invalid", challenges=failed)

    return behave


def silent(step: str) -> Behaviour:
    """Never answer `step`; the connection stays open."""

    def behave(request: Request, ask: Ask) -> Optional[Reply]:
        return SILENCE if request.step == step else ask()

    return behave


# The front


class Front:
    """A front that runs. `behave` may be replaced at any time, for requests from then on."""

    def __init__(
        self, pebble: Pebble, behave: Behaviour, url: str, listen: tuple[str, int], folder: Path
    ) -> None:
        self.behave = behave
        self.directory_url = url
        parts = urlsplit(url)
        self._directory_path = parts.path
        files = tls.make(folder / "tls", [parts.hostname or "localhost"])
        #: Whoever trusts it trusts the front and Pebble.
        self.ca_bundle = folder / "both.pem"
        self.ca_bundle.write_bytes(files.ca_bundle.read_bytes() + pebble.ca_bundle.read_bytes())
        self._upstream = urlsplit(pebble.directory_url).netloc
        self._trust = ssl.create_default_context(cafile=str(pebble.ca_bundle))
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._fault: Optional[BaseException] = None
        self._stopped = threading.Event()
        try:
            self._server = _Server(listen, self)
        except OSError as error:
            raise PortTaken(f"front: port {listen[1]}: {error}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(files.certificate), str(files.private_key))
        # The handshake is the thread's of the connection, not of the one that accepts them all.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def requests(self) -> list[tuple[str, str]]:
        """The requests so far, as (method, path), oldest first."""
        with self._lock:
            return [(request.method, request.path) for request in self._requests]

    def count(self, step: str) -> int:
        """How many requests for a step came in so far."""
        with self._lock:
            return sum(request.step == step for request in self._requests)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; whoever waits for an answer gets none."""
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def raise_fault(self) -> None:
        """Raise what went wrong in a behaviour, or between front and Pebble."""
        if self._fault:
            raise self._fault

    def note_fault(self, error: BaseException) -> None:
        """Keep it for the end, unless it is only the client that went away."""
        if not isinstance(error, (ConnectionError, ssl.SSLError)):
            self._fault = self._fault or error

    def answer(self, request: Request) -> Optional[Reply]:
        """What the behaviour says, with a nonce of Pebble's if it has none (RFC 8555 §6.5)."""
        with self._lock:
            self._requests.append(request)
        reply = self.behave(request, lambda: self._ask(request))
        if reply is SILENCE:
            self._stopped.wait()
            return SILENCE
        if request.method == "POST" and "Replay-Nonce" not in reply.headers:
            nonce = self._ask(replace(request, method="HEAD", path="/nonce-plz", body=b""))
            fresh = {"Replay-Nonce": nonce.headers["Replay-Nonce"]}
            return replace(reply, headers={**reply.headers, **fresh})
        return reply

    def _ask(self, request: Request) -> Reply:
        try:
            return self._ask_pebble(request)
        except OSError as error:
            raise LabError(f"front: Pebble at {self._upstream}: {error}") from error

    def _ask_pebble(self, request: Request) -> Reply:
        with contextlib.closing(
            http.client.HTTPSConnection(self._upstream, timeout=PEBBLE_SECONDS, context=self._trust)
        ) as connection:
            path = "/dir" if request.path == self._directory_path else request.path
            connection.request(request.method, path, request.body, dict(request.headers))
            response = connection.getresponse()
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in _OWN_HEADERS
            }
            links = response.headers.get_all("Link")
            if links:
                headers["Link"] = ", ".join(links)
            return Reply(response.status, headers, response.read())


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], front: Front) -> None:
        self.front = front
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing on stderr: what matters is kept in `answer` below."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        kept = {k: v for k, v in self.headers.items() if k.lower() not in _OWN_HEADERS}
        request = Request(self.command, self.path, _step(self.path), kept, self.rfile.read(size))
        try:
            reply = self.server.front.answer(request)
            if reply is not SILENCE:
                self._send(reply)
        except BaseException as error:
            self.server.front.note_fault(error)
            raise

    do_GET = do_HEAD = do_POST = _answer

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


def _step(path: str) -> str:
    return next((step for start, step in _STEPS.items() if path.startswith(start)), "")


@contextlib.contextmanager
def running(
    pebble: Pebble, behave: Behaviour = passed, url: str = "", address: str = "127.0.0.1"
) -> Iterator[Front]:
    """Run a front before `pebble` on a free port until the context ends.

    `url` is its directory, if it is to have that of a real CA; then it listens on port 443 of
    `address`, to which the client's /etc/hosts must lead the URL's host.

    What goes wrong in it (an exception in `behave`, a Pebble that can't be reached) is raised when
    the context ends; until then the client sees a closed connection.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tcs-lyon1-front-")))
        front = ports.enter(stack, lambda: _bound(pebble, behave, url, address, folder))
        yield front
    front.raise_fault()


@contextlib.contextmanager
def _bound(
    pebble: Pebble, behave: Behaviour, url: str, address: str, folder: Path
) -> Iterator[Front]:
    with contextlib.ExitStack() as stack:
        port = 443 if url else stack.enter_context(ports.claimed())
        url = url or f"https://localhost:{port}/dir"
        front = Front(pebble, behave, url, (address, port), folder)
        front.start()
        try:
            yield front
        finally:
            front.stop()
