"""TSIG keys: what a user gets for a good key file, and for each way to break one."""

from __future__ import annotations

import base64
import subprocess
import sys
import traceback

import pytest

from certbot_tcs_lyon1.department import keyfiles
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.settings import TsigKey

SECRET = base64.b64encode(b"a secret that nobody may see 123").decode()
GOOD = f'key "labo" {{\n\talgorithm hmac-sha256;\n\tsecret "{SECRET}";\n}};\n'
KEY = TsigKey("labo", "hmac-sha256", SECRET)


def key_from(text: str | bytes) -> TsigKey:
    return keyfiles.parse_key(text if isinstance(text, bytes) else text.encode())


def assert_keeps_secret(error: BaseException) -> None:
    told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    for shown in (str(error), repr(error), repr(error.__context__), told):
        assert SECRET[4:16].lower() not in shown.lower()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace('"', ""),
        f"KEY labo. {{ Algorithm HMAC-SHA256.; SECRET {SECRET}; }}",
        f"key labo {{ secret {SECRET}; algorithm hmac-sha256; }};",
        f"// made by hand\n# for labo\n/* two\nlines */ {GOOD} # end",
        f"key labo{{algorithm/* the\nusual */hmac-sha256;//\nsecret {SECRET};}};",
    ],
)
def test_a_key_file_as_tsig_keygen_prints_it_is_read(text: str) -> None:
    assert key_from(text) == KEY


def test_an_unquoted_secret_may_hold_slashes() -> None:
    key = key_from("key k { algorithm hmac-sha512; secret ab//cd/*; };".replace("*", "x"))
    assert key.secret == "ab//cd/x"


def test_a_short_secret_is_the_name_servers_business() -> None:
    assert keyfiles.check_secret("QQ==") == "QQ=="


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "the file is empty; copy the key again, as the DNS administrator sent it"),
        ("\n // nothing\n", None, "the file is empty"),
        ("Private-key-format: v1.3\nKey: AAAA\n", 1, "a file of dnssec-keygen"),
        ("labo. IN KEY 512 3 157 AAAA\n", 1, "a file of dnssec-keygen"),
        (f"# a key\n{SECRET}\n", 2, "not a TSIG key file; ask the DNS administrator for the file"),
        ('"key" k { };', 1, "not a TSIG key file"),
        (GOOD.encode("utf-16"), 1, "the file is UTF-16; save it as UTF-8 text"),
        (GOOD.encode("utf-16-le"), 1, "the file is UTF-16; save it as UTF-8 text"),
        (GOOD.encode("utf-16-be"), 1, "the file is UTF-16; save it as UTF-8 text"),
        ("key", 1, 'is not of the form: key "NAME" {'),
        ("key {", 1, 'is not of the form: key "NAME" {'),
        (f"key labo secret {SECRET};", 1, 'is not of the form: key "NAME" {'),
        ("key labo };", 1, "an opening and a closing brace"),
        (GOOD.replace("}", ""), 1, "an opening and a closing brace"),
        (GOOD.replace(f'{SECRET}"', SECRET), 3, "the quote opened here is not closed"),
        ("\n/* " + GOOD, 2, "the comment opened here is not closed"),
        (GOOD + GOOD, 5, "a second key; leave one key in the file"),
        (GOOD + "options { };", 5, "something follows the key"),
        (GOOD.replace("secret", "secrets"), 3, "unknown statement; did you mean secret?"),
        (GOOD.replace("secret", SECRET), 3, "unknown statement; a key has algorithm and secret"),
        (GOOD.replace('";', '"'), 3, "secret needs one value, and a semicolon after it"),
        (GOOD.replace(f'"{SECRET}"', ""), 3, "secret needs one value"),
        (GOOD.replace('";', '" more;'), 3, "secret needs one value"),
        (GOOD.replace("};", f"secret {SECRET};\n}};"), 4, "a second secret; leave one"),
        (GOOD.replace("};", "algorithm hmac-md5;\n};"), 4, "a second algorithm; leave one"),
        (f"key k {{ secret {SECRET}; }};", 1, "the key has no algorithm"),
        ("key k { algorithm hmac-sha256; };", 1, "the key has no secret"),
        (GOOD.replace("sha256", "sha265"), 2, "unknown algorithm; did you mean hmac-sha256?"),
        (GOOD.replace("hmac-sha256", SECRET), 2, "unknown algorithm; known are hmac-md5, "),
        (GOOD.replace(SECRET, ""), 3, "the TSIG key's secret is empty"),
        (GOOD.replace(SECRET, SECRET[:-1]), 3, "the TSIG key's secret is not base64"),
        (GOOD.replace(SECRET, "…" + SECRET), 3, "the TSIG key's secret is not base64"),
        (GOOD.replace(SECRET, SECRET + "===="), 3, "the TSIG key's secret is not base64"),
        (GOOD.replace('"labo"', '""'), 1, "the TSIG key's name is empty"),
        (GOOD.replace("labo", "la bo"), 1, "the TSIG key's name is empty, or has blanks"),
        (GOOD.replace("labo", "la..bo"), 1, "the TSIG key's name is not a domain name"),
        (GOOD.replace("labo", "x" * 64), 1, "the TSIG key's name is not a domain name"),
        (GOOD.replace("labo", "x." * 127 + "x"), 1, "the TSIG key's name is not a domain name"),
    ],
)
def test_a_broken_key_file_is_told_with_its_line(
    text: str | bytes, line: int | None, message: str
) -> None:
    with pytest.raises(Fault) as caught:
        key_from(text)
    assert message in str(caught.value)
    assert caught.value.line == line
    assert_keeps_secret(caught.value)


@pytest.mark.parametrize("spelling", ["hmac-md5", "HMAC-MD5.SIG-ALG.REG.INT."])
def test_md5_has_one_name(spelling: str) -> None:
    assert keyfiles.check_algorithm(spelling) == "hmac-md5"
    assert "hmac-md5" in keyfiles.WEAK


def test_the_secret_is_not_in_the_repr_of_a_key() -> None:
    assert repr(KEY) == "TsigKey(name='labo', algorithm='hmac-sha256')"


def test_reading_keys_imports_neither_dnspython_nor_certbot() -> None:
    code = (
        "import sys; from certbot_tcs_lyon1.department import reader;"
        "print([name for name in sys.modules if name.split('.')[0] in ('dns', 'certbot')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
