"""The department config: what a user gets for a good file, and for each way to break one."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.settings import (
    Department,
    DnsServer,
    Endpoint,
    Settings,
    Target,
    TsigKey,
)
from certbot_tcs_lyon1.errors import ConfigError

HMAC = base64.urlsafe_b64encode(b"the hmac key that nobody may see").decode().rstrip("=")
TSIG = base64.b64encode(b"the tsig key that nobody may see").decode()

DEPARTMENT = f"[department labo]\neab_kid = kid-1\neab_hmac_key = {HMAC}\n"
DNS = f"[dns]\nserver = ns.x.fr\nkey_name = labo\nkey_secret = {TSIG}\n"
INSTALL = "[install mail]\ncertificate = mail.x.fr\nfullchain = /etc/mail.pem\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where a test's department config is written, by `write`."""
    return tmp_path / "tcs-lyon1.ini"


def write(path: Path, text: str | bytes, mode: int = 0o600) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def read(path: Path, text: str | bytes) -> Settings:
    settings = reader.read(write(path, text))
    assert_keeps_secrets(repr(settings) + "".join(map(str, settings.warnings)))
    return settings


def faults(path: Path, text: str | bytes) -> list[str]:
    """Return the faults that are told, each without the file's name in front."""
    write(path, text)
    return faults_of(path)


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        reader.read(str(path))
    error = caught.value
    assert error.__context__ is None, "a context could hold lines of the file"
    told = traceback.format_exception(type(error), error, error.__traceback__)
    assert_keeps_secrets(str(error) + repr(error) + "".join(told))
    lines = str(error).splitlines()
    assert all(line.startswith(f"{path}") for line in lines)
    return [line[len(str(path)) :].lstrip(",: ") for line in lines]


def assert_keeps_secrets(text: str) -> None:
    for secret in (HMAC, TSIG):
        for start in range(0, len(secret) - 10, 5):
            assert secret[start : start + 10].lower() not in text.lower()


# Good files


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


# Files with faults

D = "[department labo]"
BAD_FORM = [
    ("", "no department; write a section [department NAME] with its Key ID and HMAC"),
    ("[tcs]\n", "no department;"),
    (f"eab_hmac_key = {HMAC}\n{DEPARTMENT}", "line 1: stands before the first [section]"),
    (f"{DEPARTMENT}{HMAC}\n", "line 4: neither a [section] alone on its line nor key = value"),
    (f"{DEPARTMENT}email: {TSIG}\n", f"line 4, {D} (not shown): is unknown; known are server"),
    (f"{DEPARTMENT}{TSIG}\n", f"line 4, {D} (not shown): is unknown"),
    (f"{DEPARTMENT}email a@x.fr\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}[dns] {HMAC}\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}= {HMAC}\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}eab_kid = {HMAC}\n", f"line 4, {D} eab_kid: stands here again, after line 2"),
    (f"{DEPARTMENT}{TSIG}\n{TSIG}\n", f"line 5, {D}: stands here again, after line 4; keep one"),
    (f"{DEPARTMENT}{DEPARTMENT}", f"line 4, {D}: stands here again, after line 1; keep one"),
    (f"{DEPARTMENT}[department  labo]\n", "line 4, [department  labo]: stands in this file"),
    (DEPARTMENT.encode() + b"# \xe9t\xe9\n", "line 4: the line is not UTF-8; save the file as"),
    (f"{DEPARTMENT}# a\0b\n", "line 4: the line has a NUL byte; save the file as UTF-8 text"),
    (f"[departement labo]\n{DNS}", "line 1, [departement labo]: is unknown; did you mean [departm"),
    (f"{DEPARTMENT}[TCS]\n", "line 4, [TCS]: is unknown; did you mean [tcs]?"),
    (f"{DEPARTMENT}[DEFAULT]\n", "line 4, [DEFAULT]: is unknown; there are [tcs], [department NA"),
    (f"{DEPARTMENT}[{HMAC}]\n", "line 4, [(not shown)]: is unknown; there are"),
    (f"{DEPARTMENT}[department l {HMAC[:8]}]\n", "line 4, [department l (not shown)]: the name "),
    (f"{DEPARTMENT}[dns l {HMAC[:8]}]\n", "line 4, [dns l (not shown)]: is not a DNS name"),
    (f"{DEPARTMENT}[{HMAC[:8]}]\n", "line 4, [(not shown)]: is unknown; there are"),
    (f"{DEPARTMENT}[departmen {HMAC[:8]}]\n", "line 4, [departmen (not shown)]: is unknown; did "),
    (DEPARTMENT.encode("utf-16"), "the file is UTF-16; save it as UTF-8 text"),
    (f"{DEPARTMENT}[ ]\n", "line 4, [ ]: is unknown; there are"),
    (f"{DEPARTMENT}[tcs x]\n", "line 4, [tcs x]: takes no name; write [tcs]"),
    (f"{DEPARTMENT}[department]\n", "line 4, [department]: has no name; write [department NAME]"),
    (f"{DEPARTMENT}[install]\n", "line 4, [install]: has no name; write [install NAME]"),
    (DEPARTMENT.replace("labo", "la bo"), "line 1, [department la bo]: the name may have letters"),
    (DEPARTMENT.replace("labo", "été"), "line 1, [department été]: the name may have letters"),
    (DEPARTMENT.replace("labo", "None"), "line 1, [department None]: certbot cannot store this"),
    (f"{DEPARTMENT}eab_hmac = {HMAC}\n", f"line 4, {D} eab_hmac: is unknown; did you mean eab_hma"),
    (f"{DEPARTMENT}key_file = /x\n", f"line 4, {D} key_file: does not belong here; move it to [dn"),
    (f"{DNS}email = a@x.fr\n{DEPARTMENT}", "line 5, [dns] email: does not belong here; move it to "
     "[tcs] or [department NAME]"),
    (f"{DEPARTMENT}key_fil = /x\n", f"line 4, {D} key_fil: is unknown; did you mean key_file?"),
    (f"{DEPARTMENT}quite_different = 1\n", f"line 4, {D} (not shown): is unknown; known are s"),
    (f"{DEPARTMENT}{TSIG[-11:]}\n", f"line 4, {D} (not shown): is unknown"),
    (f"{DNS}eab_hmac_key_file = /x\n{DEPARTMENT}", "line 5, [dns] eab_hmac_key_file: does not bel"),
]  # fmt: skip

