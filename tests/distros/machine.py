"""A Debian machine with certbot in its ordinary folders, and what it leaves there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from tests.lab import process
from tests.lab.certbot import Certbot
from tests.lab.lab import Lab
from tests.lab.system import System
from tests.lab.zones import write_key_file

CONFIG = "etc/letsencrypt"
NAME = "www.labo.univ-lyon1.test"
CERTONLY = ("certonly", "-n", "-a", "tcs-lyon1", "-i", "tcs-lyon1", "-d", NAME)
#: Where `[install mail]` puts the certificate; the folder is there.
SERVICE = "etc/mail-tls"
_INSTALL = f"""\
[install mail]
certificate = {NAME}
fullchain = /{SERVICE}/fullchain.pem
privkey = /{SERVICE}/privkey.pem
group = mail
mode = 0640
reload = touch /{SERVICE}/reloaded
"""


class Files(Certbot):
    """The files of a certbot whose folder is its --config-dir; it is not run here."""

    @property
    def config_dir(self) -> Path:
        return self.folder


@dataclass(frozen=True)
class Machine:
    """A system, and the command that is its certbot."""

    system: System
    program: tuple[str, ...] = ("certbot",)

    @property
    def files(self) -> Files:
        """What certbot keeps in /etc/letsencrypt."""
        root = self.system.root
        return Files(root / CONFIG, root / "etc/ssl/certs/ca-certificates.crt", self.program[0])

    @property
    def secret_files(self) -> list[Path]:
        """The files that secrets belong into."""
        return [self.files.config_dir / name for name in ("tcs-lyon1.ini", "tcs-lyon1.key")]

    def join(self, lab: Lab) -> None:
        """Do what an administrator does before the first certificate: two files, and the CA."""
        self.system.trust(lab.pebble.ca_bundle)
        text = lab.department_config(dns={"key_file": f"/{CONFIG}/tcs-lyon1.key"}, more=_INSTALL)
        self.files.configure(text)
        write_key_file(self.files.config_dir / "tcs-lyon1.key", lab.key)
        (self.system.root / SERVICE).mkdir(exist_ok=True)

    def carry_to(self, other: Machine) -> None:
        """Put this machine's /etc/letsencrypt, as it is, in the place of the other's."""
        shutil.rmtree(other.files.config_dir)
        shutil.copytree(self.files.config_dir, other.files.config_dir, symlinks=True)

    def certbot(self, *args: str, env: Optional[Mapping[str, str]] = None) -> process.Done:
        """Run certbot."""
        return self.system.run(*self.program, *args, env=env)

    def renew(self, *args: str, env: Optional[Mapping[str, str]] = None) -> process.Done:
        """Run `certbot renew`, at once."""
        return self.certbot("renew", "--no-random-sleep-on-renew", *args, env=env)

    def log(self) -> str:
        """All that certbot has logged."""
        logs = (self.system.root / "var/log/letsencrypt").glob("letsencrypt.log*")
        return "".join(file.read_text("utf-8", "replace") for file in sorted(logs))

    def deployed(self) -> bool:
        """Does the service have the current certificate and its key, and was it told?"""
        folder = self.system.root / SERVICE
        pairs = ((folder / f, self.files.live(NAME, f)) for f in ("fullchain.pem", "privkey.pem"))
        same = all(a.exists() and a.read_bytes() == b.read_bytes() for a, b in pairs)
        return same and (folder / "reloaded").exists()
