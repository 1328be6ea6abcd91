"""Checks of single values of the department config.

Each returns the converted value or raises a `Fault`, which says what is wrong and what to do,
without a place, and never shows what may be a secret.
"""

from __future__ import annotations

import base64
import configparser
import datetime
import ipaddress
import re
import shlex
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department.faults import Fault, shown
from certbot_tcs_lyon1.department.settings import STARTTLS, Endpoint, Service, is_address

_Item = TypeVar("_Item")
Check = Callable[[str], Any]

#: The remedy for a value from the CA's portal.
FROM_PORTAL = f"copy it from the portal ({lyon1.PORTAL_ACCOUNTS})"

#: The remedy for a missing name of a lineage.
WRITE_CERTIFICATE = "write the certificate's name; see: certbot certificates"

#: The placeholders of the documentation for values from the portal.
_PLACEHOLDERS = ("KEY_ID", "HMAC_KEY", "NEW_KEY_ID", "NEW_HMAC_KEY")

#: Bytes: RFC 8555 leaves the length open; HMAC-SHA256 needs 32 (RFC 7518 §3.2).
_HMAC_BYTES = 32
_LABEL = re.compile(r"_?[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_SERVICE = re.compile(
    r"(?P<place>(?:\[[^]]+\]|[^:\s]+):[0-9]{1,5})(?:\s+starttls=(?P<protocol>\S*))?"
)
#: A word that only a shell understands; `\;` alone is a word for `find`.
_SHELL = re.compile(r"[|&]+|[0-9&]*>.*|<|\S+;")


def each(text: str, check: Callable[[str], _Item]) -> tuple[_Item, ...]:
    """Return the checked items of a list that is separated by commas or blanks, without duplicates.

    :raises Fault: its parts are the faults of all items
    """
    good: list[_Item] = []
    bad: list[Fault] = []
    for item in filter(None, re.split(r"[,\s]+", text)):
        try:
            good.append(check(item))
        except Fault as fault:
            bad.append(Fault(fault.cause, fault.remedy, where=shown(item)))
    if bad:
        raise Fault(parts=bad)
    return tuple(dict.fromkeys(good))


def dns_name(text: str) -> str:
    """Return a DNS name as A-labels, in lower case, without its final dot.

    A name that is not ASCII is converted by IDNA 2008 (RFC 5891, with the non-transitional mapping
    of UTS 46), as registries (.fr, .de, .eu) and CAs do: `straße` is `xn--strae-oqa`, not
    `strasse`.

    :raises Fault: it is no DNS name, an address, or a wildcard
    """
    if text.startswith("*."):
        raise Fault("is a wildcard", "write it without *., that covers the wildcard")
    name = _a_labels(text.removesuffix("."))
    labels = name.split(".")
    if is_address(name):
        raise Fault("is an IP address, which the DNS can't validate", "write a DNS name")
    if len(name) > 253 or not all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels):
        raise Fault("is not a DNS name (letters, digits and hyphens between dots)", "correct it")
    if labels[-1].isdigit():
        raise Fault("ends in a number, so it is an address or misspelt", "write a DNS name")
    return name


def _a_labels(text: str) -> str:
    """Return the name as A-labels; "" if it can't be converted."""
    if text.isascii():
        return text.lower()
    import idna  # comes with requests, and so with certbot

    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode() for label in mapped.split(".")
        )
    except UnicodeError:
        return ""


def domain(text: str) -> str:
    """Return a DNS name of at least two labels.

    :raises Fault: it is none
    """
    name = dns_name(text)
    if "." not in name:
        raise Fault("is not a full name", f"write it with its domain, like {lyon1.EXAMPLE_DOMAIN}")
    return name


def endpoint(text: str) -> Endpoint:
    """Return the name server: NAME, IPv4 or [IPv6], each with or without :PORT; or bare IPv6."""
    match = re.fullmatch(r"(?:\[(?P<v6>[^]]+)\]|(?P<name>[^:]+))(?P<port>:[^:]*)?", text)
    host, port = (match["v6"] or match["name"], match["port"] or ":53") if match else (text, ":53")
    if not re.fullmatch(":[0-9]{1,5}", port) or not 1 <= int(port[1:]) <= 65535:
        raise Fault("the port is not a number from 1 to 65535", "correct it")
    if match and match["v6"] and ":" not in host:
        raise Fault("only an IPv6 address goes into brackets", "write it without")
    if is_address(host):
        return Endpoint(str(ipaddress.ip_address(host)), int(port[1:]))
    if ":" in host:
        raise Fault("is not an IPv6 address", "with a port, write [ADDRESS]:PORT")
    return Endpoint(dns_name(host), int(port[1:]))


def https_url(text: str) -> str:
    """Return the URL if it is an absolute https URL without user name and password."""
    try:
        url = urlsplit(text)
        good = url.scheme == "https" and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or not re.fullmatch("[!-~]+", text) or "#" in text or re.search("[<>\"']", text):
        raise Fault(
            "is not an https URL", f"copy the ACME URL from the portal ({lyon1.PORTAL_ACCOUNTS})"
        )
    if "@" in url.netloc:
        raise Fault("has a user name or password in the URL", "take it out")
    return text


def email(text: str) -> str:
    """Return the e-mail addresses as certbot takes them, separated by commas only."""
    addresses = [address.strip() for address in text.split(",")]
    for address in addresses:
        if not re.fullmatch(r"[^\s@:;<>\"']+@[^\s@:;<>\"'.]+(\.[^\s@:;<>\"'.]+)+", address):
            raise Fault("is not an e-mail address", "write one, or several separated by commas")
    return ",".join(addresses)


