"""Parsing what `status` needs of a certificate from its DER (RFC 5280 §4.1), without cryptography.

Importing cryptography takes longer than parsing a thousand certificates here.
"""

from __future__ import annotations

import base64
import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from certbot_tcs_lyon1.watch import der as encoding

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")

_EXTENSIONS, _VERSION = 0xA3, 0xA0
_UTC_TIME, _DNS_NAME, _IP_ADDRESS = 0x17, 0x82, 0x87

_KEY = re.compile(rb"PRIVATE KEY-----\s*([A-Za-z0-9+/=\s]+?)-----END")

_SUBJECT_ALT_NAME = bytes.fromhex("551d11")
_CRL_DISTRIBUTION_POINTS = bytes.fromhex("551d1f")
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")
_CLIENT_AUTH = bytes.fromhex("2b06010505070302")
_RSA = bytes.fromhex("2a864886f70d010101")
_ORGANIZATION, _COMMON_NAME = bytes.fromhex("55040a"), bytes.fromhex("550403")


@dataclass(frozen=True)
class Certificate:
    """A certificate.

    :ivar key: the part of the public key that its private key holds, too (RSA: modulus and
        exponent; EC: the point)
    :ivar serial: hexadecimal
    :ivar issuer: its common name or organization
    :ivar not_before: seconds since the epoch; so is `not_after`
    :ivar names: DNS names and IP addresses
    :ivar client_auth: it has the extended key usage clientAuth
    :ivar names_crl: it has a CRL distribution point
    """

    der: bytes = field(repr=False)
    key: bytes = field(repr=False)
    serial: str
    issuer: str
    not_before: int
    not_after: int
    names: tuple[str, ...]
    client_auth: bool
    names_crl: bool


def parse(pem: bytes) -> Certificate:
    """Return the first certificate of a PEM file.

    :raises ValueError: there is none, or it is damaged
    """
    match = _PEM.search(pem)
    if match is None:
        raise ValueError("no certificate in it")
    return parse_der(base64.b64decode(match[1]))


def parse_der(der: bytes) -> Certificate:
    """Return the certificate in DER.

    :raises ValueError: it is damaged
    """
    try:
        return _parse(der)
    except (IndexError, ValueError):
        raise ValueError("the certificate is damaged") from None


def _parse(der: bytes) -> Certificate:
    (_, whole), *_ = _items(der)
    (_, body), *_ = _items(whole)
    parts = [part for part in _items(body) if part[0] != _VERSION]
    serial, issuer, validity = parts[0][1], parts[2][1], parts[3][1]
    begin, end = (_time(kind, text) for kind, text in _items(validity))
    extensions = dict(_extensions(parts))
    usages = [oid for _, oid in _inner(extensions.get(_EXTENDED_KEY_USAGE, b""))]
    return Certificate(
        der=der,
        key=_public_key(parts[5][1]),
        serial=serial.hex(),
        issuer=_name(issuer),
        not_before=begin,
        not_after=end,
        names=tuple(_alt_names(extensions.get(_SUBJECT_ALT_NAME, b""))),
        client_auth=_CLIENT_AUTH in usages,
        names_crl=_CRL_DISTRIBUTION_POINTS in extensions,
    )


def is_key_of(pem: bytes, certificate: Certificate) -> bool:
    """Return whether a private key (PEM) holds the certificate's public key.

    If not, it may still be the certificate's: some private keys hold no public key.
    """
    match = _KEY.search(pem)
    try:
        return match is not None and certificate.key in base64.b64decode(match[1])
    except ValueError:  # no base64
        return False


def _public_key(data: bytes) -> bytes:
    """Return what private keys hold of a public key (RFC 8017 §A.1.2, RFC 5915 §3)."""
    (_, algorithm), (_, bits) = _items(data)
    (_, oid), *_ = _items(algorithm)
    if oid != _RSA:
        return bits[1:]
    (_, numbers), *_ = _items(bits[1:])
    return numbers


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each DER element in `data`."""
    at = 0
    while at < len(data):
        begin, after = encoding.content(data, at)
        yield data[at], data[begin:after]
        at = after


def _inner(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements within the elements in `data`."""
    for _, content in _items(data):
        yield from _items(content)


def _time(kind: int, text: bytes) -> int:
    """Return a UTCTime or GeneralizedTime (RFC 5280 §4.1.2.5) in seconds since the epoch."""
    digits = text.decode("ascii").rstrip("Z")
    if kind == _UTC_TIME:
        digits = ("19" if digits[0] >= "5" else "20") + digits
    numbers = [int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))]
    return calendar.timegm((*numbers, 0, 0, 0))  # strptime takes three times as long


def _extensions(parts: list[tuple[int, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for tag, content in parts:
        if tag == _EXTENSIONS:
            for _, extension in _inner(content):
                fields = list(_items(extension))
                yield fields[0][1], fields[-1][1]


def _alt_names(data: bytes) -> Iterator[str]:
    for tag, content in _inner(data):
        if tag == _DNS_NAME:
            yield content.decode("ascii", "backslashreplace")
        elif tag == _IP_ADDRESS:
            import ipaddress

            yield str(ipaddress.ip_address(content))


def _name(data: bytes) -> str:
    """Return the common name or the organization of a distinguished name."""
    found: dict[bytes, str] = {}
    for _, pair in _inner(data):
        (_, oid), (_, value) = _items(pair)
        found[oid] = value.decode("utf-8", "backslashreplace")
    return found.get(_COMMON_NAME) or found.get(_ORGANIZATION, "")
