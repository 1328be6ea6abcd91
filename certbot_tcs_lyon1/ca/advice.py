"""What an error of the CA means here, and what to do: said once, after certbot's own message.

`advise` is the pure part, from an exception to text. `watch` has it said: certbot hands the
exception to its log as an object, and a handler on the root logger sees it there, in every version
and for every command.

The rows, their words and their sources are those of the guide for departments; which CA says what
in which words is shown, with sources, by the tests' front before Pebble.
"""

from __future__ import annotations

import atexit
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urlsplit

from acme import messages

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.ca import departments

logger = logging.getLogger(__name__)

#: From a name to the CAA records that apply to it: the name that holds them, and their text.
FindCaa = Callable[[str], Optional[tuple[str, str]]]

#: The names that CAs want to see in a CAA record; the host of their directory lies under them.
_CAA_IDENTITIES = ("sectigo.com", "harica.gr", "letsencrypt.org")

#: How many names' CAA records are looked up for one message.
_MOST_LOOKUPS = 3

#: The functions of acme's client, one or another in each version, in which an order is finalized.
_FINALIZING = ("finalize_order", "begin_finalization", "poll_finalization")


@dataclass(frozen=True)
class Order:
    """The order that failed; `department` is None if it wasn't a department's, or was a `test`."""

    department: Optional[str]
    eab_kid: Optional[str]
    server: str
    account: Optional[str]
    names: tuple[str, ...]
    test: bool = False


@dataclass(frozen=True)
class _Problem:
    """One thing that went wrong.

    `kind` is an ACME type without its prefix ("malformed at finalize" for that), or the exception's
    package and class; `words` is what it says; `name` is the name of the certificate it is about.
    """

    kind: str
    words: str
    by_ca: bool = False
    name: Optional[str] = None


@dataclass(frozen=True)
class _Advice:
    means: str
    to_do: str
    to_ask: str = f"the RAO, {lyon1.CONTACT}"


# From an exception to text


def order_of(config: Any) -> Order:
    """What certbot's config says of the order, once the department has filled it.

    :param config: certbot's `NamespaceConfig`
    """
    test = compat.is_test_run(config)
    own = config.eab_kid is not None and not test
    return Order(
        getattr(config, departments.DEST) if own else None,
        config.eab_kid if own else None,
        config.server,
        config.account,
        tuple(departments.names_of(config)),
        test,
    )


def advise(
    error: BaseException,
    order: Order,
    told: Optional[str] = None,
    find_caa: FindCaa = lambda name: None,
) -> Optional[str]:
    """What `error` means, what to do and whom to ask, in three lines; None if nothing is known.

    :param told: what certbot has shown of it; the CA's own words come first where they are not in
        it (on Debian 12 it shows "AttributeError: can't set attribute")
    """
    problems = _problems(error)
    parts = [] if told is None else _untold(problems, told, order)
    found = _find_row(problems, order)
    if found is not None:
        row, problem = found
        advice = row.advice(problem, order, find_caa)
        ask = f"\n  Ask:   {advice.to_ask}." if advice.to_ask else ""
        parts.append(f"tcs-lyon1: {advice.means}\n  To do: {advice.to_do}{ask}")
    return "\n".join(parts) or None


def _untold(problems: Sequence[_Problem], told: str, order: Order) -> list[str]:
    said = dict.fromkeys(problem.words for problem in problems if problem.by_ca)
    return [
        f"{order.server} said: {words}"
        for words in said
        # acme's errors write what is not ASCII as \\xe9.
        if words not in told and words.encode("ascii", "backslashreplace").decode() not in told
    ]


def _problems(error: BaseException) -> list[_Problem]:
    """Everything that `error` says, and that it was raised from (RFC 8555 §6.7.1: in parts)."""
    chain = _chain(error)
    finalizing = any(
        frame.f_code.co_name in _FINALIZING
        for link in chain
        for frame, _ in traceback.walk_tb(link.__traceback__)
    )
    found: list[_Problem] = []
    for link in chain:
        if not isinstance(link, messages.Error):
            package = type(link).__module__.split(".")[0]
            found.append(_Problem(f"{package}.{type(link).__name__}", str(link)))
            continue
        for part in (link, *(getattr(link, "subproblems", None) or ())):
            found.append(_of_ca(part, finalizing))
    return found


