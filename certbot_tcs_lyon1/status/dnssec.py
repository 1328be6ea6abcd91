"""Checking DNSSEC of a name, as a CA's resolver does since 2026-03-15 (CA/Browser Forum SC-085v2).

A validating resolver sets AD for a valid answer (RFC 4035 §3.2.3), and answers SERVFAIL for an
invalid one, which it returns only to queries with CD. Without AD the answer is validated here.
"""

from __future__ import annotations

import contextlib
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
        return dns.query.udp_with_fallback(query, self.address, _SECONDS, self.port)[0]

    def fetch(self, name: dns.name.Name, rdtype: str) -> dns.message.Message:
        """Return the answer, whether it is valid or not."""
        return self.ask(name, rdtype, dns.flags.CD)


def check(name: str, rdtype: str) -> Step:
    """Check the answer for a name and type, also a negative one, by the system's resolvers."""
    found, why = [], "no resolver is named in /etc/resolv.conf"
    with contextlib.suppress(dns.exception.DNSException):
        system = dns.resolver.get_default_resolver()
        found = [_Resolver(str(one), system.port) for one in system.nameservers]
    for resolver in found:
        try:
            return _check_by(resolver, dns.name.from_text(name), rdtype)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            why = f"{resolver.address} does not answer ({error or type(error).__name__})"
    return Step(None, f"DNSSEC of its {rdtype} cannot be looked at: {why}")


def _check_by(resolver: _Resolver, name: dns.name.Name, rdtype: str) -> Step:
    reply = resolver.ask(name, rdtype)
    is_bogus = reply.rcode() == dns.rcode.SERVFAIL
    if is_bogus:
        reply = resolver.fetch(name, rdtype)
        if reply.rcode() == dns.rcode.SERVFAIL:
            text = f"its {rdtype} cannot be resolved (SERVFAIL of {resolver.address})"
            return Step(False, text, f"the name servers do not answer for it; {_ASK}")
    ended, soon = [], []
    for owner, signature in _signatures(resolver, reply):
        left = signature.expiration - time.time()
        if left <= 0:
            ended.append(_describe(owner, signature))
        elif left < 2 * _DAY and signature.expiration - signature.inception > _ONLINE_DAYS * _DAY:
            soon.append(_describe(owner, signature))
    if is_bogus:
        why = f"signatures have ended: {', '.join(ended)}" if ended else "keys or DS do not fit"
        return _broken(rdtype, why)
    if soon:
        text = f"signatures of its {rdtype} end within two days: {', '.join(soon)}"
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
    rrsets = [*reply.answer, *reply.authority]
    zones = {one.signer for rrset in rrsets if rrset.rdtype == dns.rdatatype.RRSIG for one in rrset}
    for zone in sorted(zones):
        rrsets += resolver.fetch(zone, "DNSKEY").answer
    for rrset in rrsets:
        if rrset.rdtype == dns.rdatatype.RRSIG:
            yield from ((rrset.name, one) for one in rrset)


def _describe(owner: dns.name.Name, signature: Any) -> str:
    kind = dns.rdatatype.to_text(signature.type_covered)
    end = time.strftime("%F %H:%M UTC", time.gmtime(signature.expiration))
    return f"{owner} {kind} ({end})"
