"""The department config: one file read into plain frozen data, with all its faults told together.

`read` returns `Settings`; `DepartmentError` is everything a user can have got wrong. The format is
`configparser`'s, without interpolation. A message names the file, the line, the section and the
key, never the value of a key that may hold a secret: exceptions of `configparser` and of codecs
quote the file, so they are turned into line numbers where they arise and never chained.
"""

from __future__ import annotations

import base64
import configparser
import difflib
import encodings.idna
import ipaddress
import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.dns01 import tsig

_Check = Callable[[str], Any]

#: The smallest file that works, once the values from the portal are filled in.
SMALLEST = """\
[tcs]
email = prenom.nom@univ-lyon1.fr
agree_tos = yes

[department my-department]
eab_kid = <Key ID from the portal>
eab_hmac_key = <HMAC Key from the portal>

; Only for names that the CA does not hold as validated already:
;[dns]
;server = ns-maj.univ-lyon1.fr
;key_file = /etc/letsencrypt/tcs-lyon1.key
"""

#: RFC 8555 leaves the length open; HMAC-SHA256 wants 32 bytes (RFC 7518, section 3.2).
_HMAC_BYTES = 32
_MANY_LINES = "goes on over an indented line; begin every key at the margin, and end it there"
_PORTAL = f"copy it from the portal ({lyon1.PORTAL_ACCOUNTS})"
_LABEL = re.compile(r"_?[a-z0-9]([a-z0-9-]*[a-z0-9])?")
#: A word that only a shell would understand; `\;` alone is a word of `find`.
_SHELL = re.compile(r"[|&]+|[0-9&]*>.*|<|\S+;")
_HEADER = re.compile(r"\[(?P<header>[^]]+)\]$")
#: Begins the name of a section or key that was told already; NUL is refused in the file itself.
_TOLD = "\0"


class DepartmentError(Exception):
    """The department config cannot be used; `str()` is the whole message, one fault per line."""


class _Fault(Exception):
    """What is wrong with one value, and what to do; never holds a value that may be secret."""