BAD_DEPARTMENT = [
    ("eab_kid =", "is empty; fill it in, or remove the line"),
    ("eab_kid = a b", "has blanks or quotes; write the value alone"),
    ('eab_kid = "abc"', "has blanks or quotes"),
    ("eab_kid = …", "a placeholder is left in; copy it from the portal"),
    ("eab_kid = KEY_ID", "a placeholder is left in"),
    ("eab_kid = NEW_KEY_ID", "a placeholder is left in"),
    ("eab_kid = a\u200bb", "has a character that is no letter, digit or sign"),
    ("eab_hmac_key = ", "is empty"),
    (f'eab_hmac_key = "{HMAC}"', "has blanks or quotes"),
    (f"eab_hmac_key = {HMAC[:9]} {HMAC[9:]}", "has blanks or quotes"),
    (f"eab_hmac_key = {HMAC[:9]}\n  {HMAC[9:]}", "goes on over an indented line"),
    (f"eab_hmac_key = {HMAC}\n  domains = a.fr", "goes on over an indented line"),
    ("eab_hmac_key = …", "a placeholder is left in"),
    ("eab_hmac_key = HMAC_KEY", "a placeholder is left in"),
    ("eab_hmac_key = NEW_HMAC_KEY", "a placeholder is left in"),
    ("eab_hmac_key = <HMAC_KEY>", "a placeholder is left in"),
    ("eab_hmac_key = YOUR_HMAC_KEY", "is not whole base64: it was cut short"),
    (f"eab_hmac_key = {HMAC}$", "has a character that no HMAC Key has; copy it from the portal"),
    (f"eab_hmac_key = {HMAC[:20]}={HMAC[20:]}", "has a character that no HMAC Key has"),
    (f"eab_hmac_key = {HMAC}-+aa", "has + or / as well as - or _, so it is miscopied"),
    (f"eab_hmac_key = {HMAC[:-1]}", "has 31 bytes, not at least 32: it was cut short"),
    (f"eab_hmac_key = {HMAC[:-2]}", "is not whole base64: it was cut short"),
    (f"eab_hmac_key = {HMAC}==", "is not whole base64: it was cut short"),
    (f"eab_hmac_key = {HMAC}{HMAC[:20]}", "has 47 bytes, not an even number: it was cut short"),
    ("eab_hmac_key = ====", "has 0 bytes, not at least 32"),
    (f"eab_hmac_key_file = {HMAC}", "is a relative path; write the absolute path"),
    ("eab_hmac_key_file = /etc/", "is a folder; write the absolute path of the file"),
    (f"eab_hmac_key_file = /{HMAC}", "(not shown): no such file or directory; correct the path"),
    ("eab_hmac_key_file = /none.key", "/none.key: no such file or directory"),
    ("eab_hmac_key_file = /dev/null", "/dev/null: not an ordinary file"),
    ("eab_hmac_key_file = /etc", "/etc: is a directory"),
    ("server = http://x.fr/", "is not an https URL; copy the ACME URL from the portal"),
    ("server = x.fr", "is not an https URL"),
    ("server = https://", "is not an https URL"),
    ("server = https://…", "is not an https URL"),
    ("server = https://x.fr/ a", "is not an https URL"),
    ("server = https://x.fr/#a", "is not an https URL"),
    ("server = https://[x.fr/", "is not an https URL"),
    ("server = https://x.fr:port/", "is not an https URL"),
    (f"server = {HMAC}", "is not an https URL"),
    (f"server = https://user:{HMAC}@x.fr/", "has a user name or password in the URL; take it out"),
    ("dry_run_server = ftp://x.fr/", "is not an https URL"),
    ("email = a", "is not an e-mail address; write one, or several parted by commas"),
    ("email = a@b", "is not an e-mail address"),
    ("email = a@x.fr b@x.fr", "is not an e-mail address"),
    ("email = a@x.fr,", "is not an e-mail address"),
    ("email = <a@x.fr>", "is not an e-mail address"),
    ("email = mailto:a@x.fr", "is not an e-mail address"),
    ("agree_tos = oui", "is neither yes nor no; write one of them"),
    ("issuance_timeout = 0", "is not a whole number of seconds from 1 to 3600; correct it"),
    ("issuance_timeout = 3601", "is not a whole number"),
    ("issuance_timeout = -1", "is not a whole number"),
    ("issuance_timeout = 5 min", "is not a whole number"),
    ("issuance_timeout = ٣", "is not a whole number"),
    (f"issuance_timeout = {'9' * 5000}", "is not a whole number"),
    ("domains = *.x.fr", "*.x.fr: is a wildcard; write it without *., that covers the wildcard"),
    ("domains = labo", "labo: is not a full name; write it with its domain"),
    ("domains = 192.0.2.1", "192.0.2.1: is an IP address, which the DNS can't validate; write a"),
    ("domains = 2001:db8::1", "is an IP address, which the DNS can't validate"),
    ("domains = 192.0.2.256", "192.0.2.256: ends in a number, so it is an address or misspelt"),
    ("domains = a..fr", "a..fr: is not a DNS name (letters, digits and hyphens between dots)"),
    ("domains = .fr", ".fr: is not a DNS name"),
    ("domains = https://x.fr/", "https://x.fr/: is not a DNS name"),
    ("domains = -a.fr", "-a.fr: is not a DNS name"),
    ("domains = a-.fr", "a-.fr: is not a DNS name"),
    ("domains = a_b.fr", "a_b.fr: is not a DNS name"),
    (f"domains = {'a' * 64}.fr", ".fr: is not a DNS name"),
    (f"domains = {'é' * 64}.fr", ".fr: is not a DNS name"),
    (f"domains = {'a.' * 126}fr", ".fr: is not a DNS name"),
    (f"domains = {HMAC}", "(not shown): "),
    (f"domains = a.fr b..fr\n  eab_hmac_key = {HMAC}", "goes on over an indented line"),
]

