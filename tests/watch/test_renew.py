"""The real `certbot renew`: what is revoked is replaced and deployed by the next run."""

from __future__ import annotations

import datetime
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import certbot
import pytest

from certbot_tcs_lyon1.report import Report
from certbot_tcs_lyon1.watch.reasons import Watch, Watched
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME, RECORD_NAME
from tests.install.conftest import Service, make_service
from tests.integration import problems
from tests.lab import front
from tests.lab.certbot import Certbot
from tests.lab.lab import Lab
from tests.watch.authority import NAME, ORDER, Authority, Leaf, exchange
from tests.watch.web import Web

VERSION = tuple(map(int, certbot.__version__.split(".")[:2]))
KNOWS_ARI = VERSION >= (4, 1)
RECONFIGURES = VERSION >= (2, 3)


@dataclass(frozen=True)
class Shop:
    """A certbot that has a lineage of the tests' CA and deploys it to a service."""

    client: Certbot
    service: Optional[Service]
    leaf: Leaf
    url: str

    def forget_kept_crls(self) -> None:
        """Have the next run fetch them."""
        shutil.rmtree(self.client.folder / "work" / CRL_FOLDER_NAME)

    def versions(self, name: str = NAME) -> int:
        """How many certificates certbot has got for a lineage."""
        return len(list((self.client.config_dir / "archive" / name).glob("cert*.pem")))


@pytest.fixture
def shop(lab: Lab, client: Certbot, ca: Authority, web: Web, tmp_path: Path) -> Shop:
    service = make_service(tmp_path / "service", certificate=NAME)
    client.configure(lab.department_config(more=service.section()))
    done = client.run(*ORDER)
    assert done.returncode == 0, done.output
    name = f"{tmp_path.name}.crl"
    leaf = exchange(client, ca, [f"{web.url}/{name}"])
    return Shop(client, service, leaf, f"{web.url}/{name}")


def revoke(shop: Shop, ca: Authority, web: Web, why: str = "superseded") -> None:
    web.put(shop.url.rpartition("/")[2], ca.crl({shop.leaf.serial: why}))


def test_a_revoked_certificate_is_replaced_and_deployed_and_the_next_run_does_nothing(
    shop, ca, web
):
    revoke(shop, ca, web)
    done = shop.client.run("renew")
    assert done.returncode == 0, done.output
    assert "revoked by the CA on" in done.output
    assert "superseded" in done.output
    assert shop.client.certificate(NAME).serial != shop.leaf.serial
    assert shop.service.path("fullchain").read_bytes() == (
        shop.client.live(NAME, "fullchain.pem").read_bytes()
    )
    assert shop.versions() == 2

    again = shop.client.run("renew")
    assert again.returncode == 0, again.output
    assert shop.versions() == 2
    assert "revoked by" not in again.output


def test_hooks_run_as_for_any_renewal(shop, ca, web):
    hook = shop.client.config_dir / "renewal-hooks" / "deploy" / "note"
    hook.write_text('#!/bin/sh\necho "$RENEWED_LINEAGE" >> "${0%/*}/../deployed"\n', "utf-8")
    hook.chmod(0o755)
    revoke(shop, ca, web)
    for _ in range(2):
        assert shop.client.run("renew").returncode == 0
    noted = (hook.parent.parent / "deployed").read_text("utf-8")
    assert noted == f"{shop.client.live(NAME).parent}\n"


def test_certbot_alone_goes_on_serving_what_the_ca_has_revoked(shop, ca, web):
    path = shop.client.config_dir / "renewal" / f"{NAME}.conf"
    lines = path.read_text("utf-8").replace("installer = tcs-lyon1\n", "")
    path.write_text(lines.replace("= tcs-lyon1", "= standalone"), "utf-8")
    revoke(shop, ca, web)
    for _ in range(2):
        assert shop.client.run("renew").returncode == 0
    assert shop.versions() == 1


