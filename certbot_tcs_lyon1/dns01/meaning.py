"""What the answers of name servers mean, in words: the likely causes, and what to do.

Measured on BIND 9.18, Knot 3.2 and PowerDNS 4.7, which answer the same fault in different ways;
the tests ask each of them again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig

from certbot_tcs_lyon1.department.settings import DnsServer, Keytab
from certbot_tcs_lyon1.dns01.records import NotServed, Refused
from certbot_tcs_lyon1.report import foreign


@dataclass(frozen=True)
class Asked:
    """An UPDATE that was sent: to which server, for which zone and names."""

    server: str
    zone: dns.name.Name
    config: DnsServer
    names: Sequence[dns.name.Name]

    def __str__(self) -> str:
        return f"{self.server}, UPDATE of the zone {text(self.zone)} with the {self.key}"

    @property
    def key(self) -> str:
        """What signs it, in words."""
        key = self.config.key
        return f"{'Kerberos account' if isinstance(key, Keytab) else 'TSIG key'} {key.name}"


def text(name: dns.name.Name) -> str:
    """A name as users write it, without the final dot; a name server's may be shown so."""
    return foreign(name.to_text(omit_final_dot=True))


def reason(error: BaseException) -> str:
    """A failure of the network in a few words."""
    if isinstance(error, (dns.exception.Timeout, TimeoutError, socket.timeout)):
        return "no answer in time"
    if isinstance(error, EOFError):
        return "the connection was closed before the reply was complete"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return f"the reply cannot be used ({type(error).__name__})"


def is_silence(error: BaseException) -> bool:
    """Whether a failure cost its whole time-out, as a dead server does."""
    return isinstance(error, (dns.exception.Timeout, TimeoutError, socket.timeout))


def not_served(
    reply: dns.message.Message, server: str, name: dns.name.Name, config: DnsServer
) -> Refused:
    """Why the answer to a SOA query names no zone to write to."""
    for rrset in reply.authority:
        if rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name):
            others = ", ".join(sorted(text(record.target) for record in rrset))
            zone = text(rrset.name)
            return Refused(
                f"{text(name)}: {server} has delegated the zone {zone} to {others}. Write a "
                f"section [dns {zone}] with its update server."
            )
    code = dns.rcode.to_text(reply.rcode())
    return NotServed(
        f"{server} of [{config.section}] does not serve a zone for {text(name)} (it answers {code} "
        "to a query for its SOA, plain or signed). Check `server`; for a hidden primary, which "
        "answers no query, write `zone` and `check_servers`; or another view of it holds the zone: "
        "ask the DNS administrator."
    )


#: What the answers mean after which the next server is tried.
MEANS = {
    "SERVFAIL": "the zone is not loaded or has expired there, or BIND can't write its journal",
    "NOTIMP": "it takes no dynamic updates; name the primary (Samba: or the zone is not its own)",
}


def of_tsig_error(error: dns.tsig.PeerError, heard: bytes, asked: Asked) -> tuple[str, bool]:
    """The meaning of a TSIG error (RFC 8945 §5.3), and whether one name may be to blame.

    :param heard: the reply as it came
    """
    key = asked.config.key
    if isinstance(key, Keytab):
        return (
            f"{asked}: the server rejects the signature ({type(error).__name__}), also with a new "
            "Kerberos context. Ask the DNS administrator what the server's log says.",
            False,
        )
    if isinstance(error, dns.tsig.PeerBadKey):
        return (
            f"{asked}: BADKEY. The server does not know a key of this name with the algorithm "
            f"{key.algorithm}: check both with the DNS administrator. Knot answers so, too, where "
            f"it knows the key, and the key may not write a name. {_rights(asked)}",
            True,
        )
    if isinstance(error, dns.tsig.PeerBadTime):
        return f"{asked}: BADTIME. {_clocks(heard)}", False
    if isinstance(error, dns.tsig.PeerBadSignature):
        return (
            f"{asked}: BADSIG. The server has another secret for this TSIG key; copy the key "
            "again, as the DNS administrator sent it.",
            False,
        )
    return (
        f"{asked}: the server rejects the signature ({type(error).__name__}). Ask the DNS "
        "administrator about this TSIG key.",
        False,
    )


def _clocks(heard: bytes) -> str:
    """The difference between the clocks: the server's own is in the TSIG record's Other Data,
    48 bits after its length at the end of the reply (RFC 8945 §5.2.3)."""
    advice = "Set the clock of the one that is wrong (timedatectl)."
    if heard[-8:-6] != b"\0\6":
        return f"The clocks of this machine and of the server differ too much. {advice}"
    ahead = round(time.time()) - int.from_bytes(heard[-6:], "big")
    side = "ahead of" if ahead > 0 else "behind"
    return f"The clock of this machine is {abs(ahead)} s {side} the server's. {advice}"