BAD_DNS = [
    ("server =", "is empty; fill it in, or remove the line"),
    ("server = ,", "is empty; name the update server; the DNS administrator"),
    ("server = …", "…: is not a DNS name"),
    ("server = ns.x.fr:", "ns.x.fr:: the port is not a number from 1 to 65535; correct it"),
    ("server = ns.x.fr:0", "ns.x.fr:0: the port is not"),
    ("server = ns.x.fr:65536", "ns.x.fr:65536: the port is not"),
    ("server = ns.x.fr:dns", "ns.x.fr:dns: the port is not"),
    ("server = [::1]:", "[::1]:: the port is not"),
    ("server = [192.0.2.1]:53", "[192.0.2.1]:53: only an IPv6 address goes into brackets"),
    ("server = [::1]x", "[::1]x: is not an IPv6 address; with a port, write [ADDRESS]:PORT"),
    ("server = [::g]", "[::g]: is not an IPv6 address"),
    ("server = 192.0.2.256", "192.0.2.256: ends in a number, so it is an address or misspelt"),
    ("server = ns.x.fr;other.x.fr", "ns.x.fr;other.x.fr: is not a DNS name"),
    ("check_servers = a..fr", "a..fr: is not a DNS name"),
    ("zone = a..fr", "is not a DNS name"),
    ("ttl = 86401", "is not a whole number of seconds from 0 to 86400; correct it"),
    ("propagation_seconds = 0", "is not a whole number of seconds from 1 to 3600"),
    ("key_name = a b", "the TSIG key's name is empty, or has blanks"),
    ("key_algorithm = hmac-sha265", "unknown algorithm; did you mean hmac-sha256?"),
    (f"key_algorithm = {TSIG}", "unknown algorithm; known are hmac-md5"),
    ("key_secret =", "is empty"),
    (f"key_secret = {TSIG[:-1]}", "the TSIG key's secret is not base64"),
    (f'key_secret = "{TSIG}"', "the TSIG key's secret is not base64"),
]