def test_a_crl_that_is_out_of_reach_fails_nothing_and_is_told_after_three_days(shop, web):
    web.put(shop.url.rpartition("/")[2], b"<html>captive portal</html>")
    first = shop.client.run("renew")
    assert first.returncode == 0, first.output
    assert shop.url not in "".join(first.output.split())
    assert shop.url in first.log
    path = shop.client.folder / "work" / RECORD_NAME
    noted = json.loads(path.read_text("utf-8"))
    noted["unusable"][shop.url] -= 3 * 86400
    path.write_text(json.dumps(noted), "utf-8")
    later = shop.client.run("renew")
    assert later.returncode == 0, later.output
    assert shop.url in "".join(later.output.split())  # certbot wraps it
    assert shop.versions() == 1


def test_one_ordered_by_the_authenticator_alone_is_not_watched_and_told_the_command_that_changes_it(
    lab, client, ca, web
):
    client.configure(lab.department_config())
    done = client.run("certonly", "-n", "--authenticator", "tcs-lyon1", "-d", NAME)
    assert done.returncode == 0, done.output
    said = " ".join(done.output.split())  # certbot wraps it
    command = f"renew --force-renewal --cert-name {NAME} --installer tcs-lyon1"
    assert "a revocation by the CA will not be noticed" in said
    assert f"certbot {command}" in said
    leaf = exchange(client, ca, [f"{web.url}/unwatched.crl"])
    shop = Shop(client, None, leaf, f"{web.url}/unwatched.crl")
    revoke(shop, ca, web)
    idle = client.run("renew")
    assert idle.returncode == 0, idle.output
    assert shop.versions() == 1
    renewed = client.run("renew", "--force-renewal")
    assert "will not be noticed" in " ".join(renewed.output.split())
    changed = client.run(*command.split())
    assert changed.returncode == 0, changed.output
    assert "will not be noticed" not in " ".join(changed.output.split())
    revoke(replace(shop, leaf=exchange(client, ca, [shop.url])), ca, web)
    before = shop.versions()
    assert client.run("renew").returncode == 0
    assert shop.versions() == before + 1


@pytest.mark.skipif(not RECONFIGURES, reason="this certbot has no reconfigure")
def test_reconfigure_replaces_nothing(shop, ca, web):
    revoke(shop, ca, web)
    done = shop.client.run("reconfigure", "-n", "--cert-name", NAME, "--installer", "tcs-lyon1")
    assert done.returncode == 0, done.output
    assert shop.versions() == 1
    assert shop.client.certificate(NAME).serial == shop.leaf.serial


def test_one_that_is_not_revoked_is_not_replaced_nor_in_a_dry_run(shop, ca, web):
    web.put(shop.url.rpartition("/")[2], ca.crl({}))
    assert shop.client.run("renew").returncode == 0
    assert shop.versions() == 1


def test_revocation_check_no_switches_it_off(lab, shop, ca, web):
    revoke(shop, ca, web)
    shop.client.configure(
        lab.department_config(tcs={"revocation_check": "no"}, more=shop.service.section()),
    )
    done = shop.client.run("renew")
    assert done.returncode == 0, done.output
    assert shop.versions() == 1
    assert not [line for line in web.requests() if line.split()[0] in shop.url]


def test_a_dry_run_replaces_nothing_wherever_it_goes(lab, shop, ca, web):
    revoke(shop, ca, web)
    closed = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # what is tested goes to Let's Encrypt
    assert shop.client.run("renew", "--dry-run", env=closed).returncode == 1
    assert shop.versions() == 1
    text = {"dry_run_server": lab.pebble.directory_url}
    shop.client.configure(lab.department_config(tcs=text, more=shop.service.section()))
    done = shop.client.run("renew", "--dry-run")
    assert done.returncode == 0, done.output
    assert shop.versions() == 1


