"""The real certbot with the plugin as installer: every verb, failures, and kill -9."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import certbot
import pytest

from tests.install.conftest import Service, make_service
from tests.integration.commands import CERTONLY, NAME
from tests.lab import leaks, pebble
from tests.lab.certbot import Certbot
from tests.lab.lab import Lab

INSTALL = (*CERTONLY, "--installer", "tcs-lyon1")
#: Before certbot 1.27, `certonly` calls nothing of an installer's.
CERTONLY_RESTARTS = tuple(map(int, certbot.__version__.split(".")[:2])) >= (1, 27)


def is_served(service: Service, client: Certbot) -> bool:
    """Whether the service has the live certificate, on disk and in memory."""
    kinds = ("fullchain", "chain", "privkey")
    live = [client.live(NAME, f"{kind}.pem").read_bytes() for kind in kinds]
    files = [service.path(kind).read_bytes() for kind in kinds]
    return files == live and service.served() == b"".join(live)


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """The shop's service, for a test that is at the shop; else a new one."""
    if "issued" in request.fixturenames:
        shop: Shop = request.getfixturevalue("shop")
        return shop.service
    return make_service(tmp_path / "service", certificate=NAME)


@dataclass(frozen=True)
class Shop:
    """A certbot that has got a certificate and deployed it to a service."""

    client: Certbot
    service: Service

    def configure(self, text: str) -> None:
        """Write the department config."""
        self.client.configure(text)


@pytest.fixture(scope="module")
def one_shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    client = Certbot(folder / "certbot", lab.pebble.ca_bundle, lab.client.executable)
    shop = Shop(client, make_service(folder / "service", certificate=NAME))
    shop.configure(lab.department_config(more=shop.service.section()))
    assert client.run(*INSTALL).returncode == 0
    return shop


@pytest.fixture
def shop(lab: Lab, one_shop: Shop) -> Shop:
    """The shop in order, for a test that may leave it in disorder."""
    one_shop.configure(lab.department_config(more=one_shop.service.section()))
    for flag in one_shop.service.folder.glob("*-fails"):
        flag.unlink()
    if not is_served(one_shop.service, one_shop.client):
        assert one_shop.client.run("renew").returncode == 0
    one_shop.service.forget()
    return one_shop


@pytest.fixture
def issued(shop: Shop) -> Certbot:
    return shop.client


@pytest.mark.parametrize("how", ["installer", "configurator", "run"])
def test_the_first_issue_is_deployed_and_each_renewal(lab, client, configure, service, how):
    configure(lab.department_config(more=service.section()))
    first = {
        "installer": INSTALL,
        "configurator": ("certonly", "-n", "--configurator", "tcs-lyon1", "-d", NAME),
        "run": ("run", "-n", "-a", "tcs-lyon1", "-i", "tcs-lyon1", "-d", NAME),
    }[how]
    done = client.run(*first)
    assert done.returncode == 0, done.output
    assert is_served(service, client)
    assert done.output.count("[install mail]") == 1
    assert service.runs == ["test", "reload"]
    assert client.renewal(NAME)["installer"] == "tcs-lyon1"

    if how == "installer":
        renewed = client.run("renew", "--force-renewal")
        assert renewed.returncode == 0, renewed.output
        assert is_served(service, client)
        assert service.runs == ["test", "reload"] * 2
    key = client.live(NAME, "privkey.pem").read_text().splitlines()[1]
    keys = list(client.config_dir.rglob("*.pem"))
    assert leaks.files_with([key], client.folder, except_for=keys) == []


def test_a_renew_that_renews_nothing_writes_and_runs_nothing(issued, service):
    before = {path: path.stat().st_ctime_ns for path in (service.folder / "tls").iterdir()}
    done = issued.run("renew")
    assert done.returncode == 0, done.output
    assert service.runs == []
    assert {path: path.stat().st_ctime_ns for path in before} == before


def test_what_someone_overwrote_is_healed_by_a_renew_that_renews_nothing(issued, service):
    service.path("privkey").write_text("oops")
    done = issued.run("renew")
    assert done.returncode == 0, done.output
    assert "[install mail]" in done.output
    assert is_served(service, issued)


