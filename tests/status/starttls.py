"""Services that take TLS in the midst of a protocol: Dovecot, OpenLDAP, vsftpd and PostgreSQL.

Each needs root, and a folder that a service's user can enter.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab import ports, process
from tests.lab.services import ADDRESS, Service, running


@contextlib.contextmanager
def dovecot(folder: Path, certificate: Path, key: Path, protocol: str) -> Iterator[Service]:
    """Dovecot, for `imap` or `pop3`."""
    program = process.need("dovecot", f"dovecot-{protocol}d")
    folder.mkdir(parents=True)
    with ports.claimed() as port:
        config = folder / "dovecot.conf"
        config.write_text(
            f"protocols = {protocol}\nlisten = {ADDRESS}\nbase_dir = {folder}/run\n"
            f"state_dir = {folder}/state\nlog_path = {folder}/mail.log\n"
            "first_valid_uid = 1\nssl = yes\n"
            f"ssl_cert = <{certificate}\nssl_key = <{key}\n"
            f"passdb {{\n driver = static\n args = nopassword=y\n}}\n"
            f"service {protocol}-login {{\n chroot =\n"
            f" inet_listener {protocol} {{\n  port = {port}\n }}\n"
            f" inet_listener {protocol}s {{\n  port = 0\n }}\n}}\n",
            encoding="utf-8",
        )
        command = [program, "-F", "-c", str(config)]
        with running(protocol, port, folder, command, starttls=protocol) as service:
            yield service


@contextlib.contextmanager
def slapd(folder: Path, certificate: Path, key: Path) -> Iterator[Service]:
    """OpenLDAP's server, with nothing in it."""
    program = process.need("slapd", "slapd")
    folder.mkdir(parents=True)
    with ports.claimed() as port:
        config = folder / "slapd.conf"
        config.write_text(
            f"pidfile {folder}/pid\nTLSCertificateFile {certificate}\n"
            f"TLSCertificateKeyFile {key}\nTLSCACertificateFile {certificate}\n",
            encoding="utf-8",
        )
        url = f"ldap://{ADDRESS}:{port}/"
        command = [program, "-h", url, "-f", str(config), "-d", "none"]
        with running("ldap", port, folder, command, starttls="ldap") as service:
            yield service


@contextlib.contextmanager
def vsftpd(folder: Path, certificate: Path, key: Path) -> Iterator[Service]:
    """vsftpd."""
    program = process.need("vsftpd", "vsftpd")
    folder.mkdir(parents=True)
    (folder / "empty").mkdir()
    with ports.claimed() as port:
        config = folder / "vsftpd.conf"
        config.write_text(
            f"listen=YES\nbackground=NO\nlisten_address={ADDRESS}\nlisten_port={port}\n"
            f"secure_chroot_dir={folder}/empty\nssl_enable=YES\nseccomp_sandbox=NO\n"
            f"rsa_cert_file={certificate}\nrsa_private_key_file={key}\n",
            encoding="utf-8",
        )
        command = [program, str(config)]
        with running("ftp", port, folder, command, starttls="ftp") as service:
            yield service


@contextlib.contextmanager
def postgres(folder: Path, certificate: Path, key: Path) -> Iterator[Service]:
    """PostgreSQL, as the user `postgres`, who gets copies of both files."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        process.need("postgres", "postgresql")
    folder.mkdir(parents=True)
    for name, path in (("cert.pem", certificate), ("key.pem", key)):
        shutil.copyfile(path, folder / name)
        (folder / name).chmod(0o600)
        shutil.chown(folder / name, "postgres", "postgres")
    shutil.chown(folder, "postgres", "postgres")
    as_user = [process.need("setpriv", "util-linux"), "--reuid=postgres", "--regid=postgres"]
    as_user += ["--clear-groups", "--"]
    data = folder / "data"
    make = [*as_user, str(programs[-1] / "initdb"), "-N", "-A", "trust", "-D", str(data)]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, timeout=60)
    options = {
        "listen_addresses": ADDRESS,
        "unix_socket_directories": str(folder),
        "ssl": "on",
        "ssl_cert_file": str(folder / "cert.pem"),
        "ssl_key_file": str(folder / "key.pem"),
    }
    with ports.claimed() as port:
        command = [*as_user, str(programs[-1] / "postgres"), "-D", str(data), "-p", str(port)]
        command += [f"--{name}={value}" for name, value in options.items()]
        with running("postgres", port, folder, command, starttls="postgres") as service:
            yield service
