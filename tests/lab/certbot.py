"""The real certbot, run as a process in folders of its own, and what it leaves there."""

import datetime
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.lab import process
from tests.lab.errors import LabError
from tests.lab.files import write_private

# Without a terminal `certbot renew` first sleeps for up to 8 minutes.
_CLI_INI = "no-random-sleep-on-renew = true\n"
_WARNINGS_ARE_ERRORS = Path(__file__).resolve().parent / "site"
# certbot reads this one always, whatever the command line says. These keys, Debian's, change
# nothing here.
_HOST_CLI_INI = Path("/etc/letsencrypt/cli.ini")
_HARMLESS = {"max-log-backups", "preconfigured-renewal"}


@dataclass(frozen=True)
class Result(process.Done):
    """How one run of certbot ended; `log` is what it wrote to letsencrypt.log."""

    log: str


@dataclass(frozen=True)
class Account:
    """An ACME account on disk; `server` is its directory URL without the scheme."""

    id: str
    server: str
    folder: Path


@dataclass(frozen=True)
class Certificate:
    """What a certificate says. Times are naive UTC."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    serial: int


@dataclass(frozen=True)
class Certbot:
    """A certbot whose every file is under `folder`: config, work, logs, home, tmp."""

    folder: Path
    ca_bundle: Path
    executable: str

    @property
    def config_dir(self) -> Path:
        return self.folder / "config"

    @property
    def logs_dir(self) -> Path:
        return self.folder / "logs"

    def run(
        self,
        *args: str,
        cli_ini: str = "",
        env: Optional[Mapping[str, str]] = None,
        stdin: str = "",
        timeout: float = 120,
    ) -> Result:
        """Run `certbot ARGS` with this folder's --config-dir, --work-dir and --logs-dir added.

        `cli_ini` is more text for the user's cli.ini, `env` more environment, `stdin` the input.
        """
        self._prepare(cli_ini)
        before = _logs(self.folder)
        line = [self.executable, *args, *self.folder_options()]
        environment = {**self.environment(), **(env or {})}
        done = process.run(line, args, environment, stdin, timeout)
        return Result(**vars(done), log=_new_log(before, self.folder))

    def configure(self, text: str) -> Path:
        """Write the department config where the plugin looks for it."""
        return write_private(self.config_dir / "tcs-lyon1.ini", text)

    def folder_options(self) -> list[str]:
        """The options that keep certbot in its folders."""
        folders = ("config", "work", "logs")
        return [o for name in folders for o in (f"--{name}-dir", str(self.folder / name))]

    def environment(self) -> dict[str, str]:
        """This process's environment, less what could lead certbot elsewhere than to the lab."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().endswith("_PROXY") and not name.startswith("CERTBOT_")
        }
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "XDG_CONFIG_HOME": str(self.folder / "home" / ".config"),
            "TMPDIR": str(self.folder / "tmp"),
            "REQUESTS_CA_BUNDLE": str(self.ca_bundle),
            "PYTHONPATH": str(_WARNINGS_ARE_ERRORS),
        }

    def lineages(self) -> list[str]:
        """The names of the certificates it keeps."""
        return sorted(file.stem for file in (self.config_dir / "renewal").glob("*.conf"))

    def live(self, lineage: str, file: str = "cert.pem") -> Path:
        """A file of the lineage's current version: cert, chain, fullchain or privkey.pem."""
        return self.config_dir / "live" / lineage / file

    def certificate(self, lineage: str) -> Certificate:
        """The lineage's current certificate."""
        return read_certificate(self.live(lineage))

    def renewal_text(self, lineage: str) -> str:
        """The lineage's renewal/*.conf."""
        return (self.config_dir / "renewal" / f"{lineage}.conf").read_text(encoding="utf-8")

    def renewal(self, lineage: str) -> dict[str, str]:
        """Every `key = value` of the lineage's renewal/*.conf, all sections in one."""
        lines = [line for line in self.renewal_text(lineage).splitlines() if " = " in line]
        return dict(line.split(" = ", 1) for line in lines if not line.startswith("#"))

    def accounts(self) -> list[Account]:
        """The accounts on disk."""
        root = self.config_dir / "accounts"
        return [
            Account(file.parent.name, str(file.parent.parent.relative_to(root)), file.parent)
            for file in sorted(root.rglob("regr.json"))
        ]

    def copy_lineage(self, lineage: str, other: str) -> None:
        """Make a lineage that is another's twin but for its name."""
        for kind in ("archive", "live"):
            folder = self.config_dir / kind
            shutil.copytree(folder / lineage, folder / other, symlinks=True)
        for link in (self.config_dir / "live" / other).glob("*.pem"):
            file = Path(os.readlink(link)).name
            link.unlink()
            link.symlink_to(f"../../archive/{other}/{file}")
        text = re.sub(
            rf"/(live|archive)/{re.escape(lineage)}(?=[/\n])",
            rf"/\1/{other}",
            self.renewal_text(lineage),
        )
        (self.config_dir / "renewal" / f"{other}.conf").write_text(text, encoding="utf-8")

    def _prepare(self, cli_ini: str) -> None:
        host = _host_settings()
        if host:
            raise LabError(
                f"{_HOST_CLI_INI} would change what certbot does here: {', '.join(host)}"
            )
        # As certbot would, so that a test can write into it before the first run.
        for name in ("config", "work", "logs", "tmp", "home/.config/letsencrypt"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        user = self.folder / "home" / ".config" / "letsencrypt" / "cli.ini"
        user.write_text(_CLI_INI + cli_ini, encoding="utf-8")


def find_executable() -> str:
    """Which certbot: LAB_CERTBOT, else the one beside this Python."""
    chosen = os.environ.get("LAB_CERTBOT") or str(Path(sys.executable).with_name("certbot"))
    if not os.access(chosen, os.X_OK):
        raise LabError(f"no certbot at {chosen}: pip install certbot, or set LAB_CERTBOT")
    return chosen


def read_certificate(path: Path) -> Certificate:
    """The (first) certificate of a PEM file."""
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        tuple(sorted(names.get_values_for_type(x509.DNSName))),
        str(issuer[0].value) if issuer else certificate.issuer.rfc4514_string(),
        _time(certificate, "not_valid_before"),
        _time(certificate, "not_valid_after"),
        certificate.serial_number,
    )


def _time(certificate: x509.Certificate, name: str) -> datetime.datetime:
    # cryptography 42 deprecates the plain name (a warning), and older ones have no other.
    aware: Any = getattr(certificate, f"{name}_utc", None)
    time: datetime.datetime = aware or getattr(certificate, name)
    return time.replace(tzinfo=None)


def _host_settings() -> list[str]:
    if not _HOST_CLI_INI.exists():
        return []
    lines = _HOST_CLI_INI.read_text(encoding="utf-8", errors="replace").splitlines()
    keys = {
        line.split("=")[0].strip() for line in lines if not line.lstrip().startswith(("#", ";"))
    }
    return sorted(keys - _HARMLESS - {""})


def _logs(folder: Path) -> dict[Path, tuple[int, int]]:
    """Where certbot logs: its log folder, or, if its options are wrong, under TMPDIR."""
    files = [folder / "logs" / "letsencrypt.log", *(folder / "tmp").rglob("log")]
    return {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in files if f.is_file()}


def _new_log(before: Mapping[Path, tuple[int, int]], folder: Path) -> str:
    """The logs that were written since `before`; certbot begins a new file at every run."""
    after = _logs(folder)
    new = [file for file, state in after.items() if before.get(file) != state]
    return "".join(file.read_text(encoding="utf-8", errors="replace") for file in new)