def _of_ca(error: Any, finalizing: bool) -> _Problem:
    kind = str(error.typ).rsplit(":", 1)[-1]
    # The order of certbot's own describe_acme_error.
    words = error.detail or error.title or error.description or str(error.typ)
    identifier = getattr(error, "identifier", None)
    return _Problem(
        "malformed at finalize" if finalizing and kind == "malformed" else kind,
        words,
        by_ca=True,
        name=None if identifier is None else str(identifier.value),
    )


def _chain(error: BaseException) -> list[BaseException]:
    """`error`, and what it was raised from, holds (acme's IssuanceError) or came upon."""
    chain: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, Exception) and all(link is not other for other in chain):
            context = None if link.__suppress_context__ else link.__context__
            chain.append(link)
            waiting += [getattr(link, "error", None), link.__cause__, context]
    return chain


# The rows


@dataclass(frozen=True)
class _Row:
    """An advice, the words and kinds of problem that call for it, and whether it is only for the
    order of a department: elsewhere, at Let's Encrypt say, these mean something else."""

    advice: Callable[[_Problem, Order, FindCaa], _Advice]
    words: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    only_departments: bool = True

    def fits(self, problem: _Problem) -> bool:
        said = problem.words.lower()
        return problem.kind in self.kinds or any(words.lower() in said for words in self.words)


def _find_row(problems: Sequence[_Problem], order: Order) -> Optional[tuple[_Row, _Problem]]:
    for row in _ROWS:
        if row.only_departments and order.department is None:
            continue
        for problem in problems:
            if row.fits(problem):
                return row, problem
    return None


def _who(order: Order) -> str:
    return f"department {order.department} (Key ID {order.eab_kid}, {_account(order)})"


def _account(order: Order) -> str:
    return f"ACME account {order.account}" if order.account else "no ACME account yet"


def _which(order: Order, problem: Optional[_Problem] = None) -> str:
    names = order.names if problem is None else _names(problem, order)
    return ", ".join(names) or "(names not known yet)"


def _names(problem: _Problem, order: Order) -> tuple[str, ...]:
    """The names that a problem is about: the one it names, those in its words, or all."""
    if problem.name is not None:
        return (problem.name,)
    said = problem.words.lower().replace(",", " ").replace('"', " ").replace("'", " ").split()
    return tuple(name for name in order.names if name.lower() in said) or order.names


_NEW_ACCOUNT = (
    "create a new ACME account for the department in the portal (Settings, Enrollment Endpoints, "
    "Accounts), and put its Key ID and HMAC Key into the department config"
)


def _not_allowed(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"{order.server} does not let {_who(order)} have a certificate for {_which(order)}. A name "
        "is misspelt, is not validated for this department, or belongs to another one.",
        "check the spelling; see in the portal (Settings, Domains) which names are delegated to "
        "the department; order names of two departments in two certificates.",
        f"the RAO, {lyon1.CONTACT}, to validate or delegate a name",
    )


def _used_up(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"The Key ID {order.eab_kid} of department {order.department} is good for one registration "
        f"at {order.server}, and has had it; the account it made is not in certbot's accounts "
        "folder here.",
        "restore that folder (/etc/letsencrypt/accounts) from a backup or from the machine that "
        f"has it; or {_NEW_ACCOUNT}.",
    )


def _unknown_kid(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"{order.server} does not know the Key ID {order.eab_kid} of department "
        f"{order.department}: it is miscopied, was deleted, or belongs to another server.",
        f"copy it again from the portal ({lyon1.PORTAL_ACCOUNTS}), and compare the ACME URL there "
        "with `server` in the department config.",
    )


def _bad_mac(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"The HMAC Key of department {order.department} is not the one that {order.server} has for "
        f"the Key ID {order.eab_kid}: it is another's, or was cut short.",
        f"copy eab_hmac_key again from the portal ({lyon1.PORTAL_ACCOUNTS}), whole.",
    )


