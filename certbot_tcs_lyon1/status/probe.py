"""`certbot-tcs-lyon1 test NAME…`: all that an order needs, tried without ordering.

The one thing that changes is a TXT record of a random value, put at the challenge's name and
withdrawn again. It has a journal of its own: certbot's may be in use by a `renew` at this moment.
What a test that was killed has left is withdrawn by the next one.
"""

from __future__ import annotations

import email.utils
import grp
import json
import os
import pwd
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import folders, lyon1
from certbot_tcs_lyon1.department import reader, values
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.keys import WRITTEN
from certbot_tcs_lyon1.department.settings import Department, Settings, Target, without_wildcard
from certbot_tcs_lyon1.errors import ConfigError, DiskError, OrderError, ServerError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import caa, looking, tree
from certbot_tcs_lyon1.status.facts import Folders

#: In certbot's work folder.
JOURNAL_NAME = "tcs-lyon1-test-journal.json"

_USER_AGENT = f"certbot-tcs-lyon1/{certbot_tcs_lyon1.__version__}"
#: Seconds that the clock may be wrong: TSIG's fudge (RFC 8945 §10) is the narrowest.
_SKEW = 300


@dataclass(frozen=True)
class Step:
    """One thing that was tried: right, wrong, or (None) not to be told from here."""

    right: Optional[bool]
    text: str
    remedy: str = ""


def run(names: Sequence[str], places: Folders, with_record: bool) -> int:
    """Try everything and print it; 0 if nothing is wrong, else 1. Without names, the file alone."""
    failed = False
    for step in _steps(names, places, with_record):
        failed = failed or step.right is False
        _print(step)
    return int(failed)


def _print(step: Step) -> None:
    mark = {True: "✓", False: "✗", None: "–"}[step.right]
    encoding = sys.stdout.encoding or "ascii"
    try:
        mark.encode(encoding)
    except UnicodeError:
        mark = {True: "ok", False: "FAILED", None: "-"}[step.right]
    lines = [f"{mark} {step.text}", *(f"    {line}" for line in step.remedy.splitlines())]
    text = "\n".join(lines)
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _steps(names: Sequence[str], places: Folders, with_record: bool) -> Iterator[Step]:
    try:
        settings = reader.read(places.config)
    except ConfigError as error:
        yield Step(False, f"{places.config} can be used", str(error))
        return
    yield Step(True, f"{places.config} can be used")
    for warning in settings.warnings:
        yield Step(None, "it could be better", str(warning))
    if not names:
        return
    names, faults = _plain(names)
    yield from faults
    if faults:
        return
    full = looking.full(places)
    remedy = f"make room, or mount it for writing: {', '.join(full)}" if full else ""
    yield Step(not full, "certbot's folders have room", remedy)
    department, step = _department(settings, names)
    yield step
    if department is None:
        return
    found, steps = _directory(department)
    yield from steps
    for name in names:
        yield from _dns(name, settings, places, with_record)
        if _has_dnspython():
            yield from _policy(name, settings, department, found, places)
    for target in settings.targets:
        yield from _target(target)


def _plain(names: Sequence[str]) -> tuple[list[str], list[Step]]:
    """The names as certbot orders them: A-labels, in lower case; and those that are none."""
    plain, faults = [], []
    for name in names:
        wild = "*." if name.startswith("*.") else ""
        try:
            plain.append(wild + values.dns_name(name[len(wild) :]))
        except Fault as error:
            faults.append(Step(False, f"{foreign(name, 100)} is a DNS name", f"it {error}"))
    return list(dict.fromkeys(plain)), faults


def _department(settings: Settings, names: Sequence[str]) -> tuple[Optional[Department], Step]:
    from certbot_tcs_lyon1.ca import departments

    try:
        chosen = departments.choose(settings, None, names)
    except OrderError as error:
        return None, Step(False, "a department may request these names together", str(error))
    return chosen, Step(True, f"department {chosen.name} requests them at {chosen.server}")


# The CA


def _directory(department: Department) -> tuple[dict[str, Any], list[Step]]:
    """The CA's directory, {} if there is none; and what was seen of the clock."""
    from certbot_tcs_lyon1.ca import directory

    url, what = department.server, f"the CA's directory {department.server} answers"
    try:
        found, date = directory.fetch(url, _USER_AGENT)
    except ServerError as error:
        remedy = "check `server`, the firewall (port 443 out) and the proxy (https_proxy)"
        return {}, [Step(False, what, f"{error.cause}; {remedy}")]
    return found, [Step(True, what), *_clock(date)]


def _clock(date: str) -> Iterator[Step]:
    try:
        theirs = email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return
    off = time.time() - theirs
    what = f"the clock agrees with the CA's within {_SKEW} s"
    remedy = f"this machine's is {off:+.0f} s off; run: timedatectl set-ntp true"
    yield Step(abs(off) <= _SKEW, what, "" if abs(off) <= _SKEW else remedy)


# The DNS


def _has_dnspython() -> bool:
    import importlib.util

    return importlib.util.find_spec("dns") is not None


