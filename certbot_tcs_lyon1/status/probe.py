"""`certbot-tcs-lyon1 test NAME…`: tries everything that an order needs, without ordering.

The only change is a TXT record with a random value, published at the challenge's name and withdrawn
again. It has its own journal: certbot's may be in use by a `renew`. A record that a killed test has
left is withdrawn by the next one.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Optional

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import reader, values
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.keys import WRITTEN
from certbot_tcs_lyon1.department.settings import Department, Settings, Target, without_wildcard
from certbot_tcs_lyon1.errors import ConfigError, DnsError, InstallError, OrderError, ServerError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import caa, config_dir, gather, output
from certbot_tcs_lyon1.status.facts import Folders, Step

#: In certbot's work folder.
JOURNAL_NAME = "tcs-lyon1-test-journal.json"

_USER_AGENT = f"certbot-tcs-lyon1/{certbot_tcs_lyon1.__version__}"
#: Seconds that the clock may be off: TSIG's fudge (RFC 8945 §10), the smallest tolerance.
_SKEW = 300


def run(names: Sequence[str], folders: Folders, with_record: bool) -> int:
    """Try everything and print the results; without names only the department config is read.

    :returns: the exit code: 0, or 1 if anything is wrong
    """
    failed = False
    for step in _steps(names, folders, with_record):
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
    output.show("\n".join(lines))


def _steps(names: Sequence[str], folders: Folders, with_record: bool) -> Iterator[Step]:
    try:
        settings = reader.read(folders.department_config)
    except ConfigError as error:
        yield Step(False, f"{folders.department_config} can be used", str(error))
        return
    yield Step(True, f"{folders.department_config} can be used")
    for warning in settings.warnings:
        yield Step(None, "it could be better", str(warning))
    if not names:
        return
    names, faults = _plain(names)
    yield from faults
    if faults:
        return
    full = gather.full_folders(folders)
    remedy = f"make room, or mount it for writing: {', '.join(full)}" if full else ""
    yield Step(not full, "certbot's folders have room", remedy)
    department, step = _department(settings, names)
    yield step
    if department is None:
        return
    found, steps = _directory(department)
    yield from steps
    for name in names:
        yield from _dns(name, settings, folders, with_record)
        if _has_dnspython():
            yield from _policy(name, settings, department, found, folders)
    for target in settings.targets:
        yield _target(target, folders)


def _plain(names: Sequence[str]) -> tuple[list[str], list[Step]]:
    """Return the names as certbot orders them (A-labels), and a failed step for each other one."""
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
    """Return the CA's directory, {} if there is none, and the steps for it and the clock."""
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


def _dns(name: str, settings: Settings, folders: Folders, with_record: bool) -> Iterator[Step]:
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

    journal = os.path.join(folders.work_dir, JOURNAL_NAME)
    servers = challenge.Servers()
    said: list[str] = []
    what = f"{owner}: a zone that this key may change"
    try:
        record = challenge.txt_record(owner, secrets.token_urlsafe(32))
        batches = challenge.plan([record], settings, servers)
        if not with_record:
            yield Step(True, f"{owner}: its zone is found (no record was put)")
            return
        os.makedirs(folders.work_dir, 0o755, exist_ok=True)  # as certbot does, when it first runs
        batches = challenge.publish(batches, journal, servers)
        yield Step(True, what)
        what = f"{owner}: every name server shows the record"
        challenge.confirm(batches, servers, warn=said.append)
        yield Step(not any(line.startswith("Zone ") for line in said), what, "\n".join(said))
    except (DnsError, OSError) as error:
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
    folders: Folders,
) -> Iterator[Step]:
    """Check CAA and DNSSEC of a name."""
    from certbot_tcs_lyon1.ca.directory import caa_identities, known_caa_identities
    from certbot_tcs_lyon1.status import dnssec

    identities = caa_identities(directory) or known_caa_identities(department.server)
    yield _caa(name, settings, identities, _account_uri(settings, department, folders))
    owner = f"_acme-challenge.{without_wildcard(name)}"
    for subject, rdtype in ((owner, "TXT"), (without_wildcard(name), "CAA")):
        step = dnssec.check(subject, rdtype)
        yield replace(step, text=f"{subject}: {step.text}")


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


def _account_uri(settings: Settings, department: Department, folders: Folders) -> Optional[str]:
    for one in config_dir.departments(settings, folders):
        if one.name == department.name and one.account:
            folder = config_dir.account_folder(folders, one.server, one.account)
            try:
                with open(os.path.join(folder, "regr.json"), "rb") as file:
                    return str(json.load(file)["uri"])
            except (OSError, ValueError, KeyError, TypeError):
                return None
    return None


# The services


def _target(target: Target, folders: Folders) -> Step:
    """Check what a deployment checks before it writes: owner, group, folders and commands."""
    from certbot_tcs_lyon1.install import commands, files

    faults: list[str] = []
    owner = 0
    with _collected(faults):
        owner = files.uid(target.owner)
    with _collected(faults):
        files.gid(target.group)
    certbots = (folders.config_dir, folders.work_dir, folders.logs_dir)
    for path in filter(None, (getattr(target, kind) for kind in WRITTEN)):
        with _collected(faults), files.opened(path, owner, certbots):
            pass
    environment = commands.environment(os.environ, {})
    for key, words in (("test", target.test), ("reload", target.reload)):
        with _collected(faults):
            if words and commands.find_program(key, words, environment) is None:
                faults.append(f"{key}: there is no program {words[0]}; write its whole path")
    what = f"[install {target.name}] has its folders, owners and commands"
    return Step(not faults, what, "\n".join(faults))


@contextlib.contextmanager
def _collected(faults: list[str]) -> Iterator[None]:
    """Add an InstallError to the faults."""
    try:
        yield
    except InstallError as error:
        faults.append(str(error))