def of_update_reply(reply: dns.message.Message, asked: Asked) -> tuple[str, bool]:
    """The meaning of a reply that is an error or not signed, and whether one name may be to blame.

    A reply without a signature counts for nothing: anybody may have sent it.
    """
    code = dns.rcode.to_text(reply.rcode())
    if not reply.had_tsig:
        return _unsigned(code, asked)
    if code == "YXRRSET":
        return (
            f"{asked}: YXRRSET. A CNAME stands at {_one_of(asked)}. Run certbot again: it follows "
            "aliases.",
            True,
        )
    if code == "REFUSED":
        return (
            f"{asked}: REFUSED. The key may not write a name, or this server takes no updates for "
            "the zone from here now (a secondary; a frozen zone; PowerDNS: dnsupdate=no, or "
            f"ALLOW-DNSUPDATE-FROM). {_rights(asked)}",
            True,
        )
    if code == "NOTAUTH":
        return (
            f"{asked}: NOTAUTH. This server does not hold the zone, or is not its primary. Check "
            f"`server` in [{asked.config.section}].",
            False,
        )
    if code == "NOTZONE":
        return (
            f"{asked}: NOTZONE. Not in this zone: {_one_of(asked)}. Check `zone` in "
            f"[{asked.config.section}].",
            True,
        )
    return f"{asked}: {code}. Ask the DNS administrator what the server's log says.", False


def _unsigned(code: str, asked: Asked) -> tuple[str, bool]:
    if code == "REFUSED":
        return (
            f"{asked}: REFUSED, unsigned. PowerDNS answers so to every fault of the key: its name, "
            "algorithm or secret, a clock that is off by more than 300 s, or a zone that this key "
            "may not update (TSIG-ALLOW-DNSUPDATE). Other servers answer so where they take no "
            f"updates from this machine. {_rights(asked)}",
            True,
        )
    if code == "NOTAUTH":
        return (
            f"{asked}: NOTAUTH, unsigned. This server does not serve the zone, or does not know "
            f"the TSIG key. Check `server` in [{asked.config.section}], and the TSIG key.",
            False,
        )
    return (
        f"{asked}: the reply ({code}) to a signed UPDATE is not signed, so it counts for nothing. "
        "Something between this machine and the server may have changed it; else ask the DNS "
        "administrator about the TSIG key.",
        False,
    )


def of_claim(code: str, asked: Asked) -> tuple[str, bool]:
    """The meaning of a reply that echoes our signature, as Samba and Windows do, and whether one
    name may be to blame. It is the server's answer, or that of anybody on the path."""
    says = f"{asked}: the server says, unsigned, {code}"
    if code == "YXRRSET":
        return (
            f"{says}. A CNAME stands at {_one_of(asked)}. If it is there again at the next run, "
            "have it removed: Samba shows a CNAME to nobody who asks for TXT, so the CA can't "
            "follow it.",
            True,
        )
    if code == "NOTZONE":
        section = asked.config.section
        return f"{says}. {text(asked.zone)} is not its zone. Check `zone` in [{section}].", False
    if code in ("REFUSED", "SERVFAIL"):
        more = "; Samba 4.17 means REFUSED by that" if code == "SERVFAIL" else ""
        return f"{says}{more}. {_rights(asked)}", True
    return f"{says}. Ask the DNS administrator what the server's log says.", False


def _account_rights(asked: Asked) -> str:
    """What to ask for, if it is the rights of a Kerberos account."""
    names, more = _first_names(asked)
    account = asked.config.key.name
    grants = " ".join(f"grant {account} name {name}. TXT;" for name in names)
    zone = text(asked.zone)
    node = names[0][: -len(zone) - 1] or "@"
    return (
        f"If it is the account's rights, ask for (BIND) update-policy {{ {grants} }}{more}; or "
        "(Active Directory, Samba) the TXT record made beforehand, and the right to write it: "
        f"dsacls or samba-tool dsacl with (A;;RPWP;;;SID of the account) on DC={node},DC={zone},"
        "CN=MicrosoftDNS,DC=DomainDnsZones,…"
    )


def _rights(asked: Asked) -> str:
    """What to ask the DNS administrator for, if it is the key's rights."""
    if isinstance(asked.config.key, Keytab):
        return _account_rights(asked)
    key = asked.config.key.name
    names, more = _first_names(asked)
    grants = " ".join(f"grant {key} name {name}. TXT;" for name in names)
    owners = ", ".join(f'"{name}."' for name in names)
    return (
        f"If it is the key's rights, ask for (BIND) update-policy {{ {grants} }}; or (Knot) an acl "
        f"with key: {key}, action: update, update-type: TXT, update-owner: name, "
        f"update-owner-name: [{owners}]{more}; or (PowerDNS) TSIG-ALLOW-DNSUPDATE and "
        "ALLOW-DNSUPDATE-FROM for a zone of challenges."
    )


def _one_of(asked: Asked) -> str:
    """The names, of which one is to blame."""
    names, more = _first_names(asked)
    return f"{'one of ' if len(names) > 1 else ''}{', '.join(names)}{more}"


def _first_names(asked: Asked) -> tuple[list[str], str]:
    """The first three names, and words for the others."""
    names = list(dict.fromkeys(map(text, asked.names)))
    return names[:3], ", and so on" if len(names) > 3 else ""