@dataclass(frozen=True)
class Endpoint:
    """A name server: DNS name or address (IPv6 without brackets), and port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the endpoint as the department config writes it, without the usual port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


@dataclass(frozen=True)
class Department:
    """One `[department NAME]`, completed from `[tcs]`.

    `issuance_timeout` is in seconds; `eab_hmac_key` is base64url without padding; `domains` are
    A-labels in lower case, without a last dot.
    """

    name: str
    server: str
    email: Optional[str]
    agree_tos: bool
    issuance_timeout: Optional[int]
    dry_run_server: Optional[str]
    eab_kid: str
    eab_hmac_key: str = field(repr=False)
    domains: tuple[str, ...]


@dataclass(frozen=True)
class DnsServer:
    """One `[dns]` or `[dns NAME]`: who takes the updates for names at or under `base`.

    `base` is "" for `[dns]`; `servers` are in order of preference; `ttl` and
    `propagation_seconds` are in seconds; `section` is the header as written, for messages.
    """

    base: str
    servers: tuple[Endpoint, ...]
    key: tsig.TsigKey
    zone: Optional[str]
    ttl: int = 60
    check_servers: tuple[Endpoint, ...] = ()
    propagation_seconds: int = 120
    section: str = "dns"


@dataclass(frozen=True)
class Target:
    """One `[install NAME]`: where the lineage `certificate` goes; all paths are absolute.

    `mode` is the file mode's bits; `test` and `reload` are commands, as lists of words.
    """

    name: str
    certificate: str
    fullchain: Optional[str]
    cert: Optional[str]
    chain: Optional[str]
    privkey: Optional[str]
    combined: Optional[str]
    pkcs12: Optional[str]
    pkcs12_password_file: Optional[str]
    owner: Optional[str]
    group: Optional[str]
    mode: Optional[int]
    test: Optional[tuple[str, ...]]
    reload: Optional[tuple[str, ...]]


@dataclass(frozen=True)
class Settings:
    """A whole department config; `warnings` are complete messages."""

    path: str
    departments: tuple[Department, ...]
    dns: tuple[DnsServer, ...]
    targets: tuple[Target, ...]
    warnings: tuple[str, ...]

    def dns_server_for(self, name: str) -> Optional[DnsServer]:
        """Return the section for `name` (A-labels): the longest match on labels, `[dns]`, None."""
        labels = "." + name.lower().rstrip(".")
        matches = [dns for dns in self.dns if not dns.base or labels.endswith("." + dns.base)]
        return max(matches, key=lambda dns: len(dns.base), default=None)


def read(path: str) -> Settings:
    """Read the department config at `path`, and the key files it names.

    Raises `DepartmentError` with all faults of the file, or the reason why it cannot be read.
    """
    path = os.path.abspath(path)
    try:
        data, mode = _read_file(path)
    except FileNotFoundError:
        raise DepartmentError(_missing(path)) from None
    except OSError as error:
        raise DepartmentError(
            f"{path}: cannot be read: {_reason(error)}; run certbot as root, or name another"
            f" file with {lyon1.CONFIG_OPTION} PATH"
        ) from None
    source = _Source(path, data)
    source.check_rights(path, mode)
    settings = _settings(source, _parse(source))
    if source.faults:
        source.faults.sort(key=lambda fault: fault[0])
        raise DepartmentError("\n".join(text for _, text in source.faults))
    return settings


def _missing(path: str) -> str:
    return (
        f"{path}: there is no such file. Write it and run: chmod 600 {shlex.quote(path)}\n"
        f"If it is elsewhere, name it with {lyon1.CONFIG_OPTION} PATH."
        f" The smallest file that works:\n\n{SMALLEST}"
    )


# The file: text, line numbers, what was found wrong


class _Source:
    """The text of the file by lines, and what is told about them."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.faults: list[tuple[int, str]] = []
        self.warnings: list[str] = []
        # Bytes that are not UTF-8 become surrogates: an exception about them would hold the file.
        text = data.decode("utf-8-sig", errors="surrogateescape")
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for index, line in enumerate(self.lines):
            self.lines[index] = re.sub("[\0\udc80-\udcff]", "?", line)
            if self.lines[index] != line:
                what = "has a NUL byte" if "\0" in line else "is not UTF-8"
                self.fault("", "", f"the line {what}; save the file as UTF-8 text", index + 1)
        self.numbers = _line_numbers(self.lines)

    def fault(self, header: str, key: str, text: str, number: Optional[int] = None) -> None:
        """Note a fault of a key ("": of its section), at line `number` if that is another line."""
        number = self.number(header, key) if number is None else number
        self.faults.append((number, f"{self._place(header, key, number)}: {text}"))

    def warn(self, header: str, key: str, text: str) -> None:
        """Note what works but should be mended."""
        place = self._place(header, key, self.number(header, key))
        self.warnings.append(f"{place}: {text}")

    def number(self, header: str, key: str) -> int:
        """Return the line of a key; where it is missing, the line of its section; else 0."""
        return self.numbers.get((header, key)) or self.numbers.get((header, ""), 0)

    def _place(self, header: str, key: str, number: int) -> str:
        """Return `FILE, line N, [section] key`, without the parts that there are not."""
        line = f", line {number}" if number else ""
        section = f", [{header}] {key}".rstrip() if header else ""
        return f"{self.path}{line}{section}"

    def check_rights(self, path: str, mode: int, header: str = "", key: str = "") -> None:
        """Note if others than its owner can write or read the file at `path`."""
        who = "" if path == self.path else f"{path}: "
        remedy = f"run: chmod 600 {shlex.quote(path)}"
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            self.fault(header, key, f"{who}others than its owner can write it; {remedy}")
        elif mode & (stat.S_IRGRP | stat.S_IROTH):
            self.warn(header, key, f"{who}others than its owner can read it; {remedy}")


