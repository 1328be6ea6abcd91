"""Reading the department config into `Settings`, with all its faults in one error.

A message names file, line, section and key, and never shows the value of a key that may hold a
secret. `inifile` parses the file, `keys` has the table of keys, `sections` the rules for headers
and between sections.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable
from typing import Any, Optional, TypeVar

from certbot_tcs_lyon1 import disk, lyon1
from certbot_tcs_lyon1.department import inifile, keyfiles, keys, rights, sections
from certbot_tcs_lyon1.department.faults import Fault, shown
from certbot_tcs_lyon1.department.inifile import Section, Source
from certbot_tcs_lyon1.department.keys import KEYS
from certbot_tcs_lyon1.department.settings import (
    DEFAULT_ALGORITHM,
    WITH_KEY,
    WRITTEN,
    Department,
    DnsServer,
    Keytab,
    Settings,
    SigningKey,
    Stamp,
    Target,
    TsigKey,
    is_under,
)
from certbot_tcs_lyon1.department.values import FROM_PORTAL
from certbot_tcs_lyon1.errors import ConfigError, DiskError
from certbot_tcs_lyon1.report import foreign

_Parsed = TypeVar("_Parsed")

#: The smallest file that works, once the values from the portal are filled in.
SMALLEST = f"""\
[tcs]
email = {lyon1.EXAMPLE_EMAIL}
agree_tos = yes

[department my-department]
eab_kid = <Key ID from the portal>
eab_hmac_key = <HMAC Key from the portal>

; Only for names that the CA does not hold as validated already:
;[dns]
;server = {lyon1.EXAMPLE_UPDATE_SERVER}
;key_file = /etc/letsencrypt/tcs-lyon1.key
"""


def read(path: str) -> Settings:
    """Read the department config at `path`, and the files that it names, each once.

    :raises ConfigError: with all faults of the file, or why it cannot be read
    """
    path = os.path.abspath(path)
    try:
        data, state = disk.read(path)
    except DiskError as error:
        raise ConfigError(error.cause, error.remedy, where=path) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    return parse(path, data, state)


def parse(path: str, data: bytes, state: Optional[os.stat_result] = None) -> Settings:
    """Return the settings of a department config, and read the files that it names.

    :param path: of the department config
    :param data: its content
    :param state: of the file; None if it is not written yet
    :raises ConfigError: with all its faults
    """
    source = Source(path, data)
    if state is not None:
        rights.check(source.whole, "", path, state)
        source.files.append((path, _stamp(state)))
    settings = _settings(source)
    if source.faults:
        raise ConfigError(parts=source.faults_in_order())
    return settings


def is_current(settings: Settings) -> bool:
    """Return whether the files that the settings were read from are unchanged."""
    return all(_stamp_of(path) == stamp for path, stamp in settings.files)


def _stamp_of(path: str) -> Optional[Stamp]:
    """Return the stamp of the file at `path`; None if there is none."""
    try:
        return _stamp(os.stat(path))
    except (OSError, ValueError):
        return None


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, in lower case."""
    return (getattr(error, "strerror", None) or "unknown reason").lower()


def _unreadable(path: str, error: OSError) -> ConfigError:
    cause = f"the department config cannot be read: {_reason(error)}"
    as_root = "run certbot as root, or " if isinstance(error, PermissionError) else ""
    remedy = f"{as_root}name another file with {lyon1.CONFIG_OPTION} PATH"
    if isinstance(error, FileNotFoundError):
        cause = "there is no department config"
        remedy = (
            f"write it and run: chmod 600 {shlex.quote(path)}\n"
            f"If it is elsewhere, name it with {lyon1.CONFIG_OPTION} PATH."
            f" The smallest file that works:\n\n{SMALLEST}"
        )
    found = ConfigError(cause, remedy, where=path)
    found.path, found.errno = path, error.errno or 0
    return found


# Sections

_PKCS12 = ("pkcs12", "pkcs12_password_file")


def _settings(source: Source) -> Settings:
    """Return the settings; if a fault was noted, they are incomplete and must not be used."""
    found = sections.by_kind(source, inifile.parse(source))
    shared: dict[str, Any] = {}
    for section in found["tcs"]:
        shared = _valid_values(section)
    revocation_check = shared.pop("revocation_check", True)
    departments = [_department(section, shared) for section in found["department"]]
    servers = [_dns_server(section) for section in found["dns"]]
    targets = [_target(section) for section in found["install"]]
    sections.check_domains(found["department"], departments)
    sections.check_paths(found["install"], targets)
    return Settings(
        source.path,
        tuple(departments),
        tuple(servers),
        tuple(targets),
        tuple(source.warnings),
        tuple(source.files),
        revocation_check,
    )


def _valid_values(section: Section) -> dict[str, Any]:
    """Return the valid values of a section, converted; faults of the others are noted."""
    known = KEYS[section.kind]
    good = {}
    for name, key in known.items():
        if key.required and name not in section.texts:
            section.fault(name, "is missing", key.required)
    for name, text in section.texts.items():
        if name not in known:
            sections.note_unknown_key(section, name, known)
            continue
        line = section.source.lines[section.number(name) - 1]
        try:
            good[name] = keys.convert(text, known[name], line)
        except Fault as fault:
            section.note(name, fault)
    return good


def _department(section: Section, shared: dict[str, Any]) -> Department:
    own = _valid_values(section)
    merged = {**keys.defaults("department"), **shared, **own}
    merged["eab_hmac_key"] = _eab_hmac_key(section, own)
    del merged["eab_hmac_key_file"]
    return Department(name=section.name, **merged)


