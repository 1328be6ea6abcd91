"""Play a document's commands, word for word, on a Debian 12 system of their own.

    python -m tests.guide.stage DOCUMENT SYSTEM FOLDER      (in a network namespace, as root)

The world that the documentation speaks of is made of the lab, in this network namespace: Pebbles
are the CA at acme.sectigo.com (RENATER's TCS), the one at acme-v02.harica.gr, and Let's Encrypt's
staging server; BIND is ns-maj.univ-lyon1.fr and the public name server. The system is another
machine, at the other end of a wire.

An output that is shown is looked for in what its command printed: the command after the mark, or
else the commands before. At a block for `debian-12, anew` everything that certbot and the service
have on the machine goes first; the reader has carried over what lies in root's folder.

Of the blocks only what a reader fills in is filled in: Key IDs and HMAC keys. Where apt asks
whether to go on, the reader says yes. Certificates live 20 days, so that each is due at once, and
certbot's timer has something to do. From the moment that the machine serves a certificate, the one
that it serves is looked at after each block, from the other end of the wire.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from cryptography import x509

from tests.docs import blocks
from tests.docs.blocks import Block
from tests.lab import front, pebble, process, system, zones
from tests.lab import lab as lab_module
from tests.lab.certbot import read_certificate
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.system import Booted, System

#: TEST-NET-1 (RFC 5737): addresses that are nobody's.
UPDATES, PUBLIC = "192.0.2.10", "192.0.2.1"
GATEWAY, MACHINE = "192.0.2.254", "192.0.2.80"
ZONE = "univ-lyon1.fr"

#: What the machine serves, and what renews it.
SITE = "www.labo.univ-lyon1.fr"
TIMER = "systemctl start certbot.service"
DAYS = 20

#: The EAB keys of the departments that the documents have; `-new` is what one gets for a new one.
DEPARTMENTS = ("labo", "labo-new", "chimie")


@dataclass(frozen=True)
class Ca:
    """A CA that the documents name: its ACME URL, its address here, and whether it demands EAB."""

    url: str
    address: str
    eab: bool = True

    @property
    def host(self) -> str:
        """Its host name."""
        return urlsplit(self.url).hostname or ""


CAS = (
    Ca("https://acme.sectigo.com/v2/OV", "192.0.2.20"),
    Ca("https://acme-v02.harica.gr/acme/EXEMPLE/directory", "192.0.2.21"),
    Ca("https://acme-staging-v02.api.letsencrypt.org/directory", "192.0.2.22", eab=False),
)


@dataclass(frozen=True)
class Stage:
    """Everything that is there before the first command: the lab, and the machine."""

    lab: Lab
    machine: Booted

    def fill_in(self, text: str) -> str:
        """The text with the values of the portal, each in the section of its department."""
        filled, department = [], "labo"
        for line in text.splitlines(keepends=True):
            header = re.match(r"\[department (\S+)\]", line)
            department = header[1] if header else department
            key = f"{department}-new" if "NEW_" in line else department
            line = re.sub(r"\b(NEW_)?KEY_ID\b", key, line)
            filled.append(re.sub(r"\b(NEW_)?HMAC_KEY\b", self.lab.eab_keys.get(key, "?"), line))
        return "".join(filled)


def main(document: Path, root: Path, folder: Path) -> None:
    """Play the document on the system in the folder `root`; LabError where it doesn't go on."""
    serials, printed = [None], ""
    with process.exit_on_sigterm(), set_up(System(root), folder) as stage:
        for block in blocks.of(document):
            if block.mark == "file":
                write(stage, block)
            elif block.mark == "output":
                look_for(stage, block, printed)
            elif block.mark in ("run", "past"):
                anew = block.about.endswith(", anew")
                if anew:
                    start_anew(stage)
                printed = run(stage, block)
                serials.append(served(stage, block))
                if serials[-1] is None and serials[-2] is not None and not anew:
                    raise LabError(f"{block}: {SITE} is not served any more")
                if TIMER in block.text and serials[-1] == serials[-2]:
                    raise LabError(f"{block}: the service of certbot's timer renewed nothing")
    print(f"\nServed: {len(set(serials)) - 1} certificates, one after the other.")


