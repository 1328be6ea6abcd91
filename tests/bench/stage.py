"""The lab for bad days: name servers on port 53, where packets to them can be dropped.

All of it is in a network namespace (tests/lab/namespace.py). What certbot sends to a zone's name
servers goes to port 53 of FIRST, SECOND and THIRD; the CA and the name servers themselves talk by
other ports, so that a rule for port 53 hits whom it should. RESOLVER is this system's resolver: it
knows the addresses of name servers, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from tests.lab import bind, pebble, ports, zones
from tests.lab import lab as lab_module
from tests.lab.certbot import Certbot, find_executable
from tests.lab.lab import Lab
from tests.lab.ports import Endpoint

FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "fd00::2"
RESOLVER = "127.0.0.1"

#: Zones with FIRST and SECOND as their name servers, with THIRD as well, and with a second one
#: whose name is in a zone that the update server does not hold.
TWO = zones.CHILD
THREE = "trois.univ-lyon1.test"
OUTSIDE = "dehors.univ-lyon1.test"
_ELSEWHERE = "ailleurs.test"


@dataclass(frozen=True)
class Stage:
    """A lab that runs; `update_server` takes UPDATEs on port 53, and at `back_door`, too.

    `resolver` is the secondary, at a port that nothing is dropped of.
    """

    lab: Lab
    update_server: Endpoint
    back_door: Endpoint
    resolver: Endpoint

    def configure(
        self,
        client: Certbot,
        server: Optional[Endpoint] = None,
        tcs: Optional[Mapping[str, Optional[str]]] = None,
        more: str = "",
    ) -> None:
        """Write the department config of a certbot: the zones' own name servers are polled.

        `tcs` and `more` are as in `Lab.department_config`.
        """
        dns = {"server": str(server or self.update_server), "check_servers": None}
        lab = replace(self.lab, client=client)
        lab.write_department_config(lab.department_config(tcs=tcs or {}, dns=dns, more=more))


@contextlib.contextmanager
def start(folder: Path, always_valid: bool = False) -> Iterator[Stage]:
    """Start the lab in `folder`; with `always_valid` its CA finds every challenge answered."""
    folder.mkdir(parents=True, exist_ok=True)
    lab_module.check_programs()
    key, admin = zones.new_key(lab_module.KEY_NAME), zones.new_key(lab_module.ADMIN_NAME)
    eab_keys = {lab_module.EAB_KID: pebble.new_hmac_key()}
    with contextlib.ExitStack() as stack:
        back, resolver = (
            Endpoint("127.0.0.1", stack.enter_context(ports.claimed())) for _ in range(2)
        )
        primary, secondary = stack.enter_context(_name_servers(folder, key, admin, back, resolver))
        valid = {"PEBBLE_VA_ALWAYS_VALID": "1"} if always_valid else {}
        ca = stack.enter_context(
            pebble.running(folder / "pebble", resolver, eab_keys, validity_days=90, env=valid)
        )
        client = Certbot(folder / "certbot", ca.ca_bundle, find_executable())
        key_file = zones.write_key_file(folder / "tcs-lyon1.key", key)
        lab = Lab(folder, ca, primary, secondary, eab_keys, key, key_file, admin, client)
        yield Stage(lab, primary.endpoint, back, resolver)


@contextlib.contextmanager
def _name_servers(
    folder: Path, key: zones.Key, admin: zones.Key, back: Endpoint, resolver: Endpoint
) -> Iterator[tuple[bind.Bind, bind.Bind]]:
    """Run the primary, both secondaries and the resolver; the first two are handed out."""
    transfer = zones.new_key("lab-transfer")
    first, second, third = (Endpoint(address, 53) for address in (FIRST, SECOND, THIRD))
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(
            bind.primary(
                folder / "primary",
                first,
                _zones(key, admin),
                [key, admin],
                [resolver, third],
                transfer_key=transfer,
                options=_listen(back),
            )
        )
        secondary = stack.enter_context(
            bind.secondary(
                folder / "secondary",
                second,
                [TWO, THREE, OUTSIDE],
                back,
                transfer,
                options=_listen(resolver),
            )
        )
        stack.enter_context(bind.secondary(folder / "third", third, [THREE], back, transfer))
        addresses = zones.Zone(_ELSEWHERE, zones.zone_text(_ELSEWHERE, {"ns": SECOND}))
        known = zones.Zone(
            zones.PARENT,
            zones.zone_text(
                zones.PARENT,
                {"ns1.labo": FIRST, "ns2.labo": SECOND, "ns1.trois": FIRST, "ns1.dehors": FIRST},
            ),
        )
        stack.enter_context(
            bind.primary(folder / "resolver", Endpoint(RESOLVER, 53), [addresses, known], [])
        )
        yield primary, secondary


def _zones(key: zones.Key, admin: zones.Key) -> list[zones.Zone]:
    servers = {"ns1": FIRST, "ns2": SECOND}
    texts = {
        TWO: zones.zone_text(TWO, servers),
        THREE: zones.zone_text(THREE, {**servers, "ns3": THIRD}),
        OUTSIDE: zones.zone_text(OUTSIDE, {"ns1": FIRST}, f"@ NS ns.{_ELSEWHERE}."),
    }
    return [
        zones.Zone(
            name,
            text,
            (f"grant {key.name} subdomain {name}. TXT;", f"grant {admin.name} zonesub ANY;"),
        )
        for name, text in texts.items()
    ]


def _listen(door: Endpoint) -> str:
    return f"listen-on port {door.port} {{ {door.address}; }};"
