"""What signs a message, for dnspython: TSIG keys (RFC 8945), Kerberos contexts (RFC 3645)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import dns.message
import dns.name
import dns.tsig
import dns.version

from certbot_tcs_lyon1.department.settings import (
    ALGORITHMS,
    DEFAULT_ALGORITHM,
    Keytab,
    SigningKey,
    TsigKey,
)
from certbot_tcs_lyon1.dns01.records import Address
from certbot_tcs_lyon1.errors import DnsError

if TYPE_CHECKING:
    from certbot_tcs_lyon1.dns01 import gss


class Signer:
    """Signs messages; of Kerberos it keeps the security contexts, one for each server's address."""

    def __init__(self) -> None:
        self.contexts: Optional[gss.Contexts] = None

    def sign(
        self,
        message: dns.message.Message,
        key: SigningKey,
        server: Address,
        name: dns.name.Name,
        end: float,
    ) -> None:
        """Have the message signed when it is sent to `server`.

        :param name: any name in the zone
        :param end: when the server has to have answered, by `time.monotonic()`, where a Kerberos
            context is negotiated
        :raises DnsError: it can't be
        :raises OSError: the server does not answer that, or
        :raises EOFError: it closes the connection
        """
        if isinstance(key, Keytab):
            from certbot_tcs_lyon1.dns01 import gss  # noqa: PLC0415 - only where one is configured

            self.contexts = self.contexts or gss.Contexts()
            secret = self.contexts.key(key, server, name, end)
        else:
            secret = to_dnspython(key)
        # dnspython 2.0 wants the key's name even though the key has it.
        message.use_tsig(secret, keyname=secret.name, algorithm=secret.algorithm)

    def forget(self, key: SigningKey, server: Address) -> bool:
        """Drop what the server no longer knows of `key`; whether signing anew may help."""
        if self.contexts is None or not isinstance(key, Keytab):
            return False
        self.contexts.forget(key, server)
        return True


def is_echo(request: dns.message.Message, reply: bytes) -> bool:
    """Whether a reply holds the request's own signature, and is thus signed by nobody.

    So Samba answers every refused UPDATE, and Windows is said to answer a TXT that it took.
    """
    return request.mac is not None and request.mac != b"" and request.mac in reply


def to_dnspython(key: TsigKey) -> dns.tsig.Key:
    """The key as dnspython's; its name in lower case, in which alone PowerDNS finds it.

    :raises DnsError: this dnspython is older than the key's algorithm
    """
    algorithm = getattr(dns.tsig, ALGORITHMS[key.algorithm], None)
    if algorithm is None:  # dnspython 2.0 has none of the truncated ones
        raise DnsError(
            f"the installed dnspython {dns.version.version} does not know {key.algorithm}",
            f"install dnspython 2.1 or later, or use a key with {DEFAULT_ALGORITHM}",
            where=f"The TSIG key {key.name}",
        )
    return dns.tsig.Key(key.name.lower(), key.secret, algorithm)