@pytest.mark.parametrize("why", ["keyCompromise", "superseded"])
def test_with_reuse_key_only_a_compromised_key_is_given_up(shop, ca, web, why):
    path = shop.client.config_dir / "renewal" / f"{NAME}.conf"
    text = path.read_text("utf-8")
    path.write_text(text.replace("[renewalparams]\n", "[renewalparams]\nreuse_key = True\n"))
    before = shop.client.live(NAME, "privkey.pem").read_bytes()
    revoke(shop, ca, web, why)
    done = shop.client.run("renew")
    assert done.returncode == 0, done.output
    assert shop.versions() == 2
    assert (shop.client.live(NAME, "privkey.pem").read_bytes() != before) == (
        why == "keyCompromise"
    )
    assert shop.client.renewal(NAME)["reuse_key"] == "True"


def test_renewing_at_a_test_server_replaces_nothing(shop, ca, web):
    revoke(shop, ca, web)
    done = shop.client.run("renew", "--staging")
    assert done.returncode == 0, done.output
    assert shop.versions() == 1


def test_a_lineage_that_cannot_be_read_is_not_watched_and_fails_nothing(lab, shop, ca, web):
    revoke(shop, ca, web)
    shop.client.configure(lab.department_config())
    chain = shop.client.live(NAME, "chain.pem").resolve()
    chain.unlink()
    chain.mkdir()
    done = shop.client.run("renew")
    assert done.returncode == 0, done.output
    assert shop.versions() == 1
    assert f"{NAME} could not be watched" in done.log


def test_a_department_that_is_gone_replaces_nothing_and_is_told(lab, shop, ca, web):
    shop.client.configure(
        lab.department_config(department=None, more=shop.service.section())
        + f"[department other]\neab_kid = {lab.eab_kid}\neab_hmac_key = {lab.eab_hmac_key}\n"
    )
    web.put(shop.url.rpartition("/")[2], ca.crl({}))
    assert shop.client.run("renew").returncode == 0
    revoke(shop, ca, web)
    shop.forget_kept_crls()
    done = shop.client.run("renew")
    assert done.returncode == 1
    assert "no [department test-dsi]" in done.output
    assert shop.versions() == 1


def test_what_cannot_be_remembered_is_not_replaced(shop, ca, web):
    revoke(shop, ca, web)
    (shop.client.folder / "work" / RECORD_NAME).mkdir(parents=True)
    done = shop.client.run("renew")
    assert done.returncode == 1
    assert "could be replaced again and again" in " ".join(done.output.split())
    assert shop.versions() == 1


def test_an_order_that_the_ca_refuses_for_one_name_keeps_no_other_from_being_replaced(
    lab, shop, ca, web
):
    revoke(shop, ca, web)
    with front.running(lab.pebble, front.refuse("newOrder", problems.REJECTED)) as refusing:
        shop.client.copy_lineage(NAME, "two")
        shop.client.configure(lab.department_config(tcs={"server": refusing.directory_url}))
        failed = shop.client.run("renew", env={"REQUESTS_CA_BUNDLE": str(refusing.ca_bundle)})
        assert failed.returncode == 1
        assert refusing.count("newOrder") == 2


def test_a_failure_leaves_all_as_it_was_fails_and_is_tried_again(lab, shop, ca, web):
    revoke(shop, ca, web)
    with front.running(lab.pebble, front.refuse("newOrder", problems.RATE_LIMITED)) as refusing:
        shop.client.copy_lineage(NAME, "two")
        bundle = {"REQUESTS_CA_BUNDLE": str(refusing.ca_bundle)}
        shop.client.configure(
            lab.department_config(
                tcs={"server": refusing.directory_url}, more=shop.service.section()
            ),
        )
        failed = shop.client.run("renew", env=bundle)
        assert failed.returncode == 1
        assert refusing.count("newOrder") == 1  # for the first of two
        assert (shop.versions(), shop.versions("two")) == (1, 1)
        assert shop.client.certificate(NAME).serial == shop.leaf.serial
    shop.client.configure(lab.department_config(more=shop.service.section()))
    done = shop.client.run("renew")
    assert done.returncode == 0, done.output
    assert (shop.versions(), shop.versions("two")) == (2, 2)


def campaign(lab: Lab, shop: Shop, when: str) -> str:
    return lab.department_config(
        department={"replace_issued_before": when}, more=shop.service.section()
    )