def _dns(name: str, settings: Settings, places: Folders, with_record: bool) -> Iterator[Step]:
    owner = f"_acme-challenge.{without_wildcard(name)}"
    if settings.dns_server_for(owner) is None:
        text = (
            f"{name}: no [dns] section, so it must be validated in the portal "
            f"({lyon1.PORTAL_DOMAINS})"
        )
        yield Step(None, text)
        return
    if not _has_dnspython():
        yield Step(False, "dnspython is installed", "run: apt install python3-dnspython")
        return
    from certbot_tcs_lyon1.dns01 import challenge

    journal = os.path.join(places.work_dir, JOURNAL_NAME)
    servers = challenge.Servers()
    said: list[str] = []
    what = f"{owner}: a zone that this key may change"
    try:
        record = challenge.txt_record(owner, secrets.token_urlsafe(32))
        batches = challenge.plan([record], settings, servers)
        if not with_record:
            yield Step(True, f"{owner}: its zone is found (no record was put)")
            return
        os.makedirs(places.work_dir, 0o755, exist_ok=True)  # as certbot does, when it first runs
        batches = challenge.publish(batches, journal, servers)
        yield Step(True, what)
        what = f"{owner}: every name server shows the record"
        challenge.confirm(batches, servers, warn=said.append)
        yield Step(not any(line.startswith("Zone ") for line in said), what, "\n".join(said))
    except (challenge.DnsError, OSError) as error:
        yield Step(False, what, str(error))
    finally:
        there = os.path.lexists(journal)
        left = challenge.withdraw(settings, journal, servers) if there else []
    yield Step(not left, f"{owner}: nothing is left of it", "\n".join(map(str, left)))


def _policy(
    name: str,
    settings: Settings,
    department: Department,
    directory: dict[str, Any],
    places: Folders,
) -> Iterator[Step]:
    """CAA and DNSSEC of a name."""
    from certbot_tcs_lyon1.ca.directory import caa_identities, known_caa_identities
    from certbot_tcs_lyon1.status import dnssec

    identities = caa_identities(directory) or known_caa_identities(department.server)
    yield _caa(name, settings, identities, _account_uri(settings, department, places))
    owner = f"_acme-challenge.{without_wildcard(name)}"
    for subject, rdtype in ((owner, "TXT"), (without_wildcard(name), "CAA")):
        verdict = dnssec.look(subject, rdtype)
        yield Step(verdict.right, f"{subject}: {verdict.text}", verdict.remedy)


def _caa(name: str, settings: Settings, identities: Sequence[str], account: Optional[str]) -> Step:
    import dns.exception
    import dns.resolver

    from certbot_tcs_lyon1.dns01 import caa as records
    from certbot_tcs_lyon1.dns01.queries import Servers

    try:
        found = records.look(name, settings, Servers())
    except (dns.exception.DNSException, OSError) as error:
        why = error or type(error).__name__
        if isinstance(error, dns.resolver.NoNameservers) and "SERVFAIL" in str(error):
            what = f"{name}: its CAA records can be looked up"
            return Step(False, what, f"no CA issues where they can't (RFC 8659 §3): {why}")
        return Step(None, f"{name}: its CAA records cannot be looked up from here ({why})")
    wild = name.startswith("*.")
    holder = found[0] if found else without_wildcard(name)
    wanted = caa.to_ask_for(holder, identities, account, wild)
    if found is None:
        text = f"{name}: no CAA record stands in the way"
        return Step(True, text, f"one that lets no other CA and account in: {wanted}")
    what = f"{name}: the CAA records of {holder} permit this CA"
    if not identities:
        return Step(None, f"{what}? It does not say by what name", f"there is: {foreign(found[1])}")
    right = caa.permits(caa.parse(found[1]), identities, account, wild)
    return Step(right, what, f"there is: {foreign(found[1])}\nask for: {wanted}")


def _account_uri(settings: Settings, department: Department, places: Folders) -> Optional[str]:
    for one in tree.departments(settings, places):
        if one.name == department.name and one.account:
            folder = tree.account_folder(places, one.server, one.account)
            try:
                with open(os.path.join(folder, "regr.json"), "rb") as file:
                    return str(json.load(file)["uri"])
            except (OSError, ValueError, KeyError, TypeError):
                return None
    return None


# The services


def _target(target: Target) -> Iterator[Step]:
    faults = []
    try:
        owner = target.owner or "0"
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError:
        faults.append(f"there is no user {target.owner}; correct owner")
        uid = 0
    if target.group and not target.group.isdigit():
        try:
            grp.getgrnam(target.group)
        except KeyError:
            faults.append(f"there is no group {target.group}; correct group")
    for kind in WRITTEN:
        path = getattr(target, kind)
        if path is None:
            continue
        try:
            with folders.opened(path, uid):
                pass
        except (OSError, DiskError) as error:
            make = f"run: mkdir -p {shlex.quote(os.path.dirname(path))}"
            faults.append(f"{kind} {path}: {error}; or {make}")
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    for kind in ("test", "reload"):
        words = getattr(target, kind)
        if words and shutil.which(words[0], path=search) is None:
            faults.append(f"{kind}: there is no program {words[0]}; write its whole path")
    what = f"[install {target.name}] has its folders, owners and commands"
    yield Step(not faults, what, "\n".join(faults))
