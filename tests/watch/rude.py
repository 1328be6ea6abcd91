"""A server that answers what no web server does: each connection gets some bytes, over and over."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def answering(begin: bytes, again: bytes = b"", seconds: float = 0) -> Iterator[str]:
    """Answer each request with `begin`, then `again` without an end, `seconds` apart; the URL.

    With `again` empty the connection stays open, and nothing more comes.
    """
    stopped = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(begin)
                while again and not stopped.wait(seconds):
                    connection.sendall(again)
                stopped.wait()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def answering_in_turn(answers: Sequence[bytes]) -> Iterator[str]:
    """Answer each request with the next of `answers`, which may grow meanwhile; the URL."""
    turn = iter(range(1000))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answers[next(turn)])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