BAD_INSTALL = [
    ("certificate = /etc/x", "is not the name of a certificate; write the certificate's name"),
    ("certificate = a b", "is not the name of a certificate"),
    ("fullchain = mail.pem", "is a relative path; write the absolute path"),
    ("fullchain = ~/mail.pem", "is a relative path"),
    ("privkey = /etc/ssl/", "is a folder"),
    ("owner = root:mail", "is not a name or number; owner and group are two keys"),
    ("group = a b", "is not a name or number"),
    ("mode = 0o640", "is not an octal mode; write it like 0640"),
    ("mode = 64", "is not an octal mode"),
    ("mode = 0649", "is not an octal mode"),
    ("mode = 4755", "has set-user-ID, set-group-ID or the sticky bit; write it like 0640"),
    ("mode = 2640", "has set-user-ID"),
    ("mode = 1640", "has set-user-ID"),
    ("owner = 99999999999", "is no number of a user or group (0 to 4294967294); correct it"),
    ("owner = ²", "is no number of a user or group"),
    ("owner = ٣", "is no number of a user or group"),
    ("group = 4294967295", "is no number of a user or group"),
    ("mode = 0642", "lets everybody write the file; write it like 0640"),
    ("test = nginx -t 'x", "is no command, or a quote in it is not closed; correct it"),
    ('test = ""', "is no command"),
    ("reload = a ; b", "commands run without a shell, so `;` does not part them"),
    ("reload = a; b", "commands run without a shell; put several into a script, and name that"),
    ("reload = a;b; c", "commands run without a shell; put several into a script"),
    ("reload = a && b", "commands run without a shell; put several into a script"),
    ("reload = a | b", "commands run without a shell"),
    ("reload = a >/dev/null 2>&1", "commands run without a shell"),
    ("reload = a\n  b", "goes on over an indented line"),
]


@pytest.mark.parametrize(("text", "fault"), BAD_FORM)
def test_a_file_of_bad_form_is_told_with_its_line(
    config: Path, text: str | bytes, fault: str
) -> None:
    assert any(told.startswith(fault) for told in faults(config, text)), faults(config, text)


