"""What every name server of the lab can do, whoever made it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from tests.lab import process
from tests.lab.errors import LabError, PortTaken
from tests.lab.ports import Endpoint
from tests.lab.zones import Key

Change = tuple[str, int, str, str]


@dataclass(frozen=True)
class NameServer:
    """A name server that runs: `endpoint` answers, `folder` holds everything of its own."""

    name: str
    folder: Path
    endpoint: Endpoint
    process: process.Process

    @property
    def log(self) -> Path:
        """What the server itself writes, from its start on."""
        return self.process.log

    def query(
        self, name: str, rdtype: str, rdclass: str = "IN", seconds: float = 2
    ) -> dns.message.Message:
        """Ask this server, over TCP and without recursion desired."""
        question = dns.message.make_query(name, rdtype, rdclass)
        question.flags &= ~dns.flags.RD
        return dns.query.tcp(
            question, self.endpoint.address, timeout=seconds, port=self.endpoint.port
        )

    def txt(self, name: str) -> list[str]:
        """The TXT values at `name` here, sorted; none if there is no such name."""
        return sorted(
            b"".join(record.strings).decode("ascii")
            for rrset in self.query(name, "TXT").answer
            for record in rrset
            if rrset.rdtype == dns.rdatatype.TXT
        )

    def update(
        self,
        zone: str,
        key: Optional[Key],
        add: Sequence[Change] = (),
        delete: Sequence[tuple[str, ...]] = (),
    ) -> str:
        """Send one UPDATE, signed with `key` (None: unsigned); the answer's code, e.g. NOERROR.

        `add` holds (name, TTL, type, value), `delete` (name,), (name, type) or (name, type, value);
        names are relative to the zone, or end with a dot.
        """
        message = _update(zone, key)
        for name, ttl, rdtype, value in add:
            message.add(name, ttl, rdtype, value)
        for what in delete:
            message.delete(*what)
        answer = dns.query.tcp(message, self.endpoint.address, timeout=5, port=self.endpoint.port)
        return dns.rcode.to_text(answer.rcode())


def _update(zone: str, key: Optional[Key]) -> dns.update.UpdateMessage:
    if key is None:
        return dns.update.UpdateMessage(zone)
    # keyname as well: dnspython 2.0.0 fails without it.
    tsig = dns.tsig.Key(key.name, key.secret, key.algorithm)
    return dns.update.UpdateMessage(zone, keyring=tsig, keyname=tsig.name)


def wait_for(server: NameServer, zones: Sequence[str], identity: str, in_use: str) -> None:
    """Wait until this very server, known by its `identity` (RFC 4892), answers for every zone.

    PortTaken once its log has `in_use` (a regular expression): its port is not, or not all, its.
    """
    waiting = list(zones)

    def check_port() -> None:
        if re.search(in_use, server.log.read_text("utf-8", "replace")):
            raise PortTaken(f"{server.name}: {process.tail(server.log)}")

    def answers() -> bool:
        check_port()
        try:
            answer = server.query("id.server", "TXT", "CH", seconds=0.5).answer
            if not answer or answer[0][0].to_text() != f'"{identity}"':
                return False
            while waiting and server.query(waiting[0], "SOA", seconds=0.5).flags & dns.flags.AA:
                waiting.pop(0)
        except (OSError, EOFError, dns.exception.DNSException):
            return False
        return not waiting

    try:
        process.wait_ready(server.process, answers)
    except LabError:
        check_port()
        raise
