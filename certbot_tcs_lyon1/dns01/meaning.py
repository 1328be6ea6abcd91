"""Turning the replies of name servers into errors with likely causes and remedies.

The causes were observed on BIND 9.18, Knot 3.2 and PowerDNS 4.7, which reply to the same fault in
different ways; the tests cause each of them on real servers.
"""

from __future__ import annotations

import time

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig

from certbot_tcs_lyon1.department.settings import DnsServer, Keytab
from certbot_tcs_lyon1.dns01.names import text
from certbot_tcs_lyon1.dns01.records import Address, Batch, DnsError, NotServed, Refused


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


def of_tsig_error(error: dns.tsig.PeerError, wire: bytes, batch: Batch) -> Refused:
    """Return the error for a TSIG error in the reply to an UPDATE (RFC 8945 §5.3).

    The signature of such a reply, if it has one, is not verified, so the error is `claimed`.

    :param wire: the reply in wire format
    """
    key, update = batch.section.key, update_of(batch)
    if isinstance(key, Keytab):
        return Refused(
            f"{update}: the server rejects the signature ({type(error).__name__}), also with a new "
            "Kerberos context",
            _READ_THE_LOG,
            claimed=True,
        )
    if isinstance(error, dns.tsig.PeerBadKey):
        return Refused(
            f"{update}: BADKEY. The server does not know a key of this name with the algorithm "
            f"{key.algorithm}: check both with the DNS administrator. Knot answers so, too, where "
            "it knows the key, and the key may not write a name",
            _rights(batch),
            of_a_name=True,
            claimed=True,
        )
    if isinstance(error, dns.tsig.PeerBadTime):
        remedy = "Set the clock of the one that is wrong (timedatectl)"
        return Refused(f"{update}: BADTIME. {_clocks(wire)}", remedy, claimed=True)
    if isinstance(error, dns.tsig.PeerBadSignature):
        return Refused(
            f"{update}: BADSIG. The server has another secret for this TSIG key",
            "Copy the key again, as the DNS administrator sent it",
            claimed=True,
        )
    return Refused(
        f"{update}: the server rejects the signature ({type(error).__name__})",
        "Ask the DNS administrator about this TSIG key",
        claimed=True,
    )


def _clocks(wire: bytes) -> str:
    """Return a sentence with the difference between this machine's clock and the server's.

    The server's time is the Other Data of the TSIG record, 48 bits at the end of the reply, after
    their length (RFC 8945 §5.2.3).

    :param wire: the reply in wire format
    """
    if wire[-8:-6] != b"\0\6":
        return "The clocks of this machine and of the server differ too much"
    ahead = round(time.time()) - int.from_bytes(wire[-6:], "big")
    side = "ahead of" if ahead > 0 else "behind"
    return f"The clock of this machine is {abs(ahead)} s {side} the server's"


def of_update_reply(reply: dns.message.Message, batch: Batch) -> DnsError:
    """Return the error for a reply to an UPDATE that is not a signed NOERROR.

    It is `claimed` if the reply is not signed, since anybody may have sent it.
    """
    code, update = dns.rcode.to_text(reply.rcode()), update_of(batch)
    check = f"Check `server` in [{batch.section.section}]"
    if not reply.had_tsig:
        return _unsigned(code, batch)
    if code == "YXRRSET":
        return Refused(
            f"{update}: YXRRSET. A CNAME stands at {_one_of(batch)}",
            "Run certbot again: it follows aliases",
            of_a_name=True,
        )
    if code == "REFUSED":
        return Refused(
            f"{update}: REFUSED. The key may not write a name, or this server takes no updates for "
            "the zone from here now (a secondary; a frozen zone; PowerDNS: dnsupdate=no, or "
            "ALLOW-DNSUPDATE-FROM)",
            _rights(batch),
            of_a_name=True,
        )
    if code == "NOTAUTH":
        return Refused(
            f"{update}: NOTAUTH. This server does not hold the zone, or is not its primary", check
        )
    if code == "NOTZONE":
        return Refused(
            f"{update}: NOTZONE. Not in this zone: {_one_of(batch)}",
            f"Check `zone` in [{batch.section.section}]",
            of_a_name=True,
        )
    return Refused(f"{update}: {code}", _READ_THE_LOG)


