"""Several departments, new keys, a change of CA: on the lab with two Pebbles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.integration import problems
from tests.lab import front, leaks, pebble, ports
from tests.lab.certbot import Certbot, Result
from tests.lab.lab import Lab

ONE, TWO = "www.labo.univ-lyon1.test", "www.univ-lyon1.test"
KEYS = {f"kid-{number}": pebble.new_hmac_key() for number in (1, 2, 3)}
TRUSTING = {"PEBBLE_VA_ALWAYS_VALID": "1"}


@dataclass(frozen=True)
class World:
    """Two CAs that know the same keys, name servers, and a certbot."""

    lab: Lab
    first: Any
    second: pebble.Pebble
    client: Certbot

    def configure(self, *departments: str, server: str = "", dns: bool = True) -> None:
        """Write a department config: its `departments` are whole sections."""
        text = self.lab.department_config(
            tcs={"server": server or self.first.directory_url},
            department=None,
            dns={} if dns else None,
            more="\n".join(departments),
        )
        self.client.configure(text)

    def run(self, *args: str) -> Result:
        return self.client.run(*args)

    def issue(self, name: str, *args: str) -> Result:
        return self.run("certonly", "-n", "-a", "tcs-lyon1", "-d", name, *args)

    def account_of(self, name: str) -> str:
        return self.client.renewal(name)["account"]

    def server_of(self, name: str) -> str:
        return self.client.renewal(name)["server"]


@pytest.fixture(scope="module")
def cas(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[pebble.Pebble]]:
    """Two CAs with those keys; both believe every name to be validated."""
    folder = tmp_path_factory.mktemp("cas")
    dns = lab.secondary.endpoint
    with pebble.running(folder / "1", dns, KEYS, env=TRUSTING) as first:
        with pebble.running(folder / "2", dns, KEYS, env=TRUSTING) as second:
            yield [first, second]


@pytest.fixture
def world(lab: Lab, cas: list[pebble.Pebble], tmp_path: Path) -> World:
    both = tmp_path / "both.pem"
    both.write_text("".join(ca.ca_bundle.read_text() for ca in cas))
    return World(lab, *cas, Certbot(tmp_path / "certbot", both, lab.client.executable))


def section(name: str, kid: str, domains: str = "", server: str = "") -> str:
    lines = [f"[department {name}]", f"eab_kid = {kid}", f"eab_hmac_key = {KEYS[kid]}"]
    lines += [f"domains = {domains}"] if domains else []
    lines += [f"server = {server}"] if server else []
    return "\n".join(lines) + "\n"


LABO = section("labo", "kid-1", "labo.univ-lyon1.test")
DSI = section("dsi", "kid-2", "www.univ-lyon1.test")


def test_two_departments_on_one_ca_have_an_account_each_and_keep_to_it(world):
    world.configure(LABO, DSI)
    for name in (ONE, TWO, ONE, TWO):
        done = world.issue(name, "--force-renewal")
        assert done.returncode == 0, done.output
    assert world.run("renew", "--force-renewal").returncode == 0
    assert len(world.client.accounts()) == 2
    assert world.account_of(ONE) != world.account_of(TWO)
    assert world.client.renewal(ONE)["tcs_lyon1_department"] == "labo"
    assert world.client.renewal(TWO)["tcs_lyon1_department"] == "dsi"
    assert (
        leaks.files_with(
            list(KEYS.values()), world.client.folder, [world.client.config_dir / "tcs-lyon1.ini"]
        )
        == []
    )


def test_names_of_two_departments_are_refused_before_any_network_traffic(world):
    world.configure(LABO, DSI)
    before = world.first.requests()
    done = world.issue(ONE, "-d", TWO, "-d", "www.elsewhere.test")
    assert done.returncode == 1
    for line in (f"{ONE}: department labo", f"{TWO}: department dsi", "www.elsewhere.test: nobody"):
        assert line in done.output
    assert world.first.requests() == before


def test_an_ip_address_is_refused_as_one_before_any_network_traffic(world):
    world.configure(LABO, DSI)
    before = world.first.requests()
    done = world.issue(ONE, "--ip-address", "192.0.2.1")
    if "unrecognized arguments" in done.output:
        pytest.skip("this certbot has no --ip-address")
    assert done.returncode == 1
    assert "192.0.2.1: nobody: it is an IP address" in done.output
    assert world.first.requests() == before


def test_a_new_key_makes_and_uses_a_new_account(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    before = world.account_of(ONE)
    world.configure(section("labo", "kid-3", "labo.univ-lyon1.test"))
    done = world.run("renew", "--force-renewal")
    assert done.returncode == 0, done.output
    assert world.account_of(ONE) != before
    assert len(world.client.accounts()) == 2


def test_a_change_of_ca_moves_the_lineages_of_that_department_alone(world):
    world.configure(LABO, DSI)
    assert world.issue(ONE).returncode == 0
    assert world.issue("*.labo.univ-lyon1.test", "--cert-name", "wild").returncode == 0
    assert world.issue(TWO).returncode == 0
    first, second = world.first.directory_url, world.second.directory_url
    world.configure(section("labo", "kid-1", "labo.univ-lyon1.test", second), DSI)
    done = world.run("renew", "--force-renewal")
    assert done.returncode == 0, done.output
    assert [world.server_of(name) for name in (ONE, "wild", TWO)] == [second, second, first]
    assert done.output.count(f"moving from {first} to {second}") == 2
    again = world.run("renew", "--force-renewal")
    assert again.returncode == 0, again.output
    assert "moving" not in again.output
    assert len(world.client.accounts()) == 3


def test_a_new_ca_that_is_down_leaves_everything_as_it_was(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    before = snapshot(world.client.config_dir)
    world.configure(section("labo", "kid-1", "", "https://localhost:1/dir"))
    assert world.run("renew", "--force-renewal").returncode == 1
    world.configure(LABO)
    assert snapshot(world.client.config_dir) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def by_hand(world: World, name: str, kid: str = "kid-1") -> None:
    """Make a certificate as it is done without the plugin: with the long command."""
    with ports.claimed() as port:
        done = world.run(
            *("certonly", "--standalone", "--non-interactive", "--agree-tos"),
            *("--email", "prenom.nom@univ-lyon1.test", "--server", world.first.directory_url),
            *("--eab-kid", kid, "--eab-hmac-key", KEYS[kid]),
            *("--http-01-port", str(port), "--domain", name, "--cert-name", name),
        )
    assert done.returncode == 0, done.output


def reconfigures(world: World) -> bool:
    """Whether this certbot has `reconfigure`."""
    version = world.run("--version").output.split()[-1]
    return tuple(int(part) for part in version.split(".")[:2]) >= (2, 3)


@pytest.fixture
def once(world: World) -> Iterator[tuple[World, front.Front]]:
    """The world with a CA whose Key IDs are good for one registration, once `behave` says so."""
    with front.running(world.first) as ca:
        bundle = world.client.folder.parent / "three.pem"
        bundle.write_text(
            "".join(path.read_text() for path in (ca.ca_bundle, world.client.ca_bundle))
        )
        client = Certbot(world.client.folder, bundle, world.client.executable)
        yield replace(world, first=ca, client=client), ca


def owner_of(world: World, account: str) -> Optional[str]:
    """The Key ID that is written down for an account."""
    [folder] = (world.client.config_dir / "accounts").rglob(account)
    record = folder / "tcs-lyon1.json"
    return json.loads(record.read_text())["eab_kid"] if record.exists() else None


def test_an_account_made_by_hand_is_adopted_where_the_ca_says_that_its_key_is_bound(once):
    world, ca = once
    by_hand(world, ONE)
    account = world.account_of(ONE)
    ca.behave = front.refuse("newAccount", problems.USED_UP)
    world.configure(LABO)
    done = world.issue(ONE, "--cert-name", ONE, "--force-renewal")
    assert done.returncode == 0, done.output
    assert " ".join(done.output.split()).count(f"{account} is taken for it") == 1
    assert world.account_of(ONE) == account
    assert owner_of(world, account) == "kid-1"
    assert world.client.renewal(ONE)["authenticator"] == "tcs-lyon1"
    assert len(world.client.accounts()) == 1
    renewed = world.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output
    assert "is taken for it" not in renewed.output
    assert world.account_of(ONE) == account


def test_an_account_whose_key_cannot_be_recorded_orders_nothing(once):
    world, ca = once
    by_hand(world, ONE)
    account = world.account_of(ONE)
    [folder] = (world.client.config_dir / "accounts").rglob(account)
    (folder / "tcs-lyon1.json").mkdir()
    ca.behave = front.refuse("newAccount", problems.USED_UP)
    world.configure(LABO)
    done = world.issue(ONE, "--cert-name", ONE, "--force-renewal")
    assert done.returncode == 1
    assert str(folder / "tcs-lyon1.json") in "".join(done.output.split())
    assert ca.count("newOrder") == 1  # the one by hand
    assert world.client.renewal(ONE)["authenticator"] == "standalone"


def test_an_account_made_by_hand_with_another_key_is_not_taken_for_the_departments(world):
    by_hand(world, TWO, "kid-2")
    account = world.account_of(TWO)
    world.configure(LABO)
    done = world.issue(ONE)
    assert done.returncode == 0, done.output
    assert world.account_of(ONE) != account
    assert owner_of(world, world.account_of(ONE)) == "kid-1"
    assert owner_of(world, account) is None


def test_of_several_accounts_made_by_hand_the_right_one_is_asked_for(once):
    world, ca = once
    kept = world.client.folder.parent / "kept"
    accounts = world.client.config_dir / "accounts"
    for kid in ("kid-1", "kid-2"):  # certbot registers a second one only where it sees none
        done = world.run(
            *("register", "-n", "--agree-tos", "-m", "a@univ-lyon1.test"),
            *("--server", ca.directory_url, "--eab-kid", kid, "--eab-hmac-key", KEYS[kid]),
        )
        assert done.returncode == 0, done.output
        shutil.copytree(accounts, kept, dirs_exist_ok=True)
        shutil.rmtree(accounts)
    shutil.copytree(kept, accounts)
    ids = [account.id for account in world.client.accounts()]
    assert len(ids) == 2
    ca.behave = front.refuse("newAccount", problems.USED_UP)
    world.configure(LABO)
    done = world.issue(ONE)
    assert done.returncode == 1
    for account in ids:
        assert account in done.output
    chosen = world.issue(ONE, "--account", ids[0])
    assert chosen.returncode == 0, chosen.output
    renewed = world.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output
    assert world.account_of(ONE) == ids[0]


def test_the_key_id_that_is_written_down_is_the_one_that_was_used(world):
    world.configure(LABO)
    ini = world.client.folder / "cli.ini"
    ini.write_text(f"eab-kid = kid-2\neab-hmac-key = {KEYS['kid-2']}\n")
    ini.chmod(0o600)
    done = world.issue(ONE, "--config", str(ini))
    assert done.returncode == 0, done.output
    assert owner_of(world, world.account_of(ONE)) == "kid-2"


def test_reconfigure_gives_a_lineage_this_authenticator_and_keeps_its_account(world):
    if not reconfigures(world):
        pytest.skip("this certbot has no reconfigure")
    by_hand(world, ONE)
    account = world.account_of(ONE)
    world.configure(LABO, DSI)
    done = world.run("reconfigure", "-n", "--cert-name", ONE, "-a", "tcs-lyon1")
    assert done.returncode == 0, done.output
    assert world.client.renewal(ONE)["authenticator"] == "tcs-lyon1"
    assert world.client.renewal(ONE)["tcs_lyon1_department"] == "labo"
    assert world.account_of(ONE) == account
    renewed = world.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output
    assert owner_of(world, world.account_of(ONE)) == "kid-1"


def test_an_account_made_by_hand_is_not_adopted_where_it_could_be_anothers(world):
    by_hand(world, TWO, "kid-2")
    world.configure(LABO, DSI)
    done = world.issue(ONE)
    assert done.returncode == 0, done.output
    assert world.account_of(ONE) != world.account_of(TWO)


def test_an_explicit_server_or_a_lineage_by_hand_elsewhere_stays_where_it_is(world):
    by_hand(world, ONE)
    conf = world.client.config_dir / "renewal" / f"{ONE}.conf"
    conf.write_text(conf.read_text().replace("= standalone", "= tcs-lyon1"))
    world.configure(LABO, server=world.second.directory_url)
    done = world.run("renew", "--force-renewal")
    assert done.returncode == 0, done.output
    assert world.server_of(ONE) == world.first.directory_url


def test_a_server_that_cli_ini_still_names_is_told_with_the_file(world):
    world.configure(LABO, server=world.second.directory_url)
    ini = world.client.folder / "cli.ini"
    ini.write_text(f"server = {world.first.directory_url}\nagree-tos\nemail = a@b.test\n")
    eab = ("--eab-kid", "kid-1", "--eab-hmac-key", KEYS["kid-1"])
    done = world.issue(ONE, "--config", str(ini), *eab)
    assert done.returncode == 0, done.output
    told = " ".join(done.output.split())
    assert told.count("cli.ini has server") == 1
    assert f"server = {world.first.directory_url}" in told
    asked_for = world.issue(ONE, "--force-renewal", "--server", world.first.directory_url, *eab)
    assert asked_for.returncode == 0, asked_for.output
    assert "cli.ini" not in asked_for.output


def test_an_account_that_was_unregistered_is_made_anew(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    before = world.account_of(ONE)
    gone = world.run("unregister", "-n", "--server", world.first.directory_url)
    assert gone.returncode == 0, gone.output
    done = world.run("renew", "--force-renewal")
    assert done.returncode == 0, done.output
    assert world.account_of(ONE) != before


def test_an_account_given_by_the_user_wins(world):
    world.configure(LABO, DSI)
    assert world.issue(ONE).returncode == 0
    account = world.account_of(ONE)
    done = world.issue(TWO, "--account", account)
    assert done.returncode == 0, done.output
    assert world.account_of(TWO) == account


def test_without_an_address_or_agreement_no_account_is_asked_for(world):
    world.configure(LABO)
    path = world.client.config_dir / "tcs-lyon1.ini"
    lines = path.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(("email", "agree_tos"))]
    path.write_text("\n".join(kept))
    before = world.first.requests()
    done = world.issue(ONE)
    assert done.returncode == 1
    assert "email = " in done.output
    assert "agree_tos = yes" in done.output
    assert world.first.requests() == before


def test_a_department_that_is_gone_from_the_file_is_told_with_those_there_are(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    world.configure(DSI)
    done = world.run("renew", "--force-renewal")
    assert done.returncode == 1
    assert "no [department labo] in it (there is: dsi)" in done.output


def test_a_dry_run_sends_the_ca_one_get_of_its_directory(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    assert world.issue(f"a.{ONE}").returncode == 0
    before = world.first.requests()
    closed = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost"}
    done = world.client.run("renew", "--dry-run", env=closed)
    assert done.returncode == 1  # Let's Encrypt's staging server is out of reach
    assert world.first.requests() == [*before, ("GET", "/dir")]


def test_a_dry_run_of_a_lineage_that_no_department_may_order_is_left_to_certbot(world):
    by_hand(world, TWO, "kid-2")
    conf = world.client.config_dir / "renewal" / f"{TWO}.conf"
    conf.write_text(conf.read_text().replace("= standalone", "= tcs-lyon1"))
    world.configure(LABO)
    before = world.first.requests()
    closed = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost"}
    done = world.client.run("renew", "--dry-run", env=closed)
    assert done.returncode == 1  # Let's Encrypt's staging server is out of reach
    assert "nobody" not in done.output
    assert world.first.requests() == before


def test_a_dry_run_says_when_the_ca_does_not_answer(world):
    world.configure(LABO, server="https://localhost:1/dir")
    done = world.issue(ONE, "--dry-run", "--agree-tos", "-m", "a@b.test")
    assert done.returncode == 1
    assert "https://localhost:1/dir" in done.output
    assert "who runs this machine's network" in done.output


def test_a_dry_run_without_a_dns_section_says_that_there_is_nothing_to_test_with(world):
    world.configure(LABO, dns=False)
    done = world.issue(ONE, "--dry-run", "--agree-tos", "-m", "a@b.test")
    assert done.returncode == 1
    assert "nothing to test with" in done.output


def test_a_dry_run_at_a_named_server_says_that_a_real_certificate_is_ordered(world):
    world.configure(LABO)
    assert world.issue(ONE).returncode == 0
    done = world.issue(ONE, "--dry-run", "--server", world.first.directory_url)
    assert done.returncode == 0, done.output
    assert "real certificate" in done.output
