"""DNSSEC validation of an answer from the trust anchor down (RFC 4035 §5).

The resolver only fetches. That a zone is not signed is believed without proof (NSEC is not
verified): who could forge that could forge the unsigned answer as well.
"""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Optional

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

#: The root's keys 20326 and 38696: https://data.iana.org/root-anchors/root-anchors.xml
ANCHORS = {
    dns.name.root: dns.rrset.from_text(
        ".",
        0,
        "IN",
        "DS",
        "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
        "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
    )
}

_RRSIG = dns.rdatatype.RRSIG
#: Digest types of DS records, by hashlib's names.
_DIGESTS = {1: "sha1", 2: "sha256", 4: "sha384"}

#: The most CNAMEs in a chain that are followed.
_MOST_HOPS = 8

#: Asks the resolver for a name and type, with signatures, verified or not.
Ask = Callable[[dns.name.Name, str], dns.message.Message]


class Broken(Exception):
    """The answer is bogus: a validating resolver answers SERVFAIL. The text says why."""


class Unknown(Exception):
    """The answer can't be validated from here. The text says why."""


def holds(name: dns.name.Name, rdtype: str, ask: Ask) -> bool:
    """Return whether the answer for a name, also a negative one, is valid; False if unsigned.

    :raises Broken: it is bogus
    :raises Unknown: the resolver lacks what is needed
    :raises dns.exception.DNSException, OSError: the resolver does not answer
    """
    for _ in range(_MOST_HOPS):
        found = _zone(name, ask)
        if found is None:
            return False
        reply, alias = ask(name, rdtype), None
        records = [one for one in reply.answer or reply.authority if one.rdtype != _RRSIG]
        if reply.answer:  # the target of a CNAME is validated in the next round
            records = [one for one in records if name.is_subdomain(one.name)]
        by_dname = any(one.rdtype == dns.rdatatype.DNAME for one in records)
        for rrset in records:
            is_alias = rrset.rdtype == dns.rdatatype.CNAME
            if rrset.name.is_subdomain(found[0]) and not (is_alias and by_dname):
                _verify(rrset, reply, *found)
            alias = rrset[0].target if is_alias and rrset.name == name else alias
        if alias is None:
            return True
        name = alias
    raise Unknown("it is an alias of an alias, and so on")


def _zone(name: dns.name.Name, ask: Ask) -> Optional[tuple[dns.name.Name, dns.rrset.RRset]]:
    """Return the zone of a name and its verified keys; None if it is not signed."""
    zone = max((one for one in ANCHORS if name.is_subdomain(one)), key=len, default=None)
    if zone is None:
        raise Unknown("no trust anchor is known")
    keys = _keys(zone, ANCHORS[zone], ask)
    for depth in range(len(zone) + 1, len(name) + 1):
        child = name.split(depth)[1]
        reply = ask(child, "DS")
        digests = _get(reply, child, dns.rdatatype.DS)
        if digests is not None:
            _verify(digests, reply, zone, keys)
            zone, keys = child, _keys(child, digests, ask)
        elif reply.rcode() == dns.rcode.NXDOMAIN:
            break
        elif _get(ask(child, "NS"), child, dns.rdatatype.NS) is not None:
            return None
    return zone, keys


def _get(
    reply: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> Optional[dns.rrset.RRset]:
    return reply.get_rrset(reply.answer, name, dns.rdataclass.IN, rdtype)


def _keys(zone: dns.name.Name, digests: dns.rrset.RRset, ask: Ask) -> dns.rrset.RRset:
    """Return the keys of a zone, verified by a key that matches the DS at its parent."""
    reply = ask(zone, "DNSKEY")
    keys = _get(reply, zone, dns.rdatatype.DNSKEY)
    if keys is None and zone in ANCHORS:
        raise Unknown(f"the resolver does not give the keys of {zone}")
    fitting = [key for key in keys or () if any(_is_of(ds, zone, key) for ds in digests)]
    if keys is None or not fitting:
        raise Broken(f"no key of {zone} is that of the DS at its parent")
    _verify(keys, reply, zone, dns.rrset.from_rdata_list(zone, keys.ttl, fitting))
    return keys


def _is_of(ds: Any, zone: dns.name.Name, key: Any) -> bool:
    """Return whether a DS is of a key (RFC 4034 §5.1.4); SHA-1 counts, as for resolvers."""
    algorithm = _DIGESTS.get(ds.digest_type)
    data = zone.canonicalize().to_wire() + key.to_wire()
    return algorithm is not None and hashlib.new(algorithm, data).digest() == ds.digest


def _verify(
    rrset: dns.rrset.RRset,
    reply: dns.message.Message,
    zone: dns.name.Name,
    keys: dns.rrset.RRset,
) -> None:
    """Verify the signature of an RRset by the zone's keys.

    :raises Broken: it is bogus
    :raises Unknown: the resolver leaves signatures out
    """
    what = f"{dns.rdatatype.to_text(rrset.rdtype)} of {rrset.name}"
    signatures = [
        one
        for one in (*reply.answer, *reply.authority)
        if (one.name, one.rdtype, one.covers) == (rrset.name, _RRSIG, rrset.rdtype)
    ]
    if not signatures and zone in ANCHORS:
        raise Unknown("the resolver leaves signatures out")
    if not signatures:
        raise Broken(f"{what} is not signed, though {zone} is")
    try:
        dns.dnssec.validate(rrset, signatures[0], {zone: keys})
    except dns.exception.DNSException as error:
        raise Broken(f"no signature of {what} by a key of {zone} is right ({error})") from None