def _half_bound(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"{order.server} does not take the account of {_who(order)} as bound to that Key ID: the "
        "binding has expired, or was left half made.",
        f"{_NEW_ACCOUNT}.",
    )


def _no_binding(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"{order.server} registers an account only with a Key ID, an HMAC Key and an e-mail "
        f"address, and did not get them all from department {order.department}.",
        "complete the department config: eab_kid, eab_hmac_key and email.",
    )


def _no_account(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"The account of {_who(order)} is gone at {order.server}: it was removed or deactivated, "
        "in the portal or with certbot unregister.",
        f"{_NEW_ACCOUNT}; certbot then registers with it.",
    )


def _caa(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    names = _names(problem, order)
    records = _caa_records(names[:_MOST_LOOKUPS], find_caa)
    means = f"A CAA record in the DNS forbids {order.server} to issue for {_which(order, problem)}."
    if order.test:
        return _Advice(
            f"{means} That is where this test went, not the CA that your certificates come from.",
            "nothing, as long as the record permits that CA. Don't have it changed for a test.",
            "",
        )
    host = urlsplit(order.server).hostname or ""
    known = [name for name in _CAA_IDENTITIES if f".{host}".endswith(f".{name}")]
    wanted = f'a record `CAA 0 issue "{known[0]}"`' if known else "a CAA record for this CA"
    if not records:
        return _Advice(
            f"{means} From here none can be found.",
            f"look for it at the name and at each one above (dig CAA NAME); there must be {wanted}"
            ", or none at all.",
            "who runs the DNS zone that holds it",
        )
    shown = "; ".join(f"{owner} has CAA {text}" for owner, text in records)
    owners = ", ".join(owner for owner, _ in records)
    return _Advice(
        f"{means} The one that applies: {shown}.",
        f"have {wanted} added at {owners} (for a wildcard, issuewild too, if there is any).",
        f"who runs the DNS zone of {owners}",
    )


def _caa_records(names: Sequence[str], find_caa: FindCaa) -> list[tuple[str, str]]:
    """The records that apply to the names, each once; what can't be looked up is left out."""
    try:
        found = [find_caa(name) for name in names]
    except Exception:
        logger.debug("The CAA records could not be looked up", exc_info=True)
        return []
    return list(dict.fromkeys(record for record in found if record is not None))


def _rejected(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"{order.server} issues no certificate for {_which(order, problem)}: a name is internal, "
        "reserved, forbidden, or does not exist in the public DNS.",
        "check the spelling, or take a public name.",
        f"the RAO, {lyon1.CONTACT}, if it is a public name" if order.department else "",
    )


def _bad_key(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    profile = f"the profile of department {order.department}" if order.department else "the CA"
    return _Advice(
        f"{order.server} does not take the certificate request for {_which(order)}; mostly because "
        f"{profile} does not allow its type of key.",
        "add --key-type rsa to the command.",
        f"the RAO, {lyon1.CONTACT}, which keys the profile allows" if order.department else "",
    )


def _trouble(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    wait = (
        " To let certbot wait longer, set issuance_timeout in the department config."
        if order.department and problem.kind == "acme.TimeoutError"
        else ""
    )
    look = (
        "look in the portal whether it was issued before you order again"
        if order.department
        else "then try again"
    )
    return _Advice(
        f"The trouble is on the side of {order.server}, or of the network. A certificate for "
        f"{_which(order)} may be issued all the same.",
        f"wait an hour, and {look}. Don't repeat the command in a loop: tries are counted.{wait}",
        f"the RAO, {lyon1.CONTACT}, if it lasts" if order.department else "",
    )


def _own_validation(problem: _Problem, order: Order, find_caa: FindCaa) -> _Advice:
    return _Advice(
        f"For a name among {_which(order)} {order.server} wants a validation, and offers none that "
        "certbot could do: the CA does not hold the domain as validated, or not any more.",
        f"have the domain validated in the portal (Settings, Domains) for department "
        f"{order.department}, and run certbot again.",
    )


#: The first that fits is taken, so what is told by its words comes before what is by its type.
_ROWS = (
    _Row(
        _not_allowed,
        (
            "identifiers are not all linked to the same preauthorized Subject organization",
            "requested identifier has not been delegated",
        ),
    ),
    _Row(_used_up, ("not awaiting external account binding",)),
    _Row(_unknown_kid, ("The Key Identifier was not recognized",)),
    _Row(_bad_mac, ("Invalid MAC on JWS request",)),
    _Row(_half_bound, ("A Key ID MUST be specified", "No Key ID in JWS header")),
    _Row(
        _own_validation,
        ("does not support any combination of challenges",),
    ),
    _Row(
        _no_account,
        ("account deactivated", "account has been deactivated", 'has status "deactivated"'),
        ("accountDoesNotExist",),
    ),
    _Row(_no_binding, kinds=("externalAccountRequired",)),
    _Row(_caa, kinds=("caa",), only_departments=False),
    _Row(_rejected, kinds=("rejectedIdentifier",), only_departments=False),
    _Row(_bad_key, kinds=("badCSR", "malformed at finalize"), only_departments=False),
    _Row(
        _trouble,
        kinds=("serverInternal", "rateLimited", "requests.ReadTimeout", "acme.TimeoutError"),
        only_departments=False,
    ),
)


# Having it said


class Watcher(logging.Handler):
    """Sees the errors that certbot logs, and says the advice after certbot has said its part.

    An error that ends certbot is advised on when the process exits, for only then certbot has
    finished its message; one of many in a renewal at once, for being the last of its handlers this
    one comes after the console's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.plugin: Optional[object] = None
        self.current: Optional[Callable[[], Order]] = None
        self.find_caa: FindCaa = lambda name: None
        self._fatal: Optional[BaseException] = None
        self._told: list[str] = []
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record. Never raises: this runs in the midst of certbot's own logging."""
        if record.name == __name__:
            return
        try:
            self._look(record)
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def _look(self, record: logging.LogRecord) -> None:
        form = str(record.msg)
        if form.startswith("Selected authenticator") and self.plugin not in (record.args or ()):
            self.current = None  # the next lineage of a renewal is another plugin's
        if form.startswith("Exiting abnormally") and record.exc_info:
            self._fatal = record.exc_info[1]
        if record.levelno < logging.ERROR:
            return
        self._told.append("".join(_shown(record)))
        for error in record.args if isinstance(record.args, tuple) else ():
            if isinstance(error, BaseException):
                self._say(error, record.getMessage())

    def say_at_exit(self) -> None:
        """Say the advice on the error that ended certbot. Never raises."""
        error, self._fatal = self._fatal, None
        try:
            if error is not None:
                self._say(error, "\n".join(self._told))
        except Exception:
            logger.debug("No advice could be given", exc_info=True)

    def _say(self, error: BaseException, told: str) -> None:
        if self.current is None:
            return
        text = advise(error, self.current(), told, self.find_caa)
        if text is not None and text not in self._said:
            self._said.add(text)
            logger.error(text)


def _shown(record: logging.LogRecord) -> Iterator[str]:
    """What the console shows of a record: with `--debug` the exception, too."""
    yield record.getMessage()
    if record.exc_info:
        yield from traceback.format_exception(*record.exc_info)


_watcher: Optional[Watcher] = None


def watch(plugin: object, current: Callable[[], Order], find_caa: FindCaa) -> None:
    """Say from now on what the CA's errors mean, until certbot goes on with another plugin.

    :param plugin: the one that has been prepared
    :param current: its order, asked when there is an error, for certbot fills in the account late
    :param find_caa: looks up the CAA records that apply to a name
    """
    global _watcher
    if _watcher is None:
        _watcher = Watcher()
        logging.getLogger().addHandler(_watcher)
        atexit.register(_watcher.say_at_exit)
    _watcher.plugin, _watcher.current, _watcher.find_caa = plugin, current, find_caa
