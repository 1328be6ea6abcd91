"""The keys that the department config holds or names a file of: HMAC keys of ACME accounts, and the
keys that sign updates: TSIG keys (RFC 8945) and Kerberos keytabs.

A key file has the format that BIND's ``tsig-keygen NAME`` prints and ``nsupdate -k`` reads::

    key "labo" {
            algorithm hmac-sha256;
            secret "…";
    };

A keytab holds the keys of Kerberos accounts, whose tickets sign updates (RFC 3645).

Their faults are reported together with those of the department config.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple, Optional

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import values
from certbot_tcs_lyon1.department.faults import Fault, text_of
from certbot_tcs_lyon1.department.settings import ALGORITHMS, Keytab, TsigKey
from certbot_tcs_lyon1.report import foreign

#: Algorithms that draw a warning (RFC 8945 §6).
WEAK = frozenset({"hmac-md5", "hmac-sha1"})

_ASK_FOR_ONE = "ask the DNS administrator for the file that tsig-keygen NAME prints"
_COPY_AGAIN = "copy the key again, as the DNS administrator sent it"
_STATEMENTS = ("algorithm", "secret")
_DNSSEC_KEYGEN = re.compile(r"^Private-key-format:|^\S+\s+(\d+\s+)?(IN\s+)?(DNS)?KEY\s+\d+\s", re.M)
# A comment can't start within a word: an unquoted secret may hold "//".
_TOKEN = re.compile(
    r"(?P<skip>\s+|//[^\n]*|\#[^\n]*|/\*.*?\*/)"
    r'|"(?P<quoted>[^"\n]*)"|(?P<mark>[{};])|(?P<word>(?:(?!/\*)[^\s{};"])+)',
    re.DOTALL,
)


class _Token(NamedTuple):
    line: int
    kind: str  # "quoted", "word" or "mark"
    text: str


def check_name(text: str) -> str:
    """Return the key's name without its final dot.

    :raises Fault: it is no domain name
    """
    name = text.removesuffix(".")
    if not re.fullmatch(r"[!-~]+", name) or re.search(r"[\"'\\;{}()]", name):
        what = "is empty, or has blanks, quotes or other odd characters"
        raise Fault(f"the TSIG key's name {what}", _COPY_AGAIN)
    if len(name) > 253 or not all(0 < len(label) <= 63 for label in name.split(".")):
        raise Fault("the TSIG key's name is not a domain name", _COPY_AGAIN)
    return name


def check_algorithm(text: str) -> str:
    """Return the algorithm as `ALGORITHMS` spells it.

    :raises Fault: it is unknown
    """
    name = text.lower().rstrip(".")
    if name == "hmac-md5.sig-alg.reg.int":
        return "hmac-md5"
    if name in ALGORITHMS:
        return name
    near = difflib.get_close_matches(name, ALGORITHMS, n=1)
    if near:
        raise Fault("unknown algorithm", f"did you mean {near[0]}?")
    raise Fault("unknown algorithm", f"known are {', '.join(ALGORITHMS)}")


def check_secret(text: str) -> str:
    """Return the secret: base64 with its padding. Its length is for the name server to judge.

    :raises Fault: it is empty or no base64
    """
    if not text:
        raise Fault("the TSIG key's secret is empty", _COPY_AGAIN)
    try:
        whole = len(text) % 4 == 0 and bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        whole = False
    if not whole:
        what = "is not base64 (cut short, or quotes?)"
        raise Fault(f"the TSIG key's secret {what}", f"{_COPY_AGAIN}, whole")
    return text


def parse_hmac_key(data: bytes) -> str:
    """Return the HMAC key of an ACME account from a file that holds it alone.

    :param data: the content of the file
    :raises Fault: it holds something else
    """
    lines = text_of(data).strip().splitlines()
    if len(lines) != 1:
        raise Fault("the file must hold the HMAC Key alone, on one line", values.FROM_PORTAL)
    return values.hmac_key(lines[0])


def parse_key(data: bytes) -> TsigKey:
    """Return the TSIG key of a key file.

    :param data: the content of the file
    :raises Fault: it is not a key file with one key; with the line
    """
    text = text_of(data)
    if _DNSSEC_KEYGEN.search(text):
        raise Fault("a file of dnssec-keygen, not a TSIG key file", _ASK_FOR_ONE, 1)
    tokens = _tokens(text)
    if not tokens:
        raise Fault("the file is empty", _COPY_AGAIN)
    first = tokens[0]
    if first.kind != "word" or first.text.lower() != "key":
        raise Fault("not a TSIG key file", _ASK_FOR_ONE, first.line)
    if [token.kind == "mark" for token in tokens[:3]] != [False, False, True]:
        form = 'key "NAME" { algorithm …; secret "…"; };'
        raise Fault(f"is not of the form: {form}", _COPY_AGAIN, first.line)
    name = tokens[1]
    end = next((index for index, token in enumerate(tokens) if _is_mark(token, "}")), None)
    if end is None or not _is_mark(tokens[2], "{"):
        cause = "the key needs an opening and a closing brace"
        raise Fault(cause, _COPY_AGAIN, tokens[2].line)
    _check_end(tokens[end + 1 :])
    values = _statements(tokens[3:end])
    for statement in _STATEMENTS:
        if statement not in values:
            raise Fault(f"the key has no {statement}", _COPY_AGAIN, name.line)
    algorithm, secret = values["algorithm"], values["secret"]
    return TsigKey(
        _with_line(name.line, check_name, name.text),
        _with_line(algorithm.line, check_algorithm, algorithm.text),
        _with_line(secret.line, check_secret, secret.text),
    )


def _tokens(text: str) -> list[_Token]:
    """Return the words, strings and punctuation of a key file, without blanks and comments."""
    tokens = []
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            what = "quote" if text[position] == '"' else "comment"
            raise Fault(f"the {what} opened here is not closed", _COPY_AGAIN, line)
        kind = match.lastgroup or ""
        if kind != "skip":
            tokens.append(_Token(line, kind, match[kind]))
        line += text.count("\n", position, match.end())
        position = match.end()
    return tokens


def _is_mark(token: _Token, mark: str) -> bool:
    return token.kind == "mark" and token.text == mark


def _check_end(rest: list[_Token]) -> None:
    """Check that only a semicolon follows the key's closing brace."""
    if rest and _is_mark(rest[0], ";"):
        rest = rest[1:]
    if rest and rest[0].text.lower() == "key":
        raise Fault("a second key", "leave one key in the file", rest[0].line)
    if rest:
        raise Fault("something follows the key", "leave one key alone in the file", rest[0].line)