def served(stage: Stage, block: Block) -> Optional[int]:
    """The serial number of the certificate that the machine serves; None as long as it has none.

    :raises LabError: it is not the one that certbot has got last, though the plugin is installed
    """
    root = stage.machine.system.root
    plugin = root / "usr/lib/python3/dist-packages/certbot_tcs_lyon1"
    live = root / "etc/letsencrypt/live" / SITE / "cert.pem"
    if _served_now() is not None and plugin.exists() and live.exists():
        last = read_certificate(live).serial
        # A reload of nginx ends before its new workers take over.
        if not process.wait_until(lambda: _served_now() == last, 10):
            raise LabError(f"{block}: {SITE} does not serve the certificate that certbot has")
    return _served_now()


def _served_now() -> Optional[int]:
    try:
        pem = ssl.get_server_certificate((MACHINE, 443))
    except OSError:
        return None
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def write(stage: Stage, block: Block) -> None:
    """Write the file, as the reader would with an editor."""
    print(f"\n> {block}: {block.about}", flush=True)
    _put(stage.machine, block.about, stage.fill_in(block.text))


def look_for(stage: Stage, block: Block, printed: str) -> None:
    """Find the block's lines, in their order, in what its command prints, or in `printed`.

    :raises LabError: one isn't there
    """
    print(f"\n> {block}: {block.about}", flush=True)
    if block.about:
        printed = _at_a_terminal(stage.machine, block.about).output
    rest = " ".join(printed.split())
    for line in filter(None, map(str.strip, block.text.splitlines())):
        before, found, rest = rest.partition(" ".join(line.split()))
        if not found:
            raise LabError(f"{block}: this was not printed: {line}\n{before}")


def start_anew(stage: Stage) -> None:
    """Make the machine one that has only what lies in root's folder."""
    remove = "apt-get purge -y certbot python3-certbot nginx nginx-common; apt-get autoremove -y"
    folders = "/etc/letsencrypt /var/lib/letsencrypt /var/log/letsencrypt /etc/nginx"
    stage.machine.run("bash", "-ec", f"{remove}; rm -rf {folders}").or_fail()


def run(stage: Stage, block: Block) -> str:
    """Run the commands as the reader would: in root's folder, at a terminal, one after the other.
    What they print.

    Without a terminal `certbot renew` first sleeps for minutes.
    """
    print(f"\n> {block}", flush=True)
    if block.mark == "past":
        for name in re.findall(r"--domain (\S+)", block.text):
            _validate(stage, name)
    print("".join(f"  # {line}\n" for line in block.text.splitlines()), end="", flush=True)
    done = _at_a_terminal(stage.machine, stage.fill_in(block.text))
    print("".join(f"  {line}\n" for line in done.output.splitlines()), flush=True)
    if done.returncode != 0:
        log = stage.machine.system.root / "var/log/letsencrypt/letsencrypt.log"
        raise LabError(f"{block} ended with {done.returncode}\n{process.tail(log, 40)}")
    return done.output


def _at_a_terminal(machine: Booted, text: str) -> process.Done:
    _put(machine, "/root/.block", text)
    return machine.run("script", "-qec", "cd /root; exec bash -e .block", "/dev/null")


def _put(machine: Booted, path: str, text: str) -> None:
    script = 'umask 077; mkdir -p "$(dirname "$1")"; cat > "$1"'
    machine.run("bash", "-ec", script, "bash", path, stdin=text).or_fail()


def _validate(stage: Stage, name: str) -> None:
    """Have the CA hold a name as validated for the department, as it does in the portal."""
    order = f"certbot certonly -n -a tcs-lyon1 -d {name} --cert-name for-the-ca"
    _at_a_terminal(stage.machine, f"{order}\ncertbot delete -n --cert-name for-the-ca\n").or_fail()


