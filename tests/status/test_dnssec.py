"""A broken DNSSEC chain is told before a CA refuses: BIND signs, unbound validates."""

from __future__ import annotations

import re
import subprocess

import dns.resolver
import pytest

from certbot_tcs_lyon1.status import dnssec
from tests.lab import ports, process

ZONES = {
    "good": (),
    "ended": ("-P", "-s", "20260101000000", "-e", "20260201000000"),
    "soon": ("-e", "now+86400"),
    "wrong": (),
}


def _sign(folder, zone, options):
    """Sign a zone; its DS record."""
    name = f"{zone}.test"
    (folder / zone).write_text(
        f"$TTL 60\n@ IN SOA ns.{name}. h.{name}. 1 3600 600 86400 60\n@ IN NS ns.{name}.\n"
        f'ns IN A 127.0.0.1\n_acme-challenge.www IN TXT "x"\n'
    )
    for kind in (("-f", "KSK"), ()):
        make = [process.need("dnssec-keygen", "bind9-utils"), "-q", "-a", "ECDSAP256SHA256"]
        subprocess.run([*make, *kind, name], cwd=folder, check=True, capture_output=True)
    sign = [process.need("dnssec-signzone", "bind9-utils"), "-q", "-S", *options, "-o", name, zone]
    subprocess.run(sign, cwd=folder, check=True, capture_output=True)
    return re.search(r"DS .*", (folder / f"dsset-{name}.").read_text())[0]


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    """unbound, with a DS of each zone, and for `wrong.test` another's."""
    folder = tmp_path_factory.mktemp("dnssec")
    records = {zone: _sign(folder, zone, options) for zone, options in ZONES.items()}
    records["wrong"] = records["good"]
    with ports.claimed() as source, ports.claimed() as port:
        (folder / "named.conf").write_text(
            f'options {{ directory "{folder}"; listen-on port {source} {{ 127.0.0.1; }};\n'
            "listen-on-v6 { none; }; recursion no; dnssec-validation no;\n"
            f'pid-file "{folder}/pid"; session-keyfile "{folder}/session"; }};\ncontrols {{}};\n'
            + "".join(
                f'zone "{zone}.test" {{ type primary; file "{zone}.signed"; }};\n' for zone in ZONES
            )
        )
        (folder / "unbound.conf").write_text(
            f'server:\n directory: "{folder}"\n interface: 127.0.0.1@{port}\n'
            ' username: ""\n chroot: ""\n pidfile: ""\n'
            ' use-syslog: no\n do-not-query-localhost: no\n module-config: "validator iterator"\n'
            ' local-zone: "test." nodefault\n'
            + "".join(f' trust-anchor: "{z}.test. {ds}"\n' for z, ds in records.items())
            + "remote-control:\n control-enable: no\n"
            + "".join(
                f"stub-zone:\n name: {zone}.test\n stub-addr: 127.0.0.1@{source}\n"
                for zone in ZONES
            )
        )
        named = [process.need("named", "bind9"), "-g", "-c", str(folder / "named.conf")]
        unbound = [process.need("unbound", "unbound"), "-d", "-c", str(folder / "unbound.conf")]
        made = dns.resolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], port
        made.lifetime = 1
        with process.running(process.start("named", named, folder, folder / "named.log")):
            validating = process.start("unbound", unbound, folder, folder / "unbound.log")
            with process.running(validating):
                process.wait_ready(validating, lambda: _answers(made))
                yield made


def _answers(resolver):
    try:
        resolver.resolve("good.test", "SOA")
    except Exception:
        return False
    return True


@pytest.mark.parametrize("rdtype", ["TXT", "CAA"])
@pytest.mark.parametrize(
    ("zone", "right", "words"),
    [
        ("good", True, "holds"),
        ("ended", False, "signatures have ended: "),
        ("soon", False, "end within two days: "),
        ("wrong", False, "keys or DS do not fit"),
    ],
)
def test_a_chain_is_told_as_a_validating_resolver_sees_it(
    resolver, monkeypatch, zone, right, words, rdtype
):
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    found = dnssec.look(f"_acme-challenge.www.{zone}.test", rdtype)
    assert found.right is right
    assert words in found.text


def test_a_resolver_that_does_not_answer_tells_nothing(monkeypatch):
    silent = dns.resolver.Resolver(configure=False)
    silent.nameservers, silent.port = ["127.0.0.1"], 1
    monkeypatch.setattr(dns.resolver, "default_resolver", silent)
    assert dnssec.look("www.good.test", "CAA").right is None
