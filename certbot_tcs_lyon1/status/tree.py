"""What certbot keeps in its config folder: lineages with their live version, and accounts.

certbot 1.12 to 5.8 lay them out alike. A lineage that certbot itself would refuse has a fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.department.settings import Settings
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status import certificate
from certbot_tcs_lyon1.status.facts import DepartmentFact, Folders, Lineage

_DAY = 86400
_UNITS = {"hour": 3600, "day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY}

#: What configobj takes for true.
_YES = ("true", "on", "1", "yes")
_NOT_RENEWED = "its renewal conf says autorenew = False; take that line out"

#: certbot can't use an account without these.
_ACCOUNT_FILES = ("regr.json", "private_key.json")


def names(config_dir: str, unreadable: list[str]) -> list[str]:
    """The lineages: what has a renewal conf, or a folder in `live`.

    :param unreadable: gets the folders that this user can't read
    """
    found = set()
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
    return sorted(found)


def look(name: str, places: Folders, unreadable: list[str]) -> Lineage:
    """A lineage, with why it can't be used if so.

    :param unreadable: gets the folders that this user can't read
    """
    conf = os.path.join(places.config_dir, "renewal", f"{name}.conf")
    try:
        paths, options, before_expiry = _read_conf(conf)
        found = _read_live(paths)
        server, account = options.get("server", ""), options.get("account", "")
        return Lineage(
            name,
            names=found.names,
            department=options.get("tcs_lyon1_department"),
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
            account_is_there=not account or _is_there(account_folder(places, server, account)),
            misfit="" if options.get("autorenew", "True").lower() in _YES else _NOT_RENEWED,
            lost_client_auth=not found.client_auth
            and _had_client_auth(os.path.dirname(paths["cert"])),
            names_crl=found.names_crl,
            der=found.der,
        )
    except PermissionError as error:
        unreadable.append(os.path.dirname(str(error.filename)))
        return Lineage(name, fault=f"{error.filename}: permission denied")
    except OSError as error:
        return Lineage(name, fault=f"{error.filename or conf}: {error.strerror or error}")
    except (InstallError, ValueError) as error:
        return Lineage(name, fault=str(error))


def _read_conf(path: str) -> tuple[dict[str, str], dict[str, str], str]:
    """Of a renewal conf: the files of the live version, the options, and `renew_before_expiry`.

    :raises ValueError: certbot can't use it
    """
    import configobj  # certbot's own

    os.stat(path)  # configobj's error for a file that isn't there has no errno
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
    except (configobj.ConfigObjError, ValueError) as error:  # of the latter is UnicodeError
        raise ValueError(f"{path}: it is damaged ({foreign(str(error), 100)})") from None


def _read_live(paths: Mapping[str, str]) -> certificate.Certificate:
    """The certificate of the live version, whose files go together.

    :raises ValueError, InstallError: they do not, or one is damaged
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
        lineages.check_pair(lineages.read(os.path.dirname(paths["cert"])))  # as OpenSSL sees it
    return found


def _renews(found: certificate.Certificate, setting: str) -> int:
    """When certbot replaces it: 30 days before the end up to 3.x, from 4.0 with a third of the
    lifetime left (half of ten days and less), or as the lineage's `renew_before_expiry` says."""
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
    """Whether the version before the live one was for clients as well."""
    try:
        before = lineages.read_previous(live)
        return before is not None and certificate.parse(before.cert).client_auth
    except (InstallError, OSError, ValueError):
        return False


# Accounts


def account_folder(places: Folders, server: str, account: str = "") -> str:
    """The folder of an account, as certbot lays them out by the server's URL."""
    url = urlsplit(server)
    parts = [part for part in (url.netloc + url.path).split("/") if part not in ("", "..")]
    return os.path.join(places.config_dir, "accounts", *parts, os.path.basename(account))


def _is_there(folder: str) -> bool:
    """Whether certbot can use the account of a folder.

    :raises PermissionError: this user can't tell
    """
    try:
        for name in _ACCOUNT_FILES:
            with open(os.path.join(folder, name), "rb") as file:
                json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def departments(settings: Settings, places: Folders) -> Iterator[DepartmentFact]:
    """The departments with their accounts, as `ca.accounts` chooses among them.

    It keeps a lineage's account if that is of the department's Key ID, or of one that the user gave
    by option; else it takes the first of the Key ID.
    """
    for one in settings.departments:
        folder = account_folder(places, one.server)
        mine, given = [], []
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(folder)):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    with open(os.path.join(folder, name, "tcs-lyon1.json"), "rb") as file:
                        record = json.load(file)
                    if record["eab_kid"] == one.eab_kid:
                        mine.append(name)
                    elif record.get("given"):
                        given.append(name)
        account = mine[0] if mine else None
        yield DepartmentFact(one.name, one.eab_kid, one.server, account, (*mine, *given))