def _read_file(path: str, size: int = -1) -> tuple[bytes, int]:
    """Return a file's first `size` bytes (-1: all) and its mode.

    Raises `OSError` if it cannot be read or is no ordinary file.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for ever.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, "Not an ordinary file")
        return file.read(size), mode


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown reason").lower()


def _line_numbers(lines: list[str]) -> dict[tuple[str, str], int]:
    """Return the line of each (section, key), with "" as the key of the section's own line."""
    numbers: dict[tuple[str, str], int] = {}
    header, margin = "", -1
    for number, line in enumerate(lines, start=1):
        text = re.split(r"(?:^|\s);", line, maxsplit=1)[0].strip()
        indent = len(line) - len(line.lstrip())
        if not text or text.startswith("#") or -1 < margin < indent:
            continue  # blank, a comment, or more of the value above
        match = _HEADER.match(text)
        if match:
            header, margin = match["header"], -1
            numbers.setdefault((header, ""), number)
        elif "=" in text:
            margin = indent
            numbers.setdefault((header, text.partition("=")[0].strip().lower()), number)
    return numbers


def _parse(source: _Source) -> configparser.ConfigParser:
    """Return the file parsed, with faults of its form noted.

    `configparser` stops at the first duplicate: such a line is renamed, and the file parsed again.
    """
    lines = list(source.lines)
    while True:
        parser = configparser.ConfigParser(
            interpolation=None,
            delimiters=("=",),
            inline_comment_prefixes=(";",),
            default_section=_TOLD,
        )
        parser.SECTCRE = _HEADER
        try:
            parser.read_file(lines)
        except configparser.DuplicateSectionError as error:
            _rename(lines, error.lineno, "[{}]")
            _tell_twice(source, error.lineno, error.section, "")
        except configparser.DuplicateOptionError as error:
            _rename(lines, error.lineno, "{} =")
            _tell_twice(source, error.lineno, error.section, error.option)
        except configparser.MissingSectionHeaderError as error:
            lines[error.lineno - 1] = ""
            text = "stands before the first [section]; move it into one"
            source.fault("", "", text, error.lineno)
        except configparser.ParsingError as error:
            for number, _ in error.errors:
                _rename(lines, number, "{} =")
                text = "neither a [section] alone on its line nor key = value; correct it"
                source.fault("", "", text, number)
        else:
            return parser


def _rename(lines: list[str], number: Optional[int], form: str) -> None:
    """Put an empty section or key, told already, in place of a line; what it held goes with it."""
    index = (number or 1) - 1
    indent = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
    lines[index] = indent + form.format(f"{_TOLD}{number}")


def _tell_twice(source: _Source, number: Optional[int], header: str, key: str) -> None:
    """Note a section or key that stands in the file again, unless its section does, too."""
    if not header.startswith(_TOLD):
        text = f"stands here again, after line {source.number(header, key)}; keep one"
        source.fault(header, key if key in _EVERY_KEY else "", text, number)


# The sections: which there are, and what they hold


def _settings(source: _Source, parser: configparser.ConfigParser) -> Settings:
    """Return the settings; where a fault was noted they are incomplete, and not to be used."""
    sections = _sections(source, parser)
    shared: dict[str, Any] = {}
    for section in sections["tcs"]:
        shared = _values(source, section.body, _TCS)
    departments = [_department(source, section, shared) for section in sections["department"]]
    servers = [_dns_server(source, section) for section in sections["dns"]]
    targets = [_target(source, section) for section in sections["install"]]
    _check_owners(source, sections["department"], departments)
    _check_bases(source, servers)
    _check_paths(source, sections["install"], targets)
    return Settings(
        source.path, tuple(departments), tuple(servers), tuple(targets), tuple(source.warnings)
    )


class _Section(NamedTuple):
    name: str
    body: configparser.SectionProxy

    @property
    def header(self) -> str:
        return self.body.name


