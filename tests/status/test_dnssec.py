"""A broken DNSSEC chain is told before a CA refuses: BIND signs, unbound validates, or nobody."""

from __future__ import annotations

import functools
import re
import subprocess
import time

import dns.name
import dns.resolver
import dns.rrset
import pytest

from certbot_tcs_lyon1.status import dnssec, dnssec_validation
from tests.lab import ports, process, unbound

#: Each zone with what signs it; None: nothing does. The children go before their parents.
ZONES = {
    "child.good.test": (),
    "lost.good.test": (),
    "late.good.test": ("-P", "-s", "20260101000000", "-e", "20260201000000"),
    "plain.good.test": None,
    "sha1.good.test": (),
    "bare.good.test": ("-O", "full"),
    "good.test": (),
    "stripped.test": ("-O", "full"),
    "ended.test": ("-P", "-s", "20260101000000", "-e", "20260201000000"),
    "soon.test": ("-s", "now-1728000", "-e", "now+86400"),
    "online.test": ("-s", "now-86400", "-e", "now+86400"),
    "wrong.test": (),
    "unsigned.test": None,
}
#: Zones whose signatures have been lost.
WITHOUT_SIGNATURES = ("bare.good.test", "stripped.test")
TOPS = [zone for zone in ZONES if zone.count(".") == 1]


def _sign(folder, zone, options, children):
    """Sign a zone, in which `children` have these DS; its own DS, "" if it has none."""
    (folder / zone).write_text(
        f"$TTL 60\n@ IN SOA ns.{zone}. h.{zone}. 1 3600 600 86400 60\n@ IN NS ns.{zone}.\n"
        f'ns IN A 127.0.0.1\n_acme-challenge.www IN TXT "x"\n'
        "_acme-challenge.alias IN CNAME _acme-challenge.www.child.good.test.\n"
        "_acme-challenge.astray IN CNAME _acme-challenge.www.lost.good.test.\n"
        "_acme-challenge.loop IN CNAME _acme-challenge.loop\n"
        + "".join(f"_acme-challenge.hop{n} IN CNAME _acme-challenge.hop{n + 1}\n" for n in range(9))
        + '_acme-challenge.hop9 IN TXT "x"\n'
        "below IN DNAME child.good.test.\n"
        + "".join(
            f"{child}. IN NS ns.{child}.\nns.{child}. IN A 127.0.0.1\n"
            + (f"{child}. IN {ds}\n" if ds else "")
            for child, ds in children.items()
        )
    )
    if options is None:
        (folder / f"{zone}.signed").write_text((folder / zone).read_text())
        return ""
    for kind in (("-f", "KSK"), ()):
        make = [process.need("dnssec-keygen", "bind9-utils"), "-q", "-a", "ECDSAP256SHA256"]
        subprocess.run([*make, *kind, zone], cwd=folder, check=True, capture_output=True)
    sign = [process.need("dnssec-signzone", "bind9-utils"), "-q", "-S", *options, "-o", zone, zone]
    subprocess.run(sign, cwd=folder, check=True, capture_output=True)
    if zone in WITHOUT_SIGNATURES:
        signed = folder / f"{zone}.signed"
        lines = signed.read_text().splitlines(keepends=True)
        signed.write_text("".join(line for line in lines if " IN RRSIG\t" not in line))
    if zone == "sha1.good.test":
        (key,) = (path for path in folder.glob(f"K{zone}.*.key") if " 257 " in path.read_text())
        words = [process.need("dnssec-dsfromkey", "bind9-utils"), "-1", str(key)]
        return re.search(r"DS .*", subprocess.check_output(words, text=True))[0]
    return re.search(r"DS .*", (folder / f"dsset-{zone}.").read_text())[0]


