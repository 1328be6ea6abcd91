"""GSS-TSIG (RFC 3645): updates signed by the Kerberos tickets of an account, not by a shared key.

`Contexts.key` gives what dnspython takes for a key. Behind it are a ticket from the keytab, kept in
the memory of this process (nothing in /tmp, nothing in the environment), and one security context
for each address of an update server, negotiated by TKEY (RFC 2930).

What isn't signed here is a claim. Samba's errors come back with the request's own TSIG record, and
so, as is said, do Windows' errors and its NOERROR to a new TXT (bodgit/tsig #54, external-dns
#6573): anybody on the path can make such a reply. Whoever does gains at most a failed order: a
NOERROR counts only once the record is read back, which the CA's own look at the zone proves or
disproves; an error fails the order, and is told as "says, unsigned"; no claim strikes the journal;
and only for NOTIMP is the UPDATE sent elsewhere, signed, to the next server of the department
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

import dns.exception
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
from certbot_tcs_lyon1.dns01.records import Address
from certbot_tcs_lyon1.errors import DnsError

#: Seconds for a connection, and for a reply.
_CONNECT_SECONDS, _SECONDS = 2.0, 15.0

#: A context with less than this left (seconds) is made anew.
_SPARE_SECONDS = 60

#: TKEY's mode of GSS-API (RFC 2930 §2.5), and seconds that the key is asked for.
_GSS_MODE, _LIFETIME = 3, 3600

#: Seconds for which a KDC that gave no ticket is not asked again, say in each lineage of a `certbot
#: renew`: a silent one costs 27 s (MIT's library, which has no bound), and Active Directory locks
#: an account after some attempts with a key that is no longer its own.
_REFUSED_SECONDS = 300.0

#: Rounds of a negotiation; Kerberos takes one.
_ROUNDS = 4


class _Signer:
    """A security context as dnspython uses it in place of a secret; its repr shows nothing."""

    def __init__(self, context: libgssapi.Context) -> None:
        self.context = context
        self._lock = threading.Lock()

    def get_signature(self, data: bytes) -> bytes:
        """Sign; raise PeerBadKey, as the server would, where the context has come to its end."""
        try:
            with self._lock:
                return self.context.sign(data)
        except libgssapi.GssError:
            raise dns.tsig.PeerBadKey from None

    def verify_signature(self, data: bytes, mac: bytes) -> None:
        """Raise unless the server signed; dnspython makes a BadSignature of whatever it is."""
        with self._lock:
            try:
                self.context.verify(data, mac)
            except libgssapi.BadMic:
                # Samba 4.17 leaves out the two bytes of the request MAC's length (4.22 is right).
                self.context.verify(data[2:], mac)


@dataclass(frozen=True)
class _Established:
    key: dns.tsig.Key
    until: float


class Contexts:
    """The tickets and the security contexts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: Optional[libgssapi.Library] = None
        self._established: dict[tuple[str, int, str], _Established] = {}
        self._refused: dict[str, tuple[float, libgssapi.GssError]] = {}

    def key(self, keytab: Keytab, server: Address, name: dns.name.Name, end: float) -> dns.tsig.Key:
        """The key for one address of an update server, negotiated if there is none.

        :param name: any name in the zone: its SOA names the server where Kerberos does not know it
            as the department config calls it
        :param end: when the server has to have answered, by `time.monotonic()`
        :raises DnsError: there can be none; the cause and the remedy are in it
        :raises OSError: the server does not answer, or
        :raises EOFError: it closes the connection
        """
        place = (*server.socket_address, keytab.name)
        with self._lock:
            found = self._established.get(place)
            if found is None or time.monotonic() > found.until - _SPARE_SECONDS:
                found = self._negotiate(keytab, server, name, end)
                self._established[place] = found
            return found.key

    def forget(self, keytab: Keytab, server: Address) -> None:
        """Drop a context that the server no longer knows, say since it was restarted."""
        with self._lock:
            self._established.pop((*server.socket_address, keytab.name), None)

    def _negotiate(
        self, keytab: Keytab, server: Address, name: dns.name.Name, end: float
    ) -> _Established:
        where = f"{server.label}, Kerberos account {keytab.name}"
        credentials = self._ticket(keytab, where)
        failure: Optional[DnsError] = None
        for host in _hosts(server, name, end):
            try:
                context = libgssapi.Context(credentials, host)
                key = _negotiate(server, context, where, host, end)
                return _Established(key, time.monotonic() + context.lifetime)
            except libgssapi.GssError as error:
                failure = failure or kerberos.of_negotiation(error, host, keytab, where)
                if not kerberos.is_unknown_service(error):
                    break
        raise failure or kerberos.of_no_name(where)

    def _ticket(self, keytab: Keytab, where: str) -> libgssapi.Credentials:
        now = time.monotonic()
        until, failure = self._refused.get(keytab.name, (now, None))
        if failure is not None and now < until:
            raise kerberos.of_ticket(failure, keytab, where)
        try:
            self._library = self._library or _load()
            with _in_memory(keytab.data) as path:
                cache = f"tcs-lyon1-{secrets.token_hex(8)}"
                return libgssapi.Credentials(self._library, keytab.name, path, cache)
        except libgssapi.GssError as error:
            self._refused[keytab.name] = time.monotonic() + _REFUSED_SECONDS, error
            raise kerberos.of_ticket(error, keytab, where) from None


