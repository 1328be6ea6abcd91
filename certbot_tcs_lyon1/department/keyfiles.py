"""The keys of the department config, inline or in files: HMAC keys, TSIG keys, keytabs.

A TSIG key (RFC 8945) signs updates. Its file has the format that BIND's ``tsig-keygen NAME`` prints
and ``nsupdate -k`` reads::

    key "labo" {
            algorithm hmac-sha256;
            secret "…";
    };

A keytab holds the keys of Kerberos accounts, whose tickets sign updates (RFC 3645).

Their faults are reported together with those of the department config.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Optional

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import values
from certbot_tcs_lyon1.department.faults import Fault, did_you_mean, text_of
from certbot_tcs_lyon1.department.settings import ALGORITHMS, Keytab, TsigKey
from certbot_tcs_lyon1.report import foreign

#: Algorithms that draw a warning (RFC 8945 §6).
WEAK = frozenset({"hmac-md5", "hmac-sha1"})

_ASK_FOR_ONE = "ask the DNS administrator for the file that tsig-keygen NAME prints"
_COPY_AGAIN = "copy the key again, as the DNS administrator sent it"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
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

    def checked(self, check: Callable[[str], str]) -> str:
        """Return `check(text)`, with the line added to its `Fault`."""
        try:
            return check(self.text)
        except Fault as fault:
            fault.line = self.line
            raise


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
    if name not in ALGORITHMS:
        known = f"known are {', '.join(ALGORITHMS)}"
        raise Fault("unknown algorithm", did_you_mean(name, ALGORITHMS) or known)
    return name


def check_secret(text: str) -> str:
    """Return the secret: base64 with its padding. Its length is for the name server to judge.

    :raises Fault: it is empty or no base64
    """
    if not text:
        raise Fault("the TSIG key's secret is empty", _COPY_AGAIN)
    if not _BASE64.fullmatch(text):
        what = "is not base64 (cut short, or quotes?)"
        raise Fault(f"the TSIG key's secret {what}", f"{_COPY_AGAIN}, whole")
    return text


#: The statements of a key file, with their checks.
_STATEMENTS = {"algorithm": check_algorithm, "secret": check_secret}


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
    # A letter for each token, so that a place in one is a place in the other.
    form = "".join(token.text if token.kind == "mark" else "w" for token in tokens)
    if not re.match(r"ww[{};]", form):
        wanted = 'key "NAME" { algorithm …; secret "…"; };'
        raise Fault(f"is not of the form: {wanted}", _COPY_AGAIN, first.line)
    match = re.match(r"ww\{([^}]*)\};?", form)
    if match is None:
        cause = "the key needs an opening and a closing brace"
        raise Fault(cause, _COPY_AGAIN, tokens[2].line)
    rest = tokens[match.end() :]
    if rest:
        cause = "a second key" if rest[0].text.lower() == "key" else "something follows the key"
        raise Fault(cause, "leave one key in the file", rest[0].line)
    name, statements = tokens[1], _statements(tokens[3 : match.end(1)])
    for statement in _STATEMENTS:
        if statement not in statements:
            raise Fault(f"the key has no {statement}", _COPY_AGAIN, name.line)
    parts = {key: statements[key].checked(check) for key, check in _STATEMENTS.items()}
    return TsigKey(name.checked(check_name), **parts)


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


def _statements(tokens: list[_Token]) -> dict[str, _Token]:
    """Return the value of each statement between the braces, by the statement's name."""
    values: dict[str, _Token] = {}
    for start in range(0, len(tokens), 3):
        option, *rest = tokens[start : start + 3]
        name = option.text.lower()
        if name not in _STATEMENTS:  # not shown: it could be the secret
            known = f"a key has algorithm and secret; {_COPY_AGAIN}"
            raise Fault("unknown statement", did_you_mean(name, _STATEMENTS) or known, option.line)
        if [token.kind == "mark" for token in rest] != [False, True] or rest[1].text != ";":
            cause = f"{name} needs one value, and a semicolon after it"
            raise Fault(cause, _COPY_AGAIN, option.line)
        if name in values:
            raise Fault(f"a second {name}", "leave one", option.line)
        values[name] = rest[0]
    return values


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
    rest = io.BytesIO(data[2:])
    while len(head := rest.read(4)) == 4:
        size = int.from_bytes(head, "big", signed=True)
        if size == 0:  # the end, for MIT's library
            return
        entry = rest.read(abs(size))  # a negative size is that of a deleted entry
        if size > 0:
            try:
                yield _keytab_entry(entry, size)
            except ValueError:
                raise Fault("the keytab is damaged or cut short", _EXPORT_AGAIN) from None


def _keytab_entry(entry: bytes, size: int) -> tuple[str, int]:
    """Return principal and encryption type of one entry.

    :raises ValueError: it is not whole, or its principal can't be read
    """
    rest = io.BytesIO(entry)

    def take(count: int) -> bytes:
        part = rest.read(count)
        if len(part) < count or len(entry) < size:
            raise ValueError
        return part

    def number() -> int:
        return int.from_bytes(take(2), "big")

    count = number()
    realm, *parts = [take(number()).decode() for _ in range(count + 1)]
    name = f"{'/'.join(parts)}@{realm}"
    take(9)  # the name's type, the time, the key's version
    encryption = number()
    if not take(number()) or not _PRINCIPAL.fullmatch(name):
        raise ValueError
    return name, encryption
