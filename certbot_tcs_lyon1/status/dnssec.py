"""What a validating resolver says of a name, as a CA's resolver does since 2026-03-15 (SC-085v2).

A resolver that validates says AD of what is signed and right (RFC 4035 §3.2.3), and SERVFAIL of
what is wrong, which it hands out only to who asks with CD. Without AD the chain is walked here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from certbot_tcs_lyon1.status import chain

_SECONDS = 5.0
_DAY = 86400

#: Signatures of so few days are made at each answer, and end soon always.
_ONLINE_DAYS = 4

_ASK = "send this to the DNS administrator, with what https://dnsviz.net shows of the name"


@dataclass(frozen=True)
class Verdict:
    """Right, wrong, or (None) not to be told from here."""

    right: Optional[bool]
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class _Resolver:
    address: str
    port: int

    def ask(self, name: dns.name.Name, rdtype: str, flags: int = 0) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, want_dnssec=True)
        query.flags |= flags | dns.flags.AD
        try:
            return dns.query.udp(query, self.address, _SECONDS, self.port, raise_on_truncation=True)
        except dns.message.Truncated:
            return dns.query.tcp(query, self.address, _SECONDS, self.port)

    def fetch(self, name: dns.name.Name, rdtype: str) -> dns.message.Message:
        """The answer, verified or not."""
        return self.ask(name, rdtype, dns.flags.CD)


def look(name: str, rdtype: str) -> Verdict:
    """Ask the system's resolvers for a name and type, which need not exist."""
    try:
        system = dns.resolver.get_default_resolver()
        found = [_Resolver(str(one), system.port) for one in system.nameservers]
    except dns.exception.DNSException:
        found = []
    why = "no resolver is named in /etc/resolv.conf"
    for resolver in found:
        try:
            return _by(resolver, dns.name.from_text(name), rdtype)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            why = f"{resolver.address} does not answer ({error or type(error).__name__})"
    return Verdict(None, f"DNSSEC of its {rdtype} cannot be looked at: {why}")


def _by(resolver: _Resolver, name: dns.name.Name, rdtype: str) -> Verdict:
    reply = resolver.ask(name, rdtype)
    if reply.rcode() == dns.rcode.SERVFAIL:
        reply = resolver.fetch(name, rdtype)
        if reply.rcode() == dns.rcode.SERVFAIL:
            text = f"its {rdtype} cannot be resolved (SERVFAIL of {resolver.address})"
            return Verdict(False, text, f"the name servers do not answer for it; {_ASK}")
        ended = [_said(one) for one in _signatures(resolver, reply) if _left(one[1]) <= 0]
        why = f"signatures have ended: {', '.join(ended)}" if ended else "keys or DS do not fit"
        return _broken(rdtype, why)
    soon = [one for one in _signatures(resolver, reply) if 0 < _left(one[1]) < 2 * _DAY]
    soon = [one for one in soon if one[1].expiration - one[1].inception > _ONLINE_DAYS * _DAY]
    if soon:
        text = f"signatures of its {rdtype} end within two days: {', '.join(map(_said, soon))}"
        return Verdict(False, text, f"the zone is not signed anew as it should be; {_ASK}")
    if reply.flags & dns.flags.AD:
        return Verdict(True, f"the DNSSEC chain of its {rdtype} holds")
    try:
        if chain.holds(name, rdtype, resolver.fetch):
            return Verdict(True, f"the DNSSEC chain of its {rdtype} holds, verified here")
    except chain.Broken as error:
        return _broken(rdtype, str(error))
    except chain.Unknown as error:
        return Verdict(None, f"DNSSEC of its {rdtype} cannot be looked at: {error}")
    return Verdict(True, f"its {rdtype} is not signed, so DNSSEC does not stand in the way")


def _broken(rdtype: str, why: str) -> Verdict:
    text = f"the DNSSEC chain of its {rdtype} is broken ({why})"
    return Verdict(False, text, f"no CA issues until it is mended; {_ASK}")


def _signatures(
    resolver: _Resolver, reply: dns.message.Message
) -> Iterator[tuple[dns.name.Name, Any]]:
    """The signatures of an answer, and those of the signing zones' keys, with their names."""
    zones: set[dns.name.Name] = set()
    for rrset in (*reply.answer, *reply.authority):
        if rrset.rdtype == dns.rdatatype.RRSIG:
            yield from ((rrset.name, one) for one in rrset)
            zones.update(one.signer for one in rrset)
    for zone in sorted(zones):
        for rrset in resolver.fetch(zone, "DNSKEY").answer:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                yield from ((rrset.name, one) for one in rrset)


def _left(signature: Any) -> float:
    """Seconds that it holds still."""
    return float(signature.expiration - time.time())


def _said(one: tuple[dns.name.Name, Any]) -> str:
    name, signature = one
    kind = dns.rdatatype.to_text(signature.type_covered)
    end = time.strftime("%F %H:%M UTC", time.gmtime(signature.expiration))
    return f"{name} {kind} ({end})"
