"""The whole lab: a CA, two name servers, the keys for them, and a certbot."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Optional

from tests.lab import bind, pebble, ports, process, server, zones
from tests.lab.certbot import Certbot, Result, find_executable
from tests.lab.errors import LabError
from tests.lab.ports import Endpoint

EAB_KID = "test-dsi-kid"
KEY_NAME = "tcs-lyon1"
ADMIN_NAME = "lab-admin"

Section = Optional[Mapping[str, Optional[str]]]
_AS_IT_IS: Mapping[str, Optional[str]] = MappingProxyType({})


@dataclass(frozen=True)
class Lab:
    """A lab that runs. `key` is what the plugin gets; `admin_key` may change anything."""

    folder: Path
    pebble: pebble.Pebble
    primary: bind.Bind
    secondary: bind.Bind
    eab_keys: Mapping[str, str] = field(repr=False)
    key: zones.Key
    key_file: Path
    admin_key: zones.Key
    client: Certbot

    @property
    def eab_kid(self) -> str:
        """The first EAB key's id."""
        return next(iter(self.eab_keys))

    @property
    def eab_hmac_key(self) -> str:
        """The first EAB key's HMAC key."""
        return self.eab_keys[self.eab_kid]

    @property
    def same_port(self) -> bool:
        """Do both name servers have one port, as they would in life?"""
        return self.primary.endpoint.port == self.secondary.endpoint.port

    def certbot(self, *args: str, timeout: float = 120) -> Result:
        """Run `self.client`; for more than arguments call `self.client.run`."""
        return self.client.run(*args, timeout=timeout)

    def new_client(self, name: str) -> Certbot:
        """Another certbot, which knows nothing of the first: no accounts, no certificates."""
        return Certbot(self.folder / name, self.pebble.ca_bundle, self.client.executable)

    def edit(
        self,
        zone: str,
        add: Sequence[server.Change] = (),
        delete: Sequence[tuple[str, ...]] = (),
    ) -> None:
        """Change a zone with all rights (see Bind.update), and wait for the secondary."""
        code = self.primary.update(zone, self.admin_key, add, delete)
        if code != "NOERROR" or not self.wait_for_secondary(zone):
            raise LabError(f"the edit of {zone} was answered {code}, or is not on the secondary")

    @contextlib.contextmanager
    def holding(self, zone: str, *records: server.Change) -> Iterator[None]:
        """Have these records in a zone, with all rights, and delete exactly them at the end."""
        self.edit(zone, add=records)
        try:
            yield
        finally:
            self.edit(zone, delete=[(name, rdtype, value) for name, _, rdtype, value in records])

    def wait_for_secondary(self, zone: str, seconds: float = 15) -> bool:
        """Wait until the secondary has the primary's serial; say whether it came to that."""

        def serials() -> list[str]:
            answers = [s.query(zone, "SOA").answer for s in (self.primary, self.secondary)]
            return [answer[0].to_text() for answer in answers]

        return process.wait_until(lambda: len(set(serials())) == 1, seconds)

    def department_config(
        self,
        tcs: Section = _AS_IT_IS,
        department: Section = _AS_IT_IS,
        dns: Section = _AS_IT_IS,
        more: str = "",
    ) -> str:
        """A department config for this lab; see DESIGN.md for its format.

        Each argument changes keys of its section (a value None drops the key); None drops the
        section. `more` is further text.
        """
        sections = {
            "tcs": (tcs, self._tcs()),
            "department test-dsi": (department, self._department()),
            "dns": (dns, self._dns()),
        }
        changed = {
            name: {**defaults, **changes}
            for name, (changes, defaults) in sections.items()
            if changes is not None
        }
        return ini(changed, more)

    def _tcs(self) -> dict[str, str]:
        return {
            "server": self.pebble.directory_url,
            "email": "prenom.nom@univ-lyon1.fr",
            "agree_tos": "yes",
        }

    def _department(self) -> dict[str, str]:
        if not self.eab_keys:
            return {"domains": zones.PARENT}
        return {
            "eab_kid": self.eab_kid,
            "eab_hmac_key": self.eab_hmac_key,
            "domains": zones.PARENT,
        }

    def _dns(self) -> dict[str, str]:
        return {
            "server": str(self.primary.endpoint),
            "key_file": str(self.key_file),
            "check_servers": f"{self.primary.endpoint}, {self.secondary.endpoint}",
        }

    def write_department_config(self, text: Optional[str] = None) -> Path:
        """Write `text`, by default `department_config()`, where the plugin of `client` looks."""
        return self.client.configure(self.department_config() if text is None else text)