@pytest.fixture(scope="module")
def resolvers(tmp_path_factory):
    """unbound that validates, and one that doesn't, with the DS of each zone that has one."""
    folder = tmp_path_factory.mktemp("dnssec")
    records = {}
    for zone, options in ZONES.items():
        children = {name: ds for name, ds in records.items() if name.endswith(f".{zone}")}
        if "lost.good.test" in children:
            children["lost.good.test"] = children["child.good.test"]
        records[zone] = _sign(folder, zone, options, children)
    records["wrong.test"] = records["good.test"]
    anchors = {zone: records[zone] for zone in TOPS if records[zone]}
    with ports.claimed() as port:
        (folder / "named.conf").write_text(
            f'options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }};\n'
            "listen-on-v6 { none; }; recursion no; dnssec-validation no;\n"
            f'pid-file "{folder}/pid"; session-keyfile "{folder}/session"; }};\ncontrols {{}};\n'
            + "".join(
                f'zone "{zone}" {{ type primary; file "{zone}.signed"; }};\n' for zone in ZONES
            )
        )
        named = [process.need("named", "bind9"), "-g", "-c", str(folder / "named.conf")]
        at = {zone: ports.Endpoint("127.0.0.1", port) for zone in ZONES}
        with process.running(process.start("named", named, folder, folder / "named.log")):
            with unbound.running(folder / "does", at, anchors) as validating:
                with unbound.running(folder / "not", at, {}, validates=False) as plain:
                    yield validating, plain, anchors


def _use(monkeypatch, resolvers, validates):
    validating, plain, anchors = resolvers
    monkeypatch.setattr(dns.resolver, "default_resolver", validating if validates else plain)
    known = {
        dns.name.from_text(zone): dns.rrset.from_text(f"{zone}.", 0, "IN", *ds.split(None, 1))
        for zone, ds in anchors.items()
    }
    monkeypatch.setattr(dnssec_validation, "ANCHORS", known)


@pytest.mark.parametrize("rdtype", ["TXT", "CAA"])
@pytest.mark.parametrize("validates", [True, False], ids=["by a resolver", "walked here"])
@pytest.mark.parametrize(
    ("name", "right", "words"),
    [
        ("www.good", True, "holds"),
        ("www.child.good", True, "holds"),
        ("alias.good", True, "holds"),
        ("www.below.good", True, "holds"),
        ("no-such-name.good", True, "holds"),
        ("www.online", True, "holds"),
        ("www.sha1.good", True, "holds"),
        ("www.bare.good", False, "keys or DS do not fit|is not signed, though bare.good.test. is"),
        ("www.plain.good", True, "is not signed"),
        ("www.ended", False, "is broken (signatures have ended: |is broken (no signature of"),
        ("www.late.good", False, "is broken (signatures have ended: |is broken (no signature of"),
        ("www.soon", False, "signatures of its {rdtype} end within two days: "),
        ("www.wrong", False, "keys or DS do not fit|no key of wrong.test. is that of the DS"),
        ("www.lost.good", False, "keys or DS do not fit|no key of lost.good.test. is that of"),
        ("astray.good", False, "keys or DS do not fit|no key of lost.good.test. is that of"),
    ],
)
def test_a_chain_is_told_as_a_validating_resolver_sees_it(
    resolvers, monkeypatch, name, right, words, rdtype, validates
):
    _use(monkeypatch, resolvers, validates)
    found = dnssec.check(f"_acme-challenge.{name}.test", rdtype)
    assert (found.right, bool(found.remedy)) == (right, not right)
    seen, _, walked = words.format(rdtype=rdtype).partition("|")
    assert (seen if validates else walked or seen) in found.text


def test_what_has_no_trust_anchor_and_no_ad_can_not_be_told(resolvers, monkeypatch):
    _use(monkeypatch, resolvers, False)
    found = dnssec.check("www.unsigned.test", "CAA")
    assert (found.right, "no trust anchor" in found.text) == (None, True)
    monkeypatch.undo()
    _use(monkeypatch, resolvers, False)
    monkeypatch.setattr(
        dnssec_validation,
        "ANCHORS",
        {dns.name.root: next(iter(dnssec_validation.ANCHORS.values()))},
    )
    found = dnssec.check("www.good.test", "CAA")
    assert (found.right, "does not give the keys of ." in found.text) == (None, True)


