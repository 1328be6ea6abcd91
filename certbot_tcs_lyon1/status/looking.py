"""From certbot's folders and the department config to `Facts`."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Optional
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import disk, folders
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.keys import WRITTEN
from certbot_tcs_lyon1.department.settings import Settings, Target
from certbot_tcs_lyon1.errors import ConfigError, DiskError, InstallError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import certbots_log, certificate, revocation, served, timer
from certbot_tcs_lyon1.status.facts import (
    DepartmentFact,
    Deployed,
    DnsFact,
    Facts,
    Folders,
    Lineage,
    ServedThere,
)

_DAY = 86400

#: A fault of the department config that is only a key file of `[dns]` that is not there.
_KEY_MISSING = re.compile(r"\[dns[^]]*\] (key_file|keytab): .*no such file")


def look(places: Folders) -> Facts:
    """Find out all that `status` and `check` tell; the services of `serves` are connected to."""
    unreadable: list[str] = []
    settings, fault = _settings(places.config)
    names = _names(places.config_dir, unreadable)
    runs = certbots_log.Runs(None, {})
    try:
        runs = certbots_log.read(places.logs_dir)
    except OSError:
        unreadable.append(places.logs_dir)
    targets = settings.targets if settings else ()
    found = [_lineage(name, places, unreadable) for name in names]
    found = [replace(one, failure=_failure(one, runs)) for one in found]
    found = revocation.look(_with_targets(found, targets, places), places)
    lines = fault.splitlines()
    return Facts(
        now=int(time.time()),
        folders=places,
        lineages=tuple(found),
        departments=tuple(departments(settings, places)) if settings else (),
        dns=tuple(
            DnsFact(f"[{one.section}]", tuple(map(str, one.servers)), one.key.name)
            for one in (settings.dns if settings else ())
        ),
        timer=timer.find(),
        last_renew=runs.last_renew,
        has_config=settings is not None or bool(fault),
        config_fault=fault,
        keys_missing=bool(lines) and all(map(_KEY_MISSING.search, lines)),
        unreadable=tuple(dict.fromkeys(unreadable)),
    )


def _settings(path: str) -> tuple[Optional[Settings], str]:
    """The department config, or why it can't be used; neither where there is none."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: {error.strerror}"
    try:
        return reader.read(path), ""
    except ConfigError as error:
        return None, str(error)


def _names(config_dir: str, unreadable: list[str]) -> list[str]:
    folder = os.path.join(config_dir, "renewal")
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError:
        unreadable.append(folder)
        return []
    return sorted(name[: -len(".conf")] for name in files if name.endswith(".conf"))


def _lineage(name: str, places: Folders, unreadable: list[str]) -> Lineage:
    import configobj  # certbot's own

    path = os.path.join(places.config_dir, "renewal", f"{name}.conf")
    live = os.path.join(places.config_dir, "live", name)
    cert = os.path.join(live, "cert.pem")
    try:
        kept = configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8")
        options: Mapping[str, Any] = kept.get("renewalparams", {})
        cert = str(kept.get("cert", cert))
        with open(cert, "rb") as file:
            found = certificate.parse(file.read(disk.MOST_BYTES))
    except PermissionError as error:
        unreadable.append(os.path.dirname(str(error.filename)))
        return Lineage(name, fault=f"{error.filename}: permission denied")
    except OSError as error:
        return Lineage(name, fault=f"{error.filename or path}: {error.strerror or error}")
    except (configobj.ConfigObjError, ValueError, UnicodeError) as error:
        where = path if isinstance(error, configobj.ConfigObjError) else cert
        return Lineage(name, fault=f"{where}: it is damaged ({foreign(str(error), 100)})")
    server, account = str(options.get("server", "")), str(options.get("account", ""))
    return Lineage(
        name,
        names=found.names,
        department=options.get("tcs_lyon1_department"),
        server=server,
        issuer=foreign(found.issuer, 100),
        serial=found.serial,
        issued=found.not_before,
        ends=found.not_after + 1,
        renews=_renews(found, kept.get("renew_before_expiry")),
        authenticator=str(options.get("authenticator", "")),
        installer=_none(str(options.get("installer", ""))),
        account=account,
        account_is_there=not account or os.path.isdir(account_folder(places, server, account)),
        lost_client_auth=not found.client_auth and _had_client_auth(os.path.dirname(cert)),
        der=found.der,
    )


def _none(text: str) -> str:
    return "" if text == "None" else text


def account_folder(places: Folders, server: str, account: str = "") -> str:
    """The folder of an account, as certbot lays them out by the server's URL."""
    url = urlsplit(server)
    parts = [part for part in (url.netloc + url.path).split("/") if part not in ("", "..")]
    return os.path.join(places.config_dir, "accounts", *parts, os.path.basename(account))


