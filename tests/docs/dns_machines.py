"""docs/dns.rst at work: its configurations and commands, unchanged, on machines of their own.

    unshare --net --mount python -m tests.docs.dns_machines SCENARIO FOLDER     (as root)

Each machine of the page is a network and mount namespace with the page's own addresses, an `/etc`
of its own and empty folders for the server's data, so that nothing has to be substituted: port 53,
paths, names and users are those of the page, and the key is made by the page's own command. This
process is the machine on which certbot runs; the name servers are joined to it by a bridge. What
was seen goes to FOLDER/seen.json, for the tests to judge.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional
from unittest import mock

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update

from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.dns01 import challenge, transport, update
from certbot_tcs_lyon1.dns01.records import Address, Batch, Location
from certbot_tcs_lyon1.errors import DnsError
from tests.docs import dns_page as page
from tests.lab import bind, knot, pdns, process
from tests.lab.errors import MissingProgram
from tests.lab.files import write_private
from tests.lab.process import need

WEB, NS_MAJ, NS1, NS2 = "192.0.2.80", "192.0.2.10", "192.0.2.1", "192.0.2.2"
HOSTS = f"""\
127.0.0.1 localhost
{NS_MAJ} ns-maj.univ-lyon1.fr
{NS1} ns1.univ-lyon1.fr
{NS2} ns2.univ-lyon1.fr
"""
ZONES = ("univ-lyon1.fr", "acme.univ-lyon1.fr")
LABO = "_acme-challenge.www.labo.univ-lyon1.fr"
WIKI = "_acme-challenge.wiki.labo.univ-lyon1.fr"
WIKI_TARGET = "wiki.labo.acme.univ-lyon1.fr"
ANY = "neuf.labo.acme.univ-lyon1.fr"
DENIED = "_acme-challenge.mail.labo.univ-lyon1.fr"
VALUE = f"{'value':x<43}"  # as long as the CA's
GRANT_WHOLE = "grant tcs-lyon1 zonesub TXT;"
CLIENT_CONFIG = "/etc/letsencrypt/tcs-lyon1.ini"
CLIENT_KEY = "/etc/letsencrypt/tcs-lyon1.key"
#: What a [dns] section needs around it, to be a department config.
DEPARTMENT = "[department labo]\neab_kid = kid\neab_hmac_key = " + "c2VjcmV0" * 8 + "\n"


_MAKE_MACHINE = """\
mount -t tmpfs -o mode=700 tmpfs "$1"
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
printf %s "$2" > /etc/hosts
mkdir -p /etc/letsencrypt
for folder in /run /var/lib /var/cache; do mount -t tmpfs -o mode=755 tmpfs $folder; done
install -d -o bind -g bind /run/named
install -d -g bind -m 775 /var/lib/bind /var/cache/bind
install -d -o knot -g knot /run/knot
install -d -g knot -m 770 /var/lib/knot
install -d -o pdns -g pdns /run/pdns /var/lib/powerdns
"""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine of the page: the process that keeps its namespaces, and a folder for its log."""

    name: str
    address: str
    holder: process.Process
    folder: Path

    def _command(self, *inner: str) -> list[str]:
        target = f"--target={self.holder.pid}"
        return [need("nsenter", "util-linux"), target, "--net", "--mount", "--", *inner]

    def shell(self, text: str) -> str:
        """Run shell commands here: their output; an exception that has it if one fails."""
        return _shell(text, self._command("sh", "-euc"))

    def write(self, path: str, text: str) -> None:
        """Write a file here, readable by all."""
        command = self._command("sh", "-euc", 'cat > "$0"', path)
        subprocess.run(command, input=text, text=True, check=True)

    def server(self, *command: str) -> process.Process:
        """Start a name server; whoever calls stops it."""
        return process.start(self.name, self._command(*command), self.folder, self.log)

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def log_lines(self, *words: str) -> list[str]:
        """The lines of the server's log that have all these words."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]


def _shell(text: str, command: Sequence[str] = ("sh", "-euc")) -> str:
    return process.output(text, [*command, text], Path())


class Network:
    """All machines; contexts of the servers are closed in `stack`."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.blocks = page.blocks(page.FRENCH)
        (folder / "web").mkdir()
        subprocess.run(["sh", "-euc", _MAKE_MACHINE, "sh", str(folder / "web"), HOSTS], check=True)
        _shell(f"ip link set lo up; ip link add br0 type bridge; ip address add {WEB}/24 dev br0")
        _shell("ip link set br0 up")

    def machine(self, name: str, address: str) -> Machine:
        """A new machine with this address."""
        folder = self.folder / name
        (folder / "mnt").mkdir(parents=True)
        unshare = [need("unshare", "util-linux"), "--net", "--mount", "--propagation=private"]
        script = f"{_MAKE_MACHINE}echo ready; exec sleep infinity"
        command = [*unshare, "--", "sh", "-euc", script, "sh", str(folder / "mnt"), HOSTS]
        holder = process.start(name, command, folder, folder / "holder.log")
        self.stack.enter_context(process.running(holder))
        process.wait_ready(holder, lambda: "ready" in holder.log.read_text())
        made = Machine(name, address, holder, folder)
        _shell(
            f"ip link add {name} type veth peer name eth0 netns {holder.pid}; "
            f"ip link set {name} master br0 up"
        )
        made.shell(f"ip link set lo up; ip address add {address}/24 dev eth0; ip link set eth0 up")
        return made

    def secondaries(self, zones: Sequence[str] = ZONES) -> list[Machine]:
        """ns1 and ns2, with the page's configuration, when they have the zones of their primary."""
        made = [self.machine("ns1", NS1), self.machine("ns2", NS2)]
        for machine in made:
            machine.write("/etc/bind/named.conf", _example("bind/secondaire.conf"))
            machine.shell("named-checkconf")
            self.run_named(machine)
        for machine in made:
            self.wait_for_zones(machine, zones)
        return made

    def run_named(self, machine: Machine) -> None:
        """Start a named that logs to its output, and answers rndc."""
        self.run(machine, need("named", bind.PACKAGE), "-g", "-n", "1", "-u", "bind")
        running = process.wait_until(lambda: bool(machine.log_lines("all zones loaded")), 20)
        assert running, process.tail(machine.log)

    def run(self, machine: Machine, *command: str) -> None:
        """Start a name server that runs until the network goes."""
        self.stack.enter_context(process.running(machine.server(*command)))

    def wait_for_zones(self, machine: Machine, zones: Sequence[str] = ZONES) -> None:
        """Wait until the server answers for the zones."""
        there = process.wait_until(lambda: all(query(machine, z, "SOA") for z in zones), 20)
        assert there, process.tail(machine.log)

    def section(self, number: int) -> str:
        """A [dns] section of the page, counted from 0."""
        found = [
            block for block in self.blocks if (block.mark, block.about) == ("load", "dns section")
        ]
        return found[number].text

    def next_block(self, system: str) -> str:
        """The next block of the page that is to be run on `system`."""
        found = next(block for block in self.blocks if (block.mark, block.about) == ("run", system))
        self.blocks.remove(found)
        return found.text

    def done(self, system: str) -> bool:
        """Whether all of the page's blocks for `system` have been run."""
        return not any((block.mark, block.about) == ("run", system) for block in self.blocks)


