"""Who takes part: a certbot with one plugin, and the options to order with it."""

from __future__ import annotations

import compileall
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import certbot_tcs_lyon1
from tests.bench import noop
from tests.lab.certbot import Certbot
from tests.lab.errors import LabError
from tests.lab.files import write_private
from tests.lab.lab import Lab
from tests.lab.pebble import Pebble
from tests.lab.ports import Endpoint

OURS = "tcs-lyon1"
NO_WAIT = "rfc2136, no wait"
DEFAULT_WAIT = "rfc2136, default wait"
FLOOR = "floor"

EMAIL = "prenom.nom@univ-lyon1.fr"


@dataclass(frozen=True)
class Contestant:
    """A certbot whose only plugin is in `plugins`; `options` order, `first_options` register.

    `more` is more of its environment.
    """

    name: str
    client: Certbot
    plugins: Path
    options: tuple[str, ...]
    first_options: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        """What its certbot needs beyond the lab's environment."""
        return {"CERTBOT_PLUGIN_PATH": str(self.plugins), **self.more}


def ours(lab: Lab) -> Contestant:
    """This plugin, with nothing but the department config, which has to be written."""
    package = Path(certbot_tcs_lyon1.__file__).parent
    plugins = _plugin_folder(lab.folder / "plugins" / "ours", package, "tcs-lyon1", "plugin:Plugin")
    return Contestant(OURS, lab.client, plugins, ("--authenticator", "tcs-lyon1"))


def floor(lab: Lab, ca: Pebble) -> Contestant:
    """No DNS at all; `ca` validates everything."""
    module = Path(noop.__file__)
    plugins = _plugin_folder(lab.folder / "plugins" / "floor", module, "noop", ":Authenticator")
    client = Certbot(lab.folder / "floor", ca.ca_bundle, lab.client.executable)
    options = ("--authenticator", "noop", *_server(ca))
    return Contestant(FLOOR, client, plugins, options, _eab(lab))


def rfc2136(lab: Lab, server: Optional[Endpoint] = None) -> tuple[Contestant, Contestant]:
    """certbot-dns-rfc2136, told not to wait (NO_WAIT), and as it comes (DEFAULT_WAIT).

    They share one certbot, so that the second needs no first run of its own. `server` is in place
    of the lab's primary.
    """
    client = lab.new_client("rfc2136")
    credentials = client.folder / "rfc2136.ini"
    write_private(credentials, _credentials(lab, server or lab.primary.endpoint))
    plugins = Path(sys.prefix) / "rfc2136"
    options = (
        *("--authenticator", "dns-rfc2136", "--dns-rfc2136-credentials", str(credentials)),
        *_server(lab.pebble),
    )
    no_wait = (*options, "--dns-rfc2136-propagation-seconds", "0")
    return (
        Contestant(NO_WAIT, client, plugins, no_wait, _eab(lab)),
        Contestant(DEFAULT_WAIT, client, plugins, options),
    )


def check_alone(contestant: Contestant) -> None:
    """LabError if certbot sees another contestant's plugin too, or not its own."""
    result = contestant.client.run("plugins", env=contestant.environment)
    known = {"tcs-lyon1", "dns-rfc2136", "noop"}
    seen = {name for name in known if f"* {name}" in result.stdout}
    if result.returncode or not seen <= set(contestant.options) or not seen:
        raise LabError(
            f"The certbot of {contestant.name} has these plugins: {sorted(seen)}. Run `make bench`."
            f"\n{result.output}"
        )


def _server(ca: Pebble) -> tuple[str, ...]:
    return ("--server", ca.directory_url, "--agree-tos", "--email", EMAIL, "--no-eff-email")


def _eab(lab: Lab) -> tuple[str, ...]:
    return ("--eab-kid", lab.eab_kid, "--eab-hmac-key", lab.eab_hmac_key)


def _credentials(lab: Lab, server: Endpoint) -> str:
    return (
        f"dns_rfc2136_server = {server.address}\n"
        f"dns_rfc2136_port = {server.port}\n"
        f"dns_rfc2136_name = {lab.key.name}.\n"
        f"dns_rfc2136_secret = {lab.key.secret}\n"
        f"dns_rfc2136_algorithm = {lab.key.algorithm.upper()}\n"
    )


def _plugin_folder(folder: Path, source: Path, entry: str, target: str) -> Path:
    """A folder for CERTBOT_PLUGIN_PATH with a copy of `source` and what tells certbot of it.

    `target` is the plugin's class below the module or package.
    """
    info = folder / "bench-1.dist-info"
    if info.exists():
        return folder
    info.mkdir(parents=True)
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / source.name, ignore=ignored)
    else:
        shutil.copy(source, folder)
    module = source.stem if target.startswith(":") else f"{source.stem}."
    points = f"[certbot.plugins]\n{entry} = {module}{target}\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    metadata = f"Metadata-Version: 2.1\nName: bench-{entry}\nVersion: 1\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    compileall.compile_dir(str(folder), quiet=1)  # as pip does
    return folder