def _unsigned(code: str, batch: Batch) -> DnsError:
    """Return the error for an unsigned reply to an UPDATE.

    For NOERROR it is a DnsError, not Refused: the UPDATE may have been applied.
    """
    update = update_of(batch)
    if code == "REFUSED":
        return Refused(
            f"{update}: REFUSED, unsigned. PowerDNS answers so to every fault of the key: its "
            "name, algorithm or secret, a clock that is off by more than 300 s, or a zone that "
            "this key may not update (TSIG-ALLOW-DNSUPDATE). Other servers answer so where they "
            "take no updates from this machine",
            _rights(batch),
            of_a_name=True,
            claimed=True,
        )
    if code == "NOTAUTH":
        return Refused(
            f"{update}: NOTAUTH, unsigned. This server does not serve the zone, or does not know "
            "the TSIG key",
            f"Check `server` in [{batch.section.section}], and the TSIG key",
            claimed=True,
        )
    cause = f"{update}: the reply ({code}) to a signed UPDATE is not signed, so it counts for "
    remedy = (
        "Something between this machine and the server may have changed it; else ask the DNS "
        "administrator about the TSIG key"
    )
    if code == "NOERROR":  # so that the records stay in the journal
        return DnsError(f"{cause}nothing", remedy)
    return Refused(f"{cause}nothing", remedy, claimed=True)


def of_claim(code: str, batch: Batch) -> Refused:
    """Return the error for a reply that repeats the request's signature, as Samba and Windows do.

    It is unsigned: the server may have sent it, or anybody on the path.

    :param code: the name of the rcode
    """
    says = f"{update_of(batch)}: the server says, unsigned, {code}"
    if code == "YXRRSET":
        return Refused(
            f"{says}. A CNAME stands at {_one_of(batch)}",
            "If it is there again at the next run, have it removed: Samba shows a CNAME to nobody "
            "who asks for TXT, so the CA can't follow it",
            of_a_name=True,
            claimed=True,
        )
    if code == "NOTZONE":
        return Refused(
            f"{says}. {text(batch.zone)} is not its zone",
            f"Check `zone` in [{batch.section.section}]",
            claimed=True,
        )
    if code in ("REFUSED", "SERVFAIL"):
        more = "; Samba 4.17 means REFUSED by that" if code == "SERVFAIL" else ""
        return Refused(f"{says}{more}", _rights(batch), of_a_name=True, claimed=True)
    return Refused(says, _READ_THE_LOG, claimed=True)


def _account_rights(batch: Batch) -> str:
    """Return the remedy if the Kerberos account lacks the rights: what to ask for."""
    names, more = _first_names(batch)
    account = batch.section.key.name
    grants = " ".join(f"grant {account} name {name}. TXT;" for name in names)
    zone = text(batch.zone)
    node = names[0][: -len(zone) - 1] or "@"
    return (
        f"If it is the account's rights, ask for (BIND) update-policy {{ {grants} }}{more}; or "
        "(Active Directory, Samba) the TXT record made beforehand, and the right to write it: "
        f"dsacls or samba-tool dsacl with (A;;RPWP;;;SID of the account) on DC={node},DC={zone},"
        "CN=MicrosoftDNS,DC=DomainDnsZones,…"
    )


def _rights(batch: Batch) -> str:
    """Return the remedy if the key lacks the rights: what to ask the DNS administrator for."""
    if isinstance(batch.section.key, Keytab):
        return _account_rights(batch)
    key = batch.section.key.name
    names, more = _first_names(batch)
    grants = " ".join(f"grant {key} name {name}. TXT;" for name in names)
    owners = ", ".join(f'"{name}."' for name in names)
    return (
        f"If it is the key's rights, ask for (BIND) update-policy {{ {grants} }}; or (Knot) an acl "
        f"with key: {key}, action: update, update-type: TXT, update-owner: name, "
        f"update-owner-name: [{owners}]{more}; or (PowerDNS) TSIG-ALLOW-DNSUPDATE and "
        "ALLOW-DNSUPDATE-FROM for a zone of challenges"
    )


def _one_of(batch: Batch) -> str:
    """Return the owner names, for a message that one of them is the cause."""
    names, more = _first_names(batch)
    return f"{'one of ' if len(names) > 1 else ''}{', '.join(names)}{more}"


def _first_names(batch: Batch) -> tuple[list[str], str]:
    """Return the first three owner names, and the words for the others, "" if there are none."""
    names = list(map(text, batch.names))
    return names[:3], ", and so on" if len(names) > 3 else ""