def query(machine: Machine, name: str, rdtype: str) -> list[str]:
    """What a name server answers for itself; none without an authoritative answer."""
    question = dns.message.make_query(name, rdtype, want_dnssec=True)
    question.flags &= ~dns.flags.RD
    try:
        reply = dns.query.tcp(question, machine.address, timeout=2)
    except OSError:
        return []
    if not reply.flags & dns.flags.AA:
        return []
    return sorted(
        f"{dns.rdatatype.to_text(rrset.rdtype)} {record.to_text().split()[0]}"
        for rrset in reply.answer
        for record in rrset
    )


#: The files of docs/examples that were loaded into a server.
_loaded: set[str] = set()


def _example(path: str) -> str:
    _loaded.add(path)
    return page.example(path)


# The plugin's part


def configure(section: str) -> None:
    """Write a [dns] section of the page where certbot's machine has it."""
    write_private(Path(CLIENT_CONFIG), DEPARTMENT + section)


def hand_over(machine: Machine, path: str) -> None:
    """What the page's scp does: the key file comes to certbot's machine, with the mode it had."""
    target = Path(CLIENT_KEY)
    target.write_text(machine.shell(f"cat {path}"), encoding="ascii")
    target.chmod(int(machine.shell(f"stat --format=%a {path}"), 8))


