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
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Optional

import dns.exception
import dns.rcode
import dns.resolver

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.ca import departments, directory
from certbot_tcs_lyon1.department import reader, values
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.settings import Department, Settings, Target, without_wildcard
from certbot_tcs_lyon1.dns01 import caa as caa_records
from certbot_tcs_lyon1.dns01 import challenge
from certbot_tcs_lyon1.dns01.names import text as name_text
from certbot_tcs_lyon1.errors import ConfigError, DnsError, InstallError, OrderError, ServerError
from certbot_tcs_lyon1.install import commands, files
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import caa, config_dir, dnssec, gather, output
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
    try:
        department = departments.choose(settings, None, names)
    except OrderError as error:
        yield Step(False, "a department may request these names together", str(error))
        return
    yield Step(True, f"department {department.name} requests them at {department.server}")
    found = yield from _directory(department.server)
    identities = directory.caa_identities(found)
    identities = identities or directory.known_caa_identities(department.server)
    account = _account_uri(department, folders)
    for name in names:
        yield from _dns(name, settings, folders, with_record)
        yield _caa(name, settings, identities, account)
        yield from _dnssec(name)
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


# The CA


def _directory(server: str) -> Generator[Step, None, dict[str, Any]]:
    """Check the CA's directory and the clock; return the directory, {} if there is none."""
    what = f"the CA's directory {server} answers"
    try:
        found, date = directory.fetch(server, _USER_AGENT)
    except ServerError as error:
        remedy = "check `server`, the firewall (port 443 out) and the proxy (https_proxy)"
        yield Step(False, what, f"{error.cause}; {remedy}")
        return {}
    yield Step(True, what)
    yield from _clock(date)
    return found


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


def _dns(name: str, settings: Settings, folders: Folders, with_record: bool) -> Iterator[Step]:
    owner = _challenge_name(name)
    if settings.dns_server_for(owner) is None:
        text = (
            f"{name}: no [dns] section, so it must be validated in the portal "
            f"({lyon1.PORTAL_DOMAINS})"
        )
        yield Step(None, text)
        return
    journal = os.path.join(folders.work_dir, JOURNAL_NAME)
    servers = challenge.Servers()
    warnings: list[DnsError] = []
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
        challenge.confirm(batches, servers, warn=warnings.append)
        everywhere = not any(isinstance(warning, challenge.Unconfirmed) for warning in warnings)
        yield Step(everywhere, what, "\n".join(map(str, warnings)))
    except (DnsError, OSError) as error:
        yield Step(False, what, str(error))
    finally:
        published = os.path.lexists(journal)
        left = challenge.withdraw(settings, journal, servers) if published else []
    yield Step(not left, f"{owner}: nothing is left of it", "\n".join(map(str, left)))


def _challenge_name(name: str) -> str:
    return f"_acme-challenge.{without_wildcard(name)}"


def _dnssec(name: str) -> Iterator[Step]:
    for owner, rdtype in ((_challenge_name(name), "TXT"), (without_wildcard(name), "CAA")):
        step = dnssec.check(owner, rdtype)
        yield replace(step, text=f"{owner}: {step.text}")


def _caa(name: str, settings: Settings, identities: Sequence[str], account: Optional[str]) -> Step:
    try:
        found = caa_records.look(name, settings, challenge.Servers())
    except (dns.exception.DNSException, OSError) as error:
        why = error or type(error).__name__
        answers = error.kwargs["errors"] if isinstance(error, dns.resolver.NoNameservers) else ()
        if any(reply and reply.rcode() == dns.rcode.SERVFAIL for *_, reply in answers):
            what = f"{name}: its CAA records can be looked up"
            return Step(False, what, f"no CA issues where they can't (RFC 8659 §3): {why}")
        return Step(None, f"{name}: its CAA records cannot be looked up from here ({why})")
    wild = name.startswith("*.")
    holder = without_wildcard(name) if found is None else name_text(found.name)
    wanted = caa.to_ask_for(holder, identities, account, wild)
    if found is None:
        what = f"{name}: no CAA record stands in the way"
        return Step(True, what, f"one that lets no other CA and account in: {wanted}")
    what = f"{name}: the CAA records of {holder} permit this CA"
    present = f"there is: {foreign(caa_records.records_text(found))}"
    if not identities:
        return Step(None, f"{what}? It does not say by what name", present)
    right = caa.permits(found, identities, account, wild)
    return Step(right, what, f"{present}\nask for: {wanted}")


def _account_uri(department: Department, folders: Folders) -> Optional[str]:
    """Return the URL of the department's account; None if there is none, or it is damaged."""
    (found,) = config_dir.departments([department], folders)
    if found.account:
        folder = config_dir.account_folder(folders, department.server, found.account)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with open(os.path.join(folder, "regr.json"), "rb") as file:
                return str(json.load(file)["uri"])
    return None


# The services


def _target(target: Target, folders: Folders) -> Step:
    """Check what a deployment checks before it writes: owner, group, folders and commands."""
    faults: list[str] = []
    owner = 0
    with _collected(faults):
        owner = files.uid(target.owner)
    with _collected(faults):
        files.gid(target.group)
    for path in target.paths.values():
        with _collected(faults), files.opened(path, owner, folders.of_certbot):
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
