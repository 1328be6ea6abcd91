"""Turning the replies of name servers into errors with likely causes and remedies.

The causes were observed on BIND 9.18, Knot 3.2 and PowerDNS 4.7, which reply to the same fault in
different ways; the tests cause each of them on real servers.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig

from certbot_tcs_lyon1.department.settings import DnsServer, Keytab
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.records import Address, BadKey, Batch, NotServed, Refused
from certbot_tcs_lyon1.errors import DnsError


def update_of(batch: Batch) -> str:
    """Return the description of an UPDATE for messages: its server, zone and key."""
    key = batch.section.key
    signed = f"{'Kerberos account' if isinstance(key, Keytab) else 'TSIG key'} {key.name}"
    return f"{batch.server}, UPDATE of the zone {text(batch.zone)} with the {signed}"


def not_served(
    reply: dns.message.Message, server: Address, name: dns.name.Name, section: DnsServer
) -> Refused:
    """Return the error for a reply to a SOA query that shows no zone for `name` on this server."""
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name):
            others = ", ".join(sorted(text(record.target) for record in rrset))
            zone = text(rrset.name)
            return Refused(
                f"{text(name)}: {server} has delegated the zone {zone} to {others}",
                f"Write a section [dns {zone}] with its update server",
            )
    code = dns.rcode.to_text(reply.rcode())
    return NotServed(
        f"{server} of [{section.section}] does not serve a zone for {text(name)} (it answers "
        f"{code} to a query for its SOA, plain or signed)",
        "Check `server`; for a hidden primary, which answers no query, write `zone` and "
        "`check_servers`; or another view of it holds the zone: ask the DNS administrator",
    )


_READ_THE_LOG = "Ask the DNS administrator what the server's log says"
_CHECK_ZONE = "Check `zone` in [{section}]"
_RIGHTS = ""  # stands for one of these: what to ask for if the key lacks the rights
_KEY_RIGHTS = (
    "If it is the key's rights, ask for (BIND) update-policy {{ {grants} }}; or (Knot) an acl with "
    "key: {key}, action: update, update-type: TXT, update-owner: name, update-owner-name: "
    "[{owners}]{more}; or (PowerDNS) TSIG-ALLOW-DNSUPDATE and ALLOW-DNSUPDATE-FROM for a zone of "
    "challenges"
)
_ACCOUNT_RIGHTS = (
    "If it is the account's rights, ask for (BIND) update-policy {{ {grants} }}{more}; or (Active "
    "Directory, Samba) the TXT record made beforehand, and the right to write it: dsacls or "
    "samba-tool dsacl with (A;;RPWP;;;SID of the account) on DC={node},DC={zone},CN=MicrosoftDNS,"
    "DC=DomainDnsZones,…"
)


class Row(NamedTuple):
    """What an error code of a reply to an UPDATE means.

    The texts have fields in braces, which `_refused` fills.

    :ivar of_a_name: as in `Refused`
    """

    cause: str
    remedy: str
    of_a_name: bool = False


#: By how the reply is signed, and by its code; "" is for any other code.
ROWS = {
    "signed": {
        "YXRRSET": Row(
            "YXRRSET. A CNAME stands at {names}", "Run certbot again: it follows aliases", True
        ),
        "REFUSED": Row(
            "REFUSED. The key may not write a name, or this server takes no updates for the zone "
            "from here now (a secondary; a frozen zone; PowerDNS: dnsupdate=no, or "
            "ALLOW-DNSUPDATE-FROM)",
            _RIGHTS,
            True,
        ),
        "NOTAUTH": Row(
            "NOTAUTH. This server does not hold the zone, or is not its primary",
            "Check `server` in [{section}]",
        ),
        "NOTZONE": Row("NOTZONE. Not in this zone: {names}", _CHECK_ZONE, True),
        "": Row("{code}", _READ_THE_LOG),
    },
    "unsigned": {
        "REFUSED": Row(
            "REFUSED, unsigned. PowerDNS answers so to every fault of the key: its name, algorithm "
            "or secret, a clock that is off by more than 300 s, or a zone that this key may not "
            "update (TSIG-ALLOW-DNSUPDATE). Other servers answer so where they take no updates "
            "from this machine",
            _RIGHTS,
            True,
        ),
        "NOTAUTH": Row(
            "NOTAUTH, unsigned. This server does not serve the zone, or does not know the TSIG key",
            "Check `server` in [{section}], and the TSIG key",
        ),
        "": Row(
            "the reply ({code}) to a signed UPDATE is not signed, so it counts for nothing",
            "Something between this machine and the server may have changed it; else ask the DNS "
            "administrator about the TSIG key",
        ),
    },
    # It repeats the request's signature, as replies of Samba and Windows do.
    "echo": {
        "YXRRSET": Row(
            "the server says, unsigned, YXRRSET. A CNAME stands at {names}",
            "If it is there again at the next run, have it removed: Samba shows a CNAME to nobody "
            "who asks for TXT, so the CA can't follow it",
            True,
        ),
        "NOTZONE": Row("the server says, unsigned, NOTZONE. {zone} is not its zone", _CHECK_ZONE),
        "REFUSED": Row("the server says, unsigned, REFUSED", _RIGHTS, True),
        "SERVFAIL": Row(
            "the server says, unsigned, SERVFAIL; Samba 4.17 means REFUSED by that",
            _RIGHTS,
            True,
        ),
        "": Row("the server says, unsigned, {code}", _READ_THE_LOG),
    },
    # The code is that of the TSIG record, by dnspython's exception (RFC 8945 §5.3).
    "TSIG": {
        "PeerBadKey": Row(
            "BADKEY. The server does not know a key of this name with the algorithm {algorithm}: "
            "check both with the DNS administrator. Knot answers so, too, where it knows the key, "
            "and the key may not write a name",
            _RIGHTS,
            True,
        ),
        "PeerBadTime": Row(
            "BADTIME. {clocks}", "Set the clock of the one that is wrong (timedatectl)"
        ),
        "PeerBadSignature": Row(
            "BADSIG. The server has another secret for this TSIG key",
            "Copy the key again, as the DNS administrator sent it",
        ),
        "": Row(
            "the server rejects the signature ({code})",
            "Ask the DNS administrator about this TSIG key",
        ),
    },
    "Kerberos": {
        "": Row(
            "the server rejects the signature ({code}), also with a new Kerberos context",
            _READ_THE_LOG,
        ),
    },
}


def of_tsig_error(error: dns.tsig.PeerError, wire: bytes, batch: Batch) -> Refused:
    """Return the error for a TSIG error in the reply to an UPDATE: BadKey for BADKEY.

    The signature of such a reply, if it has one, is not verified, so the error is `claimed`.

    :param wire: the reply in wire format
    """
    rows = "Kerberos" if isinstance(batch.section.key, Keytab) else "TSIG"
    kind = BadKey if isinstance(error, dns.tsig.PeerBadKey) else Refused
    return _refused(rows, type(error).__name__, batch, kind, wire=wire)


def of_update_reply(reply: dns.message.Message, batch: Batch) -> DnsError:
    """Return the error for a reply to an UPDATE that is not a signed NOERROR.

    It is `claimed` if the reply is not signed, since anybody may have sent it. For NOERROR it is no
    Refused: the UPDATE may have been applied, or be applied later.
    """
    code = dns.rcode.to_text(reply.rcode())
    if reply.had_tsig:
        return _refused("signed", code, batch, claimed=False)
    error = _refused("unsigned", code, batch)
    return DnsError(error.cause, error.remedy) if code == "NOERROR" else error


def of_claim(code: str, batch: Batch) -> Refused:
    """Return the error for a reply that repeats the request's signature, as Samba and Windows do.

    It is unsigned: the server may have sent it, or anybody on the path.

    :param code: the name of the rcode
    """
    return _refused("echo", code, batch)


def _refused(
    rows: str,
    code: str,
    batch: Batch,
    kind: type[Refused] = Refused,
    claimed: bool = True,
    wire: bytes = b"",
) -> Refused:
    row = ROWS[rows].get(code) or ROWS[rows][""]
    key, zone = batch.section.key, text(batch.zone)
    names = list(map(text, batch.names))
    more = ", and so on" if len(names) > 3 else ""
    fields = {
        "code": code,
        "names": f"{'one of ' if len(names) > 1 else ''}{', '.join(names[:3])}{more}",
        "section": batch.section.section,
        "zone": zone,
        "key": key.name,
        "algorithm": "" if isinstance(key, Keytab) else key.algorithm,
        "clocks": _clocks(wire),
        "grants": " ".join(f"grant {key.name} name {name}. TXT;" for name in names[:3]),
        "owners": ", ".join(f'"{name}."' for name in names[:3]),
        "more": more,
        "node": names[0][: -len(zone) - 1] or "@",
    }
    rights = _ACCOUNT_RIGHTS if isinstance(key, Keytab) else _KEY_RIGHTS
    return kind(
        f"{update_of(batch)}: {row.cause.format(**fields)}",
        (row.remedy or rights).format(**fields),
        of_a_name=row.of_a_name,
        claimed=claimed,
    )


def _clocks(wire: bytes) -> str:
    """Return a sentence with the difference between this machine's clock and the server's.

    The server's time is the Other Data of the TSIG record, 48 bits at the end of the reply, after
    their length (RFC 8945 §5.2.3).

    :param wire: a reply with BADTIME in wire format
    """
    if wire[-8:-6] != b"\0\6":
        return "The clocks of this machine and of the server differ too much"
    ahead = round(time.time()) - int.from_bytes(wire[-6:], "big")
    side = "ahead of" if ahead > 0 else "behind"
    return f"The clock of this machine is {abs(ahead)} s {side} the server's"