@contextlib.contextmanager
def issued(network: Network, *names: str, seconds: Optional[int] = None) -> Iterator[list[Batch]]:
    """One run of the DNS wing: publish a record at each name and confirm it, withdraw at the end.

    It works with the department config as it is on certbot's machine now.
    """
    settings = reader.read(CLIENT_CONFIG)
    records = [challenge.txt_record(name, VALUE) for name in names]
    servers = challenge.Servers()
    journal = str(network.folder / "journal.json")
    try:
        batches = challenge.plan(records, settings, servers, seconds)
        batches = challenge.publish(batches, journal, servers)
        challenge.confirm(batches, servers)
        yield batches
    except DnsError:
        Path(journal).unlink(missing_ok=True)  # what nobody signed keeps the entry there
        raise
    assert challenge.withdraw(settings, journal, servers) == []


def published(
    network: Network,
    servers: list[Machine],
    name: str,
    at: str,
    meanwhile: Callable[[], str] = str,
) -> dict[str, Any]:
    """Publish for `name`: what each server shows at `at` meanwhile, and whether it is gone then."""
    with issued(network, name) as batches:
        seen = {
            "sections": [batch.section.section for batch in batches],
            "during": {server.name: query(server, at, "TXT") for server in servers},
            "meanwhile": meanwhile(),
        }
    gone = process.wait_until(lambda: not any(query(s, at, "TXT") for s in servers), 20)
    return {**seen, "gone": gone}


def refused(network: Network, name: str, seconds: Optional[int] = None) -> str:
    """The message that the user gets for `name`; "" if it is published after all."""
    try:
        with issued(network, name, seconds=seconds):
            return ""
    except DnsError as error:
        return str(error)


def _size_of_update(number: int) -> int:
    """The bytes of the UPDATE for so many names, as it goes over the wire, with its signature."""
    wires = []

    def keep(server: Any, message: Any, *rest: Any) -> bytes:
        wires.append(message.to_wire())
        raise EOFError

    section = reader.read(CLIENT_CONFIG).dns[0]
    there = Location(dns.name.from_text("univ-lyon1.fr"), Address(NS_MAJ, 53, NS_MAJ))
    names = [LABO, *(LABO.replace("www", f"www{other}") for other in range(1, number))]
    records = tuple(challenge.txt_record(name, VALUE) for name in names)
    with mock.patch.object(transport, "by_tcp", keep), contextlib.suppress(DnsError):
        update.add_records(Batch(there, section, records, 0.0), challenge.Servers())
    return len(wires[0])


# What the page says, done


