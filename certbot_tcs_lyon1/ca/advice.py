"""What an error of the CA, or on the way to it, means here, and what to do.

`advise` goes from an exception to text. The rows, their words and their sources are those of the
guide for departments and stand in `rows`; what a row needs looked up is looked up here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional, TypeVar
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.ca import departments, problems
from certbot_tcs_lyon1.ca.problems import Problem
from certbot_tcs_lyon1.ca.rows import ROWS, Row
from certbot_tcs_lyon1.department.settings import is_address, is_under
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

#: How many names' CAA records are looked up for one message.
_MOST_LOOKUPS = 3


@dataclass(frozen=True)
class Order:
    """The order that failed; `department` is None if it wasn't a department's, or was a `test`.

    `given`: the EAB key comes from an option or `cli.ini`, not from the department config.
    """

    department: Optional[str]
    eab_kid: Optional[str]
    server: str
    account: Optional[str]
    names: tuple[str, ...]
    test: bool = False
    given: bool = False


@dataclass(frozen=True)
class LookUp:
    """What is looked up once there is an error.

    `caa`: from a name to the CAA records that apply to it (the name that holds them, their text);
    `identities`: from an ACME server to the names that its CA wants to see there.
    """

    caa: Callable[[str], Optional[tuple[str, str]]] = lambda name: None
    identities: Callable[[str], Sequence[str]] = lambda server: ()


def order_of(config: NamespaceConfig) -> Order:
    """What certbot's config says of the order, once the department has filled it."""
    test = compat.is_test_run(config)
    own = config.eab_kid is not None and not test
    return Order(
        getattr(config, departments.DEST) if own else None,
        config.eab_kid if own else None,
        config.server,
        config.account,
        tuple(departments.names_of(config)),
        test,
        own and compat.is_set_by_user(config, "eab_kid"),
    )


def advise(
    error: BaseException,
    order: Order,
    shown: Optional[str] = None,
    look_up: Optional[LookUp] = None,
) -> Optional[str]:
    """What `error` means, what to do and whom to ask, in three lines; None if nothing is known.

    :param shown: what certbot has shown of it; the CA's own words come first where they are not in
        it (on Debian 12 it shows "AttributeError: can't set attribute")
    """
    found = problems.take_apart(error)
    parts = [] if shown is None else _not_shown(found, shown, order)
    row, problem = _find_row(found, order)
    if row is not None and problem is not None:
        places = _places(problem, order, row, look_up or LookUp())
        means, to_do, ask = (text.format_map(places) for text in (row.means, row.to_do, row.ask))
        asked = f"\n  Ask:   {ask}." if ask and (order.department or not row.asks_the_rao) else ""
        parts.append(f"tcs-lyon1: {means}\n  To do: {to_do}{asked}")
    return "\n".join(parts) or None


def _not_shown(found: Sequence[Problem], shown: str, order: Order) -> list[str]:
    return [
        f"{order.server} said: {words}"
        for raw, words in {problem.raw: problem.words for problem in found if problem.by_ca}.items()
        # acme's errors write what is not ASCII as \\xe9.
        if raw not in shown and raw.encode("ascii", "backslashreplace").decode() not in shown
    ]


def _find_row(found: Sequence[Problem], order: Order) -> tuple[Optional[Row], Optional[Problem]]:
    if order.test:
        found = [replace(p, kind=f"{p.kind} in a test") if p.kind == "caa" else p for p in found]
    for row in ROWS:
        for problem in found:
            if row.fits(problem, order.department is not None):
                return row, problem
    return None, None


def _places(problem: Problem, order: Order, row: Row, look_up: LookUp) -> Mapping[str, str]:
    """The places of the rows' texts."""
    account = f"ACME account {order.account}" if order.account else "no ACME account yet"
    source = "the department config"
    if order.given:
        source = "the option --eab-kid or cli.ini, where this Key ID comes from"
    return {
        "server": order.server,
        "host": urlsplit(order.server).hostname or order.server,
        "department": order.department or "",
        "kid": order.eab_kid or "",
        "who": f"department {order.department} (Key ID {order.eab_kid}, {account})",
        "names": ", ".join(order.names) or "(names not known yet)",
        "named": ", ".join(_names(problem, order)) or "(names not known yet)",
        "addresses": "".join(
            f" {name} is an IP address, which the DNS can't validate: order a DNS name."
            for name in order.names
            if is_address(name)
        ),
        "words": problem.words,
        "source": source,
        **_LOOKED_UP.get(row.looks_up, _nothing)(problem, order, look_up),
    }


def _nothing(problem: Problem, order: Order, look_up: LookUp) -> Mapping[str, str]:
    return {}


def _names(problem: Problem, order: Order) -> tuple[str, ...]:
    """The names that a problem is about: the one it names, those in its words, or all."""
    if problem.name is not None:
        return (problem.name,)
    said = problem.raw.lower().replace(",", " ").replace('"', " ").replace("'", " ").split()
    return tuple(name for name in order.names if name.lower() in said) or order.names


def _caa_places(problem: Problem, order: Order, look_up: LookUp) -> Mapping[str, str]:
    """The record that is in the way, and the one to ask for."""
    host = urlsplit(order.server).hostname or ""
    known = list(_looked_up(lambda: look_up.identities(order.server)) or ()) or [
        name for name in lyon1.CAA_IDENTITIES if is_under(host, name)
    ]
    wanted = (
        f'a record `CAA 0 issue "{foreign(known[0])}"`' if known else "a CAA record for this CA"
    )
    names = _names(problem, order)[:_MOST_LOOKUPS]
    found = _looked_up(lambda: [look_up.caa(name) for name in names]) or []
    records = list(dict.fromkeys(record for record in found if record is not None))
    if not records:
        return {
            "record": "From here none can be found",
            "mend": "look for it at the name and at each one above (dig CAA NAME); there must be "
            f"{wanted}, or none at all",
            "owners": "that holds it",
        }
    owners = ", ".join(owner for owner, _ in records)
    shown = "; ".join(f"{owner} has CAA {foreign(text)}" for owner, text in records)
    return {
        "record": f"The one that applies: {shown}",
        "mend": f"have {wanted} added at {owners} (for a wildcard, issuewild too, if there is any)",
        "owners": f"of {owners}",
    }


def _looked_up(look: Callable[[], _Found]) -> Optional[_Found]:
    """What is looked up, or None: an advice is worth more than what it could not find."""
    try:
        return look()
    except Exception:
        logger.debug("The advice is given without what could not be looked up", exc_info=True)
        return None


_LOOKED_UP = {"caa": _caa_places}