def _renews(found: certificate.Certificate, setting: Optional[str]) -> int:
    """When certbot replaces it: 30 days before the end up to 3.x, from 4.0 with a third of the
    lifetime left (half of ten days and less), or as the lineage's `renew_before_expiry` says."""
    import certbot

    units = {"day": _DAY, "week": 7 * _DAY, "hour": 3600, "month": 30 * _DAY}
    match = re.fullmatch(r"\s*([0-9]+)\s*([a-z]+?)s?\s*", setting or "")
    lifetime = found.not_after + 1 - found.not_before
    if match and match[2] in units:
        before = int(match[1]) * units[match[2]]
    elif int(certbot.__version__.split(".")[0]) < 4:
        before = 30 * _DAY
    else:
        before = lifetime // 2 if lifetime <= 10 * _DAY else lifetime // 3
    return found.not_after + 1 - before


def _had_client_auth(live: str) -> bool:
    """Whether the version before the live one was for clients as well."""
    try:
        before = lineages.read_previous(live)
        return before is not None and certificate.parse(before.cert).client_auth
    except (InstallError, OSError, ValueError):
        return False


def _failure(found: Lineage, runs: certbots_log.Runs) -> Optional[certbots_log.Failure]:
    """The last failure, unless the certificate has been replaced since."""
    failure = runs.failures.get(found.name)
    return failure if failure and failure.when > found.issued + 3600 else None


def departments(settings: Settings, places: Folders) -> Iterable[DepartmentFact]:
    for one in settings.departments:
        folder, account = account_folder(places, one.server), None
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    with open(os.path.join(folder, name, "tcs-lyon1.json"), "rb") as file:
                        if json.load(file)["eab_kid"] == one.eab_kid:
                            account = name
        yield DepartmentFact(one.name, one.eab_kid, one.server, account)


# Where a certificate goes


def _with_targets(
    found: list[Lineage], targets: tuple[Target, ...], places: Folders
) -> list[Lineage]:
    """The lineages with what lies at their targets, and what their services give."""
    answers = served.look([service for target in targets for service in target.serves])
    made = []
    for one in found:
        mine = [target for target in targets if target.certificate == one.name and not one.fault]
        if mine:
            there = tuple(
                ServedThere(target.name, str(service), _difference(answers[service], one))
                for target in mine
                for service in target.serves
            )
            one = replace(one, deployed=tuple(_deployed(one, mine, places)), served=there)
        made.append(one)
    return made


def _difference(answer: served.Served, live: Lineage) -> str:
    if answer.der is None:
        return f"cannot be asked: {answer.fault}"
    if answer.der == live.der:
        return ""
    try:
        other = certificate.parse_der(answer.der)
        what = f"serial {other.serial}, ends {time.strftime('%F', time.gmtime(other.not_after))}"
    except (ValueError, IndexError, KeyError, UnicodeError):
        what = "one that cannot be read"
    return f"gives another certificate than the live version ({foreign(what)})"


def _deployed(live: Lineage, targets: Iterable[Target], places: Folders) -> Iterable[Deployed]:
    from certbot_tcs_lyon1.install import formats

    try:
        version = lineages.read(os.path.join(places.config_dir, "live", live.name))
    except InstallError as error:
        yield Deployed("", places.config_dir, str(error))
        return
    for target in targets:
        for kind in WRITTEN:
            path = getattr(target, kind)
            if path is None:
                continue
            data, fault = _content(path, target)
            if data is not None and kind == "pkcs12":
                fault = _of_pkcs12(path, data, target, version, places)
            elif data is not None:
                fault = "" if data == formats.pem(kind, version) else "is not the live version"
            yield Deployed(target.name, path, fault)


def _of_pkcs12(
    path: str, data: bytes, target: Target, version: lineages.Lineage, places: Folders
) -> str:
    """What is wrong with a PKCS#12, by the record of what was written: it is never opened."""
    from certbot_tcs_lyon1.install import written

    try:
        password = disk.read(target.pkcs12_password_file or "")[0].rstrip(b"\r\n")
    except (OSError, DiskError) as error:
        return f"cannot be looked at: {target.pkcs12_password_file}: {error}"
    source = written.source_of(version, password)
    real = os.path.realpath(path)
    return "" if written.is_ours(places.work_dir, real, data, source) else "is not the live version"


def _content(path: str, target: Target) -> tuple[Optional[bytes], str]:
    """What a target's file holds, or why that can't be said."""
    try:
        owner = target.owner or "0"
        number = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
        with folders.opened(path, number) as place:
            found = disk.look(place)
    except KeyError:
        return None, f"cannot be looked at: there is no user {target.owner}"
    except (OSError, DiskError) as error:
        return None, f"cannot be looked at: {error}"
    return (None, "is not there") if found is None else (found.data, "")
