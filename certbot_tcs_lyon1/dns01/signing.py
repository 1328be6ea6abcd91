"""Signing messages with dnspython, by a TSIG key (RFC 8945) or a Kerberos account (RFC 3645)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import dns.message
import dns.name
import dns.tsig
import dns.version

from certbot_tcs_lyon1.department.settings import (
    DEFAULT_ALGORITHM,
    Keytab,
    SigningKey,
    TsigKey,
)
from certbot_tcs_lyon1.dns01.records import Address, Refused

if TYPE_CHECKING:
    from certbot_tcs_lyon1.dns01 import gss


class Signer:
    """Signs messages, and keeps the Kerberos contexts of this process.

    :ivar contexts: None until a keytab is used
    """

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
        """Have the message signed when it is sent to `server`; with a keytab, this negotiates a
        Kerberos context if there is none.

        :param name: any name in the zone
        :param end: the deadline of the negotiation, by `time.monotonic()`
        :raises Refused: it can't be signed
        :raises OSError: the server does not answer the negotiation
        :raises EOFError: the server closes the connection
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
        """Drop the Kerberos context that the server no longer knows.

        :returns: whether signing again may help; False for a TSIG key
        """
        if self.contexts is None or not isinstance(key, Keytab):
            return False
        self.contexts.forget(key, server)
        return True


def is_echo(request: dns.message.Message, reply: bytes) -> bool:
    """Return whether a reply repeats the MAC of the request, and so is not signed.

    Samba replies so to each refused UPDATE, and reportedly Windows to a TXT that it has added.

    :param reply: in wire format
    """
    return request.mac in reply if request.mac else False


def to_dnspython(key: TsigKey) -> dns.tsig.Key:
    """Return dnspython's object for a key, with its name in lower case: PowerDNS finds no other.

    :raises Refused: this dnspython does not support the key's algorithm
    """
    algorithm = getattr(dns.tsig, key.algorithm.replace("-", "_").upper(), None)
    if algorithm is None:  # dnspython 2.0 lacks the truncated ones
        raise Refused(
            f"the installed dnspython {dns.version.version} does not know {key.algorithm}",
            f"install dnspython 2.1 or later, or use a key with {DEFAULT_ALGORITHM}",
            where=f"The TSIG key {key.name}",
        )
    return dns.tsig.Key(key.name.lower(), key.secret, algorithm)
