"""Orders of one name whose UPDATEs are signed by TSIG and by GSS-TSIG, at one BIND."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional

from tests.bench import contestants, measure, orders
from tests.bench.runs import Sample
from tests.lab import kerberos, pebble, zones
from tests.lab import lab as lab_module
from tests.lab.certbot import Certbot, find_executable
from tests.lab.lab import Lab


@contextlib.contextmanager
def by_both(folder: Path) -> Iterator[tuple[Callable[[], Sample], Callable[[], Sample]]]:
    """How to order by TSIG, and by GSS-TSIG."""
    folder.mkdir(parents=True)
    key = zones.new_key(lab_module.KEY_NAME)
    zone = zones.Zone(
        zones.CHILD,
        zones.zone_text(zones.CHILD, {"localhost": "127.0.0.1"}),
        tuple(f"grant {who} subdomain {zones.CHILD}. TXT;" for who in (key.name, kerberos.ACCOUNT)),
    )
    eab_keys = {lab_module.EAB_KID: pebble.new_hmac_key()}
    with contextlib.ExitStack() as stack:
        kdc = stack.enter_context(kerberos.kdc(folder / "kdc"))
        keytab = kdc.keytab(kerberos.ACCOUNT, "certbot.keytab")
        server = stack.enter_context(
            kerberos.bind_with_gss(folder / "bind", kdc, [zone], "localhost", keys=[key])
        )
        ca = stack.enter_context(pebble.running(folder / "pebble", server.endpoint, eab_keys))
        client = Certbot(folder / "certbot", ca.ca_bundle, find_executable())
        key_file = zones.write_key_file(folder / "tcs-lyon1.key", key)
        lab = Lab(folder, ca, server, server, eab_keys, key, key_file, key, client)
        contestant = replace(contestants.ours(lab), more=kdc.environment)

        def run(changes: Mapping[str, Optional[str]]) -> Sample:
            here = {"server": f"localhost:{server.endpoint.port}"}
            here["check_servers"] = str(server.endpoint)
            lab.write_department_config(lab.department_config(dns={**here, **changes}))
            if not client.accounts():
                measure.warm_up(contestant)
            return orders.certonly(contestant, 1, zones.CHILD)

        by_ticket = {"key_file": None, "keytab": str(keytab)}
        yield lambda: run({}), lambda: run(by_ticket)