def _statements(tokens: list[_Token]) -> dict[str, _Token]:
    """Return the value of each statement between the braces, by the statement's name."""
    values: dict[str, _Token] = {}
    for start in range(0, len(tokens), 3):
        option, *rest = tokens[start : start + 3]
        name = option.text.lower()
        if name not in _STATEMENTS:  # not shown: it could be the secret
            near = difflib.get_close_matches(name, _STATEMENTS, n=1)
            known = f"a key has algorithm and secret; {_COPY_AGAIN}"
            remedy = f"did you mean {near[0]}?" if near else known
            raise Fault("unknown statement", remedy, option.line)
        if len(rest) < 2 or rest[0].kind == "mark" or not _is_mark(rest[1], ";"):
            cause = f"{name} needs one value, and a semicolon after it"
            raise Fault(cause, _COPY_AGAIN, option.line)
        if name in values:
            raise Fault(f"a second {name}", "leave one", option.line)
        values[name] = rest[0]
    return values


def _with_line(line: int, check: Callable[[str], str], text: str) -> str:
    """Return `check(text)`, with the line added to its `Fault`."""
    try:
        return check(text)
    except Fault as fault:
        fault.line = line
        raise


# Keytabs

_EXPORT_AGAIN = (
    "export it again (MIT: ktadd -k FILE NAME; Samba: samba-tool domain exportkeytab FILE "
    "--principal=NAME; Windows: ktpass), and copy it as binary"
)
#: Encryption types that AD and MIT refuse by default: DES, triple DES, RC4 (RFC 8429).
_REFUSED_TYPES = frozenset({1, 2, 3, 5, 7, 16, 23, 24})
_PRINCIPAL = re.compile(r"[^\s@\\/]+(/[^\s@\\/]+)*@[^\s@\\/]+")


