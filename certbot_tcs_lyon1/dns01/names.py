"""Names of the DNS: from text and to text, and what stands beside or above one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import dns.exception
import dns.name
import dns.rcode

from certbot_tcs_lyon1.errors import DnsError
from certbot_tcs_lyon1.report import foreign


def parse(name: str) -> dns.name.Name:
    """The absolute name of this text, in lower case.

    :raises DnsError: no name of the DNS can be so (RFC 1035 §2.3.4)
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
    """A name as users write it, without the final dot; a name server's may be shown so."""
    return foreign(name.to_text(omit_final_dot=True))


def plain(name: dns.name.Name) -> str:
    """A name as data: what `parse` makes the same name of, and nothing to be shown."""
    return name.to_text(omit_final_dot=True)


def rcode(code: int) -> str:
    """The name of a reply's code, or of a TSIG's or TKEY's error, which has 16 bits."""
    try:
        return dns.rcode.to_text(dns.rcode.Rcode(code), True)
    except ValueError:
        return f"the code {code}"


def unheard_of(name: dns.name.Name) -> dns.name.Name:
    """A sibling of `name` that nobody can have made: only a wildcard (RFC 4592) answers for it.

    Not longer than `name`, which may be as long as a name can be (RFC 1035 §2.3.4), where that has
    12 characters or more in its first label.

    :raises dns.name.NameTooLong: there is none
    """
    return dns.name.from_text(secrets.token_hex(6), name.parent())


def above(name: dns.name.Name) -> Iterator[dns.name.Name]:
    """The names above this one, nearest first, without the root."""
    while len(name) > 2:
        name = name.parent()
        yield name


def likely_zone(name: dns.name.Name) -> dns.name.Name:
    """The zone that a name is in, as far as the name alone tells: its parent, if that is no
    top-level domain."""
    return name.parent() if len(name) > 3 else name
