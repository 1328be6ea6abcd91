"""The headers of the department config's sections, and the rules between sections."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection
from typing import NamedTuple, Optional

from certbot_tcs_lyon1.department.faults import KINDS, NOT_SHOWN, Fault, shown, shown_header
from certbot_tcs_lyon1.department.inifile import Source
from certbot_tcs_lyon1.department.keys import EVERY_KEY, KEYS, WRITTEN
from certbot_tcs_lyon1.department.settings import Department, DnsServer, Target


class Section(NamedTuple):
    """A section: its header, the name in the header, and its keys with their texts."""

    header: str
    name: str
    body: dict[str, str]


def by_kind(source: Source, parsed: dict[str, dict[str, str]]) -> dict[str, list[Section]]:
    """Return the sections by kind; faults of their headers are noted."""
    found: dict[str, list[Section]] = {kind: [] for kind in KINDS}
    meant, taken = set(), set()
    for header, body in parsed.items():
        kind, *names = header.split() or [""]
        name = " ".join(names)
        near = [kind] if kind in KINDS else _near(source, kind.lower(), KINDS)
        meant.update(near)
        if kind not in KINDS:
            _note_unknown(source, header, name, near)
            continue
        fault = name_fault(kind, name)
        if fault is not None:
            source.note(header, "", fault)
        elif (kind, name) in taken:
            source.fault(header, "", "is in this file already", "keep one")
            continue
        taken.add((kind, name))
        found[kind].append(Section(header, name, body))
    if "department" not in meant:
        remedy = "write a section [department NAME] with its Key ID and HMAC Key, from the portal"
        source.fault("", "", "no department", remedy)
    return found


def _note_unknown(source: Source, header: str, name: str, near: list[str]) -> None:
    number = source.number(header, "")
    if near:
        meant = shown_header(f"{near[0]} {name}".rstrip())
        source.fault(header, "", "is unknown", f"did you mean [{meant}]?", number)
    else:
        source.fault(header, "", "is unknown", f"there are {', '.join(KINDS.values())}", number)


def name_fault(kind: str, name: str) -> Optional[Fault]:
    """Return what is wrong with the name in a header; None if nothing is."""
    if kind == "tcs":
        return Fault("takes no name", "write [tcs]") if name else None
    if kind == "dns":
        return None  # a domain, which the reader checks
    if not name:
        return Fault("has no name", f"write {KINDS[kind]}")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        cause = "the name may have letters, digits, dots, hyphens and underscores"
        return Fault(cause, "change it")
    if name in ("None", "True", "False"):  # certbot converts these texts when it renews
        return Fault("certbot cannot store this name", "take another")
    return None


def note_unknown_key(source: Source, header: str, key: str, known: Collection[str]) -> None:
    """Note a key that its section does not have.

    It is shown only if it is clearly a key: it could be the second line of a secret.
    """
    number = source.number(header, key)
    homes = [KINDS[kind] for kind, others in KEYS.items() if key in others]
    near = [*_near(source, key, known), *_near(source, key, EVERY_KEY)]
    cause = "is unknown"
    if homes:
        cause, remedy = "does not belong here", f"move it to {' or '.join(homes)}"
    elif near:
        remedy = f"did you mean {near[0]}?"
    else:
        remedy = f"known are {', '.join(known)}"
    plain = homes or (near and len(key) <= len(near[0]) + 3)
    source.fault(header, key if plain else NOT_SHOWN, cause, remedy, number)


def _near(source: Source, word: str, known: Collection[str]) -> list[str]:
    return [] if source.is_full else difflib.get_close_matches(word, known, n=1)


def check_domains(source: Source, sections: list[Section], found: list[Department]) -> None:
    """Note each domain that two departments have."""
    owners: dict[str, str] = {}
    for section, department in zip(sections, found):
        for domain in department.domains:
            owner = owners.setdefault(domain, section.header)
            if owner != section.header:
                place = f"[{owner}], line {source.number(owner, 'domains')}"
                cause = f"{domain} is another department's as well: {place}"
                source.fault(section.header, "domains", cause, "keep one")


def check_bases(source: Source, found: list[DnsServer]) -> None:
    """Note each `[dns NAME]` whose name is that of a section before, in another spelling."""
    first: dict[str, str] = {}
    for server in found:
        before = first.setdefault(server.base, server.section)
        if server.base and before != server.section:
            place = f"[{before}], line {source.number(before, '')}"
            source.fault(server.section, "", f"is the same as {place}", "keep one")


def _normalized(path: str) -> str:
    """Return the normalized path; `normpath` alone keeps two leading slashes."""
    return "/" + os.path.normpath(path).lstrip("/")


def check_paths(source: Source, sections: list[Section], found: list[Target]) -> None:
    """Note each path that is written twice."""
    writers: dict[str, tuple[str, str]] = {}
    for section, target in zip(sections, found):
        for key in WRITTEN:
            path = getattr(target, key)
            here = (section.header, key)
            if path and writers.setdefault(_normalized(path), here) != here:
                header, other = writers[_normalized(path)]
                place = f"[{header}] {other}, line {source.number(header, other)}"
                source.fault(*here, f"{shown(path)} is written by {place}, too", "keep one")
    for section, target in zip(sections, found):
        read = target.pkcs12_password_file
        if read and _normalized(read) in writers:
            header, other = writers[_normalized(read)]
            cause = f"{shown(read)} is what [{header}] {other} writes"
            remedy = "keep the password elsewhere"
            source.fault(section.header, "pkcs12_password_file", cause, remedy)
