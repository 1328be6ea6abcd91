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
from tests.lab.terminal import converse

pytestmark = pytest.mark.skipif(
    not hasattr(dns.tsig, "GSS_TSIG"), reason="dnspython 2.0 cannot sign by Kerberos"
)

ZONE = "labo.univ-lyon1.test"


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kerberos.Kdc]:
    require.require_lab()
    with kerberos.kdc(tmp_path_factory.mktemp("kdc")) as running:
        yield running


@pytest.fixture(scope="module")
def ground(kdc: kerberos.Kdc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder, hmac = tmp_path_factory.mktemp("kerberos"), pebble.new_hmac_key()
    zone = zones.Zone(
        ZONE,
        zones.zone_text(ZONE, {"ns1": "127.0.0.1"}),
        (f"grant {kerberos.ACCOUNT} zonesub ANY;",),
    )
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


def test_the_first_run_takes_a_keytab_and_asks_which_of_its_accounts(
    ground: Ground, kdc: kerberos.Kdc, tmp_path: Path
) -> None:
    keytab = tmp_path / "several.keytab"
    for account in (f"host/www.{ZONE}@{kerberos.REALM}", kerberos.ACCOUNT):
        # Without new keys: the others of these tests use the account, too.
        kdc.admin(f"addprinc -randkey {account}", f"ktadd -k {keytab} -norandkey {account}")
    keytab.chmod(0o600)
    client = Certbot(tmp_path / "certbot", ground.ca.ca_bundle, find_executable())
    client.run("--version")  # makes the folders
    name = f"first.{ZONE}"
    # The zone's name servers are not on port 53, where they are looked for: a short blind wait.
    options = ["certonly", "-a", "tcs-lyon1", "-d", name, "--tcs-lyon1-propagation-seconds", "1"]
    code, screen = converse(
        [client.executable, *options, *client.folder_options()],
        [
            ("ACME URL", ground.ca.directory_url),
            ("Key ID:", KID),
            ("HMAC Key (not shown):", ground.hmac_key),
            ("E-mail address", "prenom.nom@univ-lyon1.fr"),
            ("terms of service", "yes"),
            ("A name for the department", ""),
            ("Name or address", str(ground.server.endpoint)),
            ("TSIG key file, or keytab:", str(keytab)),
            ("The account that may write", "somebody@ELSEWHERE.TEST"),
            ("holds no key of somebody@ELSEWHERE.TEST", None),
            ("The account that may write", ""),
        ],
        {**client.environment(), **ground.environment},
    )
    assert code == 0, screen
    assert f"several accounts: {kerberos.ACCOUNT}, host/www.{ZONE}@" in screen
    assert client.certificate(name).names == (name,)
    text = (client.config_dir / "tcs-lyon1.ini").read_text(encoding="utf-8")
    assert f"keytab = {keytab}\nprincipal = {kerberos.ACCOUNT}\n" in text
    assert ground.server.txt(f"_acme-challenge.{name}") == []


def test_all_of_it_on_samba() -> None:
    require.require_lab()
    require.require_namespace()
    require.require_root("samba-tool gives folders to other users")
    try:
        samba.check_programs()
    except MissingProgram as error:
        require.cannot_run(str(error))
    done = subprocess.run(
        namespace.command([sys.executable, "-m", "tests.integration.samba_steps"]),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
