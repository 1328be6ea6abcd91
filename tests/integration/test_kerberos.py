"""certbot where updates are signed by Kerberos: on BIND with an MIT KDC, and on Samba's AD."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.tsig
import pytest

from tests.integration import kerberos_steps
from tests.integration.kerberos_steps import KID, Ground
from tests.lab import kerberos, namespace, pebble, require, samba, zones
from tests.lab.certbot import Certbot, find_executable
from tests.lab.errors import MissingProgram

pytestmark = pytest.mark.skipif(
    not hasattr(dns.tsig, "GSS_TSIG"), reason="dnspython 2.0 cannot sign by Kerberos"
)

ZONE = "labo.univ-lyon1.test"


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    require.require_lab()
    folder, hmac = tmp_path_factory.mktemp("kerberos"), pebble.new_hmac_key()
    zone = zones.Zone(
        ZONE,
        zones.zone_text(ZONE, {"ns1": "127.0.0.1"}),
        (f"grant {kerberos.ACCOUNT} zonesub ANY;",),
    )
    with kerberos.kdc(folder / "kdc") as kdc:
        keytab = kdc.keytab(kerberos.ACCOUNT, "certbot.keytab")
        with (
            kerberos.bind_with_gss(folder / "bind", kdc, [zone], f"ns1.{ZONE}") as server,
            pebble.running(folder / "pebble", server.endpoint, {KID: hmac}) as ca,
        ):
            client = Certbot(folder / "certbot", ca.ca_bundle, find_executable())
            yield Ground(
                *(ZONE, server, keytab, kdc.environment, hmac, ca, client, str(server.endpoint))
            )


@pytest.fixture(autouse=True)
def _as_a_new_process(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ground.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "step", [*kerberos_steps.STEPS, kerberos_steps.an_alias], ids=lambda step: step.__name__
)
def test_on_bind_and_an_mit_kdc(
    ground: Ground, step: Callable[[Ground], None], tmp_path: Path
) -> None:
    step(ground)


def test_all_of_it_on_samba() -> None:
    require.require_lab()
    require.require_namespace()
    require.require_root("samba-tool gives folders to other users")
    try:
        samba.check_programs()
    except MissingProgram as error:
        require.cannot_run(str(error))
    done = subprocess.run(
        namespace.command([sys.executable, "-m", "tests.integration.kerberos_steps"]),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
