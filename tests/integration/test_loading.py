"""The plugin never breaks certbot, and where it isn't needed it costs nothing."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import certbot
import pytest

from tests.integration import twin
from tests.integration.commands import CERTONLY, NAME
from tests.integration.kerberos_steps import JOURNAL
from tests.lab import lab as lab_module
from tests.lab.certbot import Certbot
from tests.lab.require import require_lab


def imported_by(client, *args: str) -> set[str]:
    """The modules that a run of certbot imported."""
    client.run("--version")  # makes the folders
    done = subprocess.run(
        [sys.executable, "-X", "importtime", client.executable, *args, *client.folder_options()],
        env=client.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize("args", [("--version",), ("plugins",), ("certificates",)])
def test_other_commands_import_nothing_but_the_porch(client, args):
    ours = {name for name in imported_by(client, *args) if name.startswith("certbot_tcs_lyon1")}
    assert "certbot_tcs_lyon1.compat" in ours
    # What certbot imports by name (the entry point) is not in Python's list on every version.
    porch = ("plugin", "compat", "errors", "lyon1", "process", "report")
    assert ours <= {"certbot_tcs_lyon1", *(f"certbot_tcs_lyon1.{name}" for name in porch)}


def test_dnspython_stays_out_until_a_challenge_is_answered(tmp_path):
    require_lab()
    with lab_module.start(tmp_path, authz_reuse=100) as lab:
        lab.write_department_config()
        assert lab.certbot(*CERTONLY).returncode == 0
        modules = imported_by(lab.client, "renew", "--force-renewal")
    assert "certbot_tcs_lyon1.department" in modules
    assert not any(name == "dns" or name.startswith("dns.") for name in modules)


#: Whether this certbot compares a plugin's requirements with what is installed when it starts.
CHECKS_REQUIREMENTS = tuple(map(int, certbot.__version__.split(".")[:2])) < (2, 7)

#: What is wrong with dnspython, and what stands in its place in site-packages.
BROKEN = {
    "missing": {},
    "too old": {
        "dns/__init__.py": "",
        "dns/version.py": "MAJOR = 1\nversion = '1.16.0'\n",
        "dnspython-1.16.0.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: dnspython\nVersion: 1.16.0\n"
        ),
    },
    "broken": {"dns/__init__.py": "raise RuntimeError('half an upgrade')\n"},
}
OTHER = "of-another-plugin"


def without_dnspython(folder, state, as_packaged=True):
    """A certbot whose dnspython is in that state.

    :param as_packaged: whether the plugin's metadata have no requirements, as in a distribution's
        package; else as pip writes them
    """
    without, files = {"dns", "dnspython"}, dict(BROKEN[state])
    if as_packaged:
        # Not that of a source tree that Python was started in.
        there = [str(Path(certbot.__file__).resolve().parents[1])]
        [ours] = importlib.metadata.distributions(name="certbot-tcs-lyon1", path=there)
        name = Path(ours._path).name
        without.add(name)
        files[f"{name}/METADATA"] = re.sub(
            r"(?m)^(Requires-Dist|Provides-Extra):.*\n", "", ours.read_text("METADATA") or ""
        )
        files[f"{name}/entry_points.txt"] = ours.read_text("entry_points.txt") or ""
    return twin.make(folder / "twin", without, files)


def test_pip_brings_what_a_challenge_needs():
    """The Debian package names nothing: dpkg sees to it."""
    required = importlib.metadata.requires("certbot-tcs-lyon1") or ["dnspython", "acme", "certbot"]
    always = {re.split(r"[<>=!~; (]", text)[0] for text in required if "extra ==" not in text}
    assert always == {"acme", "certbot", "dnspython"}


@pytest.mark.skipif(
    not importlib.metadata.requires("certbot-tcs-lyon1"), reason="a distribution's package"
)
@pytest.mark.parametrize("state", ["as pip leaves it", *BROKEN])
def test_who_removes_what_pip_has_brought_stops_certbot_before_2_7_and_no_other(
    client, tmp_path, state
):
    if state in BROKEN:
        certbot = without_dnspython(tmp_path, state, as_packaged=False)
        client = dataclasses.replace(client, executable=certbot)
    stops = state in BROKEN and CHECKS_REQUIREMENTS
    for command in ("--version", "plugins", "certificates"):
        done = client.run(command)
        assert (done.returncode != 0) == stops, done.output
        assert ("dnspython" in done.output) == stops  # so it is seen what to install again


@pytest.fixture(scope="module")
def two_lineages(tmp_path_factory):
    """A lab whose CA asks no name for a second validation, and a certbot with two lineages on it:
    one of tcs-lyon1, and one of another plugin."""
    require_lab()
    with lab_module.start(tmp_path_factory.mktemp("two"), authz_reuse=100) as lab:
        lab.write_department_config()
        assert lab.certbot(*CERTONLY).returncode == 0
        server = ("--server", lab.pebble.directory_url)
        other = ("certonly", "-n", "--standalone", "-d", NAME, "--cert-name", OTHER)
        assert lab.certbot(*other, *server).returncode == 0
        yield lab


def client_of(lab, certbot: str) -> Certbot:
    """The lab's client with another certbot."""
    return dataclasses.replace(lab.client, executable=certbot)


