"""RFC 2136: UPDATE and failover. What the answers mean is in `meaning`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import dns.exception
import dns.name
import dns.rcode
import dns.tsig
import dns.update

from certbot_tcs_lyon1 import errors
from certbot_tcs_lyon1.department.settings import DnsServer, SigningKey
from certbot_tcs_lyon1.dns01 import meaning, queries, signing
from certbot_tcs_lyon1.dns01.queries import SERVERS, TRY_NEXT, update_addresses
from certbot_tcs_lyon1.dns01.records import Address, DnsError, NoAnswer, Refused, Txt, Zone


def add_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> Zone:
    """Add all records in one signed UPDATE, on condition that none of the names is an alias.

    :returns: the zone with the server that took the UPDATE, where failover led to another
    :raises NoAnswer: no reply came; the UPDATE may have been applied or not
    :raises Refused: the server said no; nothing was applied
    """
    message = dns.update.UpdateMessage(zone.name)
    for name in dict.fromkeys(record.name for record in records):
        message.absent(name, "CNAME")  # else BIND and Knot drop the TXT without a word (§3.4.2.2)
    for record in records:
        message.add(record.name, config.ttl, "TXT", f'"{record.value}"')
    return _send_to_first(message, zone, config, records)


def delete_records(zone: Zone, config: DnsServer, records: Sequence[Txt]) -> Zone:
    """Delete exactly these records (RFC 2136 §2.5.4) in one signed UPDATE; as `add_records`.

    A record that isn't there is no error.
    """
    message = dns.update.UpdateMessage(zone.name)
    for record in records:
        message.delete(record.name, "TXT", f'"{record.value}"')
    return _send_to_first(message, zone, config, records, claims_count=False)


def has_cname(zone: Zone, config: DnsServer, name: dns.name.Name) -> bool:
    """Whether a CNAME stands at `name` itself, and is not synthesized by a wildcard: asked by an
    UPDATE that changes nothing, with that as its prerequisite (RFC 2136 §2.4.1).

    :returns: False also where the server does not say so, signed
    """
    message = dns.update.UpdateMessage(zone.name)
    message.present(name, "CNAME")
    asked = meaning.Asked(str(zone.server), zone.name, config, [name])
    try:
        return _send(message, zone.server, asked)
    except DnsError:
        return False


def _sign(
    message: dns.update.UpdateMessage, key: SigningKey, server: Address, name: dns.name.Name
) -> None:
    try:
        signing.sign(message, key, server.as_configured, name)
    except errors.DnsError as error:
        raise Refused(str(error)) from None


def _send_to_first(
    message: dns.update.UpdateMessage,
    zone: Zone,
    config: DnsServer,
    records: Sequence[Txt],
    claims_count: bool = True,
) -> Zone:
    """Send to the zone's server, and to the section's others while there is no answer.

    :param claims_count: an unsigned NOERROR is no refusal, because the records are read back
    """
    problems: list[NoAnswer] = []
    for server in _with_failover(zone, config):
        asked = meaning.Asked(str(server), zone.name, config, [record.name for record in records])
        try:
            if not _send(message, server, asked) and not claims_count:
                raise Refused(meaning.of_claim("NOERROR", asked)[0], claimed=True)
            return Zone(zone.name, server, zone.view_key)
        except NoAnswer as error:
            problems.append(error)
    told = " ".join(map(str, problems))
    if all(error.rcode for error in problems):
        raise NoAnswer(
            f"{told} Check `server` in [{config.section}], or ask the DNS administrator."
        )
    raise NoAnswer(
        f"{told} Check that the firewall lets this machine reach it by TCP, or ask the DNS "
        "administrator."
    )


def _with_failover(zone: Zone, config: DnsServer) -> Iterator[Address]:
    yield zone.server
    for server in update_addresses(config)[0]:
        if server.socket_address != zone.server.socket_address:
            yield server


def _send(message: dns.update.UpdateMessage, server: Address, asked: meaning.Asked) -> bool:
    """Send an UPDATE over TCP, once more where the server has lost the Kerberos context.

    :returns: whether the NOERROR is signed; else it is a claim
    :raises NoAnswer: none came, or one after which the next server is tried
    :raises Refused: any other answer, but for
    :raises DnsError: a NOERROR that is not signed, and no echo
    """
    key = asked.config.key
    try:
        return _send_once(message, server, asked)
    except _BadKey as error:
        if not signing.forget(key, server.as_configured):
            raise Refused(str(error), True, claimed=True) from None
    try:
        return _send_once(message, server, asked)
    except _BadKey as error:
        raise Refused(str(error), True, claimed=True) from None


class _BadKey(Exception):
    """The server does not know the key, or no longer."""


def _send_once(message: dns.update.UpdateMessage, server: Address, asked: meaning.Asked) -> bool:
    heard = b""
    try:
        _sign(message, asked.config.key, server, asked.zone)
        timing = SERVERS.timing
        seconds = timing.update if SERVERS.has_answered(server) else timing.unknown
        end = time.monotonic() + timing.connect + seconds
        heard = queries.by_tcp(server, message, timing.connect, seconds, end)
        reply = queries.read(message, heard)
    except dns.tsig.PeerBadKey as error:
        raise _BadKey(meaning.of_tsig_error(error, heard, asked)[0]) from None
    except dns.tsig.PeerError as error:  # nobody signs that
        raise Refused(*meaning.of_tsig_error(error, heard, asked), claimed=True) from None
    except (dns.exception.DNSException, OSError, EOFError) as error:
        if meaning.is_silence(error):
            SERVERS.note_silence(server)
        raise NoAnswer(f"{asked}: {meaning.reason(error)}.") from None
    if reply is None and signing.is_echo(message, heard):
        return _take_claim(heard, asked)
    if reply is None:
        raise NoAnswer(f"{asked}: the reply cannot be used.")
    if reply.had_tsig and reply.rcode() == dns.rcode.NOERROR:
        return True
    if reply.rcode() in TRY_NEXT:
        code = dns.rcode.to_text(reply.rcode())
        raise NoAnswer(f"{asked}: answers {code}: {meaning.MEANS[code]}.", rcode=code)
    if reply.rcode() == dns.rcode.NOERROR:  # it may have been applied, so it is to be withdrawn
        raise DnsError(meaning.of_update_reply(reply, asked)[0])
    raise Refused(*meaning.of_update_reply(reply, asked), claimed=not reply.had_tsig)


def _take_claim(heard: bytes, asked: meaning.Asked) -> bool:
    """False for a NOERROR that the server did not sign but echoed our signature with.

    :raises Refused: for an error; no other server is tried, for Samba 4.17 says SERVFAIL so where
        it means REFUSED
    """
    code = dns.rcode.to_text(dns.rcode.Rcode(heard[3] & 15))
    if code == "NOERROR":
        return False
    if code == "NOTIMP":
        raise NoAnswer(f"{asked}: answers {code}: {meaning.MEANS[code]}.", rcode=code)
    raise Refused(*meaning.of_claim(code, asked), claimed=True)