@pytest.mark.parametrize(
    ("section", "line", "fault"),
    [(DEPARTMENT, *case) for case in BAD_DEPARTMENT]
    + [(DNS, *case) for case in BAD_DNS]
    + [(INSTALL, *case) for case in BAD_INSTALL],
)
def test_a_bad_value_is_told_with_line_section_and_key(
    config: Path, section: str, line: str, fault: str
) -> None:
    """The bad line takes the place of the good one, or is put at the section's end."""
    key = line.partition(" ")[0]
    lines = [good for good in section.splitlines() if not good.startswith(key + " =")]
    if key == "eab_hmac_key_file":
        lines.pop()
    text = "\n".join([*lines, line])
    text = text if section == DEPARTMENT else text + "\n" + DEPARTMENT
    (told,) = faults(config, text)
    place = f"line {len(lines) + 1}, {lines[0]} {key}: "
    assert told.startswith(place)
    assert fault in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[department a]\n", ["line 1, [department a] eab_kid: is missing; copy it from the portal",
                              "line 1, [department a] eab_hmac_key: is missing; copy it"]),
        (DEPARTMENT + "eab_hmac_key_file = relative\n",
         [f"line 4, {D} eab_hmac_key_file: is a relative path",
          f"line 4, {D} eab_hmac_key_file: eab_hmac_key is there as well; keep one of them"]),
        (DEPARTMENT + "domains = a.fr, b.fr\n" + DEPARTMENT.replace("labo", "b") + "domains = B.fr",
         [f"line 8, [department b] domains: b.fr is another department's as well: {D}, line 4; "
          "keep one"]),
        (DEPARTMENT + "[dns]\n",
         ["line 4, [dns] server: is missing; name the update server; the DNS administrator knows",
          "line 4, [dns] key_name: is missing; write key_file, or key_name and key_secret",
          "line 4, [dns] key_secret: is missing; write key_file, or key_name and key_secret"]),
        (DEPARTMENT + DNS + "key_file = relative",
         ["line 6, [dns] key_name: key_file is there as well; keep one of them",
          "line 8, [dns] key_file: is a relative path"]),
        (DEPARTMENT + "[dns]\nserver = a.fr\nkey_algorithm = hmac-sha256\nkey_file = relative",
         ["line 6, [dns] key_algorithm: key_file is there as well; keep one of them",
          "line 7, [dns] key_file: is a relative path"]),
        (DEPARTMENT + DNS.replace("[dns]", "[dns a..fr]"),
         ["line 4, [dns a..fr]: is not a DNS name (letters, digits and hyphens between dots); "
          "correct it; write [dns] or [dns DOMAIN]"]),
        (DEPARTMENT + DNS.replace("[dns]", "[dns été.fr]") + DNS.replace("[dns]", "[dns ÉTÉ.fr.]"),
         ["line 8, [dns ÉTÉ.fr.]: is the same as [dns été.fr], line 4; keep one"]),
        (DEPARTMENT + DNS.replace("[dns]", "[dns a.fr]") + "zone = b.fr\n",
         ["line 8, [dns a.fr] zone: the zone b.fr has no name in common with [dns a.fr]; "
          "correct one of them"]),
        (DEPARTMENT + "[install a]\n",
         ["line 4, [install a] certificate: is missing; write the certificate's name; see: "
          "certbot certificates",
          "line 4, [install a]: writes nothing; add one of fullchain, cert, chain, privkey"]),
        (DEPARTMENT + INSTALL + "pkcs12 = /a.p12\n",
         ["line 4, [install mail] pkcs12_password_file: is missing, and pkcs12 needs it; "
          "write pkcs12_password_file"]),
        (DEPARTMENT + INSTALL + "pkcs12_password_file = /none.pw\n",
         ["line 4, [install mail] pkcs12: is missing, and pkcs12_password_file needs it; "
          "write pkcs12"]),
        (DEPARTMENT + INSTALL + "cert = /etc/../etc/mail.pem\n"
         + INSTALL.replace("install mail", "install b"),
         ["line 7, [install mail] cert: /etc/../etc/mail.pem is written by [install mail] fullchai",
          "line 10, [install b] fullchain: /etc/mail.pem is written by [install mail] fullchain, "
          "line 6, too; keep one"]),
    ],
)  # fmt: skip
def test_keys_that_lack_or_contradict_each_other_are_told(
    config: Path, text: str, told: list[str]
) -> None:
    found = faults(config, text)
    assert len(found) == len(told)
    for fault, start in zip(found, told):
        assert fault.startswith(start)


def test_all_faults_of_a_file_come_in_one_message_in_their_order(config: Path) -> None:
    text = f"""\
[tcs]
server = http://x.fr/
email = a@x.fr
email = b@x.fr
{HMAC}
[department a]
eab_kid = 1
eab_hmac_key = {HMAC}x
[dns]
server = ns.x.fr
key_file = /none.key
[dns]
server = {HMAC}
server = again
[department a]
eab_kid = 2
  more = of it
"""
    assert [told.split(";")[0] for told in faults(config, text)] == [
        "line 2, [tcs] server: is not an https URL",
        "line 4, [tcs] email: stands here again, after line 3",
        "line 5: neither a [section] alone on its line nor key = value",
        "line 8, [department a] eab_hmac_key: has 33 bytes, not an even number: it was cut short",
        "line 11, [dns] key_file: /none.key: no such file or directory",
        "line 12, [dns]: stands here again, after line 9",
        "line 15, [department a]: stands here again, after line 6",
    ]


