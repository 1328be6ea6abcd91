"""GSS-TSIG (RFC 3645): signing with a Kerberos account's keytab in place of a shared TSIG key.

`Contexts.key` returns a key for dnspython. It needs a ticket, obtained with the keytab and kept in
the memory of this process (nothing in /tmp, nothing in the environment), and a security context for
each address of an update server, negotiated by TKEY (RFC 2930).

A reply that is not signed is called a claim. Samba's errors repeat the TSIG record of the request,
and reportedly so do Windows' errors and its NOERROR to a new TXT (bodgit/tsig #54, external-dns
#6573): anybody on the path can forge such a reply. The most that this achieves is a failed order: a
claimed NOERROR counts only once the record is read back, and the CA queries the zone itself; a
claimed error fails the order, with "says, unsigned" in its message; no claim removes an entry from
the journal; and only after NOTIMP is the UPDATE sent, signed, to the next server of the department
config.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.version

from certbot_tcs_lyon1.department.settings import Keytab
from certbot_tcs_lyon1.dns01 import kerberos, libgssapi, names, transport
from certbot_tcs_lyon1.dns01.records import Address, Refused

#: Seconds for a TCP connection, and for the reply.
_CONNECT_SECONDS, _SECONDS = 2.0, 15.0

#: A context that expires in fewer seconds is replaced by a new one.
_SPARE_SECONDS = 60

#: TKEY's mode for GSS-API (RFC 2930 §2.5), and the lifetime to ask for, in seconds.
_GSS_MODE, _LIFETIME = 3, 3600

#: Seconds for which a KDC that gave no ticket is not asked again, since `certbot renew` would ask
#: for each lineage: a silent KDC costs 27 s each time (MIT's library offers no time-out), and
#: Active Directory locks an account after a few attempts with an old key.
_REFUSED_SECONDS = 300.0


class _Signer:
    """A security context that dnspython uses in place of a secret; its repr reveals nothing."""

    def __init__(self, context: libgssapi.Context) -> None:
        self.context = context
        self._lock = threading.Lock()

    def get_signature(self, data: bytes) -> bytes:
        """Return the MIC of the data.

        :raises dns.tsig.PeerBadKey: the context has expired, as if the server had said so
        """
        try:
            with self._lock:
                return self.context.sign(data)
        except libgssapi.GssError:
            raise dns.tsig.PeerBadKey from None

    def verify_signature(self, data: bytes, mac: bytes) -> None:
        """Check that the MIC is the server's.

        :raises libgssapi.GssError: it is not; dnspython raises BadSignature for any exception
        """
        with self._lock:
            try:
                self.context.verify(data, mac)
            except libgssapi.BadMic:
                # Samba 4.17 does not sign the two bytes of the request MAC's length; 4.22 does.
                self.context.verify(data[2:], mac)


@dataclass(frozen=True)
class _Established:
    key: dns.tsig.Key
    until: float


class Contexts:
    """The security contexts of this process, one for each account and server address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: Optional[libgssapi.Library] = None
        self._established: dict[tuple[str, int, str], _Established] = {}
        self._refused: dict[str, tuple[float, libgssapi.GssError]] = {}

    def key(self, keytab: Keytab, server: Address, name: dns.name.Name, end: float) -> dns.tsig.Key:
        """Return the key for one address of an update server; negotiate a context if needed.

        :param name: any name in the zone, whose SOA names the server if Kerberos does not know it
            by its name in the department config
        :param end: the deadline for the server's answers, by `time.monotonic()`
        :raises Refused: no ticket, or the server does not negotiate
        :raises OSError: the server does not answer
        :raises EOFError: the server closes the connection
        """
        place = (*server.socket_address, keytab.name)
        with self._lock:
            found = self._established.get(place)
            if found is None or time.monotonic() > found.until - _SPARE_SECONDS:
                try:
                    found = self._negotiate(keytab, server, name, end)
                except Refused as error:
                    error.where = f"{server.label}, Kerberos account {keytab.name}"
                    raise
                self._established[place] = found
            return found.key

    def forget(self, keytab: Keytab, server: Address) -> None:
        """Drop the context of a server that no longer knows it, such as after a restart."""
        with self._lock:
            self._established.pop((*server.socket_address, keytab.name), None)

    def _negotiate(
        self, keytab: Keytab, server: Address, name: dns.name.Name, end: float
    ) -> _Established:
        credentials = self._ticket(keytab)
        failure: Optional[Refused] = None
        for host in _hosts(server, name, end):
            try:
                context = libgssapi.Context(credentials, host)
                key = _establish(server, context, host, end)
                return _Established(key, time.monotonic() + context.lifetime)
            except libgssapi.GssError as error:
                failure = failure or kerberos.of_negotiation(error, host, keytab)
                if not kerberos.is_unknown_service(error):
                    break
        raise failure or kerberos.of_no_name()

    def _ticket(self, keytab: Keytab) -> libgssapi.Credentials:
        until, refusal = self._refused.get(keytab.name, (0.0, None))
        if refusal is not None and time.monotonic() < until:
            raise kerberos.of_error(refusal, keytab.name, keytab)
        self._library = self._library or _load()
        try:
            with _in_memory(keytab.data) as path:
                cache = f"tcs-lyon1-{secrets.token_hex(8)}"
                return libgssapi.Credentials(self._library, keytab.name, path, cache)
        except libgssapi.GssError as error:
            self._refused[keytab.name] = time.monotonic() + _REFUSED_SECONDS, error
            raise kerberos.of_error(error, keytab.name, keytab) from None


