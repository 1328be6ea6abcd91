"""Whether CAA records let a CA issue (RFC 8659), for an account and by dns-01 (RFC 8657)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Optional

_CRITICAL = 128
_KNOWN = (b"issue", b"issuewild", b"issuemail", b"iodef", b"contactemail", b"contactphone")


def permits(
    records: Iterable[Any], names: Sequence[str], account: Optional[str], wild: bool
) -> bool:
    """Return whether the CA may issue by dns-01.

    :param records: dnspython's, of the type CAA
    :param names: the CA's names in CAA records
    :param account: the account's URL; None if there is none, so that no `accounturi` matches
    :param wild: for a wildcard, where `issuewild` takes precedence over `issue` (RFC 8659 §4.3)
    """
    values: dict[bytes, list[str]] = {}
    for record in records:
        tag = record.tag.lower()
        if record.flags & _CRITICAL and tag not in _KNOWN:
            return False
        values.setdefault(tag, []).append(record.value.decode("ascii", "replace"))
    relevant = (wild and values.get(b"issuewild")) or values.get(b"issue")
    return not relevant or any(_permits(value, names, account) for value in relevant)


def _permits(value: str, names: Sequence[str], account: Optional[str]) -> bool:
    """Return the same for one record, whose value is `DOMAIN; KEY=VALUE; …` (RFC 8659 §4.2)."""
    domain, *rest = value.split(";")
    parts = [part.partition("=") for part in rest]
    parameters = {name.strip().lower(): setting.strip() for name, _, setting in parts}
    methods = parameters.get("validationmethods", "dns-01").split(",")
    return (
        domain.strip().lower().rstrip(".") in names
        and "dns-01" in [method.strip() for method in methods]
        and parameters.get("accounturi", account) == account
    )


def to_ask_for(holder: str, names: Sequence[str], account: Optional[str], wild: bool) -> str:
    """Return the CAA record that lets the CA issue for this account by dns-01, as in a zone file.

    :param holder: the name that has CAA records, or the name to be ordered
    """
    more = f"; accounturi={account}" if account else ""
    tag, name = "issuewild" if wild else "issue", names[0] if names else "(ask the CA its name)"
    return f'{holder}. CAA 0 {tag} "{name}{more}; validationmethods=dns-01"'