def _sections(source: _Source, parser: configparser.ConfigParser) -> dict[str, list[_Section]]:
    """Return the sections by kind, with the faults of their headers noted."""
    found: dict[str, list[_Section]] = {kind: [] for kind in _KINDS}
    meant = set()
    for header in parser.sections():
        if header.startswith(_TOLD):
            continue
        kind, *names = header.split() or [""]
        name = " ".join(names)
        near = difflib.get_close_matches(kind.lower(), _KINDS, n=1)
        meant.update(near)
        if kind not in _KINDS:
            _tell_unknown_section(source, header, name, near)
            continue
        fault = _name_fault(kind, name)
        if fault:
            source.fault(header, "", fault)
        elif name in (section.name for section in found[kind]):
            source.fault(header, "", "stands in this file already; keep one")
            continue
        found[kind].append(_Section(name, parser[header]))
    if "department" not in meant:
        source.fault("", "", "no department; write a section [department NAME] with its EAB key")
    return found


def _tell_unknown_section(source: _Source, header: str, name: str, near: list[str]) -> None:
    number = source.number(header, "")
    if near:
        meant = f"{near[0]} {name}".rstrip()
        source.fault(header, "", f"is unknown; did you mean [{meant}]?", number)
    else:
        known = ", ".join(_KINDS.values())
        source.fault(_shown(header), "", f"is unknown; there are {known}", number)


def _name_fault(kind: str, name: str) -> str:
    """Return what is wrong with the name in a header, or ""."""
    if kind == "tcs":
        return "takes no name; write [tcs]" if name else ""
    if kind == "dns":
        return ""  # a domain: `_dns_server` looks at it
    if not name:
        return f"has no name; write {_KINDS[kind]}"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return "the name may have letters, digits, dots, hyphens and underscores; change it"
    if name in ("None", "True", "False"):  # certbot turns them into values when it renews
        return "certbot cannot store this name; take another"
    return ""


def _values(
    source: _Source, section: configparser.SectionProxy, checks: Mapping[str, _Check]
) -> dict[str, Any]:
    """Return the good values of a section, checked and converted, with the faults noted."""
    good = {}
    for key, text in section.items():
        if key.startswith(_TOLD):
            continue
        if key not in checks:
            _tell_unknown_key(source, section.name, key, checks)
            continue
        try:
            _check_form(text, checks[key], source.lines[source.number(section.name, key) - 1])
            good[key] = checks[key](text)
        except (_Fault, tsig.KeyFault) as fault:
            source.fault(section.name, key, str(fault))
    return good


def _check_form(text: str, check: _Check, line: str) -> None:
    """Raise `_Fault` if a value is empty, runs over several lines, or lost its end to a comment."""
    if not text and check not in _MAY_BE_EMPTY:
        raise _Fault("is empty; fill it in, or remove the line")
    _, *more = text.split("\n")
    if more and (check not in _LISTS or any("=" in part for part in more)):
        raise _Fault(_MANY_LINES)
    if check is _command and re.search(r"\s;", line):
        raise _Fault(
            "commands run without a shell, so `;` does not part them, and a comment goes on a"
            " line of its own"
        )


def _tell_unknown_key(source: _Source, header: str, key: str, checks: Mapping[str, _Check]) -> None:
    """Note a key that its section does not know; the key is told only if it is no lost secret."""
    number = source.number(header, key)
    homes = [_KINDS[kind] for kind, keys in _KEYS.items() if key in keys]
    near = difflib.get_close_matches(key, checks, 1) or difflib.get_close_matches(
        key, _EVERY_KEY, 1
    )
    if homes:
        text = f"does not belong here; move it to {' or '.join(homes)}"
    elif near:
        text = f"is unknown; did you mean {near[0]}?"
    else:
        text = f"is unknown; known are {', '.join(checks)}"
    source.fault(header, _shown(key, *near), text, number)