def test_a_test_that_fails_at_a_renewal_leaves_the_old_files_and_is_healed(issued, service):
    before = service.files()
    (service.folder / "test-fails").touch()
    for command in (("renew", "--force-renewal"), ("renew",)):
        failed = issued.run(*command)
        assert failed.returncode == 1
        assert "test of mail is broken" in failed.output
        assert service.files() == before
        assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
    (service.folder / "test-fails").unlink()
    healed = issued.run("renew")
    assert healed.returncode == 0, healed.output
    assert is_served(service, issued)


@pytest.mark.parametrize("verb", ["certonly", "run"])
def test_a_test_that_fails_at_the_first_issue_keeps_the_certificate(
    lab, client, configure, service, verb
):
    configure(lab.department_config(more=service.section()))
    (service.folder / "test-fails").touch()
    failed = client.run(verb, *INSTALL[1:])
    assert "test of mail is broken" in failed.output
    assert "certbot renew" in failed.output
    assert "Traceback" not in failed.output
    assert "PluginError(" not in failed.output
    assert failed.returncode == (1 if verb == "run" or CERTONLY_RESTARTS else 0)
    assert client.lineages() == [NAME]
    assert service.names() == []
    (service.folder / "test-fails").unlink()
    healed = client.run("renew")
    assert healed.returncode == 0, healed.output
    assert is_served(service, client)


def test_install_deploys_what_there_is_with_the_config_that_the_lineage_keeps(
    lab, client, configure, service, tmp_path
):
    mine = configure(lab.department_config()).rename(tmp_path / "mine.ini")
    done = client.run(*CERTONLY, "--tcs-lyon1-config", str(mine))
    assert done.returncode == 0, done.output
    install = ("install", "-n", "--cert-name", NAME, "-i", "tcs-lyon1")
    refused = client.run(*install)
    assert refused.returncode == 1
    assert f"no section [install NAME] says certificate = {NAME}" in refused.output
    mine.write_text(lab.department_config(more=service.section()))
    done = client.run(*install)
    assert done.returncode == 0, done.output
    assert is_served(service, client)


