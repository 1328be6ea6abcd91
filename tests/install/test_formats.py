"""PKCS#12: read by Java's keytool and by OpenSSL, and not written anew while it is right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from certbot_tcs_lyon1.install import written
from tests.install.conftest import NAME, make_service
from tests.lab import process
from tests.lab.errors import MissingProgram
from tests.lab.files import write_private
from tests.lab.require import cannot_run

PASSWORD = "change it!"


@pytest.fixture
def java(tmp_path):
    """A service that wants a keystore."""
    password = write_private(tmp_path / "password", PASSWORD + "\n")
    nothing = dict.fromkeys(("fullchain", "chain", "privkey"))
    return make_service(
        tmp_path / "java",
        name="tomcat",
        pkcs12=str(tmp_path / "java/tls/keystore.p12"),
        pkcs12_password_file=str(password),
        **nothing,
    )


def output_of(program: str, package: str, *args: str) -> str:
    """What a program prints when all goes well."""
    try:
        path = process.need(program, package)
    except MissingProgram as error:
        cannot_run(str(error))
    done = subprocess.run(
        [path, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_keytool_reads_the_keystore(desk, java):
    desk.deploy(java)
    keystore, password = str(java.path("pkcs12")), java.target.pkcs12_password_file
    listed = output_of(
        "keytool",
        "default-jre-headless",
        *("-list", "-v", "-storetype", "PKCS12", "-keystore", keystore),
        *("-storepass:file", password),
    )
    assert f"Alias name: {NAME}" in listed
    assert "Entry type: PrivateKeyEntry" in listed
    assert "Certificate chain length: 2" in listed


def test_openssl_reads_the_keystore(desk, java):
    desk.deploy(java)
    args = ("pkcs12", "-in", str(java.path("pkcs12")), "-nodes", "-passin")
    read = output_of("openssl", "openssl", *args, f"file:{java.target.pkcs12_password_file}")
    for kind in ("cert", "chain", "privkey"):
        assert desk.shelf.read(kind).decode().splitlines()[1] in read


def test_old_java_reads_it_for_it_is_3des_and_sha1(desk, java):
    desk.deploy(java)
    args = ("pkcs12", "-in", str(java.path("pkcs12")), "-info", "-noout", "-passin")
    told = output_of("openssl", "openssl", *args, f"file:{java.target.pkcs12_password_file}")
    assert "MAC: sha1" in told
    assert told.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2


def test_a_keystore_that_is_right_is_not_written_again(desk, java):
    desk.deploy(java)
    before = java.files()
    assert before["pkcs12"][3] == 0o600
    java.forget()
    assert desk.deploy(java) == []
    assert java.runs == []
    assert java.files() == before


@pytest.mark.parametrize("change", ["password", "damaged", "renewed"])
def test_a_keystore_that_is_not_right_is_written_again(desk, java, change):
    desk.deploy(java)
    before = java.files()
    if change == "password":
        Path(java.target.pkcs12_password_file).write_text("another one")
    elif change == "damaged":
        java.path("pkcs12").write_bytes(b"oops")
    else:
        desk.shelf.issue()
    assert str(java.path("pkcs12")) in desk.deploy(java)[0]
    assert java.files() != before
    assert desk.deploy(java) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file"),
        ("", "on one line"),
        ("\n", "on one line"),
        ("one\ntwo\n", "on one line"),
        ("passé\n", "plain ASCII"),
    ],
)
def test_a_password_file_that_is_not_right_is_told(desk, java, content, expected):
    path = Path(java.target.pkcs12_password_file)
    path.unlink()
    if content is not None:
        path.write_text(content)
    message = desk.refused(java)
    assert expected in message
    assert str(path) in message


def test_a_keystore_whose_record_cannot_be_written_is_not_replaced(desk, java):
    record = Path(desk.machine.work_dir, written.RECORD_NAME)
    record.mkdir()
    assert f"{record}: cannot be written: Is a directory" in desk.refused(java)
    assert java.names() == []


def test_a_certificate_that_cannot_be_read_is_told(desk, java):
    Path(desk.shelf.certificate(), "cert.pem").write_text("nothing of a certificate")
    assert f"version 1 of {NAME} cannot be read" in desk.refused(java)
