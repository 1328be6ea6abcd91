"""unbound as a resolver on loopback: of the zones that it is told, and of nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.exception
import dns.resolver

from tests.lab import ports, process
from tests.lab.ports import Endpoint


@contextlib.contextmanager
def running(
    folder: Path, zones: Mapping[str, Endpoint], anchors: Mapping[str, str], validates: bool = True
) -> Iterator[dns.resolver.Resolver]:
    """A dnspython resolver that asks it.

    `zones` are where their servers are; `anchors` are the DS of zones that are trusted. What is in
    none of the zones doesn't exist.
    """
    program = process.need("unbound", "unbound")
    folder.mkdir(parents=True, exist_ok=True)
    modules = "validator iterator" if validates else "iterator"
    with ports.claimed() as port:
        config = folder / "unbound.conf"
        config.write_text(
            f'server:\n directory: "{folder}"\n interface: 127.0.0.1@{port}\n'
            ' username: ""\n chroot: ""\n pidfile: ""\n'
            f' use-syslog: no\n do-not-query-localhost: no\n module-config: "{modules}"\n'
            ' local-zone: "." static\n'
            " cache-max-ttl: 0\n cache-max-negative-ttl: 0\n"
            + "".join(f' local-zone: "{zone}." transparent\n' for zone in zones)
            + "".join(f' trust-anchor: "{zone}. {ds}"\n' for zone, ds in anchors.items())
            + "remote-control:\n control-enable: no\n"
            + "".join(
                f"stub-zone:\n name: {zone}\n stub-addr: {at.address}@{at.port}\n"
                for zone, at in zones.items()
            )
        )
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 5
        command = [program, "-d", "-c", str(config)]
        started = process.start("unbound", command, folder, folder / "unbound.log")
        with process.running(started):
            process.wait_ready(started, lambda: _answers(resolver))
            yield resolver


def _answers(resolver: dns.resolver.Resolver) -> bool:
    try:
        resolver.resolve("nothing.invalid", "A", lifetime=0.5)
    except dns.resolver.NXDOMAIN:
        return True
    except (dns.exception.DNSException, OSError):
        return False
    return False