@contextlib.contextmanager
def set_up(machine: System, folder: Path) -> Iterator[Stage]:
    """Everything that is there before the first command, until the context ends."""
    for address in (UPDATES, PUBLIC, *(ca.address for ca in CAS)):
        _ip("address", "add", f"{address}/32", "dev", "lo")
    key = zones.new_key(lab_module.KEY_NAME)
    admin = zones.new_key(lab_module.ADMIN_NAME)
    keys = {name: pebble.new_hmac_key() for name in DEPARTMENTS}
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(
            lab_module.start(
                folder / "lab",
                eab_keys=keys,
                zone_list=[_zone(key, admin)],
                key=key,
                addresses=(UPDATES, PUBLIC),
                port=53,
            )
        )
        bundles = [stack.enter_context(_running(ca, lab, folder)).ca_bundle for ca in CAS]
        _trust(machine, "".join(path.read_text(encoding="ascii") for path in bundles))
        hosts = "127.0.0.1 localhost\n" + "".join(f"{ca.address} {ca.host}\n" for ca in CAS)
        (machine.root / "etc/hosts").write_text(hosts, encoding="ascii")
        (machine.root / "etc/apt/apt.conf.d/99lab").write_text(
            'APT::Get::Assume-Yes "true";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\n'
        )
        zones.write_key_file(machine.root / "root/tcs-lyon1.key", lab.key)
        log = folder / "boot.log"
        options = ("--network-veth", "--machine=drao", "--resolv-conf=off")
        booted = stack.enter_context(system.booted(machine, log, options=options))
        _connect(booted)
        yield Stage(lab, booted)


@contextlib.contextmanager
def _running(ca: Ca, lab: Lab, folder: Path) -> Iterator[front.Front]:
    """A Pebble of its own for each CA, behind a front that has its URL.

    It holds a name as validated once it has seen the TXT record, as the CA of TCS does.
    """
    keys = lab.eab_keys if ca.eab else {}
    with pebble.running(folder / ca.host, lab.secondary.endpoint, keys, 100, DAYS) as server:
        with front.running(server, url=ca.url, address=ca.address) as running:
            yield running


def _zone(key: zones.Key, admin: zones.Key) -> zones.Zone:
    """The university's zone, whose updates a hidden primary takes."""
    hosts = f"ns-maj A {UPDATES}\nwww.labo A {MACHINE}\nmail.labo A {MACHINE}\n"
    policy = (f"grant {key.name} subdomain {ZONE}. TXT;", f"grant {admin.name} zonesub ANY;")
    return zones.Zone(ZONE, zones.zone_text(ZONE, {"ns1": PUBLIC}, hosts), policy)


def _trust(machine: System, bundle: str) -> None:
    """Have the system trust the fronts as it trusts public CAs, one file for each certificate."""
    folder = machine.root / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    end = "-----END CERTIFICATE-----\n"
    for number, pem in enumerate(bundle.split(end)[:-1]):
        (folder / f"lab-{number}.crt").write_text(pem + end, encoding="ascii")


def _connect(machine: Booted) -> None:
    """Plug both ends of the wire in."""
    _ip("address", "add", f"{GATEWAY}/24", "dev", "ve-drao")
    _ip("link", "set", "ve-drao", "up")
    inside = ["nsenter", f"--target={machine.leader}", "--net", process.need("ip", "iproute2")]
    for command in (
        ("address", "add", f"{MACHINE}/24", "dev", "host0"),
        ("link", "set", "host0", "up"),
        ("route", "add", "default", "via", GATEWAY),
    ):
        subprocess.run([*inside, *command], check=True)
    machine.run("bash", "-ec", f"echo nameserver {PUBLIC} > /etc/resolv.conf").or_fail()


def _ip(*words: str) -> None:
    subprocess.run([process.need("ip", "iproute2"), *words], check=True)


if __name__ == "__main__":
    try:
        main(*(Path(arg).resolve() for arg in sys.argv[1:4]))
    except LabError as error:
        sys.exit(f"\n{error}")