def _eab_hmac_key(section: Section, own: dict[str, Any]) -> str:
    """Return the HMAC key, from the section or from its file; "" if a fault was noted."""
    inline, key = "eab_hmac_key", "eab_hmac_key_file"
    if inline in section.texts and key in section.texts:
        section.fault(key, f"{inline} is there as well", "keep one of them")
    if inline not in section.texts and key not in section.texts:
        section.fault(inline, "is missing", f"{FROM_PORTAL}, or name a file in {key}")
    if key not in own:
        return str(own.get(inline, ""))
    return _read_named_file(section, key, own, keyfiles.parse_hmac_key) or ""


def _read_named_file(
    section: Section, key: str, own: dict[str, Any], parse: Callable[[bytes], _Parsed]
) -> Optional[_Parsed]:
    """Return what is in the file that a key names, and check its rights.

    :param own: the valid values of the section
    :param parse: what is made of the file's content; raises `Fault`
    :returns: None if the section does not name a file, or a fault was noted
    """
    path = own.get(key)
    if path is None:
        return None
    try:
        data, state = disk.read(path)
        rights.check(section, key, path, state)
        section.source.files.append((path, _stamp(state)))
        return parse(data)
    except Fault as fault:
        section.note(key, fault, path)
        return None
    except DiskError as error:
        unusable = Fault(error.cause, rights.copy_command(section, path))
    except (OSError, ValueError) as error:  # UnicodeError: in a locale that is not UTF-8
        unusable = Fault(_reason(error), "correct the path or the file")
        unusable.errno = getattr(error, "errno", 0) or 0
    # A path that does not exist could be a secret in the wrong place; where a folder on it may not
    # be entered, it is none.
    exists = unusable.errno == errno.EACCES or _stamp_of(path)
    section.note(key, unusable, foreign(path) if exists else shown(path))
    return None


def _dns_server(section: Section) -> DnsServer:
    own = _valid_values(section)
    merged = {**keys.defaults("dns"), **own}
    base, zone = section.name, merged["zone"]
    if base and zone and not (is_under(base, zone) or is_under(zone, base)):
        cause = f"the zone {shown(zone)} has no name in common with {section.title}"
        section.fault("zone", cause, "correct one of them")
    return DnsServer(
        base=base,
        servers=merged["server"],
        key=_signing_key(section, own),
        **{key: merged[key] for key in ("zone", "ttl", "check_servers", "propagation_seconds")},
        section=section.header,
        department_config=section.source.path,
    )


def _signing_key(section: Section, own: dict[str, Any]) -> SigningKey:
    """Return the key that signs updates; an empty one if a fault was noted."""
    texts = section.texts
    if "keytab" not in texts and "principal" not in texts:
        return _tsig_key(section, own)
    tsig = [key for key in texts if key.startswith("key_")]
    if "keytab" not in texts:
        cause = "belongs to a keytab, which is missing"
        section.fault("principal", cause, "write keytab, or take principal out")
    elif tsig:
        section.fault("keytab", f"{tsig[0]} is there as well", "keep one of them")

    def parse(data: bytes) -> Optional[Keytab]:
        is_faulty = "principal" in texts and "principal" not in own
        return None if is_faulty else keyfiles.parse_keytab(data, own.get("principal"))

    return _read_named_file(section, "keytab", own, parse) or Keytab("", b"")


def _tsig_key(section: Section, own: dict[str, Any]) -> TsigKey:
    """Return the TSIG key, from the section or from its file; an empty one if a fault was noted."""
    texts = section.texts
    inline = [key for key in ("key_name", "key_secret", "key_algorithm") if key in texts]
    if "key_file" in texts and inline:
        section.fault(inline[0], "key_file is there as well", "keep one of them")
    elif "key_file" not in texts:
        for key in ("key_name", "key_secret"):
            if key not in texts:
                remedy = "write key_file, or key_name and key_secret"
                origin = "the TSIG key comes from the DNS administrator"
                section.fault(key, "is missing", f"{remedy}; {origin}")
    found = _read_named_file(section, "key_file", own, keyfiles.parse_key) or TsigKey(
        own.get("key_name", ""),
        own.get("key_algorithm", DEFAULT_ALGORITHM),
        own.get("key_secret", ""),
    )
    if found.algorithm in keyfiles.WEAK:
        key = "key_file" if "key_file" in texts else "key_algorithm"
        better = f"ask the DNS administrator for a TSIG key with {DEFAULT_ALGORITHM}"
        section.warn(key, Fault(f"{found.algorithm} is weak", better))
    return found


def _target(section: Section) -> Target:
    own, texts = _valid_values(section), section.texts
    if not any(key in texts for key in WRITTEN):
        section.fault("", "writes nothing", f"add one of {', '.join(WRITTEN)}")
    for key, other in (_PKCS12, _PKCS12[::-1]):
        if key in texts and other not in texts:
            section.fault(other, f"is missing, and {key} needs it", f"write {other}")
    keyed = [key for key in WITH_KEY if key in texts]
    if keyed and own.get("mode", 0) & stat.S_IRWXO:
        cause = f"gives everybody access to the private key in {keyed[0]}"
        section.fault("mode", cause, "write it like 0640, or split the section in two")
    password_file = own.get("pkcs12_password_file")
    if password_file and _stamp_of(password_file) is None:
        section.source.files.append((password_file, None))
    else:
        _read_named_file(section, "pkcs12_password_file", own, bytes)
    return Target(name=section.name, **{**keys.defaults("install"), **own})
