"""Whether CAA records let a CA issue (RFC 8659), for an account and by dns-01 (RFC 8657)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

_RECORD = re.compile(r'(?P<flags>[0-9]+) (?P<tag>[A-Za-z0-9]+) "(?P<value>(?:[^"\\]|\\.)*)"')
_CRITICAL = 128
_KNOWN = ("issue", "issuewild", "issuemail", "iodef", "contactemail", "contactphone")


@dataclass(frozen=True)
class Record:
    """A CAA record.

    :ivar domain: the CA's name; "" forbids every CA
    :ivar parameters: `accounturi`, `validationmethods` and so on
    """

    flags: int
    tag: str
    domain: str
    parameters: dict[str, str]


def parse(text: str) -> list[Record]:
    """Return the CAA records in a text: as in a zone file, several separated by commas."""
    found = []
    for match in _RECORD.finditer(text):
        domain, *rest = match["value"].replace('\\"', '"').replace("\\;", ";").split(";")
        pairs = [part.strip().partition("=") for part in rest if part.strip()]
        parameters = {name.strip().lower(): value.strip() for name, _, value in pairs}
        name = domain.strip().lower().rstrip(".")
        found.append(Record(int(match["flags"]), match["tag"].lower(), name, parameters))
    return found


def permits(
    records: Sequence[Record], names: Sequence[str], account: Optional[str], wild: bool
) -> bool:
    """Return whether the CA may issue by dns-01.

    :param names: the CA's names in CAA records
    :param account: the account's URL; None if there is none, so that no `accounturi` matches
    :param wild: for a wildcard, where `issuewild` takes precedence over `issue` (RFC 8659 §4.3)
    """
    if any(one.flags & _CRITICAL and one.tag not in _KNOWN for one in records):
        return False
    relevant = [one for one in records if wild and one.tag == "issuewild"]
    relevant = relevant or [one for one in records if one.tag == "issue"]
    return not relevant or any(_permits(one, names, account) for one in relevant)


def _permits(record: Record, names: Sequence[str], account: Optional[str]) -> bool:
    if record.domain not in names:
        return False
    methods = record.parameters.get("validationmethods")
    if methods is not None and "dns-01" not in [one.strip() for one in methods.split(",")]:
        return False
    return record.parameters.get("accounturi", account) == account


def to_ask_for(holder: str, names: Sequence[str], account: Optional[str], wild: bool) -> str:
    """Return the CAA record that lets the CA issue for this account by dns-01, as in a zone file.

    :param holder: the name that has CAA records, or the name to be ordered
    """
    more = f"; accounturi={account}" if account else ""
    tag, name = "issuewild" if wild else "issue", names[0] if names else "(ask the CA its name)"
    return f'{holder}. CAA 0 {tag} "{name}{more}; validationmethods=dns-01"'
