"""Collecting the problems of an exception: from it, what it holds, and what it was raised from."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Optional

from acme import messages

from certbot_tcs_lyon1.report import foreign

#: The functions of acme's client in which an order is finalized, in its different versions.
_FINALIZING = ("finalize_order", "begin_finalization", "poll_finalization")


@dataclass(frozen=True)
class Problem:
    """One thing that went wrong.

    :ivar kind: an ACME error type without its prefix, or the package and class of an exception
    :ivar words: its text, safe to be shown
    :ivar raw: its text as it came
    :ivar finalizing: it occurred while the order was finalized, so a certificate may be issued
    :ivar by_ca: it is an error of the CA
    :ivar name: the DNS name that it is about, if it says so
    """

    kind: str
    words: str
    raw: str
    finalizing: bool
    by_ca: bool = False
    name: Optional[str] = None


def collect(error: BaseException) -> list[Problem]:
    """Return the problems of an exception, the outermost first.

    A CA's error has a subproblem for each name (RFC 8555 §6.7.1).
    """
    chain = _chain(error)
    finalizing = any(
        frame.f_code.co_name in _FINALIZING
        for link in chain
        for frame, _ in traceback.walk_tb(link.__traceback__)
    )
    found: list[Problem] = []
    for link in chain:
        if isinstance(link, messages.Error):
            parts = (link, *(getattr(link, "subproblems", None) or ()))
            found += [_of_ca(part, finalizing) for part in parts]
        else:
            package = type(link).__module__.split(".")[0]
            words = _words(link)
            kind = f"{package}.{type(link).__name__}"
            found.append(Problem(kind, foreign(words), words, finalizing))
    return found


def _of_ca(error: messages.Error, finalizing: bool) -> Problem:
    kind = str(error.typ).rsplit(":", 1)[-1]
    # The order of certbot's own describe_acme_error.
    words = str(error.detail or error.title or error.description or error.typ)
    identifier = getattr(error, "identifier", None)
    name = None if identifier is None else foreign(str(identifier.value))
    return Problem(foreign(kind), foreign(words), words, finalizing, by_ca=True, name=name)


def _words(error: BaseException) -> str:
    """Return an exception's text; for acme's error about an answer, the answer's HTTP status."""
    for part in error.args:
        status = getattr(part, "status_code", None)
        for answer in part if isinstance(part, tuple) else ():  # (answer, why it can't be read)
            status = status or getattr(answer, "status_code", None)
        if status is not None:
            return f"HTTP status {status}"
    return str(error)


def _chain(error: BaseException) -> list[BaseException]:
    """Return `error` and the exceptions that it holds (acme's IssuanceError) or was raised from."""
    chain: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, Exception) and all(link is not other for other in chain):
            context = None if link.__suppress_context__ else link.__context__
            chain.append(link)
            waiting += [getattr(link, "error", None), link.__cause__, context]
    return chain
