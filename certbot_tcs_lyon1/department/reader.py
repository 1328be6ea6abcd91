"""Reading the department config into `Settings`, with all its faults in one error.

A message names file, line, section and key, and never shows the value of a key that may hold a
secret. `inifile` parses the file, `keys` has the table of keys, `sections` the rules for headers
and between sections.
"""

from __future__ import annotations

import os
import shlex
import stat
from typing import Any, Optional

from certbot_tcs_lyon1 import disk, lyon1
from certbot_tcs_lyon1.department import inifile, keyfiles, keys, rights, sections, values
from certbot_tcs_lyon1.department.faults import Fault, shown, shown_header, text_of
from certbot_tcs_lyon1.department.inifile import Source
from certbot_tcs_lyon1.department.keys import EVERY_KEY, KEYS, WRITTEN
from certbot_tcs_lyon1.department.sections import Section
from certbot_tcs_lyon1.department.settings import (
    DEFAULT_ALGORITHM,
    Department,
    DnsServer,
    Keytab,
    Settings,
    SigningKey,
    Target,
    TsigKey,
    is_under,
)
from certbot_tcs_lyon1.department.values import FROM_PORTAL
from certbot_tcs_lyon1.errors import ConfigError, DiskError
from certbot_tcs_lyon1.report import foreign

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
        source.check_rights(path, state)
        source.note_file(path, state)
    settings = _settings(source, inifile.parse(source, EVERY_KEY))
    if source.faults:
        raise ConfigError(parts=source.faults_in_order())
    return settings


def is_current(settings: Settings) -> bool:
    """Return whether the files that the settings were read from are unchanged."""
    return all(inifile.stamp_of(path) == stamp for path, stamp in settings.files)


def _unreadable(path: str, error: OSError) -> ConfigError:
    cause = f"the department config cannot be read: {inifile.reason(error)}"
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


def _settings(source: Source, parsed: dict[str, dict[str, str]]) -> Settings:
    """Return the settings; if a fault was noted, they are incomplete and must not be used."""
    found = sections.by_kind(source, parsed)
    shared: dict[str, Any] = {}
    for section in found["tcs"]:
        shared = _valid_values(source, section, "tcs")
    revocation_check = shared.pop("revocation_check", True)
    departments = [_department(source, section, shared) for section in found["department"]]
    servers = [_dns_server(source, section) for section in found["dns"]]
    targets = [_target(source, section) for section in found["install"]]
    sections.check_domains(source, found["department"], departments)
    sections.check_bases(source, servers)
    sections.check_paths(source, found["install"], targets)
    return Settings(
        source.path,
        tuple(departments),
        tuple(servers),
        tuple(targets),
        tuple(source.warnings),
        tuple(source.files),
        revocation_check,
    )


def _valid_values(source: Source, section: Section, kind: str) -> dict[str, Any]:
    """Return the valid values of a section, converted; faults of the others are noted."""
    known = KEYS[kind]
    good = {}
    for name, key in known.items():
        if key.required and name not in section.body:
            source.fault(section.header, name, "is missing", key.required)
    for name, text in section.body.items():
        if name not in known:
            sections.note_unknown_key(source, section.header, name, known)
            continue
        line = source.lines[source.number(section.header, name) - 1]
        try:
            good[name] = keys.convert(text, known[name], line)
        except Fault as fault:
            source.note(section.header, name, fault)
    return good


def _department(source: Source, section: Section, shared: dict[str, Any]) -> Department:
    own = _valid_values(source, section, "department")
    merged = {**keys.defaults("department"), **shared, **own}
    merged["eab_hmac_key"] = _eab_hmac_key(source, section, own)
    del merged["eab_hmac_key_file"]
    return Department(name=section.name, **merged)


def _eab_hmac_key(source: Source, section: Section, own: dict[str, Any]) -> str:
    """Return the HMAC key, from the section or from its file; "" if a fault was noted."""
    inline, key = "eab_hmac_key", "eab_hmac_key_file"
    if inline in section.body and key in section.body:
        source.fault(section.header, key, f"{inline} is there as well", "keep one of them")
    if inline not in section.body and key not in section.body:
        remedy = f"{FROM_PORTAL}, or name a file in {key}"
        source.fault(section.header, inline, "is missing", remedy)
    if key not in own:
        return str(own.get(inline, ""))
    data = _read_named_file(source, section.header, key, own[key])
    if data is None:
        return ""
    try:
        lines = text_of(data).strip().splitlines()
        if len(lines) != 1:
            raise Fault("the file must hold the HMAC Key alone, on one line", FROM_PORTAL)
        return values.hmac_key(lines[0])
    except Fault as fault:
        source.note(section.header, key, fault, own[key])
        return ""