def test_a_campaign_replaces_an_older_certificate_once_also_where_the_ca_backdates(lab, shop, ca):
    exchange(shop.client, ca, [], days_old=3)
    yesterday = datetime.date.today() - datetime.timedelta(days=1)
    shop.client.configure(campaign(lab, shop, str(yesterday)))
    for _ in range(2):
        done = shop.client.run("renew")
        assert done.returncode == 0, done.output
        assert shop.versions() == 2
    exchange(shop.client, ca, [], days_old=3)  # what a CA that backdates would have given
    assert shop.client.run("renew").returncode == 0
    assert shop.versions() == 2


def test_a_campaign_leaves_newer_certificates_alone(lab, shop, ca):
    exchange(shop.client, ca, [], days_old=3)
    day = datetime.date.today() - datetime.timedelta(days=5)
    shop.client.configure(campaign(lab, shop, f"{day}T14:00:00Z"))
    assert shop.client.run("renew").returncode == 0
    assert shop.versions() == 1


def ari(base: str, days: float, headers: dict[str, str], body: Optional[bytes]) -> front.Behaviour:
    """A CA with ARI, whose window begins `days` from now; or it answers `body`."""

    def behave(request, ask):
        if request.step == "directory":
            return ask().with_json(renewalInfo=f"{base}/renewal-info")
        if not request.path.startswith("/renewal-info/"):
            return ask()
        now = datetime.datetime.now(datetime.timezone.utc)
        times = [now + datetime.timedelta(days=d) for d in (days, days + 1)]
        answer = {
            "suggestedWindow": {
                "start": times[0].isoformat().replace("+00:00", "Z"),
                "end": times[1].isoformat(),
            },
            "explanationURL": "https://ca.test/why",
        }
        return front.Reply(200, headers, json.dumps(answer).encode() if body is None else body)

    return behave


@pytest.mark.parametrize(
    ("days", "body", "is_asked_for"),
    [(1, None, False), (-0.5, None, True), (-9, None, True), (-9, b"<html>", False)],
    ids=["before", "within", "after", "no JSON"],
)
def test_the_ca_s_own_word_counts_once_its_window_has_begun(
    lab, ca, tmp_path, monkeypatch, days, body, is_asked_for
):
    leaf = ca.issue()
    now = datetime.datetime.now(datetime.timezone.utc)
    with front.running(lab.pebble) as server:
        base = server.directory_url.rpartition("/")[0]
        server.behave = ari(base, days, {"Retry-After": "21600"}, body)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_bundle))
        watch = Watch(str(tmp_path), Report(lambda line: None))
        watched = Watched("www", leaf.certificate, ca.pem, None, server.directory_url)
        for after in (0, 5, 7):
            at = now + datetime.timedelta(hours=after)
            found = watch.reason(watched, at)
            assert ("https://ca.test/why" in found.text if found else False) == is_asked_for
        asked = [path for _, path in server.requests() if path.startswith("/renewal-info/")]
        assert len(asked) == (3 if is_asked_for else 2)  # Retry-After: not at five hours
        assert server.count("directory") == 1


@pytest.mark.skipif(KNOWS_ARI, reason="this certbot asks for ARI itself")
def test_the_ca_s_own_word_replaces_where_certbot_does_not_know_ari(lab, shop):
    with front.running(lab.pebble) as server:
        base = server.directory_url.rpartition("/")[0]
        server.behave = ari(base, -1, {}, None)
        text = {"server": server.directory_url}
        shop.client.configure(lab.department_config(tcs=text, more=shop.service.section()))
        path = shop.client.config_dir / "renewal" / f"{NAME}.conf"
        old = shop.client.renewal(NAME)["server"]
        path.write_text(path.read_text("utf-8").replace(old, server.directory_url), "utf-8")
        done = shop.client.run("renew", env={"REQUESTS_CA_BUNDLE": str(server.ca_bundle)})
        assert done.returncode == 0, done.output
        assert shop.versions() == 2
        assert "https://ca.test/why" in done.output