def ini(sections: Mapping[str, Mapping[str, Optional[str]]], more: str = "") -> str:
    """A department config of these sections, by their headers, and `more` text behind them.

    A key that is None is left out.
    """
    texts = []
    for header, keys in sections.items():
        lines = [f"{key} = {value}\n" for key, value in keys.items() if value is not None]
        texts.append(f"[{header}]\n{''.join(lines)}")
    return "\n".join([*texts, more])


@contextlib.contextmanager
def start(
    folder: Path,
    eab_keys: Optional[Mapping[str, str]] = None,
    authz_reuse: int = 0,
    validity_days: int = 90,
    domain_blocklist: Sequence[str] = (),
    notify_delay: Optional[int] = 0,
    zone_list: Optional[Sequence[zones.Zone]] = None,
    key: Optional[zones.Key] = None,
    addresses: Optional[tuple[str, str]] = None,
    port: int = 0,
) -> Iterator[Lab]:
    """Start a lab in `folder` (made if missing) and stop it when the context ends, however it ends.

    `eab_keys`: {key id: HMAC key}; by default one random key, and with {} Pebble demands none.
    `notify_delay`: seconds until the primary tells the secondary; bind.NEVER: it does not.
    `zone_list`: instead of `zones.default_zones`; every policy should grant `lab-admin` all for
    `Lab.edit`.
    `key`: the plugin's TSIG key, by default a random one named tcs-lyon1.
    `addresses`: of primary and secondary; by default 127.0.0.1 and ::1 (or 127.0.0.1 with another
    port).
    `port`: of the name servers, 0 for a free one.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    executable = find_executable()
    check_programs()
    key = key or zones.new_key(KEY_NAME)
    admin = zones.new_key(ADMIN_NAME)
    if eab_keys is None:
        eab_keys = {EAB_KID: pebble.new_hmac_key()}
    with contextlib.ExitStack() as stack:
        servers = ports.enter(
            stack,
            lambda: _name_servers(folder, key, admin, notify_delay, zone_list, addresses, port),
        )
        ca = ports.enter(
            stack,
            lambda: pebble.running(
                folder / "pebble",
                servers[1].endpoint,
                eab_keys,
                authz_reuse,
                validity_days,
                domain_blocklist,
            ),
        )
        yield Lab(
            folder,
            ca,
            *servers,
            eab_keys,
            key,
            zones.write_key_file(folder / "tcs-lyon1.key", key),
            admin,
            Certbot(folder / "certbot", ca.ca_bundle, executable),
        )


@contextlib.contextmanager
def _name_servers(
    folder: Path,
    key: zones.Key,
    admin: zones.Key,
    notify_delay: Optional[int],
    zone_list: Optional[Sequence[zones.Zone]],
    addresses: Optional[tuple[str, str]],
    port: int,
) -> Iterator[tuple[bind.Bind, bind.Bind]]:
    """Run the primary and the secondary, on one port if they have different addresses."""
    first, second = addresses or (ports.loopbacks()[0], ports.loopbacks()[-1])
    transfer_key = zones.new_key("lab-transfer")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(ports.claimed(port))
        other = one if first != second else stack.enter_context(ports.claimed())
        here, there = Endpoint(first, one), Endpoint(second, other)
        if zone_list is None:
            zone_list = zones.default_zones(key, admin, {"ns1": first, "ns2": second})
        primary = stack.enter_context(
            bind.primary(
                folder / "primary",
                here,
                zone_list,
                [key, admin],
                [there],
                notify_delay,
                transfer_key,
            )
        )
        names = [zone.name for zone in zone_list]
        secondary = stack.enter_context(
            bind.secondary(folder / "secondary", there, names, here, transfer_key)
        )
        yield primary, secondary


def check_programs() -> None:
    """MissingProgram for the first program of the lab that is not installed."""
    process.need("pebble", pebble.PACKAGE)
    for program in ("named", "rndc"):
        process.need(program, bind.PACKAGE)
    process.need("setpriv", "util-linux")