def yes_no(text: str) -> bool:
    """Return the value of one of configparser's words for yes and no."""
    states = configparser.ConfigParser.BOOLEAN_STATES
    if text.lower() not in states:
        raise Fault("is neither yes nor no", "write one of them")
    return states[text.lower()]


def past_time(text: str) -> datetime.datetime:
    """Return a time in the past, UTC, from a date (midnight) or a date and time that ends in Z."""
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"):
        try:
            found = datetime.datetime.strptime(text, form).replace(tzinfo=datetime.timezone.utc)
        except ValueError:
            continue
        if found > datetime.datetime.now(datetime.timezone.utc):
            raise Fault("is in the future", "write it when the day has come")
        return found
    raise Fault("is no date", "write it like 2026-07-21, or 2026-07-21T14:00:00Z (UTC)")


@dataclass(frozen=True)
class Seconds:
    """The check of a whole number of seconds from `lowest` to `highest`."""

    lowest: int
    highest: int

    def __call__(self, text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not self.lowest <= int(text) <= self.highest:
            cause = f"is not a whole number of seconds from {self.lowest} to {self.highest}"
            raise Fault(cause, "correct it")
        return int(text)


def _check_copied(text: str) -> None:
    """Check that a value from the portal is no placeholder, and has nothing around it."""
    if re.search(r"[<>…]|\.\.\.", text) or text in _PLACEHOLDERS:
        raise Fault("a placeholder is left in", FROM_PORTAL)
    if re.search(r"[\s\"'`«»“”‘’]", text):
        raise Fault("has blanks or quotes", "write the value alone")


def key_id(text: str) -> str:
    """Return the EAB key id if it was copied whole and alone."""
    _check_copied(text)
    if not re.fullmatch("[!-~]+", text):
        raise Fault("has a character that is no letter, digit or sign", FROM_PORTAL)
    return text


def hmac_key(text: str) -> str:
    """Return the HMAC key as base64url without padding; base64 and padding are accepted, too.

    Stricter than certbot, which accepts a key that was cut short, so that the CA refuses it.
    """
    _check_copied(text)
    digits = text.rstrip("=")
    if not re.fullmatch(r"[A-Za-z0-9+/_-]*", digits):
        raise Fault("has a character that no HMAC Key has", FROM_PORTAL)
    if re.search(r"[+/]", digits) and re.search(r"[_-]", digits):
        raise Fault("has + or / as well as - or _, so it is miscopied", FROM_PORTAL)
    if len(digits) % 4 == 1 or (digits != text and len(text) % 4):
        raise Fault("is not whole base64: it was cut short", f"{FROM_PORTAL}, whole")
    digits = digits.translate(str.maketrans("+/", "-_"))
    size = len(base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)))
    # CAs make keys of 32, 48 or 64 bytes, so an odd size means that a character was lost.
    if size < _HMAC_BYTES or size % 2:
        wanted = f"at least {_HMAC_BYTES}" if size < _HMAC_BYTES else "an even number"
        raise Fault(f"has {size} bytes, not {wanted}: it was cut short", f"{FROM_PORTAL}, whole")
    return digits


def path(text: str) -> str:
    """Return the path if it is absolute, and not that of a folder."""
    if not text.startswith("/"):
        raise Fault("is a relative path", "write the absolute path")
    if text.endswith("/"):
        raise Fault("is a folder", "write the absolute path of the file")
    return text


def lineage(text: str) -> str:
    """Return the name of a lineage."""
    if not re.fullmatch(r"[^\s/]+", text):
        raise Fault("is not the name of a certificate", WRITE_CERTIFICATE)
    return text


def account(text: str) -> str:
    """Return the name or number of a user or group."""
    if not re.fullmatch(r"[^\s:/]+", text):
        raise Fault("is not a name or number", "owner and group are two keys")
    # chown(2) takes the last number for "leave unchanged".
    if text.isnumeric() and not (text.isascii() and len(text) < 11 and int(text) < 2**32 - 1):
        raise Fault(f"is no number of a user or group (0 to {2**32 - 2})", "correct it")
    return text


def mode(text: str) -> int:
    """Return the bits of a file mode in octal."""
    if not re.fullmatch("[0-7]{3,4}", text):
        raise Fault("is not an octal mode", "write it like 0640")
    if int(text, 8) & stat.S_IWOTH:
        raise Fault("lets everybody write the file", "write it like 0640")
    if int(text, 8) & ~0o777:
        raise Fault("has set-user-ID, set-group-ID or the sticky bit", "write it like 0640")
    return int(text, 8)


def command(text: str) -> tuple[str, ...]:
    """Return the words of a command that runs without a shell."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = [""]
    if not words[0]:
        raise Fault("is no command, or a quote in it is not closed", "correct it")
    if any(_SHELL.fullmatch(word) for word in words):
        raise Fault("commands run without a shell", "put several into a script, and name that")
    return tuple(words)


def services(text: str) -> tuple[Service, ...]:
    """Return a list of services: `HOST:PORT`, each with or without `starttls=PROTOCOL`."""
    found = []
    for item in text.split(","):
        match = _SERVICE.fullmatch(item.strip())
        if match is None:
            cause = "is not HOST:PORT or HOST:PORT starttls=PROTOCOL"
            raise Fault(cause, "write one, or several separated by commas")
        protocol = match["protocol"]
        if protocol is not None and protocol not in STARTTLS:
            raise Fault(f"starttls is one of {', '.join(STARTTLS)}", "correct it")
        there = endpoint(match["place"])
        found.append(Service(there.host, there.port, protocol))
    return tuple(dict.fromkeys(found))
