"""Keytabs: what a user gets for a good one, and for each way to break one."""

from __future__ import annotations

import random
import traceback
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department import keyfiles, reader
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.department.settings import Keytab
from certbot_tcs_lyon1.errors import ConfigError
from tests.department.keytabs import AES256, RC4, SECRET, entry, keytab
from tests.department.texts import write

ACCOUNT = "svc-acme@AD.UNIV-LYON1.FR"
SERVICE = "HTTP/www.labo.univ-lyon1.fr@AD.UNIV-LYON1.FR"
GOOD = keytab((ACCOUNT, AES256))
DEPARTMENT = "[department labo]\neab_kid = kid-1\neab_hmac_key = {hmac}\n"


def fault(data: bytes, principal: str | None = None) -> str:
    """What is told; nothing of a key may be in it, nor in the traceback."""
    with pytest.raises(Fault) as caught:
        keyfiles.parse_keytab(data, principal)
    told = "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert SECRET[4:16].decode() not in told
    return str(caught.value)


def test_the_only_account_signs() -> None:
    assert keyfiles.parse_keytab(GOOD) == Keytab(ACCOUNT, GOOD)
    assert SECRET[4:16].decode() not in repr(keyfiles.parse_keytab(GOOD))


def test_keys_of_several_versions_and_types_are_one_account() -> None:
    data = keytab((ACCOUNT, RC4), (ACCOUNT, AES256))
    assert keyfiles.parse_keytab(data).name == ACCOUNT


def test_a_hole_of_a_deleted_entry_is_skipped() -> None:
    hole = (-30).to_bytes(4, "big", signed=True) + b"\xff" * 30
    assert keyfiles.parse_keytab(b"\5\2" + hole + entry(ACCOUNT)).name == ACCOUNT
    assert "holds no key" in fault(b"\5\2" + hole)


def test_of_several_accounts_one_is_to_be_chosen() -> None:
    data = keytab((SERVICE, AES256), (ACCOUNT, AES256))
    assert f"keys of {ACCOUNT}, {SERVICE}; choose one with principal" in fault(data)
    assert keyfiles.parse_keytab(data, ACCOUNT).name == ACCOUNT


def test_an_account_that_is_not_in_it_is_told_with_those_that_are() -> None:
    told = fault(GOOD, ACCOUNT.upper())
    assert f"no key of {ACCOUNT.upper()}, but of {ACCOUNT}" in told
    assert "case" in told


def test_a_service_of_a_machine_in_active_directory_is_no_account() -> None:
    data = keytab((SERVICE, AES256), ("WWW$@AD.UNIV-LYON1.FR", AES256))
    assert "principal = WWW$@AD.UNIV-LYON1.FR" in fault(data, SERVICE)


def test_keys_that_are_refused_everywhere_are_told() -> None:
    assert "AES" in fault(keytab((ACCOUNT, RC4)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\5\2", "holds no key"),
        (b"-----BEGIN PRIVATE KEY-----", "is no keytab"),
        (b"\5\1" + GOOD[2:], "is no keytab"),
        (GOOD[:-9], "damaged or cut short"),
        (GOOD + b"\x7f\xff\xff\xff", "damaged or cut short"),
        (keytab(("a b@R", AES256)), "damaged"),
        (keytab(("a@", AES256)), "damaged"),
    ],
)
def test_a_broken_keytab_is_told_with_how_to_get_a_new_one(data: bytes, words: str) -> None:
    told = fault(data)
    assert words in told
    assert "export it again" in told


def test_hostile_bytes_give_a_fault_and_nothing_else() -> None:
    dice = random.Random(17)
    for _ in range(3000):
        data = bytearray(keytab((ACCOUNT, AES256), (SERVICE, AES256)))
        for _ in range(dice.randrange(1, 6)):
            data[dice.randrange(2, len(data))] = dice.randrange(256)
        told = ""
        try:
            keyfiles.parse_keytab(bytes(data[: dice.randrange(2, len(data) + 1)]))
        except Fault as error:
            told = str(error)
        assert len(told) < 2000
        assert told.isprintable()


# In the department config


def faults(folder: Path, dns: str) -> str:
    path = write(folder / "tcs-lyon1.ini", f"[dns]\nserver = dc1.ad.univ-lyon1.fr\n{dns}")
    with pytest.raises(ConfigError) as caught:
        reader.read(path)
    return str(caught.value)


def test_a_tsig_key_beside_a_keytab_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "any.keytab", GOOD)
    told = faults(tmp_path, f"keytab = {path}\nkey_file = /nowhere\n")
    assert "keytab: key_file is there as well; keep one of them" in told


def test_a_principal_without_a_keytab_or_realm_is_a_fault(tmp_path: Path) -> None:
    assert "belongs to a keytab" in faults(tmp_path, f"principal = {ACCOUNT}\n")
    assert "with its realm" in faults(tmp_path, "keytab = /nowhere\nprincipal = svc-acme\n")


def test_a_missing_keytab_is_told_by_its_path(tmp_path: Path) -> None:
    assert "/nowhere.keytab: no such file" in faults(tmp_path, "keytab = /nowhere.keytab\n")


def test_a_file_that_is_no_keytab_is_told_by_its_path_and_the_line_that_names_it(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "any.keytab", GOOD[:-1])
    told = faults(tmp_path, f"keytab = {path}\n")
    assert f"tcs-lyon1.ini, line 3, [dns] keytab: {path}: " in told


@pytest.mark.parametrize(("mode", "words"), [(0o666, "write"), (0o600, "")])
def test_the_rights_of_a_keytab_are_checked(tmp_path: Path, mode: int, words: str) -> None:
    path = tmp_path / "any.keytab"
    path.write_bytes(GOOD)
    path.chmod(mode)
    told = faults(tmp_path, f"keytab = {path}\n")
    assert (str(path) in told) == bool(words)


def test_a_keytab_that_others_can_read_draws_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "any.keytab", GOOD, 0o644)
    section = f"[dns]\nserver = dc1.ad.univ-lyon1.fr\nkeytab = {path}\n"
    text = DEPARTMENT.format(hmac="c2VjcmV0" * 8) + section
    settings = reader.read(write(tmp_path / "tcs-lyon1.ini", text))
    assert f"chmod 600 {path}" in str(settings.warnings[0])
    assert settings.dns[0].key.name == ACCOUNT
