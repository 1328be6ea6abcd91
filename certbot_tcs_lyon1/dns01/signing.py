"""TSIG keys as dnspython wants them (RFC 8945)."""

from __future__ import annotations

import dns.tsig
import dns.version

from certbot_tcs_lyon1.department.settings import ALGORITHMS, DEFAULT_ALGORITHM, TsigKey
from certbot_tcs_lyon1.errors import DnsError


def to_dnspython(key: TsigKey) -> dns.tsig.Key:
    """The key as dnspython's.

    :raises DnsError: this dnspython is older than the key's algorithm
    """
    algorithm = getattr(dns.tsig, ALGORITHMS[key.algorithm], None)
    if algorithm is None:  # dnspython 2.0 has none of the truncated ones
        raise DnsError(
            f"the installed dnspython {dns.version.version} does not know {key.algorithm}",
            f"install dnspython 2.1 or later, or use a key with {DEFAULT_ALGORITHM}",
            where=f"The TSIG key {key.name}",
        )
    return dns.tsig.Key(key.name, key.secret, algorithm)
