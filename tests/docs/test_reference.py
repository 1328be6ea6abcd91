"""The reference lists every key of the department config as the program takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department import keyfiles, reader, values
from certbot_tcs_lyon1.department.keys import KEYS, convert
from certbot_tcs_lyon1.department.settings import DEFAULT_ALGORITHM, DnsServer
from certbot_tcs_lyon1.errors import ConfigError
from tests.integration.test_help import defined_in
from tests.lab import zones
from tests.lab.pebble import new_hmac_key

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "reference.rst").read_text("utf-8")
_SECTION = re.compile(r"^\[(\w+).*\n~+\n", re.MULTILINE)
_KEY = re.compile(
    r"^``(?P<name>\w+)``\n   :Type: (?P<type>.+)\n   :Par défaut: (?P<default>.+)\n"
    r"   :Exemple: ``(?P<example>.+)``\n",
    re.MULTILINE,
)

#: What the reference calls each check of a value; seconds are told by their bounds.
TYPES = {
    values.https_url: "URL https",
    values.email: "adresses électroniques",
    values.yes_no: "yes ou no",
    values.past_time: "date ou instant, UTC",
    values.key_id: "texte sans espace",
    values.hmac_key: "base64",
    values.path: "chemin absolu",
    values.domains: "liste de domaines",
    values.update_servers: "liste de serveurs de noms",
    values.endpoints: "serveurs de noms, ou rien",
    values.zone: "nom de zone",
    values.lineage: "nom d’un certificat",
    values.account: "nom ou numéro",
    values.mode: "mode octal",
    values.command: "commande",
    values.services: "services, HÔTE:PORT",
    keyfiles.check_name: "nom de clé",
    keyfiles.check_algorithm: "algorithme HMAC",
    keyfiles.check_secret: "base64 avec ses =",
    keyfiles.check_principal: "compte@DOMAINE",
}
PLACEHOLDERS = {
    "KEY_ID": "kid",
    "HMAC_KEY": new_hmac_key(),
    "SECRET": zones.new_key("any").secret,
}
_DNS = DnsServer.__dataclass_fields__
DEFAULTS = {
    ("tcs", "server"): lyon1.DEFAULT_SERVER,
    ("tcs", "revocation_check"): "yes",
    ("dns", "ttl"): str(_DNS["ttl"].default),
    ("dns", "propagation_seconds"): str(_DNS["propagation_seconds"].default),
    ("dns", "key_algorithm"): DEFAULT_ALGORITHM,
}


@dataclass(frozen=True)
class Key:
    """A key as the reference has it."""

    kind: str
    name: str
    type: str
    default: str
    example: str

    def __str__(self) -> str:
        return f"[{self.kind}] {self.name}"


def keys() -> list[Key]:
    parts = _SECTION.split(TEXT)[1:]
    return [
        Key(kind, match["name"], match["type"], match["default"], match["example"])
        for kind, text in zip(parts[::2], parts[1::2])
        for match in _KEY.finditer(text)
    ]


def check_of(key: Key) -> values.Check:
    return KEYS[key.kind][key.name].check


def test_it_lists_every_key_once():
    shown: dict[str, list[str]] = {kind: [] for kind in KEYS}
    for key in keys():
        shown[key.kind].append(key.name)
    shared = list(KEYS["tcs"])
    expected = {kind: list(found) for kind, found in KEYS.items()}
    expected["department"] = [name for name in expected["department"] if name not in shared]
    assert {kind: sorted(found) for kind, found in shown.items()} == {
        kind: sorted(found) for kind, found in expected.items()
    }


@pytest.mark.parametrize("key", keys(), ids=str)
def test_the_type_is_what_the_program_checks(key):
    check = check_of(key)
    bounds = re.fullmatch(r"secondes, de (\d+) à (\d+)", key.type)
    if bounds is None:
        assert TYPES[check] == key.type
        return
    lowest, highest = int(bounds[1]), int(bounds[2])
    assert (check(str(lowest)), check(str(highest))) == (lowest, highest)
    for outside in (lowest - 1, highest + 1):
        with pytest.raises(ConfigError):
            check(str(outside))


@pytest.mark.parametrize("key", keys(), ids=str)
def test_the_example_is_taken(key):
    example = PLACEHOLDERS.get(key.example, key.example)
    convert(example, KEYS[key.kind][key.name], f"{key.name} = {example}")


@pytest.mark.parametrize("key", keys(), ids=str)
def test_the_default_is_that_of_the_program(key):
    shown = re.match("``(.+?)``", key.default)
    expected = DEFAULTS.get((key.kind, key.name))
    if expected is not None:
        assert shown is not None
        assert shown[1] == expected
    elif shown is not None:  # what an option of certbot's or a file's rights are without the key
        assert key.name in ("agree_tos", "owner", "group", "mode")


#: The smallest sections of each kind; all keys in them are obligatory.
SMALLEST = {
    "department": {"eab_kid": "kid", "eab_hmac_key": new_hmac_key()},
    "dns": {"server": "192.0.2.1", "key_file": "KEY"},
    "install": {"certificate": "a.example", "pkcs12": "/a.p12", "pkcs12_password_file": "/a.pw"},
}


def smallest(tmp_path: Path, without: tuple[str, str]) -> Path:
    """A department config of the smallest sections, but for one key of one of them."""
    zones.write_key_file(tmp_path / "key", zones.new_key("any"))
    path = tmp_path / "tcs-lyon1.ini"
    path.touch(mode=0o600)
    with path.open("w") as file:
        for kind, body in SMALLEST.items():
            print("[dns]" if kind == "dns" else f"[{kind} x]", file=file)
            for name, value in body.items():
                if (kind, name) != without:
                    print(f"{name} = {value.replace('KEY', str(tmp_path / 'key'))}", file=file)
    return path


@pytest.mark.parametrize("key", [k for k in keys() if "obligatoire" in k.default], ids=str)
def test_a_key_that_is_obligatory_is_missed(key, tmp_path):
    path = smallest(tmp_path, without=(key.kind, key.name))
    with pytest.raises(ConfigError, match="is missing"):
        reader.read(str(path))


def test_a_key_that_is_not_obligatory_is_not_missed(tmp_path):
    found = reader.read(str(smallest(tmp_path, without=("", ""))))
    obligatory = {(key.kind, key.name) for key in keys() if "obligatoire" in key.default}
    extra = {("install", "pkcs12")}  # one file at least
    assert obligatory | extra == {(kind, name) for kind, body in SMALLEST.items() for name in body}
    assert not found.departments[0].agree_tos
    assert found.departments[0].domains == ()


def test_the_options_are_those_of_the_manual():
    assert defined_in(TEXT) == defined_in(certbot_tcs_lyon1.__doc__)