# The files a config names, and rights


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "the file must hold the HMAC Key alone, on one line"),
        (f"{HMAC}\n{HMAC}\n", "the file must hold the HMAC Key alone, on one line"),
        (f"eab_hmac_key = {HMAC}\n", "has blanks or quotes"),
        (HMAC[:-1], "has 31 bytes, not at least 32"),
        (b"\xff" + HMAC.encode(), "has a character that no HMAC Key has"),
    ],
)
def test_a_bad_hmac_key_file_is_told(config: Path, content: str | bytes, fault: str) -> None:
    key = config.with_name("hmac")
    write(key, content)
    text = DEPARTMENT.replace(f"eab_hmac_key = {HMAC}", f"eab_hmac_key_file = {key}")
    (told,) = faults(config, text)
    assert told.startswith(f"line 3, {D} eab_hmac_key_file: {key}: {fault}")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", ": the file is empty; copy the key again, as the DNS administrator sent it"),
        (
            f'key k {{\n algorithm hmac-sha256;\n secret "{TSIG[:-1]}";\n}};',
            ", line 3: the TSIG key's secret",
        ),
        (f"key k {{\n{TSIG};\n}};", ", line 2: unknown statement"),
    ],
)
def test_a_bad_key_file_is_told_with_its_own_line(config: Path, content: str, fault: str) -> None:
    key = config.with_name("labo.key")
    write(key, content)
    (told,) = faults(config, f"{DEPARTMENT}[dns]\nserver = a.fr\nkey_file = {key}\n")
    assert told.startswith(f"line 6, [dns] key_file: {key}{fault}")


def test_a_weak_key_in_a_key_file_draws_a_warning(config: Path) -> None:
    key = config.with_name("labo.key")
    write(key, f"key k {{ algorithm hmac-md5; secret {TSIG}; }};")
    settings = read(config, f"{DEPARTMENT}[dns]\nserver = a.fr\nkey_file = {key}\n")
    assert tuple(map(str, settings.warnings)) == (
        f"{config}, line 6, [dns] key_file: hmac-md5 is weak; ask the DNS administrator for a "
        "TSIG key with hmac-sha256",
    )


def with_files(config: Path) -> dict[str, Path]:
    """Write a good config and every file that one can name; return them by key."""
    names = ("eab_hmac_key_file", "key_file", "pkcs12_password_file")
    files = {name: config.with_name(f"the {name}") for name in names}
    write(files["eab_hmac_key_file"], HMAC)
    write(files["key_file"], f"key k {{ algorithm hmac-sha256; secret {TSIG}; }};")
    write(files["pkcs12_password_file"], "pass word\nof no form")
    write(
        config,
        f"[department labo]\neab_kid = kid-1\neab_hmac_key_file = {files['eab_hmac_key_file']}\n"
        f"[dns]\nserver = a.fr\nkey_file = {files['key_file']}\n{INSTALL}"
        f"pkcs12 = /a.p12\npkcs12_password_file = {files['pkcs12_password_file']}\n",
    )
    return {"": config, **files}


KEYS_OF_FILES = {
    "": "",
    "eab_hmac_key_file": f", line 3, {D} eab_hmac_key_file",
    "key_file": ", line 6, [dns] key_file",
    "pkcs12_password_file": ", line 11, [install mail] pkcs12_password_file",
}


@pytest.mark.parametrize("key", KEYS_OF_FILES)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o444])
def test_a_file_others_can_read_draws_a_warning(config: Path, key: str, mode: int) -> None:
    path = with_files(config)[key]
    path.chmod(mode)
    (warning,) = map(str, reader.read(str(config)).warnings)
    assert warning.startswith(f"{config}{KEYS_OF_FILES[key]}: ")
    assert "others than its owner can read it; run: chmod 600 " in warning
    assert str(path) in warning


@pytest.mark.parametrize("key", KEYS_OF_FILES)
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_others_can_write_is_refused(config: Path, key: str, mode: int) -> None:
    path = with_files(config)[key]
    path.chmod(mode)
    (told,) = faults_of(config)
    assert "others than its owner can write it; run: chmod 600 " in told
    assert told.startswith(KEYS_OF_FILES[key].lstrip(", "))


def test_files_of_their_owner_alone_draw_no_warning(config: Path) -> None:
    with_files(config)
    assert reader.read(str(config)).warnings == ()


def test_a_missing_config_shows_where_it_was_looked_for_and_the_smallest_that_works(
    config: Path,
) -> None:
    with pytest.raises(ConfigError) as caught:
        reader.read(str(config))
    message = str(caught.value)
    assert message.startswith(
        f"{config}: there is no department config; write it and run: chmod 600 "
    )
    assert "--tcs-lyon1-config PATH" in message
    assert message.endswith(reader.SMALLEST)


def test_every_bad_item_of_a_list_is_told_alone(config: Path) -> None:
    wrong = "is not a DNS name (letters, digits and hyphens between dots); correct it"
    assert faults(config, f"{DEPARTMENT}domains = a..fr b.fr c..fr\n") == [
        f"line 4, {D} domains: a..fr: {wrong}",
        f"line 4, {D} domains: c..fr: {wrong}",
    ]


