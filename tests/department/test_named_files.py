"""The department config and the files that it names: missing, too large, and whose they are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.errors import ConfigError
from tests.department.texts import (
    DEPARTMENT,
    HMAC,
    INSTALL,
    TSIG,
    D,
    faults,
    faults_of,
    read,
    write,
)


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
    config.symlink_to(".")
    with pytest.raises(ConfigError, match="cannot be read: is a directory; "):
        reader.read(str(config))
    config.unlink()
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
    def refuse(*_: object, **__: object) -> int:
        raise error

    write(config, DEPARTMENT)
    monkeypatch.setattr(reader.os, "open", refuse)
    with pytest.raises(ConfigError) as caught:
        reader.read(str(config))
    assert str(caught.value) == (
        f"{config}: the department config cannot be read: {reason} name another file with "
        "--tcs-lyon1-config PATH"
    )


_IN_ASCII = """
import sys
from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.errors import ConfigError
try:
    reader.read(sys.argv[1])
except ConfigError as error:
    print(ascii(str(error)))
"""


def test_a_path_that_the_locale_cannot_write_is_told_by_its_line(config: Path) -> None:
    write(config, f"{DEPARTMENT}[dns]\nserver = a.fr\nkey_file = /etc/clé.key\n")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", _IN_ASCII, str(config)]
    done = subprocess.run(
        command, env={**os.environ, **ascii_only}, capture_output=True, text=True, check=True
    )
    assert "line 6, [dns] key_file: /etc/cl" in done.stdout


def test_a_file_that_belongs_to_somebody_else_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "tcs-lyon1.ini", reader.SMALLEST)
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(ConfigError, match="chown root"):
        reader.read(str(path))


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


def test_a_copy_is_advised_under_a_name_that_is_free(config: Path) -> None:
    old = with_files(config)["key_file"]
    folder = config.with_name("open")
    folder.mkdir()
    folder.chmod(0o777)
    config.write_text(config.read_text().replace(str(old), str(old.rename(folder / "any.key"))))
    (told,) = faults_of(config)
    target = Path(shlex.split(copy_command(told))[-1])
    for number in (2, 3):
        write(target, "")
        (told,) = faults_of(config)
        target = Path(shlex.split(copy_command(told))[-1])
        assert target.name == f"tcs-lyon1-{number}.key"


def copy_command(told: str) -> str:
    """The command that is advised."""
    command = re.search(r"copy it: (.*), and name that", told)
    assert command is not None
    return command[1]


def use_copy(config: Path, path: Path, told: str) -> None:
    """Do what is advised: run the command, and name the copy."""
    command = copy_command(told)
    subprocess.run(command, shell=True, check=True)
    config.write_text(config.read_text().replace(str(path), shlex.split(command)[-1]))


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
        warnings = told_to_nobody(path)
        if mode == 0o640:
            assert warnings == []
            return
        os.chown(path, 0, 0)
        (warning,) = told_to_nobody(path)
        subprocess.run(warning.partition("run: ")[2], shell=True, check=True)
        assert told_to_nobody(path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_certbot_that_is_not_root_is_told_how_a_file_becomes_its_own() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = write(folder / "tcs-lyon1.ini", DEPARTMENT, 0o644)
        os.chown(path, 12345, 12345)
        (told,) = told_to_nobody(path)
        assert "it belongs to user number 12345, who can change it" in told
        subprocess.run(told.partition("run: ")[2], shell=True, check=True)
        (told,) = told_to_nobody(path)
        assert "others than its owner can read it" in told
        subprocess.run(told.partition("run: ")[2], shell=True, check=True, user=65534)
        assert told_to_nobody(path) == []


def told_to_nobody(path: str) -> list[str]:
    """Faults or warnings where `nobody` runs certbot."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
    try:
        return [str(warning) for warning in reader.read(path).warnings]
    except ConfigError as error:
        return str(error).splitlines()
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


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