def at_bind(network: Network) -> dict[str, Any]:
    """The page's BIND parts and, as they need one server, those of certbot's machine."""
    seen: dict[str, Any] = {}
    ns_maj = network.machine("ns-maj", NS_MAJ)
    network.run_named(ns_maj)  # as Debian configures it: the key comes to a server that runs
    ns_maj.shell(network.next_block("bind"))
    ns_maj.write("/etc/bind/named.conf", _example("bind/named.conf"))
    _write_zones(ns_maj, "/var/lib/bind")
    seen["check"] = ns_maj.shell(network.next_block("bind"))
    network.wait_for_zones(ns_maj)
    servers = [ns_maj, *network.secondaries()]
    hand_over(ns_maj, "/etc/bind/tcs-lyon1.key")
    seen["key mode before"] = oct(Path(CLIENT_KEY).stat().st_mode & 0o777)
    _shell(network.next_block("web"))
    seen["key mode"] = oct(Path(CLIENT_KEY).stat().st_mode & 0o777)
    configure(network.section(0))
    seen["sizes"] = [_size_of_update(number) for number in (1, 10, 100)]
    seen["nsupdate"] = _shell(network.next_block("web"))
    for server in servers:
        server.shell("rndc querylog on")
    dig = network.next_block("web")
    of_an_update = (f"{WEB}#", "updating zone 'univ-lyon1.fr/IN': ")
    before = len(ns_maj.log_lines(*of_an_update))
    seen["labo"] = published(network, servers, LABO, LABO, lambda: _shell(dig))
    for server in servers:
        server.shell("rndc querylog off")
    seen["queries"] = {server.name: len(_queries(server)) for server in servers}
    seen["updates"] = len(ns_maj.log_lines(*of_an_update)) - before
    seen["wiki"] = published(network, servers, WIKI, WIKI_TARGET)
    configure(network.section(0) + network.section(1))
    seen["section"] = published(network, servers, WIKI, WIKI_TARGET)["sections"]
    seen["refused"] = refused(network, DENIED)
    seen["refused log"] = ns_maj.log_lines("rejected by secure update")[-1]
    seen["freeze"] = _edit_frozen(network, ns_maj, servers[1], "bind", "/var/lib/bind")
    seen["frozen log"] = ns_maj.log_lines("is frozen")[-1]
    ns_maj.shell(network.next_block("bind"))
    seen["journals"] = ns_maj.shell("ls /var/lib/bind").split()
    _grant_the_whole_zone(ns_maj)
    seen["zonesub"] = published(network, servers, ANY, ANY)
    ns_maj.shell("rndc sync -clean univ-lyon1.fr; rndc sync -clean acme.univ-lyon1.fr")
    ns_maj.write("/etc/bind/named.conf", _bind_without_key(_example("bind/named.conf")))
    ns_maj.shell(network.next_block("bind"))
    seen["removed"] = refused(network, LABO)
    seen["unknown key log"] = ns_maj.log_lines("has invalid signature")[-1]
    seen["all done"] = network.done("bind") and network.done("web")
    return seen


def _queries(server: Machine) -> list[str]:
    """The plugin's queries in BIND's log: others are over TCP (T) or have a cookie (K)."""
    return [line for line in server.log_lines(": query: ", f"{WEB}#") if "-E(0) (" in line]


def _grant_the_whole_zone(ns_maj: Machine) -> None:
    config = _example("bind/named.conf")
    narrow, whole = "grant tcs-lyon1 name wiki.labo.acme.univ-lyon1.fr. TXT;", GRANT_WHOLE
    assert narrow in config
    ns_maj.write("/etc/bind/named.conf", config.replace(narrow, whole))
    ns_maj.shell("named-checkconf; rndc reconfig")


def _bind_without_key(config: str) -> str:
    """What the page says in words about removing the key."""
    kept = "".join(line for line in config.splitlines(True) if "tcs-lyon1" not in line)
    empty = "        update-policy {\n        };\n"
    main, acme = kept.split('zone "acme')
    return (
        main.replace(empty, "")
        + 'zone "acme'
        + acme.replace(empty, "        update-policy local;\n")
    )


def _edit_frozen(
    network: Network, ns_maj: Machine, secondary: Machine, system: str, folder: str
) -> dict[str, Any]:
    """Edit the main zone's file as the page says: what came of it, and of an UPDATE meanwhile."""
    path = f"{folder}/univ-lyon1.fr.zone"
    ns_maj.shell(network.next_block(system))
    frozen = refused(network, LABO)
    ns_maj.shell(
        f"sed -i 's/20261124../2026112501/' {path}; "
        f"echo 'edited.univ-lyon1.fr. 300 IN A 192.0.2.99' >> {path}"
    )
    ns_maj.shell(network.next_block(system))
    arrived = process.wait_until(lambda: bool(query(secondary, "edited.univ-lyon1.fr", "A")), 20)
    again = published(network, [ns_maj, secondary], LABO, LABO)
    return {"frozen": frozen, "edit arrived": arrived, "again": again}


