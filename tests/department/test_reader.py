"""The department config: what a user gets for a good file."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import re
from pathlib import Path

import pytest

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.settings import (
    Department,
    DnsServer,
    Endpoint,
    Service,
    Target,
    TsigKey,
)
from tests.department.texts import (
    DEPARTMENT,
    DNS,
    HMAC,
    INSTALL,
    TSIG,
    faults,
    read,
    write,
)


def test_the_example_of_the_design_loads_with_every_key_uncommented(config: Path) -> None:
    key_file = config.with_name("tcs-lyon1.key")
    write(key_file, f'key "labo" {{\n\talgorithm hmac-sha256;\n\tsecret "{TSIG}";\n}};\n')
    settings = read(config, EXAMPLE.format(hmac=HMAC, tsig=TSIG, key_file=key_file))
    (one,) = settings.departments
    assert one == Department(
        name="test-dsi",
        server="https://acme.sectigo.com/v2/OV",
        email="prenom.nom@univ-lyon1.fr",
        agree_tos=True,
        issuance_timeout=300,
        dry_run_server="https://acme.test/dir",
        eab_kid="kid-1",
        eab_hmac_key=HMAC,
        domains=("test-dsi.univ-lyon1.fr", "labo.univ-lyon1.fr"),
    )
    general, special = settings.dns
    assert general == DnsServer(
        base="",
        servers=(Endpoint("ns-maj.univ-lyon1.fr", 53),),
        key=TsigKey("labo", "hmac-sha256", TSIG),
        zone=None,
        department_config=settings.path,
    )
    assert special.base == "sciences.univ-lyon1.fr"
    assert special.section == "dns sciences.univ-lyon1.fr"
    assert special.key == TsigKey("k", "hmac-sha512", TSIG)
    (target,) = settings.targets
    assert target == Target(
        name="mail",
        certificate="mail.univ-lyon1.fr",
        fullchain="/etc/postfix/tls/fullchain.pem",
        cert=None,
        chain=None,
        privkey="/etc/postfix/tls/privkey.pem",
        combined=None,
        pkcs12=None,
        pkcs12_password_file=None,
        owner="root",
        group="postfix",
        mode=0o640,
        test=("postfix", "check"),
        reload=("systemctl", "reload", "postfix"),
    )
    assert settings.warnings == ()
    assert settings.path == str(config)


EXAMPLE = """\
[tcs]                                   ; shared by every department of this file
server = https://acme.sectigo.com/v2/OV ; the default; any ACME directory URL
email = prenom.nom@univ-lyon1.fr
agree_tos = yes
issuance_timeout = 300
dry_run_server = https://acme.test/dir  ; where --dry-run goes

[department test-dsi]
eab_kid = kid-1
eab_hmac_key = {hmac}                   ; or: eab_hmac_key_file = /root-only/path
domains = test-dsi.univ-lyon1.fr, labo.univ-lyon1.fr
;server, email, agree_tos, issuance_timeout, dry_run_server: override [tcs]

[dns]                                   ; the server that takes updates
server = ns-maj.univ-lyon1.fr           ; names or addresses
key_file = {key_file}     ; tsig-keygen / nsupdate -k format
zone =                                  ; instead of discovering it
ttl = 60
check_servers =                         ; whom to poll
propagation_seconds = 120               ; the deadline, not a sleep

[dns sciences.univ-lyon1.fr]            ; names at or under this one use this section
server = [2001:db8::1]:5353
key_name = k
key_algorithm = hmac-sha512             ; instead of key_file
key_secret = {tsig}