def _department(source: _Source, section: _Section, shared: dict[str, Any]) -> Department:
    own = _values(source, section.body, _DEPARTMENT)
    if "eab_kid" not in section.body:
        source.fault(section.header, "eab_kid", f"is missing; {_PORTAL}")
    values = {**shared, **own}
    return Department(
        name=section.name,
        server=values.get("server", lyon1.DEFAULT_SERVER),
        email=values.get("email"),
        agree_tos=values.get("agree_tos", False),
        issuance_timeout=values.get("issuance_timeout"),
        dry_run_server=values.get("dry_run_server"),
        eab_kid=own.get("eab_kid", ""),
        eab_hmac_key=_eab_hmac_key(source, section, own),
        domains=own.get("domains", ()),
    )


def _eab_hmac_key(source: _Source, section: _Section, own: dict[str, Any]) -> str:
    """Return the HMAC key, from the section or from its file; "" where a fault was noted."""
    inline, key = "eab_hmac_key", "eab_hmac_key_file"
    if inline in section.body and key in section.body:
        source.fault(section.header, key, f"{inline} is there as well; keep one of them")
    if inline not in section.body and key not in section.body:
        source.fault(section.header, inline, f"is missing; {_PORTAL}, or name a file in {key}")
    if key not in own:
        return str(own.get(inline, ""))
    data = _named_file(source, section.header, key, own[key])
    if data is None:
        return ""
    lines = data.decode("utf-8-sig", errors="surrogateescape").strip().splitlines()
    try:
        if len(lines) != 1:
            raise _Fault("the file must hold the HMAC key alone, on one line")
        return _hmac(lines[0])
    except _Fault as fault:
        source.fault(section.header, key, f"{own[key]}: {fault}")
        return ""


def _named_file(
    source: _Source, header: str, key: str, path: str, size: int = -1
) -> Optional[bytes]:
    """Return up to `size` bytes of a file that a key names; None after a fault.

    Its rights are checked, too; a `size` of 0 is for that alone.
    """
    try:
        data, mode = _read_file(path, size)
    except OSError as error:
        source.fault(header, key, f"{_shown(path)}: {_reason(error)}; correct the path or the file")
        return None
    source.check_rights(path, mode, header, key)
    return data


def _dns_server(source: _Source, section: _Section) -> DnsServer:
    header, own = section.header, _values(source, section.body, _DNS)
    base = ""
    try:
        base = _name(section.name) if section.name else ""
    except _Fault as fault:
        source.fault(header, "", f"{fault}; write [dns] or [dns DOMAIN]")
    if "server" not in section.body:
        source.fault(header, "server", "is missing; name the server that takes the updates")
    zone = own.get("zone")
    if base and zone and not (_under(base, zone) or _under(zone, base)):
        source.fault(header, "zone", f"{zone} neither holds {base} nor lies in it; correct one")
    return DnsServer(
        base=base,
        servers=own.get("server", ()),
        key=_tsig_key(source, section, own),
        zone=zone or None,
        ttl=own.get("ttl", 60),
        check_servers=own.get("check_servers", ()),
        propagation_seconds=own.get("propagation_seconds", 120),
        section=header,
    )


def _tsig_key(source: _Source, section: _Section, own: dict[str, Any]) -> tsig.TsigKey:
    """Return the key, from the section or from its file; an empty one where a fault was noted."""
    header, body = section.header, section.body
    inline = [key for key in ("key_name", "key_secret", "key_algorithm") if key in body]
    if "key_file" in body and inline:
        source.fault(header, inline[0], "key_file is there as well; keep one of them")
    elif "key_file" not in body:
        for key in ("key_name", "key_secret"):
            if key not in body:
                source.fault(header, key, "is missing; write key_file, or key_name and key_secret")
    where = "key_file" if "key_file" in body else "key_algorithm"
    found = tsig.TsigKey(
        own.get("key_name", ""),
        own.get("key_algorithm", tsig.DEFAULT_ALGORITHM),
        own.get("key_secret", ""),
    )
    path = own.get("key_file")
    if path and _named_file(source, header, where, path, size=0) is not None:
        try:
            found = tsig.read_key_file(path)
        except tsig.KeyFault as fault:
            line = f", line {fault.line}" if fault.line else ""
            source.fault(header, where, f"{path}{line}: {fault}")
    if found.algorithm in tsig.WEAK:
        source.warn(header, where, f"{found.algorithm} is weak; take {tsig.DEFAULT_ALGORITHM}")
    return found