def _load() -> libgssapi.Library:
    if not hasattr(dns.tsig, "GSS_TSIG") or not hasattr(dns.rdatatype, "TKEY"):
        raise Refused(
            f"the installed dnspython {dns.version.version} cannot sign by Kerberos",
            "install dnspython 2.1 or later (Debian 12 has it), or use a TSIG key",
        )
    try:
        return libgssapi.Library()
    except (OSError, AttributeError):
        raise Refused(
            f"the Kerberos library {libgssapi.LIBRARY} cannot be loaded",
            "install it (Debian: libgssapi-krb5-2; RHEL: krb5-libs), or use a TSIG key",
        ) from None


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """Yield a path at which the library reads these bytes: the file may have changed since it was
    checked.
    """
    descriptor = os.memfd_create("keytab")
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


# TKEY


def _hosts(server: Address, name: dns.name.Name, end: float) -> Iterator[str]:
    """Yield the names by which Kerberos may know the server: its name in the department config,
    then the zone's primary (SOA MNAME), as nsupdate does.

    A forged MNAME only leads to a ticket for another service, which this server can't use.
    """
    if server.label != server.ip:
        yield server.label
    for asked in (name, *names.above(name)):  # at an alias there is no SOA
        query = dns.message.make_query(asked, "SOA")
        query.flags &= ~dns.flags.RD
        wire = transport.by_tcp(server, query, _CONNECT_SECONDS, _SECONDS, end)
        reply = transport.read(query, wire)
        for rrset in [] if reply is None else [*reply.answer, *reply.authority]:
            if rrset.rdtype == dns.rdatatype.SOA:
                yield rrset[0].mname.to_text(omit_final_dot=True)
                return


def _establish(server: Address, context: libgssapi.Context, host: str, end: float) -> dns.tsig.Key:
    """Establish the context with the server (RFC 3645 §3.1), and return its key.

    Kerberos needs one exchange.

    :param host: the server's name for Kerberos
    :raises GssError: no ticket for the service, or the server's token is not valid
    :raises Refused: the server does not negotiate
    :raises OSError, EOFError: the server does not answer, or closes the connection
    """
    # A name without a suffix in common with a zone: dnspython would compress it in the TSIG record,
    # which Samba 4.17 answers with BADSIG.
    name = dns.name.from_text(f"{secrets.token_hex(8)}.tcs-lyon1-sig.")
    key = dns.tsig.Key(name, cast(Any, _Signer(context)), dns.tsig.GSS_TSIG)
    query, completed = _tkey_query(name, context.step()), False

    def complete(reply: dns.message.Message, _: object = None) -> dns.tsig.Key:
        """Complete the context with the token in the reply, which is signed with that context: so
        it is dnspython's keyring.
        """
        nonlocal completed
        record = _tkey_record(reply, name)
        if not completed and record is not None and not record.error:
            completed = True
            context.step(record.key)
        return key

    wire = transport.by_tcp(server, query, _CONNECT_SECONDS, _SECONDS, end)
    try:
        reply = dns.message.from_wire(wire, keyring=complete, request_mac=b"")
    except libgssapi.GssError:
        raise
    except Exception as error:  # what a hostile packet raises depends on dnspython
        raise kerberos.of_tkey_reply(error, host) from None
    record = _tkey_record(reply, name)
    if reply.id != query.id or record is None or record.error or reply.rcode():
        code = reply.rcode() if record is None or not record.error else record.error
        raise kerberos.of_tkey_code(names.rcode(code), host)
    complete(reply)  # unless it was signed
    return key


def _tkey_record(reply: dns.message.Message, name: dns.name.Name) -> Any:
    """Return the TKEY record of the reply; None if there is none."""
    kind = dns.rdatatype.TKEY
    return next((one[0] for one in reply.answer if (one.rdtype, one.name) == (kind, name)), None)


def _tkey_query(name: dns.name.Name, token: bytes) -> dns.message.Message:
    """Return a TKEY query with a token (RFC 2930 §4.3), unsigned since there is no key yet."""
    from dns.rdtypes.ANY.TKEY import TKEY  # noqa: PLC0415 - dnspython 2.0 has none

    query = dns.message.make_query(name, dns.rdatatype.TKEY, dns.rdataclass.ANY)
    query.flags &= ~dns.flags.RD
    now = int(time.time())
    make: Any = TKEY  # dnspython's is not typed
    record = make(
        *(dns.rdataclass.ANY, dns.rdatatype.TKEY, dns.tsig.GSS_TSIG),
        *(now, now + _LIFETIME, _GSS_MODE, 0, token),
    )
    query.additional.append(dns.rrset.from_rdata(name, 0, record))
    return query
