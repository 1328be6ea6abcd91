"""The headers of the department config's sections, and the rules between sections."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable

from certbot_tcs_lyon1.department.faults import KINDS, NOT_SHOWN, Fault, shown, shown_header
from certbot_tcs_lyon1.department.inifile import Section, Source
from certbot_tcs_lyon1.department.keys import EVERY_KEY, KEYS
from certbot_tcs_lyon1.department.settings import Department, Target
from certbot_tcs_lyon1.department.values import dns_name


def by_kind(source: Source, parsed: Iterable[Section]) -> dict[str, list[Section]]:
    """Return the sections by kind; faults of their headers are noted."""
    found: dict[str, list[Section]] = {kind: [] for kind in KINDS}
    meant: set[str] = set()
    taken: dict[tuple[str, str], Section] = {}
    for section in parsed:
        kind = section.kind
        near = [kind] if kind in KINDS else _near(source, kind.lower(), KINDS)
        meant.update(near)
        if kind not in KINDS:
            remedy = f"there are {', '.join(KINDS.values())}"
            if near:
                remedy = f"did you mean [{shown_header(f'{near[0]} {section.name}'.rstrip())}]?"
            section.fault("", "is unknown", remedy)
            continue
        try:
            section.name = check_name(kind, section.name)
        except Fault as fault:
            section.note("", fault)
            section.name = ""
        else:
            first = taken.setdefault((kind, section.name), section)
            if first is not section:
                place = f"{first.title}, line {first.number('')}"
                section.fault("", f"is the same as {place}", "keep one")
                continue
        found[kind].append(section)
    if "department" not in meant:
        remedy = "write a section [department NAME] with its Key ID and HMAC Key, from the portal"
        source.whole.fault("", "no department", remedy)
    return found


def check_name(kind: str, name: str) -> str:
    """Return the name in a header; that of `[dns NAME]` as A-labels.

    :raises Fault: what is wrong with it
    """
    if kind == "tcs":
        if name:
            raise Fault("takes no name", "write [tcs]")
    elif kind == "dns":
        try:
            return dns_name(name) if name else ""
        except Fault as fault:
            remedy = f"{fault.remedy}; write [dns] or [dns DOMAIN]"
            raise Fault(fault.cause, remedy) from None
    elif not name:
        raise Fault("has no name", f"write {KINDS[kind]}")
    elif not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        cause = "the name may have letters, digits, dots, hyphens and underscores"
        raise Fault(cause, "change it")
    elif name in ("None", "True", "False"):  # certbot converts these texts when it renews
        raise Fault("certbot cannot store this name", "take another")
    return name


def note_unknown_key(section: Section, key: str, known: Collection[str]) -> None:
    """Note a key that its section does not have.

    It is shown only if it is clearly a key: it could be the second line of a secret.
    """
    homes = [KINDS[kind] for kind, others in KEYS.items() if key in others]
    near = [*_near(section.source, key, known), *_near(section.source, key, EVERY_KEY)]
    cause = "is unknown"
    if homes:
        cause, remedy = "does not belong here", f"move it to {' or '.join(homes)}"
    elif near:
        remedy = f"did you mean {near[0]}?"
    else:
        remedy = f"known are {', '.join(known)}"
    plain = homes or (near and len(key) <= len(near[0]) + 3)
    section.fault(key if plain else NOT_SHOWN, cause, remedy, section.number(key))


def _near(source: Source, word: str, known: Collection[str]) -> list[str]:
    return [] if source.is_full else difflib.get_close_matches(word, known, n=1)


def check_domains(sections: list[Section], found: list[Department]) -> None:
    """Note each domain that two departments have."""
    owners: dict[str, Section] = {}
    for section, department in zip(sections, found):
        for domain in department.domains:
            owner = owners.setdefault(domain, section)
            if owner is not section:
                place = f"{owner.title}, line {owner.number('domains')}"
                cause = f"{domain} is another department's as well: {place}"
                section.fault("domains", cause, "keep one")


def _normalized(path: str) -> str:
    """Return the normalized path; `normpath` alone keeps two leading slashes."""
    return "/" + os.path.normpath(path).lstrip("/")


def check_paths(sections: list[Section], found: list[Target]) -> None:
    """Note each path that is written twice."""
    writers: dict[str, tuple[Section, str]] = {}
    for section, target in zip(sections, found):
        for key, path in target.paths.items():
            here = (section, key)
            if writers.setdefault(_normalized(path), here) != here:
                writer, other = writers[_normalized(path)]
                place = f"{writer.title} {other}, line {writer.number(other)}"
                section.fault(key, f"{shown(path)} is written by {place}, too", "keep one")
    for section, target in zip(sections, found):
        read = target.pkcs12_password_file
        if read and _normalized(read) in writers:
            writer, other = writers[_normalized(read)]
            cause = f"{shown(read)} is what {writer.title} {other} writes"
            section.fault("pkcs12_password_file", cause, "keep the password elsewhere")