def _target(source: _Source, section: _Section) -> Target:
    header, own = section.header, _values(source, section.body, _INSTALL)
    if "certificate" not in section.body:
        source.fault(header, "certificate", "is missing; give the lineage (certbot certificates)")
    if not any(key in section.body for key in _WRITTEN):
        source.fault(header, "", f"writes nothing; add one of {', '.join(_WRITTEN)}")
    for key, other in (_PKCS12, _PKCS12[::-1]):
        if key in section.body and other not in section.body:
            source.fault(header, other, f"is missing; {key} needs it")
    password_file = own.get("pkcs12_password_file")
    if password_file and os.path.exists(password_file):
        _named_file(source, header, "pkcs12_password_file", password_file, size=0)
    values = {key: own.get(key) for key in _INSTALL}
    return Target(**{**values, "name": section.name, "certificate": own.get("certificate", "")})


def _check_owners(source: _Source, sections: list[_Section], found: list[Department]) -> None:
    """Note each domain that a second department claims."""
    owners: dict[str, str] = {}
    for section, department in zip(sections, found):
        for domain in department.domains:
            owner = owners.setdefault(domain, section.header)
            if owner != section.header:
                place = f"[{owner}], line {source.number(owner, 'domains')}"
                source.fault(section.header, "domains", f"{domain} is in {place}, too; keep one")


def _check_bases(source: _Source, found: list[DnsServer]) -> None:
    """Note each `[dns NAME]` that is another spelling of one before."""
    first: dict[str, str] = {}
    for server in found:
        before = first.setdefault(server.base, server.section)
        if server.base and before != server.section:
            place = f"[{before}], line {source.number(before, '')}"
            source.fault(server.section, "", f"is the same as {place}; keep one")


def _check_paths(source: _Source, sections: list[_Section], found: list[Target]) -> None:
    """Note each path that is written twice."""
    writers: dict[str, tuple[str, str]] = {}
    for section, target in zip(sections, found):
        for key in _WRITTEN:
            path = getattr(target, key)
            here = (section.header, key)
            if path and writers.setdefault(os.path.normpath(path), here) != here:
                header, other = writers[os.path.normpath(path)]
                place = f"[{header}] {other}, line {source.number(header, other)}"
                source.fault(*here, f"{_shown(path)} is written by {place}, too; keep one")


# The values: each check returns the value converted, or raises a fault without a place


def _shown(text: str, near: str = "") -> str:
    """Return `text` if a message may hold it, for it cannot be a secret in the wrong place.

    Secrets are long and have no dots; a misspelling is about as long as `near`, what was meant.
    """
    if len(text) < 16 or (near and len(text) <= len(near) + 3) or ("." in text and "=" not in text):
        return text
    return "(not shown)"


def _each(text: str, check: Callable[[str], Any]) -> tuple[Any, ...]:
    """Return the checked items of a list parted by commas and blanks, each once."""
    good, bad = [], []
    for item in filter(None, re.split(r"[,\s]+", text)):
        try:
            good.append(check(item))
        except _Fault as fault:
            bad.append(f"{_shown(item)}: {fault}")
    if bad:
        raise _Fault("; ".join(bad))
    return tuple(dict.fromkeys(good))


