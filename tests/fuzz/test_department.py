"""The department config and the files that it names."""

from __future__ import annotations

import base64
import configparser
import traceback
from typing import Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certbot_tcs_lyon1.department import inifile, keyfiles, reader
from certbot_tcs_lyon1.department.faults import KINDS
from certbot_tcs_lyon1.department.keys import EVERY_KEY
from certbot_tcs_lyon1.errors import ConfigError

SECRET = "qZ7xKv2W"
SECRET_KEYS = ("eab_hmac_key", "key_secret")

ODD = st.text("\x00\x1b\x7f\n\r\t =[];#:,.*_-@/'\"\\{}é²٣\u202e\ud800aA0", max_size=12)
WORDS = st.one_of(ODD, st.text(max_size=8), st.sampled_from(["", "yes", "a.fr", "/x", "::1", "9"]))
NAMES = st.sampled_from([*EVERY_KEY, "eab_hmac", "x", ""])


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)) + repr(
        error
    )


def assert_keeps(secret: str, text: str) -> None:
    assert secret.lower() not in text.lower()


LINES = st.one_of(
    st.builds("[{} {}]".format, st.sampled_from([*KINDS, "dn", "x", ""]), ODD),
    st.builds("[{}]".format, st.sampled_from([*KINDS, "department l", "install m"])),
    st.builds("[{} l {}]".format, st.sampled_from([*KINDS, "x"]), st.just(SECRET)),
    st.sampled_from([f"[{SECRET}]", SECRET, f"{SECRET}=", f" {SECRET}", f"{SECRET} {SECRET}", ""]),
    st.builds("{} = {}".format, NAMES, WORDS),
    st.builds("{} = {}".format, st.sampled_from(SECRET_KEYS), st.just(SECRET)),
    st.builds("{} = {} {}".format, st.sampled_from(SECRET_KEYS), WORDS, st.just(SECRET)),
    st.builds("{} = {}".format, NAMES, st.just(SECRET)),
    ODD,
)


@given(st.lists(LINES, max_size=25).map("\n".join), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
@example("[department a]\neab_kid=é", "latin-1")
def test_a_department_config_is_read_or_refused_and_keeps_its_secrets(text, encoding):
    errors = "surrogatepass" if encoding != "latin-1" else "replace"
    try:
        settings = reader.parse("/nowhere/tcs-lyon1.ini", text.encode(encoding, errors))
    except ConfigError as error:
        assert_keeps(SECRET, told(error))
    else:
        assert_keeps(SECRET, "\n".join(map(str, settings.warnings)))


@given(st.binary(max_size=400))
def test_a_department_config_of_any_bytes_is_refused(data):
    with pytest.raises(ConfigError):
        reader.parse("/nowhere/tcs-lyon1.ini", data)


GOOD_LINES = st.one_of(
    st.builds("[{}]".format, st.text("ab x]", max_size=3)),
    st.builds("{}{} = {}{}".format, st.sampled_from(["", " ", "\t"]), NAMES, WORDS, ODD),
    st.sampled_from(
        ["", " ", "  more", "\tmore ; not this", "; c", "# c", " # c", "a=b=c ;c", "\f"]
    ),
)


@given(st.lists(GOOD_LINES, max_size=15).map("\n".join))
def test_what_configparser_takes_is_read_as_configparser_reads_it(text):
    source = inifile.Source("/nowhere/x.ini", text.encode("utf-8", "surrogatepass"))
    parser = configparser.ConfigParser(
        interpolation=None, delimiters=("=",), inline_comment_prefixes=(";",), default_section="\0"
    )
    parser.SECTCRE = inifile._HEADER
    before = len(source.faults)
    found = {section.header: section.texts for section in inifile.parse(source)}
    try:
        parser.read_file(source.lines)
    except configparser.Error:
        assert len(source.faults) > before
    else:
        assert len(source.faults) == before
        assert found == {header: dict(parser[header]) for header in parser.sections()}


GOOD_KEY = f'key "labo" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
TOKENS = st.sampled_from(
    ["key", '"labo"', "labo", "{", "}", ";", "algorithm", "hmac-sha256", "secret", f'"{SECRET}"']
    + [SECRET, "//", "/*", "*/", "#", "\n", '"', "é", "IN KEY 1 3 1"]
)


@given(st.lists(TOKENS, max_size=25).map(" ".join))
@example(GOOD_KEY)
def test_a_key_file_is_read_or_refused_and_keeps_its_secret(text):
    read_key(text.encode())


@given(st.integers(0, len(GOOD_KEY)), st.binary(max_size=6), st.integers(0, 8))
def test_a_key_file_with_other_bytes_in_it_keeps_its_secret(at, data, dropped):
    good = GOOD_KEY.encode()
    read_key(good[:at] + data + good[at + dropped :])


def read_key(data: bytes) -> None:
    try:
        key = keyfiles.parse_key(data)
    except ConfigError as fault:
        assert_keeps(SECRET, told(fault))
    else:
        assert_keeps(SECRET, repr(key))


def entry(name: str, realm: str, key: bytes, encryption: int) -> bytes:
    def counted(data: bytes) -> bytes:
        return len(data).to_bytes(2, "big") + data

    body = b"\0\1" + counted(realm.encode()) + counted(name.encode()) + bytes(9)
    body += encryption.to_bytes(2, "big") + counted(key)
    return len(body).to_bytes(4, "big") + body


#: Random as keys are: of those, no 8 bytes are a text.
KEY = base64.b16decode("FF80C3FE00F1E28899AABBCCDDEEFF81")
KEYTAB = b"\5\2" + entry("svc", "AD.X", KEY, 18) + entry("svc", "AD.X", KEY, 23)


@given(st.integers(0, len(KEYTAB)), st.binary(max_size=6), st.integers(0, 8), st.booleans())
def test_a_keytab_with_other_bytes_in_it_is_read_or_refused(at, data, dropped, named):
    read_keytab(KEYTAB[:at] + data + KEYTAB[at + dropped :], "svc@AD.X" if named else None)


@given(st.binary(max_size=200))
def test_a_keytab_of_any_bytes_is_read_or_refused(data):
    read_keytab(b"\5\2" + data, None)


def assert_printable(text: str) -> None:
    assert text.isprintable()


def read_keytab(data: bytes, principal: Optional[str]) -> None:
    try:
        keyfiles.parse_keytab(data, principal)
    except ConfigError as fault:
        assert_printable(str(fault))