def check_principal(text: str) -> str:
    """Return the principal.

    :raises Fault: it is not NAME@REALM
    """
    if not _PRINCIPAL.fullmatch(text) or not text.isprintable():
        raise Fault(
            "is no NAME@REALM", f"write the account with its realm, as in {lyon1.EXAMPLE_PRINCIPAL}"
        )
    return text


def principals(data: bytes) -> list[str]:
    """Return the principals of a keytab's keys, accounts before services.

    :param data: the content of the keytab
    :raises Fault: it is no keytab
    """
    return _in_order({name for name, _ in _keytab_entries(data)})


def parse_keytab(data: bytes, principal: Optional[str] = None) -> Keytab:
    """Return the account that signs, with the keytab.

    :param data: the content of the keytab
    :param principal: the account's name; needed if the keytab holds keys of several
    :raises Fault: it is no keytab, or holds no usable key of the account
    """
    types: dict[str, set[int]] = {}
    for name, encryption in _keytab_entries(data):
        types.setdefault(name, set()).add(encryption)
    if not types:
        raise Fault("the keytab holds no key", _EXPORT_AGAIN)
    if principal is None and len(types) > 1:
        raise Fault(f"holds keys of {_listed(types)}", "choose one with principal = NAME@REALM")
    name = next(iter(types)) if principal is None else principal
    if name not in types:
        raise Fault(
            f"holds no key of {name}, but of {_listed(types)} (upper and lower case count)",
            f"correct principal, or {_EXPORT_AGAIN}",
        )
    machine = next((other for other in types if "$@" in other), None)
    if machine and "/" in name:
        raise Fault(
            f"{foreign(name)} is a service of a machine in Active Directory, which gives tickets to"
            " accounts alone",
            f"write principal = {foreign(machine)}",
        )
    if types[name] <= _REFUSED_TYPES:
        raise Fault(
            f"holds for {foreign(name)} only keys that Kerberos no longer takes (DES, RC4)",
            "have it exported with AES keys (Windows: ktpass /crypto AES256-SHA1, and AES allowed"
            " for the account)",
        )
    return Keytab(name, data)


def _listed(names: Iterable[str]) -> str:
    """Return the first five names, as they may be shown."""
    first = _in_order(names)
    more = ", and so on" if len(first) > 5 else ""
    return ", ".join(foreign(name, 80) for name in first[:5]) + more


def _in_order(names: Iterable[str]) -> list[str]:
    """Return the names sorted, accounts before services (which have a slash)."""
    return sorted(names, key=lambda name: ("/" in name, name))


def _keytab_entries(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield principal and encryption type of each key in a keytab.

    The format is version 0x0502 of MIT's, big-endian, which Samba and Windows' ktpass write as
    well.

    :raises Fault: it is no keytab
    """
    if not data:
        raise Fault("the keytab is empty", _EXPORT_AGAIN)
    if data[:2] != b"\5\2":
        raise Fault("is no keytab (of version 0502)", _EXPORT_AGAIN)
    at = 2
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        at += 4
        if size > 0:
            try:
                yield _keytab_entry(memoryview(data)[at : at + size], size)
            except ValueError:
                raise Fault("the keytab is damaged or cut short", _EXPORT_AGAIN) from None
        elif size == 0:  # the end, for MIT's library
            return
        at += abs(size)  # a negative size is that of a deleted entry


def _keytab_entry(entry: memoryview, size: int) -> tuple[str, int]:
    """Return principal and encryption type of one entry.

    :raises ValueError: it is not whole, or its principal can't be read
    """
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        if at + count > size or len(entry) != size:
            raise ValueError
        at += count
        return bytes(entry[at - count : at])

    def number() -> int:
        return int.from_bytes(take(2), "big")

    count = number()
    realm, *parts = [take(number()).decode() for _ in range(count + 1)]
    name = f"{'/'.join(parts)}@{realm}"
    if not _PRINCIPAL.fullmatch(name):
        raise ValueError
    take(9)  # the name's type, the time, the key's version
    encryption = number()
    if not take(number()):
        raise ValueError
    return name, encryption
