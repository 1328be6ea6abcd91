"""RFC 2136: UPDATE and failover. What the answers mean is in `meaning`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dns.exception
import dns.name
import dns.rcode
import dns.tsig
import dns.update

from certbot_tcs_lyon1.dns01 import meaning, names, signing, transport
from certbot_tcs_lyon1.dns01.queries import TRY_NEXT, Servers
from certbot_tcs_lyon1.dns01.records import Address, Batch, DnsError, NoAnswer, Refused


def add_records(batch: Batch, servers: Servers) -> Batch:
    """Add all records in one signed UPDATE, on condition that none of the names is an alias.

    :returns: the batch at the server that took the UPDATE, where failover led to another
    :raises NoAnswer: no reply came; the UPDATE may have been applied or not
    :raises Refused: the server said no; nothing was applied
    """
    message = dns.update.UpdateMessage(batch.zone)
    for name in batch.names:
        message.absent(name, "CNAME")  # else BIND and Knot drop the TXT without a word (§3.4.2.2)
    for record in batch.records:
        message.add(record.name, batch.section.ttl, "TXT", f'"{record.value}"')
    return _send_to_first(message, batch, servers, servers.timing.update)[0]


def delete_records(batch: Batch, servers: Servers) -> Batch:
    """Delete exactly these records (RFC 2136 §2.5.4) in one signed UPDATE; as `add_records`.

    A record that isn't there is no error. An unsigned NOERROR is none, for nobody reads back what
    is gone.
    """
    message = dns.update.UpdateMessage(batch.zone)
    for record in batch.records:
        message.delete(record.name, "TXT", f'"{record.value}"')
    taken, signed = _send_to_first(message, batch, servers, servers.timing.unknown)
    if not signed:
        raise meaning.of_claim("NOERROR", taken)
    return taken


def has_cname(batch: Batch, servers: Servers) -> bool:
    """Whether a CNAME stands at the name itself, and is not synthesized by a wildcard: asked by an
    UPDATE that changes nothing, with that as its prerequisite (RFC 2136 §2.4.1).

    :returns: False also where the server does not say so, signed
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
    """Send to the batch's server, and to the section's others while there is no answer.

    :param unknown: seconds for the reply of a server that has answered nothing in this process
    :returns: the batch at the server that took it, and whether that is signed
    """
    problems: list[NoAnswer] = []
    for server in _with_failover(batch, servers):
        there = batch.at(server)
        try:
            return there, _send(message, there, servers, unknown)
        except NoAnswer as error:
            problems.append(error)
        except Refused as error:  # one that gave no answer before may have applied it
            error.claimed = error.claimed or bool(problems)
            raise
    check = f"Check `server` in [{batch.section.section}]"
    if not all(error.rcode for error in problems):
        check = "Check that the firewall lets this machine reach it by TCP"
    raise NoAnswer(
        ". ".join(error.cause for error in problems), f"{check}, or ask the DNS administrator"
    )


def _with_failover(batch: Batch, servers: Servers) -> Iterator[Address]:
    yield batch.server
    for server in servers.update_addresses(batch.section)[0]:
        if server.socket_address != batch.server.socket_address:
            yield server


def _send(
    message: dns.update.UpdateMessage, batch: Batch, servers: Servers, unknown: float
) -> bool:
    """Send an UPDATE over TCP, once more where the server has lost the Kerberos context.

    :returns: whether the NOERROR is signed; else it is a claim
    :raises NoAnswer: none came, or one after which the next server is tried
    :raises Refused: any other answer, but for
    :raises DnsError: a NOERROR that is not signed, and no echo
    """
    try:
        return _send_once(message, batch, servers, unknown)
    except _BadKey as error:
        if not servers.signer.forget(batch.section.key, batch.server):
            raise error.meaning from None
    try:
        return _send_once(message, batch, servers, unknown)
    except _BadKey as error:
        raise error.meaning from None
    except Refused as error:  # nobody has signed the BADKEY of the first try
        error.claimed = True
        raise


class _BadKey(Exception):
    """The server does not know the key, or no longer."""

    def __init__(self, meaning: Refused) -> None:
        super().__init__()
        self.meaning = meaning


def _send_once(
    message: dns.update.UpdateMessage, batch: Batch, servers: Servers, unknown: float
) -> bool:
    heard, timing = b"", servers.timing
    seconds = timing.update if servers.has_answered(batch.server) else unknown
    end = time.monotonic() + timing.connect + seconds if servers.end is None else servers.end
    try:
        servers.sign(message, batch.section.key, batch.server, batch.zone)
        heard = transport.by_tcp(batch.server, message, timing.connect, seconds, end)
        reply = transport.read(message, heard)
        servers.note_update(batch.server)
    except dns.tsig.PeerBadKey as error:
        raise _BadKey(meaning.of_tsig_error(error, heard, batch)) from None
    except dns.tsig.PeerError as error:
        raise meaning.of_tsig_error(error, heard, batch) from None
    except (dns.exception.DNSException, OSError, EOFError) as error:
        if transport.is_silence(error):
            servers.note_silence(batch.server)
        raise NoAnswer(f"{meaning.update_of(batch)}: {transport.reason(error)}") from None
    if reply is None and signing.is_echo(message, heard):
        return _take_claim(heard, batch)
    if reply is None:
        raise NoAnswer(f"{meaning.update_of(batch)}: the reply cannot be used")
    if reply.had_tsig and reply.rcode() == dns.rcode.NOERROR:
        return True
    _raise_if_next(reply.rcode(), batch)
    raise meaning.of_update_reply(reply, batch)


def _raise_if_next(rcode: int, batch: Batch) -> None:
    if rcode in TRY_NEXT:
        code = dns.rcode.to_text(dns.rcode.Rcode(rcode))
        cause = f"{meaning.update_of(batch)}: answers {code}: {TRY_NEXT[rcode]}"
        raise NoAnswer(cause, rcode=code)


def _take_claim(heard: bytes, batch: Batch) -> bool:
    """False for a NOERROR that the server did not sign but echoed our signature with.

    :raises NoAnswer: for NOTIMP
    :raises Refused: for another error; no other server is tried, for Samba 4.17 says SERVFAIL so
        where it means REFUSED
    """
    rcode = heard[3] & 15  # not every one of them is an Rcode to dnspython before 2.4
    if rcode == dns.rcode.NOERROR:
        return False
    if rcode == dns.rcode.NOTIMP:
        _raise_if_next(rcode, batch)
    raise meaning.of_claim(names.rcode(rcode), batch)
