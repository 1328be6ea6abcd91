"""Checking DNSSEC of a name, as a CA's resolver does since 2026-03-15 (CA/Browser Forum SC-085v2).

A validating resolver sets AD for a valid answer (RFC 4035 §3.2.3), and answers SERVFAIL for an
invalid one, which it returns only to queries with CD. Without AD the answer is validated here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from certbot_tcs_lyon1.status import dnssec_validation as validation
from certbot_tcs_lyon1.status.facts import Step

_SECONDS = 5.0
_DAY = 86400

#: Signatures of so few days are made for each answer, and are never near their end.
_ONLINE_DAYS = 4

_ASK = "send this to the DNS administrator, with what https://dnsviz.net shows of the name"


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
        """Return the answer, whether it is valid or not."""
        return self.ask(name, rdtype, dns.flags.CD)


def check(name: str, rdtype: str) -> Step:
    """Check the answer for a name and type, also a negative one, by the system's resolvers."""
    try:
        system = dns.resolver.get_default_resolver()
        found = [_Resolver(str(one), system.port) for one in system.nameservers]
    except dns.exception.DNSException:
        found = []
    why = "no resolver is named in /etc/resolv.conf"
    for resolver in found:
        try:
            return _validate_by(resolver, dns.name.from_text(name), rdtype)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            why = f"{resolver.address} does not answer ({error or type(error).__name__})"
    return Step(None, f"DNSSEC of its {rdtype} cannot be looked at: {why}")


def _validate_by(resolver: _Resolver, name: dns.name.Name, rdtype: str) -> Step:
    reply = resolver.ask(name, rdtype)
    if reply.rcode() == dns.rcode.SERVFAIL:
        reply = resolver.fetch(name, rdtype)
        if reply.rcode() == dns.rcode.SERVFAIL:
            text = f"its {rdtype} cannot be resolved (SERVFAIL of {resolver.address})"
            return Step(False, text, f"the name servers do not answer for it; {_ASK}")
        ended = [
            _describe(one) for one in _signatures(resolver, reply) if _seconds_left(one[1]) <= 0
        ]
        why = f"signatures have ended: {', '.join(ended)}" if ended else "keys or DS do not fit"
        return _broken(rdtype, why)
    soon = [one for one in _signatures(resolver, reply) if 0 < _seconds_left(one[1]) < 2 * _DAY]
    soon = [one for one in soon if one[1].expiration - one[1].inception > _ONLINE_DAYS * _DAY]
    if soon:
        text = f"signatures of its {rdtype} end within two days: {', '.join(map(_describe, soon))}"
        return Step(False, text, f"the zone is not signed anew as it should be; {_ASK}")
    if reply.flags & dns.flags.AD:
        return Step(True, f"the DNSSEC chain of its {rdtype} holds")
    try:
        if validation.holds(name, rdtype, resolver.fetch):
            return Step(True, f"the DNSSEC chain of its {rdtype} holds, verified here")
    except validation.Broken as error:
        return _broken(rdtype, str(error))
    except validation.Unknown as error:
        return Step(None, f"DNSSEC of its {rdtype} cannot be looked at: {error}")
    return Step(True, f"its {rdtype} is not signed, so DNSSEC does not stand in the way")


def _broken(rdtype: str, why: str) -> Step:
    text = f"the DNSSEC chain of its {rdtype} is broken ({why})"
    return Step(False, text, f"no CA issues until it is mended; {_ASK}")


def _signatures(
    resolver: _Resolver, reply: dns.message.Message
) -> Iterator[tuple[dns.name.Name, Any]]:
    """Yield the RRSIGs of an answer, and those of the signing zones' keys, with their names."""
    zones: set[dns.name.Name] = set()
    for rrset in (*reply.answer, *reply.authority):
        if rrset.rdtype == dns.rdatatype.RRSIG:
            yield from ((rrset.name, one) for one in rrset)
            zones.update(one.signer for one in rrset)
    for zone in sorted(zones):
        for rrset in resolver.fetch(zone, "DNSKEY").answer:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                yield from ((rrset.name, one) for one in rrset)


def _seconds_left(signature: Any) -> float:
    """Return the seconds until a signature expires."""
    return float(signature.expiration - time.time())


def _describe(one: tuple[dns.name.Name, Any]) -> str:
    name, signature = one
    kind = dns.rdatatype.to_text(signature.type_covered)
    end = time.strftime("%F %H:%M UTC", time.gmtime(signature.expiration))
    return f"{name} {kind} ({end})"