[install mail]
certificate = mail.univ-lyon1.fr        ; the lineage
fullchain = /etc/postfix/tls/fullchain.pem
privkey = /etc/postfix/tls/privkey.pem
owner = root
group = postfix
mode = 0640
test = postfix check
reload = systemctl reload postfix
"""


def test_the_smallest_file_loads_once_it_is_filled_in(config: Path) -> None:
    text = re.sub("(?<=eab_kid = )<.*>", "kid-1", reader.SMALLEST)
    settings = read(config, re.sub("<.*>", HMAC, text))
    (one,) = settings.departments
    assert (one.server, one.email) == (lyon1.DEFAULT_SERVER, "prenom.nom@univ-lyon1.fr")
    assert one.agree_tos
    assert settings.dns == settings.targets == ()


@pytest.mark.parametrize(("text", "hour"), [("2025-07-21", 0), ("2025-07-21T14:00:00Z", 14)])
def test_a_day_of_a_campaign_begins_at_midnight_utc_unless_it_has_an_hour(
    config: Path, text: str, hour: int
) -> None:
    (one,) = read(config, f"{DEPARTMENT}replace_issued_before = {text}\n").departments
    utc = datetime.timezone.utc
    assert one.replace_issued_before == datetime.datetime(2025, 7, 21, hour, tzinfo=utc)


def test_where_a_certificate_is_served_is_a_list_of_places_with_their_protocols(
    config: Path,
) -> None:
    serves = "serves = Mail.x.fr:25 starttls=smtp, [2001:db8::1]:443\n"
    (target,) = read(config, f"{DEPARTMENT}{INSTALL}{serves}").targets
    assert target.serves == (Service("mail.x.fr", 25, "smtp"), Service("2001:db8::1", 443))


def test_the_smallest_file_as_it_stands_is_told_to_be_filled_in(config: Path) -> None:
    assert [re.sub(";.*", "", fault) for fault in faults(config, reader.SMALLEST)] == [
        "line 6, [department my-department] eab_kid: a placeholder is left in",
        "line 7, [department my-department] eab_hmac_key: a placeholder is left in",
    ]


def test_the_least_a_file_may_hold(config: Path) -> None:
    (one,) = read(config, DEPARTMENT).departments
    assert (one.server, one.email, one.agree_tos) == (lyon1.DEFAULT_SERVER, None, False)
    assert (one.issuance_timeout, one.dry_run_server, one.domains) == (None, None, ())


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + DEPARTMENT,
        DEPARTMENT.replace("\n", "\r\n"),
        DEPARTMENT.replace("\n", "\r"),
        DEPARTMENT.rstrip(),
        DEPARTMENT.upper()
        .replace("DEPARTMENT LABO", "department labo")
        .replace(HMAC.upper(), HMAC)
        .replace("KID-1", "kid-1"),
        DEPARTMENT.replace("[department labo]", "[ department   labo ]"),
        "; é\n# è\n" + DEPARTMENT,
    ],
    ids=["BOM", "CRLF", "CR", "no last newline", "upper-case keys", "blanks", "comments"],
)
def test_spellings_of_a_file_that_make_no_difference(config: Path, text: str) -> None:
    (one,) = read(config, text).departments
    assert (one.name, one.eab_kid, one.eab_hmac_key) == ("labo", "kid-1", HMAC)


def test_a_department_overrides_what_is_shared(config: Path) -> None:
    shared = "[tcs]\nserver = https://a.fr/\nemail = a@x.fr\nagree_tos = yes\n"
    own = "server = https://b.fr/\nagree_tos = off\nemail = b@x.fr, c@x.fr\n"
    (one,) = read(config, shared + DEPARTMENT + own).departments
    assert (one.server, one.email, one.agree_tos) == ("https://b.fr/", "b@x.fr,c@x.fr", False)


LONG_KEY = bytes(range(190, 254))


@pytest.mark.parametrize(
    "written",
    [
        base64.b64encode(LONG_KEY).decode(),
        base64.b64encode(LONG_KEY).decode().rstrip("="),
        base64.urlsafe_b64encode(LONG_KEY).decode(),
        base64.urlsafe_b64encode(LONG_KEY).decode().rstrip("="),
    ],
)
def test_an_hmac_key_in_either_alphabet_becomes_unpadded_base64url(
    config: Path, written: str
) -> None:
    (one,) = read(config, DEPARTMENT.replace(HMAC, written)).departments
    assert one.eab_hmac_key == base64.urlsafe_b64encode(LONG_KEY).decode().rstrip("=")


def test_an_hmac_key_may_be_in_a_file(config: Path) -> None:
    key = config.with_name("hmac")
    write(key, f"\ufeff{HMAC}\r\n")
    text = DEPARTMENT.replace(f"eab_hmac_key = {HMAC}", f"eab_hmac_key_file = {key}")
    assert read(config, text).departments[0].eab_hmac_key == HMAC


@pytest.mark.parametrize(
    ("written", "domains"),
    [
        ("a.fr", ("a.fr",)),
        ("A.fr. a.FR,a.fr", ("a.fr",)),
        ("a.fr,\n  ; a comment between\n\n  b.fr\n\tc.fr", ("a.fr", "b.fr", "c.fr")),
        ("été.univ-lyon1.fr", ("xn--t-9fab.univ-lyon1.fr",)),
        ("ＬＡＢＯ。fr", ("labo.fr",)),
        ("Straße.fr", ("xn--strae-oqa.fr",)),
        ("_dns.été.fr", ("_dns.xn--t-9fab.fr",)),
        ("_dns.x-y.fr 3.a.fr", ("_dns.x-y.fr", "3.a.fr")),
        ("a" * 63 + ".fr", ("a" * 63 + ".fr",)),
        ("", ()),
    ],
)
def test_domains_become_a_labels(config: Path, written: str, domains: tuple[str, ...]) -> None:
    settings = read(config, f"{DEPARTMENT}domains = {written}\n")
    assert settings.departments[0].domains == domains


@pytest.mark.parametrize(
    ("written", "host", "port", "shown"),
    [
        ("NS.x.fr.", "ns.x.fr", 53, "ns.x.fr"),
        ("localhost:5353", "localhost", 5353, "localhost:5353"),
        ("192.0.2.1", "192.0.2.1", 53, "192.0.2.1"),
        ("192.0.2.1:5353", "192.0.2.1", 5353, "192.0.2.1:5353"),
        ("2001:DB8::1", "2001:db8::1", 53, "[2001:db8::1]"),
        ("::1", "::1", 53, "[::1]"),
        ("[2001:db8::1]", "2001:db8::1", 53, "[2001:db8::1]"),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535, "[2001:db8::1]:65535"),
    ],
)
def test_a_name_server_is_a_name_or_an_address_with_or_without_a_port(
    config: Path, written: str, host: str, port: int, shown: str
) -> None:
    text = DEPARTMENT + DNS.replace("ns.x.fr", f"{written} other.x.fr\n  {written}")
    first, second = read(config, text).dns[0].servers
    assert first == Endpoint(host, port)
    assert str(first) == shown
    assert second == Endpoint("other.x.fr", 53)


def test_a_name_gets_the_dns_section_with_the_longest_match_on_labels(config: Path) -> None:
    settings = read(
        config,
        DEPARTMENT
        + DNS.replace("[dns]", "[dns Sciences.fr.]")
        + DNS.replace("[dns]", "[dns a.sciences.fr]")
        + DNS,
    )
    for name, base in {
        "sciences.fr": "sciences.fr",
        "x.SCIENCES.fr.": "sciences.fr",
        "*.sciences.fr": "sciences.fr",
        "_acme-challenge.a.sciences.fr": "a.sciences.fr",
        "ba.sciences.fr": "sciences.fr",
        "conscience-sciences.fr": "",
    }.items():
        server = settings.dns_server_for(name)
        assert server is not None
        assert server.base == base
    without = dataclasses.replace(settings, dns=settings.dns[:2])
    assert without.dns_server_for("x.fr") is None


@pytest.mark.parametrize("zone", ["sciences.fr", "fr", "a.sciences.fr."])
def test_a_zone_may_hold_its_section_or_lie_in_it(config: Path, zone: str) -> None:
    dns = DNS.replace("[dns]", "[dns sciences.fr]") + f"zone = {zone}\nttl = 0\n"
    (server,) = read(config, DEPARTMENT + dns).dns
    assert (server.zone, server.ttl) == (zone.rstrip("."), 0)


def test_an_install_section_may_have_every_key(config: Path) -> None:
    more = (
        "cert = /c\nchain = /d\nprivkey = /e\ncombined = /f\npkcs12 = /g\n"
        "pkcs12_password_file = /nonexistent/pw\nowner = 33\ngroup = 33\nmode = 600\n"
        "test = sh -c 'true && false' \\;\nreload = \"/opt/my tool\" now\n"
    )
    (target,) = read(config, DEPARTMENT + INSTALL + more).targets
    assert (target.cert, target.pkcs12, target.pkcs12_password_file) == (
        "/c",
        "/g",
        "/nonexistent/pw",
    )
    assert (target.owner, target.mode) == ("33", 0o600)
    assert target.test == ("sh", "-c", "true && false", ";")
    assert target.reload == ("/opt/my tool", "now")


@pytest.mark.parametrize("algorithm", ["hmac-md5", "HMAC-SHA1", "hmac-md5.sig-alg.reg.int."])
def test_a_weak_algorithm_draws_a_warning(config: Path, algorithm: str) -> None:
    settings = read(config, DEPARTMENT + DNS + f"key_algorithm = {algorithm}\n")
    (warning,) = map(str, settings.warnings)
    assert warning.startswith(f"{config}, line 8, [dns] key_algorithm: hmac-")
    assert warning.endswith(" is weak; ask the DNS administrator for a TSIG key with hmac-sha256")