def _name(text: str) -> str:
    """Return a DNS name as A-labels (RFC 5890), in lower case, without its last dot."""
    if text.startswith("*."):
        raise _Fault("is a wildcard; write it without *., that covers the wildcard")
    bare = text[:-1] if text.endswith(".") else text
    try:
        labels = [
            encodings.idna.ToASCII(label).decode("ascii").lower()
            for label in re.split("[.\u3002\uff0e\uff61]", bare)
        ]
    except UnicodeError:
        labels = [""]
    name = ".".join(labels)
    if len(name) > 253 or not all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels):
        raise _Fault("is not a DNS name; correct it")
    if labels[-1].isdigit():
        raise _Fault("is an address, or no DNS name: it ends in a number; correct it")
    return name


def _domain(text: str) -> str:
    name = _name(text)
    if "." not in name:
        raise _Fault("has one label only; write the full name")
    return name


def _domains(text: str) -> tuple[str, ...]:
    return _each(text, _domain)


def _zone(text: str) -> str:
    return _name(text) if text else ""


def _under(name: str, zone: str) -> bool:
    return ("." + name).endswith("." + zone)


def _endpoint(text: str) -> Endpoint:
    """Return the endpoint written as a name, v4, [v6], each with :port or without, or bare v6."""
    match = re.fullmatch(
        r"\[(?P<v6>[^]]+)\](?::(?P<port6>.*))?|(?P<v4>[^:]+):(?P<port4>[^:]*)", text
    )
    host, port = text, "53"
    if match:
        host = match["v6"] or match["v4"]
        port = next((part for part in (match["port6"], match["port4"]) if part is not None), "53")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise _Fault("the port is not a number from 1 to 65535; correct it")
    if match and match["v6"] and ":" not in host:
        raise _Fault("only an IPv6 address goes into brackets; write it without")
    try:
        return Endpoint(str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        pass
    if ":" in host:
        raise _Fault("is not an IPv6 address; with a port, write [ADDRESS]:PORT")
    return Endpoint(_name(host), int(port))


def _endpoints(text: str) -> tuple[Endpoint, ...]:
    return _each(text, _endpoint)


def _update_servers(text: str) -> tuple[Endpoint, ...]:
    servers = _endpoints(text)
    if not servers:
        raise _Fault("is empty; name the server that takes the updates")
    return servers


def _https_url(text: str) -> str:
    try:
        url = urlsplit(text)
        good = url.scheme == "https" and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or not re.fullmatch("[!-~]+", text) or "#" in text or re.search("[<>\"']", text):
        raise _Fault("is not an https URL; copy the ACME URL from the portal")
    if "@" in url.netloc:
        raise _Fault("has a user name or password in the URL; take it out")
    return text


def _email(text: str) -> str:
    addresses = [address.strip() for address in text.split(",")]
    for address in addresses:
        if not re.fullmatch(r"[^\s@:;<>\"']+@[^\s@:;<>\"'.]+(\.[^\s@:;<>\"'.]+)+", address):
            raise _Fault("is not an e-mail address; write one, or several parted by commas")
    return ",".join(addresses)


def _yes_no(text: str) -> bool:
    states = configparser.ConfigParser.BOOLEAN_STATES
    if text.lower() not in states:
        raise _Fault("is neither yes nor no; write yes to agree to the CA's terms of service")
    return states[text.lower()]


def _seconds(lowest: int, highest: int) -> _Check:
    """Return the check for a whole number of seconds."""

    def check(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not lowest <= int(text) <= highest:
            raise _Fault(f"is not a whole number of seconds from {lowest} to {highest}; correct it")
        return int(text)

    return check


def _check_copied(text: str) -> None:
    """Raise `_Fault` if a value from the portal has something around it, or is a placeholder."""
    if re.search(r"[<>…]|\.\.\.", text):
        raise _Fault(f"a placeholder is left in; {_PORTAL}")
    if re.search(r"[\s\"'`«»“”‘’]", text):
        raise _Fault("has blanks or quotes; write the value alone")


def _key_id(text: str) -> str:
    _check_copied(text)
    if not re.fullmatch("[!-~]+", text):
        raise _Fault(f"has a character that is no letter, digit or sign; {_PORTAL}")
    return text


def _hmac(text: str) -> str:
    """Return the HMAC key as base64url without padding; accept base64 and padding, too.

    Stricter than certbot, which takes a key that was cut short, and then the CA refuses it.
    """
    _check_copied(text)
    digits = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9+/_-]*", digits):
        raise _Fault(f"is not base64; {_PORTAL}")
    if re.search(r"[+/]", digits) and re.search(r"[_-]", digits):
        raise _Fault(f"mixes base64 (+ /) and base64url (- _); {_PORTAL}")
    if len(digits) % 4 == 1 or (digits != text and len(text) % 4):
        raise _Fault(f"is not whole base64: it was cut short; {_PORTAL}, whole")
    digits = digits.translate(str.maketrans("+/", "-_"))
    size = len(base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)))
    # CAs make keys of 32, 48 or 64 bytes: an odd size betrays a lost character in longer ones.
    if size < _HMAC_BYTES or size % 2:
        wanted = f"at least {_HMAC_BYTES}" if size < _HMAC_BYTES else "an even number"
        raise _Fault(f"has {size} bytes, not {wanted}: it was cut short; {_PORTAL}, whole")
    return digits


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise _Fault("is a relative path; write the absolute path")
    if text.endswith("/"):
        raise _Fault("is a folder; write the absolute path of the file")
    return text