def test_what_stands_before_the_first_section_is_told_once(config: Path) -> None:
    (told,) = faults(config, "Jan 1 a line of a log\n" * 4000 + DEPARTMENT)
    assert told == "line 1: stands before the first [section]; move it into one"


@pytest.mark.parametrize("key", ["", "eab_hmac_key_file", "key_file"])
def test_a_file_too_large_to_be_meant_is_told(config: Path, key: str) -> None:
    path = with_files(config)[key]
    with path.open("ab") as file:
        file.truncate(2**30)
    with pytest.raises(ConfigError, match="too large; "):
        reader.read(str(config))


def test_a_relative_path_is_told_absolute(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    with pytest.raises(ConfigError, match=re.escape(str(config))):
        reader.read(config.name)


def test_a_config_that_is_no_file_is_told(config: Path) -> None:
    config.mkdir()
    with pytest.raises(ConfigError, match="cannot be read: is a directory; name another file"):
        reader.read(str(config))
    config.rmdir()
    os.mkfifo(config)
    with pytest.raises(ConfigError, match="cannot be read: not an ordinary file; "):
        reader.read(str(config))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission denied; run certbot as root, or"),
        (OSError(5, "Input/output error"), "input/output error;"),
        (OSError("odd"), "unknown reason;"),
    ],
)
def test_an_unreadable_config_is_told_with_the_reason(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    def refuse(*_: object) -> int:
        raise error

    write(config, DEPARTMENT)
    monkeypatch.setattr(reader.os, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        reader.read(str(config))
    assert str(caught.value) == (
        f"{config}: the department config cannot be read: {reason} name another file with "
        "--tcs-lyon1-config PATH"
    )


def test_a_file_that_belongs_to_somebody_else_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "tcs-lyon1.ini"
    path.touch(mode=0o600)
    path.write_text(reader.SMALLEST)
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(ConfigError, match="chown root"):
        reader.read(str(path))


FILLED_IN = reader.SMALLEST.replace("<Key ID from the portal>", "kid").replace(
    "<HMAC Key from the portal>", "A" * 43
)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("privkey = /x/key\nmode = 0644", "lets everybody at the private key in privkey"),
        ("cert = /x/cert\nmode = 0644", None),
        ("pkcs12 = /x/p12\npkcs12_password_file = /x/./p12", "keep the password elsewhere"),
    ],
)
def test_an_install_section_that_would_give_the_key_away_is_refused(tmp_path, section, expected):
    path = tmp_path / "tcs-lyon1.ini"
    path.touch(mode=0o600)
    text = FILLED_IN.split("; Only", maxsplit=1)[0]
    path.write_text(f"{text}\n[install x]\ncertificate = www\n{section}\n")
    if expected is None:
        assert reader.read(str(path)).targets
        return
    with pytest.raises(ConfigError, match=expected):
        reader.read(str(path))


MOST = 120_000


