"""A certificate of Debian 11 goes through every newer Debian to the newest certbot."""

from __future__ import annotations

import subprocess
import sys

from tests.distros import packages
from tests.distros.machine import CERTONLY, NAME, Machine
from tests.lab import system

NEWEST = "5.8.0"
_VENV = "/opt/certbot"


def with_newest_certbot(machine: Machine) -> Machine:
    """The machine, with certbot and the checkout's wheel in a virtual environment.

    It is the pip of the host that installs: the one in a minimal system knows neither proxy nor
    mirror.
    """
    debian = machine.system
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    python = debian.run("python3", "-c", ask).or_fail().stdout.strip()
    debian.run("python3", "-m", "venv", "--without-pip", _VENV).or_fail()
    modules = f"{_VENV}/lib/python{python}/site-packages"
    wheel = packages.built("certbot_tcs_lyon1-*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    there = [f"--target={debian.root}{modules}", f"--python-version={python}"]
    what = ["--only-binary=:all:", f"certbot=={NEWEST}", str(wheel)]
    subprocess.run([*pip, *there, *what], check=True)
    return Machine(debian, (f"{_VENV}/bin/python", f"{modules}/bin/certbot"))


def test_a_certificate_of_debian_11_renews_on_every_newer_certbot_with_nothing_edited(
    lab, machine_of
):
    first, *later = [machine_of(release, lab) for release in system.RELEASES]
    issued = first.certbot(*CERTONLY)
    assert issued.returncode == 0, issued.output
    account, department = identity(first)
    serials = [first.files.certificate(NAME).serial]

    # An environment of pip has its own list of CAs; the lab's is in the system's.
    bundle = {"REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    before = first
    for machine in later:
        before.carry_to(machine)
        serials.append(renewed(machine))
        assert identity(machine) == (account, department)
        before = machine
    newest = with_newest_certbot(before)
    assert NEWEST in newest.certbot("--version").output
    serials.append(renewed(newest, bundle))
    assert identity(newest) == (account, department)
    assert len(set(serials)) == 4


def renewed(machine: Machine, env: dict[str, str] | None = None) -> int:
    """Renew; the serial of the new certificate."""
    done = machine.renew("--force-renewal", env=env)
    assert done.returncode == 0, done.output
    assert machine.deployed()
    return machine.files.certificate(NAME).serial


def identity(machine: Machine) -> tuple[str, str]:
    """The account and the department that the lineage is recorded with; there is one account."""
    record = machine.files.renewal(NAME)
    assert [account.id for account in machine.files.accounts()] == [record["account"]]
    return record["account"], record["tcs_lyon1_department"]