def test_a_resolver_that_leaves_signatures_out_tells_nothing(resolvers, monkeypatch):
    _use(monkeypatch, resolvers, False)
    found = dnssec.check("www.stripped.test", "CAA")
    assert (found.right, "leaves signatures out" in found.text) == (None, True)


def test_more_aliases_than_resolvers_follow_tell_nothing(resolvers, monkeypatch):
    _use(monkeypatch, resolvers, False)
    found = dnssec.check("_acme-challenge.hop0.good.test", "TXT")
    assert (found.right, "alias of an alias" in found.text) == (None, True)
    assert dnssec.check("_acme-challenge.hop4.good.test", "TXT").right is True


def test_a_machine_without_a_resolver_tells_nothing(monkeypatch, tmp_path):
    (tmp_path / "resolv.conf").touch()
    no_resolver = functools.partial(dns.resolver.Resolver, str(tmp_path / "resolv.conf"))
    monkeypatch.setattr(dns.resolver, "default_resolver", None)
    monkeypatch.setattr(dns.resolver, "Resolver", no_resolver)
    found = dnssec.check("www.good.test", "CAA")
    assert (found.right, "no resolver is named" in found.text) == (None, True)


def test_a_loop_of_aliases_is_left(resolvers, monkeypatch):
    _use(monkeypatch, resolvers, False)
    assert dnssec.check("_acme-challenge.loop.good.test", "TXT").right is not True


def test_the_anchors_are_those_of_the_root():
    assert list(dnssec_validation.ANCHORS) == [dns.name.root]
    assert [ds.key_tag for ds in dnssec_validation.ANCHORS[dns.name.root]] == [20326, 38696]


def test_a_resolver_that_does_not_answer_tells_nothing(monkeypatch):
    silent = dns.resolver.Resolver(configure=False)
    silent.nameservers, silent.port = ["127.0.0.1"], 1
    monkeypatch.setattr(dns.resolver, "default_resolver", silent)
    begun = time.monotonic()
    assert dnssec.check("www.good.test", "CAA").right is None
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize("validates", [True, False], ids=["by a resolver", "walked here"])
def test_a_zone_that_bind_signs_by_its_policy_is_right_while_it_changes(
    tmp_path, monkeypatch, validates
):
    zone = "live.test"
    tmp_path.chmod(0o755)
    (tmp_path / "zone").write_text(
        f"$TTL 60\n@ IN SOA ns.{zone}. h.{zone}. 1 3600 600 86400 60\n@ IN NS ns.{zone}.\n"
        "ns IN A 127.0.0.1\nwww IN A 127.0.0.1\n"
    )
    with ports.claimed() as port:
        (tmp_path / "named.conf").write_text(
            f'options {{ directory "{tmp_path}"; key-directory "{tmp_path}"; recursion no;\n'
            f"listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n"
            f'pid-file "{tmp_path}/pid"; session-keyfile "{tmp_path}/session"; }};\n'
            f'controls {{}};\nzone "{zone}" {{ type primary; file "zone"; dnssec-policy default;\n'
            "inline-signing yes; };\n"
        )
        named = [process.need("named", "bind9"), "-g", "-c", str(tmp_path / "named.conf")]
        started = process.start("named", named, tmp_path, tmp_path / "named.log")
        with process.running(started):
            process.wait_ready(started, lambda: any(tmp_path.glob("zone.signed")))
            (key,) = tmp_path.glob(f"K{zone}.*.key")
            words = [process.need("dnssec-dsfromkey", "bind9-utils"), str(key)]
            ds = subprocess.check_output(words, text=True).split("IN ")[1].strip()
            at = {zone: ports.Endpoint("127.0.0.1", port)}
            anchors = {zone: ds}
            with unbound.running(
                tmp_path / "u", at, anchors if validates else {}, validates
            ) as one:
                _use(monkeypatch, (one, one, anchors), validates)
                name = f"_acme-challenge.www.{zone}"
                signed = process.wait_until(lambda: dnssec.check(name, "TXT").right is True, 10)
                assert signed, dnssec.check(name, "TXT")
                assert dnssec.check(f"www.{zone}", "CAA").right is True
