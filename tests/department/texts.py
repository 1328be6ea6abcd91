"""A department config as text: good sections, reading one, and what is told of its faults."""

from __future__ import annotations

import base64
import traceback
from pathlib import Path

import pytest

from certbot_tcs_lyon1.department import reader
from certbot_tcs_lyon1.department.settings import (
    Settings,
)
from certbot_tcs_lyon1.errors import ConfigError

HMAC = base64.urlsafe_b64encode(b"the hmac key that nobody may see").decode().rstrip("=")
TSIG = base64.b64encode(b"the tsig key that nobody may see").decode()

DEPARTMENT = f"[department labo]\neab_kid = kid-1\neab_hmac_key = {HMAC}\n"
DNS = f"[dns]\nserver = ns.x.fr\nkey_name = labo\nkey_secret = {TSIG}\n"
INSTALL = "[install mail]\ncertificate = mail.x.fr\nfullchain = /etc/mail.pem\n"
#: How a message shows the header of `DEPARTMENT`.
D = "[department labo]"


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