def _write_zones(machine: Machine, folder: str) -> None:
    for zone in ZONES:
        machine.write(f"{folder}/{zone}.zone", _example(f"zones/{zone}.zone"))


def at_bind_with_views(network: Network) -> dict[str, Any]:
    """The page's two views."""
    seen: dict[str, Any] = {}
    ns_maj = network.machine("ns-maj", NS_MAJ)
    ns_maj.shell(network.next_block("bind"))
    ns_maj.write("/etc/bind/named.conf", _example("bind/vues.conf"))
    for zone in ("univ-lyon1.fr", "univ-lyon1.fr.interne"):
        ns_maj.write(f"/var/lib/bind/{zone}.zone", _example(f"zones/{zone}.zone"))
    seen["check"] = ns_maj.shell("named-checkconf -z")
    network.run_named(ns_maj)
    network.wait_for_zones(ns_maj, ZONES[:1])
    servers = network.secondaries(ZONES[:1])
    hand_over(ns_maj, "/etc/bind/tcs-lyon1.key")
    configure(network.section(0))
    seen["without check_servers"] = refused(network, LABO, seconds=1)
    configure(network.section(2))
    seen["labo"] = published(network, [ns_maj, *servers], LABO, LABO)
    seen["refused"] = refused(network, DENIED)
    return seen


def at_knot(network: Network) -> dict[str, Any]:
    """The page's Knot parts."""
    seen: dict[str, Any] = {}
    ns_maj = network.machine("ns-maj", NS_MAJ)
    ns_maj.shell(network.next_block("knot"))
    ns_maj.write("/etc/knot/knot.conf", _example("knot/knot.conf"))
    _write_zones(ns_maj, "/var/lib/knot")
    network.run(ns_maj, need("knotd", knot.PACKAGE))
    network.wait_for_zones(ns_maj)
    seen["check"] = ns_maj.shell(network.next_block("knot"))
    servers = [ns_maj, *network.secondaries()]
    hand_over(ns_maj, "/etc/knot/tcs-lyon1.key")
    configure(network.section(0))
    seen["labo"] = published(network, servers, LABO, LABO)
    seen["wiki"] = published(network, servers, WIKI, WIKI_TARGET)
    seen["refused"] = refused(network, DENIED)
    seen["quiet log"] = ns_maj.log_lines("denied")
    ns_maj.shell("sed -i 's/any: info/any: debug/' /etc/knot/knot.conf; knotc reload")
    refused(network, DENIED)
    seen["refused log"] = ns_maj.log_lines("denied")[-1]
    seen["freeze"] = _edit_frozen(network, ns_maj, servers[1], "knot", "/var/lib/knot")
    ns_maj.write("/etc/knot/knot.conf", _knot_without_key(_example("knot/knot.conf")))
    ns_maj.shell(network.next_block("knot"))
    seen["removed"] = refused(network, LABO)
    seen["all done"] = network.done("knot")
    return seen


def _knot_without_key(config: str) -> str:
    """What the page says in words about removing the key."""
    start = config.index("  - id: tcs-lyon1-labo")
    end = config.index("template:")
    kept = config[:start] + "\n" + config[end:]
    kept = kept.replace("include: /etc/knot/tcs-lyon1.conf\n", "")
    kept = kept.replace(", tcs-lyon1-labo", "").replace(", tcs-lyon1-acme", "")
    assert "tcs-lyon1" not in kept
    return kept