def _load() -> libgssapi.Library:
    if not hasattr(dns.tsig, "GSS_TSIG") or not hasattr(dns.rdatatype, "TKEY"):
        raise DnsError(
            f"the installed dnspython {dns.version.version} cannot sign by Kerberos",
            "install dnspython 2.1 or later (Debian 12 has it), or use a TSIG key",
            where="keytab",
        )
    try:
        return libgssapi.Library()
    except (OSError, AttributeError):
        raise DnsError(
            f"the Kerberos library {libgssapi.LIBRARY} cannot be loaded",
            "install it (Debian: libgssapi-krb5-2; RHEL: krb5-libs), or use a TSIG key",
            where="keytab",
        ) from None


@contextlib.contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path at which the library finds the keytab as it was read and checked, and no later one."""
    descriptor = os.memfd_create("keytab")
    try:
        os.write(descriptor, data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


# TKEY


def _hosts(server: Address, name: dns.name.Name, end: float) -> Iterator[str]:
    """The names under which Kerberos may know the server: its own, then the zone's primary (SOA
    MNAME), as nsupdate does. A forged MNAME leads to another service's ticket, which this server
    can't use."""
    if server.label != server.ip:
        yield server.label
    for asked in (name, *names.above(name)):  # at an alias there is no SOA
        query = dns.message.make_query(asked, "SOA")
        query.flags &= ~dns.flags.RD
        wire = transport.by_tcp(server, query, _CONNECT_SECONDS, _SECONDS, end)
        reply = transport.read(query, wire)
        for rrset in [] if reply is None else [*reply.answer, *reply.authority]:
            if rrset.rdtype == dns.rdatatype.SOA:
                primary = rrset[0].mname.to_text(omit_final_dot=True)
                if primary.lower() != server.label.lower():
                    yield primary
                return


def _negotiate(
    server: Address, context: libgssapi.Context, where: str, host: str, end: float
) -> dns.tsig.Key:
    """Bring the context to its end with the server (RFC 3645 §3.1).

    :raises GssError: no ticket for the service, or its token isn't good
    """
    # Shares no suffix with a zone: dnspython would compress the name of the TSIG record, which
    # Samba 4.17 answers with BADSIG.
    name = dns.name.from_text(f"{secrets.token_hex(8)}.tcs-lyon1-sig.")
    key = dns.tsig.Key(name, cast(Any, _Signer(context)), dns.tsig.GSS_TSIG)
    token = context.step()
    for _ in range(_ROUNDS):
        query = _tkey_query(name, token)
        ring = _Ring(key, context)
        wire = transport.by_tcp(server, query, _CONNECT_SECONDS, _SECONDS, end)
        try:
            reply = _parsed(wire, ring)
        except dns.exception.DNSException as error:
            if ring.failed is not None:
                raise ring.failed from None
            raise kerberos.of_tkey_reply(error, where, host) from None
        record = _tkey_of(reply, name)
        if reply.id != query.id or record is None or record.error or reply.rcode():
            code = reply.rcode() if record is None or not record.error else record.error
            raise kerberos.of_tkey_code(names.rcode(code), where, host)
        ring.step(reply)  # where the reply was not signed
        if context.complete:
            return key
        token = ring.token
    raise kerberos.of_tkey_code("no end", where, host)


class _Ring:
    """What dnspython asks for the key of a TKEY reply, which is signed with the very context that
    the reply's token completes: so the context is stepped before the signature is looked at."""

    def __init__(self, key: dns.tsig.Key, context: libgssapi.Context) -> None:
        self._key, self._context = key, context
        self.token = b""
        self.failed: Optional[libgssapi.GssError] = None
        self._stepped = False

    def step(self, reply: dns.message.Message) -> None:
        """Step once with the token in the reply."""
        record = _tkey_of(reply, self._key.name)
        if self._stepped or record is None or record.error:
            return
        self._stepped = True
        self.token = self._context.step(record.key)

    def __call__(self, reply: dns.message.Message, name: dns.name.Name) -> Optional[dns.tsig.Key]:
        if name != self._key.name:
            return None
        try:
            self.step(reply)
        except libgssapi.GssError as error:
            self.failed = error
        return None if self.failed else self._key


def _parsed(wire: bytes, ring: _Ring) -> dns.message.Message:
    """
    :raises DNSException: it is no message, or not signed as it should be
    """
    try:
        return dns.message.from_wire(wire, keyring=ring, request_mac=b"")
    except dns.exception.DNSException:
        raise
    except Exception as error:  # what a hostile packet raises depends on dnspython
        raise dns.exception.FormError from error


def _tkey_of(reply: dns.message.Message, name: dns.name.Name) -> Any:
    """The TKEY record of the reply; None if there is none."""
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.TKEY and rrset.name == name:
            return rrset[0]
    return None


def _tkey_query(name: dns.name.Name, token: bytes) -> dns.message.Message:
    """The query of RFC 2930 §4.3 with a token; it is not signed, for there is no key yet."""
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
