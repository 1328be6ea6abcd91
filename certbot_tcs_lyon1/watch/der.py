"""Two looks at the bytes of a large CRL that are ten times as fast as the library's.

For CRLs that cryptography has parsed. It writes all of a CRL anew for its signature, and makes an
object of each entry: with 100,000 entries that is 0.15 s of each `certbot renew`.
"""

from __future__ import annotations

_SEQUENCE = 0x30
_TIMES = (0x17, 0x18)  # UTCTime, GeneralizedTime


def signed_part(crl: bytes) -> bytes:
    """What the signature is for: tbsCertList, as it was written (RFC 5280, 5.1.1.1).

    :raises ValueError: it is no DER
    """
    begin, _ = content(crl, 0)
    return crl[begin : content(crl, begin)[1]]


def serials(crl: bytes) -> frozenset[bytes]:
    """The serial numbers of all entries, each as `integer` writes it.

    :raises ValueError: it is no DER
    """
    found = set()
    at, end = _entries(crl)
    while at < end:
        length = crl[at + 1]
        begin, after = (at + 2, at + 2 + length) if length < 0x80 else content(crl, at)
        found.add(crl[begin + 2 : begin + 2 + crl[begin + 1]])
        at = after
    return frozenset(found)


def integer(number: int) -> bytes:
    """The content of a positive INTEGER."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _entries(crl: bytes) -> tuple[int, int]:
    """Where revokedCertificates begins and ends: the SEQUENCE behind the times (5.1.2.6)."""
    at, end = content(crl, content(crl, 0)[0])
    was_time = False
    while at < end:
        begin, after = content(crl, at)
        if was_time and crl[at] == _SEQUENCE:
            return begin, after
        was_time = crl[at] in _TIMES
        at = after
    return 0, 0


def content(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends.

    :raises ValueError: there is none
    """
    try:
        length, begin = data[at + 1], at + 2
    except IndexError:
        length, begin = 0x80, at
    if length > 0x80:
        begin, octets = begin + length - 0x80, data[begin : begin + length - 0x80]
        length = int.from_bytes(octets, "big")
    elif length == 0x80:
        raise ValueError("no DER")
    if begin + length > len(data):
        raise ValueError("no DER, or cut short")
    return begin, begin + length
