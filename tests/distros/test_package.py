"""The real certbot of each Debian, with the package that apt has installed from one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.distros import packages
from tests.distros.machine import CERTONLY, NAME, Machine
from tests.lab import lab as lab_module
from tests.lab import leaks
from tests.lab.require import require_lab
from tests.lab.system import System

ALL_WARNINGS = {"PYTHONWARNINGS": "always"}


def own_warnings(text: str) -> list[str]:
    """The warnings that point into the package."""
    return re.findall(r"^.*certbot_tcs_lyon1.*Warning.*$", text, re.MULTILINE)


def version(system: System) -> str:
    """The version of the package that Python finds."""
    command = "import certbot_tcs_lyon1; print(certbot_tcs_lyon1.__version__)"
    return system.run("python3", "-c", command).or_fail().stdout.strip()


def snapshot(machine: Machine, lineage: str) -> dict[Path, tuple[int, bytes]]:
    """The lineage's files, each with the time of its last change (ns) and its content."""
    folder = machine.files.config_dir
    files = [folder / "renewal" / f"{lineage}.conf"]
    for kind in ("live", "archive"):
        files += (folder / kind / lineage).iterdir()
    return {file: (file.lstat().st_mtime_ns, file.read_bytes()) for file in files}


def assert_certbot_works_without(machine: Machine) -> None:
    """The commands that any administrator types; the package is not there."""
    assert packages.traces(machine.system) == []
    printed = {}
    for command in ("--version", "plugins", "certificates"):
        done = machine.certbot(command)
        assert done.returncode == 0, done.output
        printed[command] = done.stdout
    assert "* tcs-lyon1" not in printed["plugins"]
    assert NAME in printed["certificates"]


def test_two_files_and_one_command_give_a_deployed_certificate_that_renews(
    lab, machine_of, release
):
    machine = machine_of(release, lab)
    plugins = machine.certbot("plugins", env=ALL_WARNINGS)
    assert plugins.returncode == 0, plugins.output
    assert "* tcs-lyon1" in plugins.stdout

    issued = machine.certbot(*CERTONLY, env=ALL_WARNINGS)
    assert issued.returncode == 0, issued.output
    first = machine.files.certificate(NAME)
    assert first.names == (NAME,)
    assert machine.files.renewal(NAME)["tcs_lyon1_department"] == "test-dsi"
    assert machine.deployed()

    not_due = machine.renew("--quiet")
    assert (not_due.returncode, not_due.output) == (0, "")
    assert machine.files.certificate(NAME) == first

    renewed = machine.renew("--force-renewal", env=ALL_WARNINGS)
    assert renewed.returncode == 0, renewed.output
    assert machine.files.certificate(NAME).serial != first.serial
    assert machine.deployed()
    assert len(machine.files.accounts()) == 1

    printed = plugins.output + issued.output + renewed.output
    assert own_warnings(printed + machine.log()) == []
    secrets = [lab.eab_hmac_key, lab.key.secret]
    assert not any(secret in printed for secret in secrets)
    for folder in ("etc", "root", "var/lib/letsencrypt", "var/log", "var/tmp"):
        places = machine.system.root / folder
        assert leaks.files_with(secrets, places, except_for=machine.secret_files) == []


def test_the_package_is_upgraded_and_downgraded_with_its_certificates_in_place(
    lab, machine_of, release, deb, tmp_path
):
    machine = machine_of(release, lab)
    system, older = machine.system, packages.older(deb, tmp_path)
    newer_version = version(system)
    packages.install(system, older, "--allow-downgrades")
    assert version(system) == packages.OLDER
    issued = machine.certbot(*CERTONLY)
    assert issued.returncode == 0, issued.output
    serials = {machine.files.certificate(NAME).serial}

    for file, expected in ((deb, newer_version), (older, packages.OLDER)):
        packages.install(system, file, "--allow-downgrades")
        assert version(system) == expected
        assert len(packages.traces(system)) == 2  # modules and metadata, of one version
        renewed = machine.renew("--force-renewal")
        assert renewed.returncode == 0, renewed.output
        serials.add(machine.files.certificate(NAME).serial)
    assert len(serials) == 3
    assert len(machine.files.accounts()) == 1


@pytest.fixture(scope="module")
def generous_lab(tmp_path_factory):
    """A lab whose CA holds names as validated, so that `--standalone` needs no port."""
    require_lab()
    with lab_module.start(tmp_path_factory.mktemp("generous"), authz_reuse=100) as running:
        yield running


def test_certbot_works_without_the_package_and_says_what_is_missing(
    generous_lab, machine_of, release, deb
):
    machine = machine_of(release, generous_lab)
    files, system = machine.files, machine.system
    assert machine.certbot(*CERTONLY).returncode == 0
    server = ("--server", generous_lab.pebble.directory_url)
    other = ("certonly", "-n", "--standalone", *server, "-d", NAME, "--cert-name", "other")
    issued = machine.certbot(*other)
    assert issued.returncode == 0, issued.output
    others, mine = {files.certificate("other").serial}, set()

    for command in (["remove"], ["purge", "--autoremove"]):
        before = snapshot(machine, NAME)
        removed = system.run("apt-get", *command, "-y", packages.NAME).or_fail()
        # Which certificates that concerns, each on a line of its own.
        assert f"\n  {NAME}\n" in removed.stdout
        assert "\n  other\n" not in removed.stdout
        assert_certbot_works_without(machine)
        assert all(path.exists() for path in machine.secret_files)
        failed = machine.renew("--force-renewal")
        assert failed.returncode == 1
        # On Debian 11 and 12 it is the option recorded in the lineage that certbot misses.
        assert re.search("tcs[-_]lyon1", failed.stderr), failed.output
        assert NAME in failed.stderr
        assert snapshot(machine, NAME) == before
        others.add(files.certificate("other").serial)

        packages.install(system, deb)
        renewed = machine.renew("--force-renewal", "--cert-name", NAME)
        assert renewed.returncode == 0, renewed.output
        assert machine.deployed()
        mine.add(files.certificate(NAME).serial)
    assert (len(others), len(mine)) == (3, 2)
