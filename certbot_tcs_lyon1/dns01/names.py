"""Domain names: parsing them, displaying them, and deriving others from one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import dns.exception
import dns.name
import dns.rcode

from certbot_tcs_lyon1.errors import DnsError
from certbot_tcs_lyon1.report import foreign


def parse(name: str) -> dns.name.Name:
    """Return the absolute domain name of a text, in lower case.

    :raises DnsError: it is no domain name, or exceeds the size limits (RFC 1035 §2.3.4)
    """
    try:
        return dns.name.from_text(name.lower())
    except (dns.exception.DNSException, UnicodeError, ValueError):
        raise DnsError(
            f"{foreign(name)} is no name that the DNS can have (255 octets at most, and 63 in each "
            "label)",
            "Order the certificate for a shorter name",
        ) from None


def text(name: dns.name.Name) -> str:
    """Return a name for display: without the final dot, and safe for a terminal even if a name
    server has sent it.
    """
    return foreign(name.to_text(omit_final_dot=True))


def plain(name: dns.name.Name) -> str:
    """Return a name as data, from which `parse` returns the same name; not for display."""
    return name.to_text(omit_final_dot=True)


def rcode(code: int) -> str:
    """Return the name of an rcode, or of the 16-bit error of a TSIG or TKEY record."""
    try:
        return dns.rcode.to_text(dns.rcode.Rcode(code), True)
    except ValueError:
        return f"the code {code}"


def random_sibling(name: dns.name.Name) -> dns.name.Name:
    """Return a random sibling of `name`, which can't exist: records at it are synthesized from a
    wildcard (RFC 4592).

    Its first label has 12 characters; if that of `name` has as many, it is not longer than `name`.

    :raises dns.name.NameTooLong: it would have more than 255 octets (RFC 1035 §2.3.4)
    :raises dns.name.NoParent: `name` is the root
    """
    return dns.name.from_text(secrets.token_hex(6), name.parent())


def above(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """Yield the names above this one, nearest first, without the root."""
    while len(name) > 2:
        name = name.parent()
        yield name
