"""The advice on an error of the CA, or on the way to it: what it means here, and what to do.

`rows` has the texts, by the errors' words and kinds; what a text needs looked up is looked up here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, TypeVar
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.ca import departments, directory, problems
from certbot_tcs_lyon1.ca.problems import Problem
from certbot_tcs_lyon1.ca.rows import ROWS, Row
from certbot_tcs_lyon1.department.settings import is_address
from certbot_tcs_lyon1.report import foreign

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

logger = logging.getLogger(__name__)

_Found = TypeVar("_Found")

#: The most names whose CAA records are looked up for one message.
_MOST_LOOKUPS = 3


@dataclass(frozen=True)
class Order:
    """The order that failed.

    :ivar department: None if the order is not a department's, or for a test run
    :ivar test: `--dry-run` or `--staging`
    :ivar given: the user set the EAB key, by option or in cli.ini
    """

    department: Optional[str]
    eab_kid: Optional[str]
    server: str
    account: Optional[str]
    names: tuple[str, ...]
    test: bool = False
    given: bool = False


@dataclass(frozen=True)
class Lookups:
    """The lookups that are made once there is an error.

    :ivar caa: from a name to the CAA records that apply to it: the name that has them, their text
    :ivar identities: from an ACME server to its CA's names in CAA records
    """

    caa: Callable[[str], Optional[tuple[str, str]]] = lambda name: None
    identities: Callable[[str], Sequence[str]] = lambda server: ()


def order_of(config: NamespaceConfig) -> Order:
    """Return the order that certbot's config describes, once it is filled from the department."""
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
    lookups: Optional[Lookups] = None,
) -> Optional[str]:
    """Return what `error` means, what to do and whom to ask, in three lines; None without a row.

    :param shown: what certbot has shown of the error; the CA's text that is not in it comes first
        (on Debian 12 certbot shows "AttributeError: can't set attribute")
    """
    found = problems.collect(error)
    parts = [] if shown is None else _not_shown(found, shown, order)
    row, problem = _find_row(found, order)
    if row is not None and problem is not None:
        fields = _fields(problem, order, row, lookups or Lookups())
        means, to_do, ask = (text.format_map(fields) for text in (row.means, row.to_do, row.ask))
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
    for row in ROWS:
        for problem in found:
            if row.fits(problem, order.department is not None, order.test):
                return row, problem
    return None, None


def _fields(problem: Problem, order: Order, row: Row, lookups: Lookups) -> Mapping[str, str]:
    """Return the values of the fields in the rows' texts."""
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
        **(_caa_fields(problem, order, lookups) if row.looks_up_caa else {}),
    }


def _names(problem: Problem, order: Order) -> tuple[str, ...]:
    """Return the names that a problem is about: its own, those in its text, or all ordered."""
    if problem.name is not None:
        return (problem.name,)
    words = re.split(r"[\s,\"']+", problem.raw.lower())
    return tuple(name for name in order.names if name.lower() in words) or order.names


def _caa_fields(problem: Problem, order: Order, lookups: Lookups) -> Mapping[str, str]:
    """Return the CAA records that forbid the CA to issue, and the one to ask for."""
    known = _try_look_up(lambda: lookups.identities(order.server))
    known = known or directory.known_caa_identities(order.server)
    wanted = (
        f'a record `CAA 0 issue "{foreign(known[0])}"`' if known else "a CAA record for this CA"
    )
    names = _names(problem, order)[:_MOST_LOOKUPS]
    found = _try_look_up(lambda: [lookups.caa(name) for name in names]) or []
    records = list(dict.fromkeys(record for record in found if record is not None))
    if not records:
        return {
            "record": "From here none can be found",
            "remedy": "look for it at the name and at each one above (dig CAA NAME); there must be "
            f"{wanted}, or none at all",
            "owners": "that holds it",
        }
    owners = ", ".join(owner for owner, _ in records)
    shown = "; ".join(f"{owner} has CAA {foreign(text)}" for owner, text in records)
    return {
        "record": f"The one that applies: {shown}",
        "remedy": f"have {wanted} added at {owners} "
        "(for a wildcard, issuewild too, if there is any)",
        "owners": f"of {owners}",
    }


def _try_look_up(look: Callable[[], _Found]) -> Optional[_Found]:
    """Return the result of a lookup; None if it fails, for then the advice is given without it."""
    try:
        return look()
    except Exception:
        logger.debug("The advice is given without what could not be looked up", exc_info=True)
        return None
