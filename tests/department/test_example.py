"""The annotated department config that ships with the package: what it shows works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.keys import KEYS
from certbot_tcs_lyon1.department.settings import DEFAULT_ALGORITHM, DnsServer, Settings
from certbot_tcs_lyon1.errors import ConfigError
from tests.department import keytabs
from tests.lab import zones
from tests.lab.files import write_private
from tests.lab.pebble import new_hmac_key

TEXT = (Path(certbot_tcs_lyon1.__file__).parent / "tcs-lyon1.ini.example").read_text("utf-8")

#: Of the keys of a pair, a section has one: those that the example shows first, or the others.
INLINE, KERBEROS = ("key_name", "key_algorithm", "key_secret"), ("keytab", "principal")
CHOICES = [
    ("eab_hmac_key", "key_file", *KERBEROS),
    ("eab_hmac_key_file", *INLINE, *KERBEROS),
    ("eab_hmac_key_file", "key_file", *INLINE),
]


def uncommented(text: str) -> str:
    """The example with every section and key in force."""
    return re.sub(r"^;(\[.*\]|[a-z0-9_]+ = .*)$", r"\1", text, flags=re.MULTILINE)


def without(text: str, keys: tuple[str, ...]) -> str:
    """The text without the first line of each key."""
    for key in keys:
        text = re.sub(f"^{key} = .*\n", "", text, count=1, flags=re.MULTILINE)
    return text


def read(folder: Path, text: str) -> Settings:
    """The example with values in the place of its placeholders."""
    zones.write_key_file(folder / "any.key", zones.new_key("tcs-lyon1"))
    keytab = folder / "any.keytab"
    keytab.touch(mode=0o600)
    keytab.write_bytes(keytabs.keytab(("svc-acme@AD.UNIV-LYON1.FR", keytabs.AES256)))
    text = re.sub(r"^keytab = .*$", f"keytab = {keytab}", text, flags=re.MULTILINE)
    secret = write_private(folder / "hmac", new_hmac_key())
    for place, value in {
        "= KEY_ID": "= kid",
        "= HMAC_KEY": f"= {new_hmac_key()}",
        "= SECRET": f"= {zones.new_key('any').secret}",
    }.items():
        text = text.replace(place, value)
    text = re.sub(r"^key_file = .*$", f"key_file = {folder}/any.key", text, flags=re.MULTILINE)
    text = re.sub(r"^(eab_hmac_key_file) = .*$", rf"\1 = {secret}", text, flags=re.MULTILINE)
    return reader.read(str(write_private(folder / "tcs-lyon1.ini", text)))


def test_it_loads_as_it_is_once_the_values_of_the_portal_are_in_it(tmp_path):
    settings = read(tmp_path, TEXT)
    assert [found.name for found in settings.departments] == ["labo"]
    assert settings.warnings == ()
    assert settings.targets == ()


def test_its_placeholders_are_told_until_they_are_replaced(tmp_path):
    text = TEXT.replace("/etc/letsencrypt/", f"{tmp_path}/")
    path = write_private(tmp_path / "tcs-lyon1.ini", text)
    zones.write_key_file(tmp_path / "tcs-lyon1.key", zones.new_key("tcs-lyon1"))
    with pytest.raises(ConfigError) as told:
        reader.read(str(path))
    lines = str(told.value).splitlines()
    assert [re.search(r"\] (\w+):", line)[1] for line in lines] == ["eab_kid", "eab_hmac_key"]
    assert all("placeholder" in line for line in lines)


@pytest.mark.parametrize("left_out", CHOICES)
def test_every_key_loads_uncommented(tmp_path, left_out):
    settings = read(tmp_path, without(uncommented(TEXT), left_out))
    assert [found.name for found in settings.departments] == ["labo", "chimie"]
    assert [found.base for found in settings.dns] == ["", "sciences.univ-lyon1.fr"]
    assert [found.name for found in settings.targets] == ["mail"]


def test_every_key_is_in_it():
    shown: dict[str, set[str]] = {kind: set() for kind in KEYS}
    kind = ""
    for line in uncommented(TEXT).splitlines():
        if line.startswith("["):
            kind = line.strip("[]").split()[0]
        elif re.match("[a-z0-9_]+ = ", line):
            shown[kind].add(line.split(" = ")[0])
    shown["department"] |= shown["tcs"] - {"revocation_check"}  # they may stand there as well
    assert shown == {kind: set(keys) for kind, keys in KEYS.items()}


def test_the_defaults_that_it_shows_are_the_defaults():
    fields = DnsServer.__dataclass_fields__
    for line in (
        f";server = {lyon1.DEFAULT_SERVER}",
        f";ttl = {fields['ttl'].default}",
        f";propagation_seconds = {fields['propagation_seconds'].default}",
        f";key_algorithm = {DEFAULT_ALGORITHM}",
    ):
        assert f"\n{line}\n" in TEXT
