"""Whether CAA records let a CA issue (RFC 8659), for this account and by dns-01 (RFC 8657)."""

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
    """One record: its tag, the CA's name, "" for nobody, and the parameters."""

    flags: int
    tag: str
    domain: str
    parameters: dict[str, str]


def parse(text: str) -> list[Record]:
    """The records of a text as zone files have them, several parted by commas."""
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
    """Whether the CA may issue by dns-01.

    :param names: the CA's
    :param account: the account's URL; None if there is none yet, and then no `accounturi` fits
    :param wild: a wildcard, for which `issuewild` goes before `issue` (RFC 8659 §4.3)
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
    """The record that lets the CA issue, as a zone file has it."""
    more = f"; accounturi={account}" if account else ""
    tag, name = "issuewild" if wild else "issue", names[0] if names else "(ask the CA its name)"
    return f'{holder}. CAA 0 {tag} "{name}{more}; validationmethods=dns-01"'