def repeated(unit: str) -> str:
    return unit * (MOST // len(unit))


@pytest.mark.parametrize(
    "text",
    [
        "[tcs]\n" + repeated("a=b\n"),
        repeated("[tcs]\n"),
        repeated("[x\n"),
        "[tcs]\n" + repeated("x\n"),
        "[tcs]\n" + "".join(f"k{number}=\n" for number in range(MOST // 7)),
        "".join(f"[dns a{number}]\n" for number in range(MOST // 12)),
        "".join(f"[x{number}]\n" for number in range(MOST // 8)),
        DEPARTMENT + "domains = " + repeated("a..fr "),
    ],
    ids=["key", "section", "header", "no key", "new keys", "sections", "new sections", "list"],
)
def test_a_long_file_of_faults_is_told_at_once_and_not_at_length(config: Path, text: str) -> None:
    started = time.process_time()
    told = faults(config, text)
    assert time.process_time() - started < 5
    assert len(told) <= 101
    assert len("\n".join(told)) < 30_000


@pytest.mark.parametrize("unit", ["k ", "\n#\n", "a\n", '"a" ', "{};"])
def test_a_long_key_file_is_told_at_once(config: Path, unit: str) -> None:
    key_file = config.with_name("long.key")
    write(key_file, f"key k {{\n{repeated(unit)}")
    started = time.process_time()
    faults(config, f"{DEPARTMENT}[dns]\nserver = a.fr\nkey_file = {key_file}\n")
    assert time.process_time() - started < 2


def test_a_fault_of_every_kind_is_told_up_to_a_hundred_and_the_rest_counted(config: Path) -> None:
    told = faults(config, DEPARTMENT + "x\n" * 150)
    assert told[99].startswith("line 103: neither")
    assert told[100:] == ["and 50 more; correct these first"]


# What root relies on: nobody else could have written it


@pytest.mark.parametrize("key", ["eab_hmac_key_file", "key_file", "pkcs12_password_file"])
def test_a_file_in_a_folder_that_others_can_write_is_refused_and_the_copy_works(
    config: Path, key: str
) -> None:
    old = with_files(config)[key]
    folder = config.with_name("open")
    folder.mkdir()
    folder.chmod(0o777)
    moved = folder / old.name
    old.rename(moved)
    config.write_text(config.read_text().replace(str(old), str(moved)))
    (told,) = faults_of(config)
    assert f"others than its owner can write the folder {folder}" in told
    use_copy(config, moved, told)
    assert reader.read(str(config)).warnings == ()


def use_copy(config: Path, path: Path, told: str) -> None:
    """Do what is advised: run the command, and name the copy."""
    command = re.search(r"copy it: (.*), and name that", told)
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    config.write_text(config.read_text().replace(str(path), shlex.split(command[1])[-1]))


def test_a_config_in_a_folder_that_others_can_write_is_refused_and_the_command_mends_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    folder.chmod(0o775)
    write(folder / "tcs-lyon1.ini", DEPARTMENT)
    with pytest.raises(ConfigError) as caught:
        reader.read(str(folder / "tcs-lyon1.ini"))
    assert f"others than its owner can write the folder {folder}" in str(caught.value)
    subprocess.run(str(caught.value).partition("run: ")[2], shell=True, check=True)
    assert reader.read(str(folder / "tcs-lyon1.ini")).departments


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660])
def test_a_key_that_named_includes_is_copied_and_left_to_named(config: Path, mode: int) -> None:
    old = with_files(config)["key_file"]
    folder = config.with_name("bind")
    folder.mkdir()
    moved = folder / "session.key"
    old.rename(moved)
    os.chown(moved, 65534, 65534)
    moved.chmod(mode)
    config.write_text(config.read_text().replace(str(old), str(moved)))
    (told,) = faults_of(config)
    assert "it belongs to user number 65534, who can change it; copy it: install -m 600 " in told
    use_copy(config, moved, told)
    assert reader.read(str(config)).warnings == ()
    assert (moved.stat().st_uid, moved.stat().st_mode & 0o777) == (65534, mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("mode", [0o640, 0o644])
def test_a_certbot_that_is_not_root_reads_roots_files_by_its_group(mode: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = write(folder / "tcs-lyon1.ini", DEPARTMENT, mode)
        os.chown(path, 0, 65534)
        warnings = warnings_as_nobody(path)
        if mode == 0o640:
            assert warnings == []
            return
        os.chown(path, 0, 0)
        (warning,) = warnings_as_nobody(path)
        subprocess.run(warning.partition("run: ")[2], shell=True, check=True)
        assert warnings_as_nobody(path) == []


def warnings_as_nobody(path: str) -> list[str]:
    code = (
        "import os; from certbot_tcs_lyon1.department import reader;"
        f"reader.read({path!r});"  # loads what is imported late: Python may lie in root's folder
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        f"print(*reader.read({path!r}).warnings, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives links to others")
def test_a_key_file_behind_a_link_that_another_user_made_is_refused(config: Path) -> None:
    key = with_files(config)["key_file"]
    real = key.with_name("real.key")
    key.rename(real)
    key.symlink_to(real)
    assert reader.read(str(config)).warnings == ()
    os.chown(key, 65534, 65534, follow_symlinks=False)
    (told,) = faults_of(config)
    assert "is a symbolic link that another user than root has made" in told


def test_each_file_is_opened_once(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = with_files(config)
    opened: list[str] = []
    really_open = os.open

    def count(path: str, flags: int, *args: Any, **kwargs: Any) -> int:
        if not flags & os.O_PATH:
            opened.append(os.path.basename(path))
        return really_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", count)
    reader.read(str(config))
    assert sorted(opened) == sorted({config.name, *(path.name for path in files.values())})


@pytest.mark.parametrize("key", ["", "eab_hmac_key_file", "key_file", "pkcs12_password_file"])
def test_settings_are_current_until_a_file_that_they_come_from_changes(
    config: Path, key: str
) -> None:
    path = with_files(config)[key]
    settings = reader.read(str(config))
    assert reader.is_current(settings)
    data = path.read_bytes()
    path.unlink()
    assert not reader.is_current(settings)
    write(path, data)
    assert not reader.is_current(settings)
