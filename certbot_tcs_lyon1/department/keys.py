"""The table of all keys of the department config: `KEYS`.

How to add one is in CONTRIBUTING.rst, "How to add".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import keyfiles, values
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.settings import DEFAULT_ALGORITHM, WRITTEN, DnsServer
from certbot_tcs_lyon1.department.values import FROM_PORTAL, Check, Seconds


@dataclass(frozen=True)
class Key:
    """One key.

    :ivar check: converts the text to the value, or that of one item to the item; raises `Fault`
    :ivar is_list: the value is a list, which may have several lines
    :ivar may_be_empty: `key =` is a value
    :ivar is_command: the value is a command, where ` ;` could be meant for a shell
    :ivar default: the converted value of a missing key
    :ivar required: what to do if the key is missing; "" if it may be
    """

    check: Check
    is_list: bool = False
    may_be_empty: bool = False
    is_command: bool = False
    default: Any = None
    required: str = ""


_NAME_UPDATE_SERVER = "name the update server; the DNS administrator knows it"

_TCS = {
    "server": Key(values.https_url, default=lyon1.DEFAULT_SERVER),
    "email": Key(values.email),
    "agree_tos": Key(values.yes_no, default=False),
    "issuance_timeout": Key(Seconds(1, 3600)),
    "dry_run_server": Key(values.https_url),
    "replace_issued_before": Key(values.past_time),
}
#: The keys by kind of section. Those of `_TCS` may be set in `[tcs]` and in `[department NAME]`.
KEYS: Mapping[str, Mapping[str, Key]] = {
    "tcs": {**_TCS, "revocation_check": Key(values.yes_no, default=True)},
    "department": {
        **_TCS,
        "eab_kid": Key(values.key_id, default="", required=FROM_PORTAL),
        "eab_hmac_key": Key(values.hmac_key, default=""),
        "eab_hmac_key_file": Key(values.path),
        "domains": Key(values.domain, is_list=True, may_be_empty=True, default=()),
    },
    "dns": {
        "server": Key(values.endpoint, is_list=True, default=(), required=_NAME_UPDATE_SERVER),
        "key_file": Key(values.path),
        "key_name": Key(keyfiles.check_name, default=""),
        "key_algorithm": Key(keyfiles.check_algorithm, default=DEFAULT_ALGORITHM),
        "key_secret": Key(keyfiles.check_secret, default=""),
        "keytab": Key(values.path),
        "principal": Key(keyfiles.check_principal),
        "zone": Key(values.dns_name, may_be_empty=True),
        "ttl": Key(Seconds(0, 86400), default=DnsServer.ttl),
        "check_servers": Key(values.endpoint, is_list=True, may_be_empty=True, default=()),
        "propagation_seconds": Key(Seconds(1, 3600), default=DnsServer.propagation_seconds),
    },
    "install": {
        "certificate": Key(values.lineage, default="", required=values.WRITE_CERTIFICATE),
        **dict.fromkeys((*WRITTEN, "pkcs12_password_file"), Key(values.path)),
        "owner": Key(values.account),
        "group": Key(values.account),
        "mode": Key(values.mode),
        "test": Key(values.command, is_command=True),
        "reload": Key(values.command, is_command=True),
        "serves": Key(values.services, default=()),
    },
}
EVERY_KEY = tuple(dict.fromkeys(key for keys in KEYS.values() for key in keys))


def defaults(kind: str) -> dict[str, Any]:
    """Return the values of a section without keys."""
    return {name: key.default for name, key in KEYS[kind].items()}


def convert(text: str, key: Key, line: str) -> Any:
    """Return the converted value.

    :param text: the value in the file
    :param line: the line of the file on which it begins, with its comment
    :raises Fault: the check's; or it is empty, has several lines, or lost its end to a comment
    """
    if not text and key.may_be_empty:
        return key.default
    if not text:
        raise Fault("is empty", "fill it in, or remove the line")
    _, *more = text.split("\n")
    if more and (not key.is_list or any("=" in part for part in more)):
        raise Fault(
            "continues on an indented line",
            "begin every key at the margin, and write its value on one line",
        )
    if key.is_command and re.search(r"\s;", line):
        raise Fault(
            "commands run without a shell, so `;` does not separate them",
            "put several into a script; a comment goes on a line of its own",
        )
    value = values.each(text, key.check) if key.is_list else key.check(text)
    if key.required and not value:
        raise Fault("is empty", key.required)
    return value
