"""Keytabs as MIT's ktutil writes them, for what no KDC makes."""

from __future__ import annotations

AES256, RC4 = 18, 23
SECRET = b"a key that no message may show!!"


def _counted(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def entry(principal: str, encryption: int = AES256) -> bytes:
    """One entry, with its size before it."""
    name, _, realm = principal.rpartition("@")
    parts = [part.encode() for part in name.split("/")]
    head = len(parts).to_bytes(2, "big") + b"".join(map(_counted, [realm.encode(), *parts]))
    tail = b"\0\0\0\1" + b"\0\0\0\0" + b"\2" + encryption.to_bytes(2, "big") + _counted(SECRET)
    whole = head + tail + b"\0\0\0\2"
    return len(whole).to_bytes(4, "big") + whole


def keytab(*entries: tuple[str, int]) -> bytes:
    """A keytab of (principal, encryption type)."""
    return b"\5\2" + b"".join(entry(*one) for one in entries)
