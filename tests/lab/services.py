"""Services that want a certificate: Postfix, HAProxy and nginx, each an instance of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from cryptography import x509

from tests.lab import ports, process

ADDRESS = "127.0.0.1"
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Service:
    """A service that runs; `test` and `reload` are its commands, as `[install NAME]` has them."""

    name: str
    port: int
    process: process.Process
    test: str
    reload: str
    starttls: tuple[str, ...] = ()

    def serial(self) -> Optional[int]:
        """The serial number of the certificate that it serves, as `openssl s_client` sees it."""
        command = [
            process.need("openssl", "openssl"),
            "s_client",
            "-connect",
            f"{ADDRESS}:{self.port}",
            *self.starttls,
        ]
        try:
            done = subprocess.run(
                command, input=b"", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5
            )
        except subprocess.TimeoutExpired:
            return None
        _, begin, rest = done.stdout.decode("utf-8", "replace").partition(_BEGIN)
        if not begin:
            return None
        pem = begin + rest.partition(_END)[0] + _END + "\n"
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def serves(self, serial: int, seconds: float = 10) -> bool:
        """Wait until it serves that certificate: a reload takes effect after its command ended."""
        return process.wait_until(lambda: self.serial() == serial, seconds)


@contextlib.contextmanager
def haproxy(folder: Path, certificates: Path) -> Iterator[Service]:
    """HAProxy, with every file of the folder `certificates`."""
    program = process.need("haproxy", "haproxy")
    folder.mkdir(parents=True)
    with ports.claimed() as port:
        config = folder / "haproxy.cfg"
        config.write_text(
            "global\n  maxconn 50\n"
            "defaults\n  mode tcp\n  timeout client 5s\n  timeout server 5s\n  timeout connect 5s\n"
            f"frontend tls\n  bind {ADDRESS}:{port} ssl crt {certificates}/\n",
            encoding="utf-8",
        )
        command = [program, "-W", "-db", "-f", str(config)]
        test = shlex.join([program, "-c", "-f", str(config)])
        with running("haproxy", port, folder, command, test, "kill -USR2 {pid}") as service:
            yield service


@contextlib.contextmanager
def nginx(folder: Path, certificate: Path, key: Path) -> Iterator[Service]:
    """nginx, with a certificate and its key."""
    program = process.need("nginx", "nginx-light")
    folder.mkdir(parents=True)
    with ports.claimed() as port:
        config = folder / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.geteuid() == 0 else ""
        config.write_text(
            f"{user}pid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
            f"http {{\n  access_log off;\n{paths}"
            f"  server {{\n    listen {ADDRESS}:{port} ssl;\n"
            f"    ssl_certificate {certificate};\n    ssl_certificate_key {key};\n  }}\n}}\n",
            encoding="utf-8",
        )
        base = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        command = [*base, "-g", "daemon off;"]
        test, reload = shlex.join([*base, "-t"]), shlex.join([*base, "-s", "reload"])
        with running("nginx", port, folder, command, test, reload) as service:
            yield service


@contextlib.contextmanager
def postfix(folder: Path, certificate: Path, key: Path) -> Iterator[Service]:
    """Postfix, with a certificate and its key; it needs root, and a folder that all can enter."""
    program = process.need("postfix", "postfix")
    config = folder / "config"
    for name in ("config", "queue", "data"):
        (folder / name).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix", "postfix")
    with ports.claimed() as port:
        (config / "main.cf").write_text(_main_cf(folder, certificate, key), encoding="utf-8")
        (config / "master.cf").write_text(
            f"{ADDRESS}:{port} inet n - n - - smtpd\n"
            "postlog unix-dgram n - n - 1 postlogd\n"
            "anvil unix - - n - 1 anvil\n"
            "tlsmgr unix - - n 1000? 1 tlsmgr\n"
            "rewrite unix - - n - - trivial-rewrite\n"
            "proxymap unix - - n - - proxymap\n",
            encoding="utf-8",
        )
        base = [program, "-c", str(config)]
        subprocess.run([*base, "check"], check=True)  # makes the folders of the queue
        # `postfix start-fg` would leave the master to itself when it is killed.
        command = [_postfix_master(program), "-c", str(config), "-d"]
        test, reload = shlex.join([*base, "check"]), shlex.join([*base, "reload"])
        with running("postfix", port, folder, command, test, reload, "smtp") as service:
            yield service


def _postfix_master(postfix: str) -> str:
    """The path of Postfix's master: distributions differ."""
    show = [postfix.replace("postfix", "postconf"), "-hd", "daemon_directory"]
    folder = subprocess.run(show, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    return os.path.join(folder, "master")


def _main_cf(folder: Path, certificate: Path, key: Path) -> str:
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": folder / "queue",
        "data_directory": folder / "data",
        "maillog_file": folder / "mail.log",
        "maillog_file_prefixes": folder,
        "mail_owner": "postfix",
        "setgid_group": "postdrop",
        "myhostname": "mail.labo.univ-lyon1.test",
        "inet_interfaces": ADDRESS,
        "inet_protocols": "ipv4",
        "alias_maps": "",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_cert_file": certificate,
        "smtpd_tls_key_file": key,
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


@contextlib.contextmanager
def running(
    name: str,
    port: int,
    folder: Path,
    command: Sequence[str],
    test: str = "true",
    reload: str = "true",
    starttls: str = "",
) -> Iterator[Service]:
    """Run the command of a service until the context ends; it takes connections at `port`.

    `{pid}` in `reload` is its process; `starttls` is its protocol, as `openssl s_client` has it.
    """
    started = process.start(name, command, folder, folder / f"{name}.log")
    with process.running(started):
        process.wait_ready(started, lambda: ports.listens(ports.Endpoint(ADDRESS, port)))
        options = ("-starttls", starttls) if starttls else ()
        yield Service(name, port, started, test, reload.format(pid=started.pid), options)