def test_install_of_files_that_certbot_does_not_keep_is_refused(issued, service, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for kind in ("cert", "privkey"):
        (other / f"{kind}.pem").write_bytes(issued.live(NAME, f"{kind}.pem").read_bytes())
    paths = ("--cert-path", f"{other}/cert.pem", "--key-path", f"{other}/privkey.pem")
    done = issued.run("install", "-n", "-i", "tcs-lyon1", "-d", NAME, *paths)
    assert done.returncode == 1
    assert "is not a certificate that certbot keeps" in done.output
    assert service.runs == []


def test_rollback_deploys_the_previous_version_and_renew_goes_forward_again(issued, service):
    first = service.files()
    assert issued.run("renew", "--force-renewal").returncode == 0
    second = service.files()
    back = issued.run("rollback", "-n", "-i", "tcs-lyon1")
    assert back.returncode == 0, back.output
    assert "rolled back from version" in back.output
    assert service.files() == first
    assert issued.run("renew").returncode == 0
    assert service.files() == second


def test_a_run_whose_last_reload_fails_does_not_go_back_to_an_older_certificate(
    lab, client, configure, tmp_path
):
    folder = tmp_path / "service"
    script = tmp_path / "flaky.sh"
    script.write_text(  # spoils what was written, then fails once
        f"cd {folder}; echo reload >> log; n=$(grep -c reload log)\n"
        "[ $n = 1 ] && echo spoilt > tls/fullchain.pem\n[ $n != 2 ]\n"
    )
    service = make_service(folder, certificate=NAME, reload=("sh", str(script)))
    configure(lab.department_config(more=service.section()))
    done = client.run("run", "-n", "-a", "tcs-lyon1", "-i", "tcs-lyon1", "-d", NAME)
    assert done.returncode == 1
    assert service.runs.count("reload") > 2
    live = client.live(NAME, "fullchain.pem").read_bytes()
    assert service.path("fullchain").read_bytes() == live
    assert "rolled back" not in done.output


def test_without_a_name_certbot_finds_none_to_order(lab, client, configure):
    configure(lab.department_config())
    done = client.run("run", "-n", "-a", "tcs-lyon1", "-i", "tcs-lyon1")
    assert done.returncode == 1
    assert client.lineages() == []


def test_a_renewal_that_is_not_due_fails_where_the_department_config_is_faulty(issued):
    path = issued.configure("[department")
    done = issued.run("renew")
    assert done.returncode == 1
    assert str(path) in "".join(done.output.split())


def test_enhance_is_refused(issued):
    done = issued.run("enhance", "-n", "-i", "tcs-lyon1", "--cert-name", NAME, "--hsts")
    assert done.returncode == 1
    assert "it has no enhancements" in " ".join(done.output.split())


def test_dry_runs_touch_nothing(lab, shop, issued, service, second_ca, both_cas):
    shop.configure(
        lab.department_config(
            tcs={"dry_run_server": second_ca.directory_url}, more=service.section()
        )
    )
    service.path("privkey").write_text("as someone left it")
    account = ("--dry-run", "--agree-tos", "-m", "a@b.test")
    for command in (("renew",), INSTALL):
        done = issued.run(*command, *account, env=both_cas)
        assert done.returncode == 0, done.output
    assert service.runs == []
    assert service.path("privkey").read_text() == "as someone left it"


def test_sections_that_nobody_deploys_are_told_with_the_command_that_does(
    lab, client, configure, service
):
    configure(lab.department_config(more=service.section()))
    done = client.run(*CERTONLY)
    assert done.returncode == 0, done.output
    command = f"renew --force-renewal --cert-name {NAME} --installer tcs-lyon1"
    told = " ".join(done.output.split())
    assert told.count("[install mail]: not deployed") == 1
    assert f"certbot {command}" in told
    assert service.names() == []
    done = client.run(*command.split())
    assert done.returncode == 0, done.output
    assert "not deployed" not in done.output
    assert is_served(service, client)
    assert client.renewal(NAME)["installer"] == "tcs-lyon1"


def test_the_installer_prefills_also_for_another_authenticator(lab, client, configure, tmp_path):
    env = {"PEBBLE_VA_ALWAYS_VALID": "1"}
    with (
        pebble.running(tmp_path / "ca", lab.secondary.endpoint, lab.eab_keys, env=env) as ca,
        pebble.ports.claimed() as port,
    ):
        configure(lab.department_config(tcs={"server": ca.directory_url}, dns=None))
        client = Certbot(client.folder, ca.ca_bundle, client.executable)
        http = ("--standalone", "--http-01-port", str(port))
        done = client.run("certonly", "-n", *http, "-i", "tcs-lyon1", "-d", NAME)
        assert done.returncode == 0, done.output
        assert client.renewal(NAME)["server"] == ca.directory_url


# -- kill -9

_KILL_AT_RENAME = """\
import os, signal, sys
left = 2
def count(event, args):
    global left
    if event == "os.rename" and ".pem.tcs-lyon1-" in str(args[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""


@pytest.mark.parametrize("when", ["between two renames", "test", "reload"])
def test_after_a_kill_the_next_renew_ends_with_the_new_certificate(
    lab, shop, issued, service, tmp_path, when
):
    served = service.served()
    env = {}
    if when == "between two renames":
        hook = tmp_path / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(_KILL_AT_RENAME)
        env["PYTHONPATH"] = str(hook)
    else:
        killer = f"sh -c 'kill -9 $PPID; exit 0' {when}"
        words = " ".join(getattr(service.target, when))
        text = lab.department_config(more=service.section()).replace(words, killer)
        shop.configure(text)
    killed = issued.run("renew", "--force-renewal", env=env)
    assert killed.returncode == -signal.SIGKILL
    assert service.served() == served

    shop.configure(lab.department_config(more=service.section()))
    healed = issued.run("renew")
    assert healed.returncode == 0, healed.output
    assert is_served(service, issued)
    assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
    left = {path.name for path in (issued.folder / "work").glob("tcs-lyon1-*")}
    assert left - {"tcs-lyon1-watch.json"} == set()  # before 4.1 the CA was asked for ARI


def test_plugins_lists_it_as_an_installer(client):
    listed = client.run("plugins", "--installers")
    assert listed.returncode == 0
    assert "* tcs-lyon1" in listed.output
