"""Reading certbot's config folder: the lineages with their live version, and the accounts.

certbot 1.12 to 5.8 have the same layout. A lineage that certbot itself would refuse has a fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.ca import account_record
from certbot_tcs_lyon1.ca.departments import DEST
from certbot_tcs_lyon1.department.settings import Department
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import certificate
from certbot_tcs_lyon1.status.facts import DepartmentFact, Folders, Lineage

_DAY = 86400
_UNITS = {"hour": 3600, "day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY}

#: The words for true of configobj.
_YES = ("true", "on", "1", "yes")

#: certbot can't use an account without these.
_ACCOUNT_FILES = ("regr.json", "private_key.json")


def lineage_names(config_dir: str) -> tuple[list[str], list[str]]:
    """Return the names of the lineages: of each renewal conf, and of each folder in `live`.

    :returns: the names, and the folders that this user can't read
    """
    found, unreadable = set(), []
    for folder, ending in (("renewal", ".conf"), ("live", "")):
        path = os.path.join(config_dir, folder)
        try:
            for name in os.listdir(path):
                if name.endswith(ending) and (ending or os.path.isdir(os.path.join(path, name))):
                    found.add(name[: len(name) - len(ending)])
        except FileNotFoundError:
            continue
        except OSError:
            unreadable.append(path)
    return sorted(found), unreadable


def read_lineage(name: str, folders: Folders) -> Lineage:
    """Return a lineage; if it can't be used, with the fault."""
    conf = os.path.join(folders.config_dir, "renewal", f"{name}.conf")
    try:
        paths, options, before_expiry = _read_conf(conf)
        found = _read_live(paths)
        server, account = options.get("server", ""), options.get("account", "")
        return Lineage(
            name,
            names=found.names,
            department=options.get(DEST),
            server=server,
            issuer=foreign(found.issuer, 100),
            serial=found.serial,
            issued=found.not_before,
            ends=found.not_after + 1,
            renews=_renews(found, before_expiry),
            written=int(os.stat(paths["cert"]).st_mtime),
            authenticator=options.get("authenticator", ""),
            installer=options.get("installer", "").replace("None", ""),
            account=account,
            account_is_there=not account or _is_there(account_folder(folders, server, account)),
            autorenew=options.get("autorenew", "True").lower() in _YES,
            lost_client_auth=not found.client_auth
            and _had_client_auth(os.path.dirname(paths["cert"])),
            names_crl=found.names_crl,
            der=found.der,
        )
    except PermissionError as error:
        folder = os.path.dirname(str(error.filename))
        return Lineage(name, fault=f"{error.filename}: permission denied", unreadable=folder)
    except OSError as error:
        return Lineage(name, fault=f"{error.filename or conf}: {error.strerror or error}")
    except (InstallError, ValueError) as error:
        return Lineage(name, fault=str(error))


def _read_conf(path: str) -> tuple[dict[str, str], dict[str, str], str]:
    """Return the live version's paths, the options and `renew_before_expiry` of a renewal conf.

    :raises ValueError: certbot can't use it
    """
    import configobj  # a dependency of certbot's

    os.stat(path)  # configobj's error for a missing file has no errno
    try:
        kept = configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8")
        options: Mapping[str, Any] = kept.get("renewalparams", {})
        if not isinstance(options, Mapping) or "authenticator" not in options:
            raise ValueError("it has no authenticator")
        if not options.get("server"):
            raise ValueError("it names no server")
        missing = [kind for kind in lineages.KINDS if kind not in kept]
        if missing:
            raise ValueError(f"it does not say where {missing[0]} is")
        paths = {kind: str(kept[kind]) for kind in lineages.KINDS}
        plain = {key: str(value) for key, value in options.items()}
        return paths, plain, str(kept.get("renew_before_expiry", ""))
    except (configobj.ConfigObjError, ValueError) as error:  # including UnicodeError
        raise ValueError(f"{path}: it is damaged ({foreign(str(error), 100)})") from None


def _read_live(paths: Mapping[str, str]) -> certificate.Certificate:
    """Return the certificate of the live version, once it is checked that its files match.

    :raises ValueError, InstallError: they don't, or one is damaged
    :raises OSError: one can't be read
    """
    content = {}
    for kind, path in paths.items():
        with open(path, "rb") as file:
            content[kind] = file.read(disk.MOST_BYTES)
        if not os.path.islink(path):
            raise ValueError(f"{path}: it is no symbolic link, and certbot takes nothing else")
    try:
        found = certificate.parse(content["cert"])
    except ValueError as error:
        raise ValueError(f"{paths['cert']}: it is damaged ({error})") from None
    if (content["cert"] + content["chain"]).split() != content["fullchain"].split():
        raise ValueError(
            f"{paths['fullchain']}: it is not cert.pem and chain.pem one after the other, so one "
            "of the three is damaged or of another version"
        )
    if not certificate.is_key_of(content["privkey"], found):
        lineages.check_pair(lineages.read(os.path.dirname(paths["cert"])))  # OpenSSL decides
    return found


def _renews(found: certificate.Certificate, setting: str) -> int:
    """Return when certbot renews it, in seconds since the epoch.

    By `renew_before_expiry` of the lineage; without it, certbot before 4.0 renews 30 days before
    the end, later ones when a third of the lifetime is left (half of one of at most ten days).
    """
    import certbot

    match = re.fullmatch(r"\s*([0-9]+)\s*([a-z]+?)s?\s*", setting)
    lifetime = found.not_after + 1 - found.not_before
    if match and match[2] in _UNITS:
        before = int(match[1]) * _UNITS[match[2]]
    elif int(certbot.__version__.split(".")[0]) < 4:
        before = 30 * _DAY
    else:
        before = lifetime // 2 if lifetime <= 10 * _DAY else lifetime // 3
    return found.not_after + 1 - before


def _had_client_auth(live: str) -> bool:
    """Return whether the version before the live one had clientAuth."""
    try:
        before = lineages.read_previous(live)
        return before is not None and certificate.parse(before.cert).client_auth
    except (InstallError, OSError, ValueError):
        return False


# Accounts


def account_folder(folders: Folders, server: str, account: str = "") -> str:
    """Return the folder of an account, or of the accounts of a server, as certbot lays them out."""
    url = urlsplit(server)
    parts = [part for part in (url.netloc + url.path).split("/") if part not in ("", "..")]
    return os.path.join(folders.config_dir, "accounts", *parts, os.path.basename(account))


def _is_there(folder: str) -> bool:
    """Return whether certbot can use the account in a folder.

    :raises PermissionError: this user can't read it
    """
    try:
        for name in _ACCOUNT_FILES:
            with open(os.path.join(folder, name), "rb") as file:
                json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def departments(found: Iterable[Department], folders: Folders) -> Iterator[DepartmentFact]:
    """Yield the departments, each with the account of its Key ID."""
    for department in found:
        folder = account_folder(folders, department.server)
        mine, others = [], []
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                kid, is_given = account_record.read(os.path.join(folder, name))
                if kid == department.eab_kid:
                    mine.append(name)
                elif is_given:
                    others.append(name)
        account = mine[0] if mine else None
        yield DepartmentFact(
            department.name, department.eab_kid, department.server, account, (*mine, *others)
        )