def at_pdns(network: Network) -> dict[str, Any]:
    """The page's PowerDNS parts."""
    seen: dict[str, Any] = {}
    ns_maj = network.machine("ns-maj", NS_MAJ)
    ns_maj.write("/etc/powerdns/pdns.conf", _example("pdns/pdns.conf"))
    _write_zones(ns_maj, "/etc/powerdns")
    _make_pdns_database(network, ns_maj)
    network.run(ns_maj, need("setpriv", "util-linux"), *_PDNS)
    network.wait_for_zones(ns_maj, ZONES[:1])
    ns_maj.shell(network.next_block("pdns"))
    ns_maj.shell(network.next_block("pdns"))
    network.wait_for_zones(ns_maj)
    servers = [ns_maj, *network.secondaries()]
    hand_over(ns_maj, "/etc/powerdns/tcs-lyon1.key")
    configure(network.section(0))
    seen["wiki"] = published(network, servers, WIKI, WIKI_TARGET)
    seen["refused"] = refused(network, LABO)
    seen["refused log"] = ns_maj.log_lines("Sending REFUSED")[-1]
    ns_maj.shell("pdnsutil set-meta acme.univ-lyon1.fr TSIG-ALLOW-DNSUPDATE")
    seen["unsigned in the wrong order"] = _unsigned_update("acme.univ-lyon1.fr")
    ns_maj.shell(network.next_block("pdns"))
    seen["unsigned"] = _unsigned_update("acme.univ-lyon1.fr")
    seen["removed"] = refused(network, WIKI)
    seen["all done"] = network.done("pdns")
    return seen


def _unsigned_update(zone: str) -> str:
    message = dns.update.UpdateMessage(zone)
    message.add("unsigned", 60, "TXT", "x")
    return dns.rcode.to_text(dns.query.tcp(message, NS_MAJ, timeout=5).rcode())


def _make_pdns_database(network: Network, ns_maj: Machine) -> None:
    """The server that was there before: a database, and the main zone in it."""
    file = network.folder / "pdns.sqlite3"
    with contextlib.closing(sqlite3.connect(str(file))) as database:
        database.executescript(pdns.SCHEMA.read_text(encoding="utf-8"))
    ns_maj.shell(
        f"install -o pdns -g pdns -m 640 {file} /var/lib/powerdns\n"
        "pdnsutil load-zone univ-lyon1.fr /etc/powerdns/univ-lyon1.fr.zone\n"
        "pdnsutil set-kind univ-lyon1.fr primary"
    )


#: As Debian's unit starts it.
_PDNS = (
    *("--reuid=pdns", "--regid=pdns", "--init-groups"),
    *("--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"),
    *("pdns_server", "--guardian=no", "--daemon=no", "--disable-syslog", "--write-pid=no"),
)

SCENARIOS = {
    "bind": at_bind,
    "views": at_bind_with_views,
    "knot": at_knot,
    "pdns": at_pdns,
}


def why_not() -> Optional[str]:
    """Why no such machines can be made here; None if they can."""
    if os.geteuid() != 0:
        return "the machines of docs/dns.rst have their own users and mounts: only root can do that"
    try:
        for program, package in _PROGRAMS.items():
            need(program, package)
        pdns.check_programs()
    except MissingProgram as error:
        return str(error)
    attempt = ["unshare", "--net", "--mount", "ip", "link", "add", "br0", "type", "bridge"]
    done = subprocess.run(attempt, capture_output=True, text=True, check=False)
    return f"no bridge in a network namespace: {done.stderr}" if done.returncode else None


_PROGRAMS = {
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "named": bind.PACKAGE,
    "nsupdate": "bind9-dnsutils",
    "dig": "bind9-dnsutils",
    "knotd": knot.PACKAGE,
}


def main(scenario: str, folder: str) -> None:
    """Do a scenario in namespaces of this process's own, and write down what was seen."""
    with contextlib.ExitStack() as stack:
        seen = SCENARIOS[scenario](Network(Path(folder), stack))
    seen["loaded"] = sorted(_loaded)
    (Path(folder) / "seen.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