def everything_else_works(client) -> None:
    """Every command that this plugin has no part in, and the renewal of another's lineage."""
    for command in ("--version", "plugins", "certificates"):
        done = client.run(command)
        assert done.returncode == 0, done.output
    before = {name: client.certificate(name).serial for name in (NAME, OTHER)}
    client.run("renew", "--force-renewal")
    assert client.certificate(OTHER).serial != before[OTHER]


@pytest.mark.parametrize("state", BROKEN)
def test_certbot_works_and_says_what_is_wrong_where_dnspython_is(two_lineages, tmp_path, state):
    client = client_of(two_lineages, without_dnspython(tmp_path, state))
    everything_else_works(client)
    # The CA holds this name as validated, so this plugin's renewal needs no dnspython either.
    before = client.certificate(NAME).serial
    renewed = client.run("renew", "--force-renewal", "--cert-name", NAME)
    assert renewed.returncode == 0, renewed.output
    assert client.certificate(NAME).serial != before
    assert ("pip install dnspython" in renewed.output) == (state == "missing")


@pytest.mark.parametrize("state", BROKEN)
def test_a_challenge_without_a_dnspython_that_works_says_what_to_install(
    lab, client, configure, tmp_path, state
):
    configure(lab.department_config())
    certbot = without_dnspython(tmp_path, state)
    client.run("--version")  # makes the folders
    (client.folder / JOURNAL).write_text("[]")  # of a run that was killed
    refused = dataclasses.replace(client, executable=certbot).run(*CERTONLY)
    assert refused.returncode == 1
    assert "python3-dnspython" in refused.output
    assert "could not be withdrawn: Answering a challenge in the DNS needs" in refused.output
    assert (client.folder / JOURNAL).exists()
    assert client.lineages() == []


@pytest.mark.parametrize("state", BROKEN)
def test_the_test_command_says_what_to_install_without_a_dnspython_that_works(tmp_path, state):
    python = Path(without_dnspython(tmp_path, state)).with_name("python")
    module = "certbot_tcs_lyon1.status.command"
    done = subprocess.run(
        [python, "-m", module, "test", f"--config-dir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "python3-dnspython" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(certbot.__version__.startswith("1."), reason="certbot 1 itself needs it")
def test_zope_interface_may_be_absent(two_lineages, tmp_path):
    there = twin.make(tmp_path / "twin", {"zope", "zope.interface", "zope.event", "zope.component"})
    client = client_of(two_lineages, there)
    everything_else_works(client)
    assert "tcs-lyon1" in client.run("plugins").output


@pytest.mark.parametrize("state", ["a folder", "missing", "faulty", "others'"])
def test_a_department_config_that_cannot_be_read_stops_nothing_else(two_lineages, state):
    path = two_lineages.write_department_config()
    text = path.read_text(encoding="utf-8")
    path.unlink()
    try:
        if state == "a folder":
            path.mkdir()
        elif state != "missing":
            path.touch(mode=0o666 if state == "others'" else 0o600)
            path.chmod(0o666 if state == "others'" else 0o600)
            path.write_text(text if state == "others'" else "[department", encoding="utf-8")
        everything_else_works(two_lineages.client)
        assert two_lineages.certbot("plugins", "--prepare").returncode == 0
        own = two_lineages.certbot("renew", "--force-renewal", "--cert-name", NAME)
        assert own.returncode == 1
        assert str(path) in own.output
    finally:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        two_lineages.write_department_config()


@pytest.mark.parametrize("args", [("plugins",), ("--help", "tcs-lyon1")])
def test_certbot_lists_the_plugin_where_only_ascii_can_be_shown(client, args):
    done = client.run(*args, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.output
    assert "tcs-lyon1" in done.stdout
