"""What a validating resolver says of a name, as a CA's resolver does since 2026-03-15 (SC-085v2).

A resolver that validates says AD of what is signed and right (RFC 4035 §3.2.3), and SERVFAIL of
what is wrong, which it hands out only to who asks with CD. One that does not validate tells
nothing, and that is said.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

_SECONDS = 5.0
_TWO_DAYS = 2 * 86400

_ASK = "send this to the DNS administrator, with what https://dnsviz.net shows of the name"


@dataclass(frozen=True)
class Verdict:
    """Right, wrong, or (None) not to be told from here."""

    right: Optional[bool]
    text: str
    remedy: str = ""


def look(name: str, rdtype: str) -> Verdict:
    """Ask the system's resolver for a name and type, which need not exist."""
    try:
        resolver = dns.resolver.get_default_resolver()
        servers, port = [str(one) for one in resolver.nameservers], resolver.port
    except dns.exception.DNSException:
        servers, port = [], 53
    why = "no resolver is named in /etc/resolv.conf"
    for server in servers:
        try:
            reply = _ask(server, port, name, rdtype)
            if reply.rcode() != dns.rcode.SERVFAIL:
                return _of_answer(reply, rdtype)
            unchecked = _ask(server, port, name, rdtype, dns.flags.CD)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            why = f"{server} does not answer ({error or type(error).__name__})"
            continue
        if unchecked.rcode() == dns.rcode.SERVFAIL:
            text = f"its {rdtype} cannot be resolved (SERVFAIL of {server})"
            return Verdict(False, text, f"the name servers do not answer for it; {_ASK}")
        ended = _ends(unchecked, before=time.time())
        why = f"signatures have ended: {', '.join(ended)}" if ended else "keys or DS do not fit"
        text = f"the DNSSEC chain of its {rdtype} is broken ({why})"
        return Verdict(False, text, f"no CA issues until it is mended; {_ASK}")
    return Verdict(None, f"DNSSEC of its {rdtype} cannot be looked at: {why}")


def _ask(server: str, port: int, name: str, rdtype: str, flags: int = 0) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, want_dnssec=True)
    query.flags |= flags | dns.flags.AD
    try:
        return dns.query.udp(query, server, _SECONDS, port, raise_on_truncation=True)
    except dns.message.Truncated:
        return dns.query.tcp(query, server, _SECONDS, port)


def _of_answer(reply: dns.message.Message, rdtype: str) -> Verdict:
    soon = _ends(reply, before=time.time() + _TWO_DAYS)
    if soon:
        text = f"signatures of its {rdtype} end within two days: {', '.join(soon)}"
        return Verdict(False, text, f"the zone is not signed anew as it should be; {_ASK}")
    if reply.flags & dns.flags.AD:
        return Verdict(True, f"the DNSSEC chain of its {rdtype} holds")
    if any(rrset.rdtype == dns.rdatatype.RRSIG for rrset in (*reply.answer, *reply.authority)):
        return Verdict(
            None, f"its {rdtype} is signed, but no resolver of this machine validates DNSSEC"
        )
    return Verdict(None, f"its {rdtype} is not signed, or no resolver here validates DNSSEC")


def _ends(reply: dns.message.Message, before: float) -> list[str]:
    """The RRsets whose signature ends before that time, each with its end."""
    found: dict[str, None] = {}
    for rrset in (*reply.answer, *reply.authority):
        if rrset.rdtype == dns.rdatatype.RRSIG:
            for one in rrset:
                if one.expiration < before:
                    kind = dns.rdatatype.to_text(one.type_covered)
                    end = time.strftime("%F %H:%M UTC", time.gmtime(one.expiration))
                    found[f"{rrset.name} {kind} ({end})"] = None
    return list(found)
