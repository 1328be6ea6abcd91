"""Sending UPDATEs (RFC 2136), with failover to the section's next server."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dns.exception
import dns.name
import dns.rcode
import dns.tsig
import dns.update

from certbot_tcs_lyon1.dns01 import meaning, names, queries, signing, transport
from certbot_tcs_lyon1.dns01.queries import Servers
from certbot_tcs_lyon1.dns01.records import Address, BadKey, Batch, NoAnswer, Refused
from certbot_tcs_lyon1.errors import DnsError


def add_records(batch: Batch, servers: Servers) -> Batch:
    """Add the records in one signed UPDATE, with the prerequisite that none of the names has a
    CNAME.

    :returns: the batch with the server that has accepted the UPDATE
    :raises NoAnswer: no server gave a usable reply; the UPDATE may have been applied
    :raises Refused: the server refused it, and nothing was applied, unless the error is `claimed`
    :raises DnsError: a NOERROR without any signature; the UPDATE may have been applied
    """
    message = dns.update.UpdateMessage(batch.zone)
    for name in batch.names:
        message.absent(name, "CNAME")  # else BIND and Knot drop the TXT without error (§3.4.2.2)
    for record in batch.records:
        message.add(record.name, batch.section.ttl, "TXT", f'"{record.value}"')
    return _send_to_first(message, batch, servers, servers.timing.update)[0]


def delete_records(batch: Batch, servers: Servers) -> None:
    """Delete exactly these records in one signed UPDATE (RFC 2136 §2.5.4).

    It is no error if a record does not exist. An unsigned NOERROR does not count as success, since
    the deletion is not verified by a query.

    :raises DnsError: as `add_records`
    """
    message = dns.update.UpdateMessage(batch.zone)
    for record in batch.records:
        message.delete(record.name, "TXT", f'"{record.value}"')
    taken, signed = _send_to_first(message, batch, servers, servers.timing.unknown)
    if not signed:
        raise meaning.of_claim("NOERROR", taken)


def has_cname(batch: Batch, servers: Servers) -> bool:
    """Return whether the batch's names have a CNAME that is not synthesized from a wildcard.

    It is tested by an UPDATE that changes nothing, with the CNAME as its prerequisite (RFC 2136
    §2.4.1).

    :returns: False also if there is no signed answer
    """
    message = dns.update.UpdateMessage(batch.zone)
    for name in batch.names:
        message.present(name, "CNAME")
    try:
        return _send(message, batch, servers, servers.timing.update)
    except DnsError:
        return False


def _send_to_first(
    message: dns.update.UpdateMessage, batch: Batch, servers: Servers, unknown: float
) -> tuple[Batch, bool]:
    """Send an UPDATE to the batch's server, and to the section's others until one answers.

    :param unknown: seconds for the reply of a server that has answered nothing in this process
    :returns: the batch with the server that accepted it, and whether its NOERROR is signed
    :raises DnsError: as `add_records`
    """
    problems: list[NoAnswer] = []
    for server in _with_failover(batch, servers):
        there = batch.at(server)
        try:
            return there, _send(message, there, servers, unknown)
        except NoAnswer as error:
            problems.append(error)
        except Refused as error:  # a server before that gave no answer may have applied it
            error.claimed = error.claimed or bool(problems)
            raise
    replied = all(error.replied for error in problems)
    check = f"Check `server` in [{batch.section.section}]"
    if not replied:
        check = "Check that the firewall lets this machine reach it by TCP"
    raise NoAnswer(
        ". ".join(error.cause for error in problems),
        f"{check}, or ask the DNS administrator",
        replied=replied,
    )


def _with_failover(batch: Batch, servers: Servers) -> Iterator[Address]:
    yield batch.server
    for server in servers.update_addresses(batch.section)[0]:
        if server.socket_address != batch.server.socket_address:
            yield server


def _send(
    message: dns.update.UpdateMessage, batch: Batch, servers: Servers, unknown: float
) -> bool:
    """Send an UPDATE by TCP, and again if the server no longer knows the Kerberos context.

    :returns: whether the NOERROR is signed; if not, it repeats the request's signature
    :raises NoAnswer: no usable reply, or one after which the next server is tried
    :raises Refused: any other error
    :raises DnsError: a NOERROR without any signature
    """
    try:
        return _send_once(message, batch, servers, unknown)
    except BadKey:
        if not servers.signer.forget(batch.section.key, batch.server):
            raise
    try:
        return _send_once(message, batch, servers, unknown)
    except Refused as error:  # the first BADKEY was unsigned, so that UPDATE may have been applied
        error.claimed = True
        raise


def _send_once(
    message: dns.update.UpdateMessage, batch: Batch, servers: Servers, unknown: float
) -> bool:
    wire, timing = b"", servers.timing
    seconds = timing.update if servers.has_answered(batch.server) else unknown
    end = time.monotonic() + timing.connect + seconds if servers.end is None else servers.end
    try:
        servers.sign(message, batch.section.key, batch.server, batch.zone)
        wire = transport.by_tcp(batch.server, message, timing.connect, seconds, end)
        reply = transport.read(message, wire)
        servers.note_update(batch.server)
    except dns.tsig.PeerError as error:
        raise meaning.of_tsig_error(error, wire, batch) from None
    except (dns.exception.DNSException, OSError, EOFError) as error:
        if transport.is_silence(error):
            servers.note_silence(batch.server)
        raise NoAnswer(f"{meaning.update_of(batch)}: {transport.reason(error)}") from None
    if reply is None and signing.is_echo(message, wire):
        return _read_claim(wire, batch)
    if reply is None:
        raise NoAnswer(f"{meaning.update_of(batch)}: the reply cannot be used")
    if reply.had_tsig and reply.rcode() == dns.rcode.NOERROR:
        return True
    queries.raise_if_try_next(reply.rcode(), meaning.update_of(batch))
    raise meaning.of_update_reply(reply, batch)


def _read_claim(wire: bytes, batch: Batch) -> bool:
    """Return False, for not signed, if a reply that repeats the request's signature is NOERROR.

    :param wire: the reply in wire format
    :raises NoAnswer: it is NOTIMP
    :raises Refused: it is another error; after SERVFAIL, too, no other server is tried: Samba 4.17
        sends it in place of REFUSED
    """
    rcode = wire[3] & 15  # dnspython before 2.4 does not know each of them as an Rcode
    if rcode == dns.rcode.NOERROR:
        return False
    if rcode == dns.rcode.NOTIMP:
        queries.raise_if_try_next(rcode, meaning.update_of(batch))
    raise meaning.of_claim(names.rcode(rcode), batch)
