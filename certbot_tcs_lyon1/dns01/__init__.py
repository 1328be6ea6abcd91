"""Answering DNS-01 challenges (RFC 8555 §8.4) by DNS UPDATE (RFC 2136); usable without certbot."""

from __future__ import annotations

from certbot_tcs_lyon1.errors import DnsError

_NEEDED = "Answering a challenge in the DNS needs dnspython 2.0 or later"
_INSTALL = (
    "Install it: apt install python3-dnspython, dnf install python3-dns, or, in the environment of "
    "this certbot, pip install dnspython"
)


def without_dnspython(why: object) -> DnsError:
    """Return the error that dnspython can't be used."""
    return DnsError(f"{_NEEDED} ({why})", _INSTALL)


def check_dnspython() -> None:
    """Import the modules that need dnspython.

    :raises DnsError: it is missing, too old or broken
    """
    try:
        import dns.version

        if dns.version.MAJOR < 2:
            raise ImportError(f"version {dns.version.version} is too old")
        from certbot_tcs_lyon1.dns01 import challenge  # noqa: F401  # imports all of them
    except Exception as error:  # a broken installation may raise anything
        raise without_dnspython(error) from None
