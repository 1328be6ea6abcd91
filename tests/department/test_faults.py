"""The department config: what a user gets for each way to break it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.errors import ConfigError
from tests.department.texts import (
    DEPARTMENT,
    DNS,
    HMAC,
    INSTALL,
    TSIG,
    D,
    faults,
    write,
)

BAD_FORM = [
    ("", "no department; write a section [department NAME] with its Key ID and HMAC"),
    ("[tcs]\n", "no department;"),
    ("a\n= b\n", "no department;"),
    (f"eab_hmac_key = {HMAC}\n{DEPARTMENT}", "line 1: is before the first [section]"),
    (f"{DEPARTMENT}{HMAC}\n", "line 4: neither a [section] alone on its line nor key = value"),
    (f"{DEPARTMENT}email: {TSIG}\n", f"line 4, {D} (not shown): is unknown; known are server"),
    (f"{DEPARTMENT}{TSIG}\n", f"line 4, {D} (not shown): is unknown"),
    (f"{DEPARTMENT}email a@x.fr\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}[dns] {HMAC}\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}= {HMAC}\n", "line 4: neither a [section]"),
    (f"{DEPARTMENT}eab_kid = {HMAC}\n", f"line 4, {D} eab_kid: is here again, after line 2"),
    (f"{DEPARTMENT}{TSIG}\n{TSIG}\n", f"line 5, {D}: is here again, after line 4; keep one"),
    (f"{DEPARTMENT}{DEPARTMENT}", f"line 4, {D}: is here again, after line 1; keep one"),
    (f"{DEPARTMENT}[department  labo]\n", f"line 4, [department  labo]: is the same as {D}, li"),
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
    (f"eab_hmac_key = {HMAC[:9]}\n  {HMAC[9:]}", "continues on an indented line"),
    (f"eab_hmac_key = {HMAC}\n  domains = a.fr", "continues on an indented line"),
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
    ("email = a", "is not an e-mail address; write one, or several separated by commas"),
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
    ("replace_issued_before = 21/07/2026", "is no date; write it like 2026-07-21, or 2026-07-21T"),
    ("replace_issued_before = 2025-07-21T14:00:00", "is no date"),
    ("replace_issued_before = 2025-02-30", "is no date"),
    ("replace_issued_before = 2999-01-01", "is in the future; write it when the day has come"),
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
    (f"domains = a.fr b..fr\n  eab_hmac_key = {HMAC}", "continues on an indented line"),
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
    (
        "serves = mail.x.fr",
        "is not HOST:PORT or HOST:PORT starttls=PROTOCOL; write one, or several",
    ),
    ("serves = mail.x.fr:25 smtp", "is not HOST:PORT or HOST:PORT starttls=PROTOCOL"),
    ("serves = mail.x.fr:25 starttls=smtp x", "is not HOST:PORT or HOST:PORT starttls=PROTOCOL"),
    ("serves = mail.x.fr:443,", "is not HOST:PORT or HOST:PORT starttls=PROTOCOL"),
    ("serves = mail.x.fr:25 starttls=nntp", "starttls is one of "),
    ("serves = mail.x.fr:0", "the port is not a number from 1 to 65535"),
    ("serves = [192.0.2.1]:443", "only an IPv6 address goes into brackets"),
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
    ("reload = a ; b", "commands run without a shell, so `;` does not separate them"),
    ("reload = a; b", "commands run without a shell; put several into a script, and name that"),
    ("reload = a;b; c", "commands run without a shell; put several into a script"),
    ("reload = a && b", "commands run without a shell; put several into a script"),
    ("reload = a | b", "commands run without a shell"),
    ("reload = a >/dev/null 2>&1", "commands run without a shell"),
    ("reload = a\n  b", "continues on an indented line"),
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
        "line 4, [tcs] email: is here again, after line 3",
        "line 5: neither a [section] alone on its line nor key = value",
        "line 8, [department a] eab_hmac_key: has 33 bytes, not an even number: it was cut short",
        "line 11, [dns] key_file: /none.key: no such file or directory",
        "line 12, [dns]: is here again, after line 9",
        "line 15, [department a]: is here again, after line 6",
    ]


def test_a_secret_in_a_header_is_not_shown_where_another_section_names_it(config: Path) -> None:
    odd = DEPARTMENT.replace("labo", f"l {HMAC[:8]}")
    install = f"[install l {HMAC[:8]}]\ncertificate = a\nfullchain = /a.pem\n"
    departments = f"{odd}domains = a.fr\n{DEPARTMENT}domains = a.fr\n"
    told = "\n".join(faults(config, f"{departments}{install}{INSTALL}cert = /a.pem\n"))
    assert "another department's as well: [department l (not shown)], line 4; keep one" in told
    assert "/a.pem is written by [install l (not shown)] fullchain, line 11, too; keep" in told


def test_every_bad_item_of_a_list_is_told_alone(config: Path) -> None:
    wrong = "is not a DNS name (letters, digits and hyphens between dots); correct it"
    assert faults(config, f"{DEPARTMENT}domains = a..fr b.fr c..fr\n") == [
        f"line 4, {D} domains: a..fr: {wrong}",
        f"line 4, {D} domains: c..fr: {wrong}",
    ]


def test_what_stands_before_the_first_section_is_told_once(config: Path) -> None:
    (told,) = faults(config, "Jan 1 a line of a log\n" * 4000 + DEPARTMENT)
    assert told == "line 1: is before the first [section]; move it into one"


FILLED_IN = reader.SMALLEST.replace("<Key ID from the portal>", "kid").replace(
    "<HMAC Key from the portal>", "A" * 43
)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("privkey = /x/key\nmode = 0644", "gives everybody access to the private key in privkey"),
        ("cert = /x/cert\nmode = 0644", None),
        ("pkcs12 = /x/p12\npkcs12_password_file = /x/./p12", "keep the password elsewhere"),
    ],
)
def test_an_install_section_that_would_give_the_key_away_is_refused(config, section, expected):
    text = FILLED_IN.split("; Only", maxsplit=1)[0]
    path = write(config, f"{text}\n[install x]\ncertificate = www\n{section}\n")
    if expected is None:
        assert reader.read(path).targets
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