def _read_named_file(source: Source, header: str, key: str, path: str) -> Optional[bytes]:
    """Return the content of a file that a key names, and check its rights; None after a fault."""
    try:
        data, state = disk.read(path)
    except DiskError as error:
        fault = Fault(error.cause, rights.copy_command(path, source.path, header))
    except (OSError, ValueError) as error:
        fault = Fault(inifile.reason(error), "correct the path or the file")
        fault.errno = getattr(error, "errno", 0) or 0
    else:
        source.check_rights(path, state, header, key)
        source.note_file(path, state)
        return data
    source.note(header, key, fault, _shown_path(path))
    return None


def _shown_path(path: str) -> str:
    """Return the path as a message may show it: one that exists is no secret in the wrong place."""
    return foreign(path) if inifile.stamp_of(path) else shown(path)


def _dns_server(source: Source, section: Section) -> DnsServer:
    header, own = section.header, _valid_values(source, section, "dns")
    base = ""
    try:
        base = values.dns_name(section.name) if section.name else ""
    except Fault as fault:
        source.fault(header, "", fault.cause, f"{fault.remedy}; write [dns] or [dns DOMAIN]")
    zone = own.get("zone")
    if base and zone and not (is_under(base, zone) or is_under(zone, base)):
        cause = f"the zone {shown(zone)} has no name in common with [{shown_header(header)}]"
        source.fault(header, "zone", cause, "correct one of them")
    merged = {**keys.defaults("dns"), **own}
    return DnsServer(
        base=base,
        servers=merged["server"],
        key=_signing_key(source, section, own),
        zone=zone or None,
        ttl=merged["ttl"],
        check_servers=merged["check_servers"],
        propagation_seconds=merged["propagation_seconds"],
        section=header,
        department_config=source.path,
    )


def _signing_key(source: Source, section: Section, own: dict[str, Any]) -> SigningKey:
    """Return the key that signs updates; an empty one if a fault was noted."""
    header, body = section.header, section.body
    tsig = [key for key in body if key.startswith("key_")]
    if "keytab" not in body and "principal" not in body:
        return _tsig_key(source, section, own)
    if "keytab" not in body:
        cause = "belongs to a keytab, which is missing"
        source.fault(header, "principal", cause, "write keytab, or take principal out")
    elif tsig:
        source.fault(header, "keytab", f"{tsig[0]} is there as well", "keep one of them")
    path, principal = own.get("keytab"), own.get("principal")
    data = _read_named_file(source, header, "keytab", path) if path else None
    if data is not None and ("principal" in own or "principal" not in body):
        try:
            return keyfiles.parse_keytab(data, principal)
        except Fault as fault:
            source.note(header, "keytab", fault, own["keytab"])
    return Keytab("", b"")


def _tsig_key(source: Source, section: Section, own: dict[str, Any]) -> TsigKey:
    """Return the TSIG key, from the section or from its file; an empty one if a fault was noted."""
    header, body = section.header, section.body
    inline = [key for key in ("key_name", "key_secret", "key_algorithm") if key in body]
    if "key_file" in body and inline:
        source.fault(header, inline[0], "key_file is there as well", "keep one of them")
    elif "key_file" not in body:
        for key in ("key_name", "key_secret"):
            if key not in body:
                remedy = "write key_file, or key_name and key_secret"
                origin = "the TSIG key comes from the DNS administrator"
                source.fault(header, key, "is missing", f"{remedy}; {origin}")
    where = "key_file" if "key_file" in body else "key_algorithm"
    found = TsigKey(
        own.get("key_name", ""),
        own.get("key_algorithm", DEFAULT_ALGORITHM),
        own.get("key_secret", ""),
    )
    path = own.get("key_file")
    data = _read_named_file(source, header, where, path) if path else None
    if data is not None:
        try:
            found = keyfiles.parse_key(data)
        except Fault as fault:
            source.note(header, where, fault, own["key_file"])
    if found.algorithm in keyfiles.WEAK:
        better = f"ask the DNS administrator for a TSIG key with {DEFAULT_ALGORITHM}"
        source.warn(header, where, Fault(f"{found.algorithm} is weak", better))
    return found


def _target(source: Source, section: Section) -> Target:
    header, own = section.header, _valid_values(source, section, "install")
    if not any(key in section.body for key in WRITTEN):
        source.fault(header, "", "writes nothing", f"add one of {', '.join(WRITTEN)}")
    for key, other in (_PKCS12, _PKCS12[::-1]):
        if key in section.body and other not in section.body:
            source.fault(header, other, f"is missing, and {key} needs it", f"write {other}")
    keyed = [key for key in ("privkey", "combined", "pkcs12") if key in section.body]
    if keyed and own.get("mode", 0) & stat.S_IRWXO:
        cause = f"gives everybody access to the private key in {keyed[0]}"
        source.fault(header, "mode", cause, "write it like 0640, or split the section in two")
    password_file = own.get("pkcs12_password_file")
    if password_file and not source.note_missing(password_file):
        _read_named_file(source, header, "pkcs12_password_file", password_file)
    return Target(name=section.name, **{**keys.defaults("install"), **own})