def _lineage(text: str) -> str:
    if not re.fullmatch(r"[^\s/]+", text):
        raise _Fault("is not the name of a certificate; see: certbot certificates")
    return text


def _account(text: str) -> str:
    if not re.fullmatch(r"[^\s:/]+", text):
        raise _Fault("is not a name or number; owner and group are two keys")
    return text


def _mode(text: str) -> int:
    if not re.fullmatch("[0-7]{3,4}", text):
        raise _Fault("is not an octal mode; write it like 0640")
    if int(text, 8) & stat.S_IWOTH:
        raise _Fault("lets everybody write the file; write it like 0640")
    return int(text, 8)


def _command(text: str) -> tuple[str, ...]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = [""]
    if not words[0]:
        raise _Fault("is no command, or a quote in it is not closed; correct it")
    if any(_SHELL.fullmatch(word) for word in words):
        raise _Fault("commands run without a shell; put several into a script, and name that")
    return tuple(words)


_PKCS12 = ("pkcs12", "pkcs12_password_file")
_WRITTEN = ("fullchain", "cert", "chain", "privkey", "combined", "pkcs12")
_LISTS = (_domains, _endpoints, _update_servers)
_MAY_BE_EMPTY = (_domains, _endpoints, _zone)

_KINDS = {
    "tcs": "[tcs]",
    "department": "[department NAME]",
    "dns": "[dns]",
    "install": "[install NAME]",
}
_TCS: dict[str, _Check] = {
    "server": _https_url,
    "email": _email,
    "agree_tos": _yes_no,
    "issuance_timeout": _seconds(1, 3600),
    "dry_run_server": _https_url,
}
_DEPARTMENT: dict[str, _Check] = {
    **_TCS,
    "eab_kid": _key_id,
    "eab_hmac_key": _hmac,
    "eab_hmac_key_file": _path,
    "domains": _domains,
}
_DNS: dict[str, _Check] = {
    "server": _update_servers,
    "key_file": _path,
    "key_name": tsig.check_name,
    "key_algorithm": tsig.check_algorithm,
    "key_secret": tsig.check_secret,
    "zone": _zone,
    "ttl": _seconds(0, 86400),
    "check_servers": _endpoints,
    "propagation_seconds": _seconds(1, 3600),
}
_INSTALL: dict[str, _Check] = {
    "certificate": _lineage,
    **dict.fromkeys((*_WRITTEN, "pkcs12_password_file"), _path),
    "owner": _account,
    "group": _account,
    "mode": _mode,
    "test": _command,
    "reload": _command,
}
_KEYS = {"tcs": _TCS, "department": _DEPARTMENT, "dns": _DNS, "install": _INSTALL}
_EVERY_KEY = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))
