"""Postfix, HAProxy and nginx serve the certificate after the first issue and after a renewal."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.commands import CERTONLY, NAME
from tests.lab import process, services, tls
from tests.lab.errors import MissingProgram
from tests.lab.files import write_private
from tests.lab.require import cannot_run

INSTALL = (*CERTONLY, "--installer", "tcs-lyon1")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Postfix's own user can enter, unlike pytest's."""
    if os.geteuid() != 0:
        cannot_run("Postfix's master must be started by root")
    made = Path(tempfile.mkdtemp(prefix="tcs-lyon1-services-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def placed(folder: Path, first: tls.ServerTls) -> Path:
    """A service's folder, with the certificate that it has before certbot's."""
    folder.mkdir()
    shutil.copy(first.certificate, folder / "fullchain.pem")
    shutil.copy(first.private_key, folder / "privkey.pem")
    return folder


def section(service: services.Service, *lines: str) -> str:
    head = f"[install {service.name}]\ncertificate = {NAME}\n"
    commands = f"test = {service.test}\nreload = {service.reload}\n"
    return head + "".join(f"{line}\n" for line in lines) + commands


def keystore_listing(keystore: Path, password: Path) -> str:
    """What keytool says about a keystore."""
    keytool = process.need("keytool", "default-jre-headless")
    command = [keytool, "-list", "-v", "-keystore", str(keystore), "-storepass:file", str(password)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return done.stdout.decode("utf-8", "replace")


def test_services_serve_what_certbot_gets_with_no_hook(lab, client, configure, folder):
    first = tls.make(folder / "first")
    mail, web = placed(folder / "mail", first), placed(folder / "web", first)
    proxy = folder / "proxy"
    proxy.mkdir()
    (proxy / "www.pem").write_bytes(first.private_key.read_bytes() + first.certificate.read_bytes())
    password = write_private(folder / "password", "changeit\n")
    pair = "fullchain = {0}/fullchain.pem\nprivkey = {0}/privkey.pem"
    java = (
        f"[install java]\ncertificate = {NAME}\npkcs12 = {folder}/keystore.p12\n"
        f"pkcs12_password_file = {password}\n"
    )
    with contextlib.ExitStack() as stack:
        try:
            postfix = stack.enter_context(
                services.postfix(folder / "postfix", mail / "fullchain.pem", mail / "privkey.pem")
            )
            haproxy = stack.enter_context(services.haproxy(folder / "haproxy", proxy))
            nginx = stack.enter_context(
                services.nginx(folder / "nginx", web / "fullchain.pem", web / "privkey.pem")
            )
            process.need("keytool", "default-jre-headless")
        except MissingProgram as error:
            cannot_run(str(error))
        running = (postfix, haproxy, nginx)
        assert len({service.serial() for service in running}) == 1
        sections = (
            section(postfix, pair.format(mail), "group = postfix", "mode = 0640"),
            section(haproxy, f"combined = {proxy}/www.pem"),
            section(nginx, pair.format(web)),
            java,
        )
        configure(lab.department_config(more="\n".join(sections)))
        for command in (INSTALL, ("renew", "--force-renewal")):
            done = client.run(*command)
            assert done.returncode == 0, done.output
            serial = client.certificate(NAME).serial
            assert [service.name for service in running if not service.serves(serial)] == []
            assert f"Serial number: {serial:x}" in keystore_listing(
                folder / "keystore.p12", password
            )
    assert sorted(os.listdir(proxy)) == ["www.pem"]
    assert (mail / "privkey.pem").stat().st_mode & 0o777 == 0o640
