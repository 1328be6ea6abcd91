"""The real certbot with the plugin, on a CA that demands EAB: issue, renew, dry runs."""

from __future__ import annotations

import pytest

from tests.integration.commands import CERTONLY, CHALLENGE, NAME
from tests.lab import lab as lab_module
from tests.lab import leaks, pebble
from tests.lab.require import require_lab


def order_paths(server: pebble.Pebble) -> list[str]:
    """The requests that a CA got, other than for its directory."""
    return [path for _, path in server.requests() if path != "/dir"]


def test_one_file_and_one_command_give_a_certificate_and_renew_needs_nothing_more(
    lab, client, configure
):
    config = configure(lab.department_config())
    secrets = [lab.eab_hmac_key, lab.key.secret]
    with leaks.watched_process_list(secrets) as seen:
        names = ("-d", NAME, "-d", "labo.univ-lyon1.test", "-d", "*.labo.univ-lyon1.test")
        issued = client.run("certonly", "-n", "--authenticator", "tcs-lyon1", *names)
        assert issued.returncode == 0, issued.output
        first = client.certificate(NAME)
        renewed = client.run("renew", "--force-renewal")
        assert renewed.returncode == 0, renewed.output
    second = client.certificate(NAME)

    assert first.names == ("*.labo.univ-lyon1.test", "labo.univ-lyon1.test", NAME)
    assert second.names == first.names
    assert second.serial != first.serial
    assert len(client.accounts()) == 1
    assert client.renewal(NAME)["authenticator"] == "tcs-lyon1"
    assert client.renewal(NAME)["server"] == lab.pebble.directory_url
    assert client.renewal(NAME)["tcs_lyon1_department"] == "test-dsi"
    assert leaks.files_with(secrets, client.folder, except_for=[config]) == []
    assert seen == []
    for server in (lab.primary, lab.secondary):
        assert lab.wait_for_secondary("labo.univ-lyon1.test")
        assert server.txt(CHALLENGE) == server.txt("_acme-challenge.labo.univ-lyon1.test") == []


def test_nonces_that_the_ca_rejects_at_random_cost_a_repetition_at_the_most(
    lab, client, configure, tmp_path
):
    """Pebble rejects one of twenty, its default; acme's client tries again once (RFC 8555 §6.5)."""
    env = {"PEBBLE_WFE_NONCEREJECT": "5"}
    with pebble.running(tmp_path / "ca", lab.secondary.endpoint, lab.eab_keys, env=env) as ca:
        configure(lab.department_config(tcs={"server": ca.directory_url}))
        trusting = {"REQUESTS_CA_BUNDLE": str(ca.ca_bundle)}
        for _ in range(3):
            issued = client.run(*CERTONLY, env=trusting)
            if issued.returncode == 0:
                break
            assert "has rejected the nonces of certbot's requests several times" in issued.output
        assert issued.returncode == 0, issued.output
    assert client.certificate(NAME).names == (NAME,)
    assert lab.primary.txt(CHALLENGE) == []


def test_a_lineage_that_preferred_another_challenge_is_renewed_and_prefers_none_after(
    lab, client, configure
):
    configure(lab.department_config())
    assert client.run(*CERTONLY).returncode == 0
    file = client.config_dir / "renewal" / f"{NAME}.conf"
    taken_over = "[renewalparams]\npref_challs = http-01,"  # as certbot writes it
    file.write_text(file.read_text(encoding="utf-8").replace("[renewalparams]", taken_over))
    for _ in range(2):
        serial = client.certificate(NAME).serial
        renewed = client.run("renew", "--force-renewal")
        assert renewed.returncode == 0, renewed.output
        assert client.certificate(NAME).serial != serial
        assert "http-01" not in file.read_text(encoding="utf-8")
    assert "http-01" not in renewed.output  # said once


def test_names_that_the_ca_holds_as_validated_need_no_dns_section(tmp_path):
    require_lab()
    with lab_module.start(tmp_path, authz_reuse=100) as lab:
        lab.write_department_config()
        assert lab.certbot(*CERTONLY).returncode == 0
        lab.write_department_config(lab.department_config(dns=None))
        again = lab.certbot("renew", "--force-renewal")
        assert again.returncode == 0, again.output
        assert lab.client.certificate(NAME).names == (NAME,)


def test_a_name_that_must_be_validated_without_a_dns_section_says_what_is_missing(
    lab, client, configure
):
    configure(lab.department_config(dns=None))
    result = client.run(*CERTONLY)
    assert result.returncode == 1
    assert "Add one, or have the domain validated in the portal" in result.output
    assert CHALLENGE in result.output
    assert client.lineages() == []


def test_a_server_given_by_the_user_keeps_the_department_out_of_it(
    lab, client, configure, second_ca, both_cas
):
    configure(lab.department_config())
    options = ("--server", second_ca.directory_url, "--agree-tos", "-m", "moi@univ-lyon1.test")
    issued = client.run(*CERTONLY, *options, env=both_cas)
    assert issued.returncode == 0, issued.output
    assert client.renewal(NAME)["server"] == second_ca.directory_url
    assert "tcs_lyon1_department" not in client.renewal(NAME)
    renewed = client.run("renew", "--force-renewal", env=both_cas)
    assert renewed.returncode == 0, renewed.output
    assert client.renewal(NAME)["server"] == second_ca.directory_url


def test_a_dry_run_goes_to_dry_run_server_and_leaves_the_ca_alone(
    lab, client, configure, second_ca, both_cas
):
    configure(lab.department_config(tcs={"dry_run_server": second_ca.directory_url}))
    before = order_paths(lab.pebble)
    result = client.run(*CERTONLY, "--dry-run", env=both_cas)
    assert result.returncode == 0, result.output
    assert order_paths(lab.pebble) == before
    assert "/order-plz" in order_paths(second_ca)
    assert client.lineages() == []


def test_a_staging_certificate_comes_from_dry_run_server_and_is_said_to_stay_there(
    lab, client, configure, second_ca, both_cas
):
    configure(lab.department_config(tcs={"dry_run_server": second_ca.directory_url}))
    result = client.run(*CERTONLY, "--staging", env=both_cas)
    assert result.returncode == 0, result.output
    assert "ordered again without --staging" in " ".join(result.output.split())
    assert client.renewal(NAME)["server"] == second_ca.directory_url


def test_a_dry_run_without_dry_run_server_says_that_the_ca_is_not_tested(lab, client, configure):
    configure(lab.department_config())
    before = lab.pebble.requests()
    # Let's Encrypt's staging server is out of reach: a proxy on a closed port stands in its way.
    closed = {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost"}
    result = client.run(*CERTONLY, "--dry-run", "--agree-tos", "-m", "a@b.test", env=closed)
    assert result.returncode == 1
    assert "letsencrypt.org/directory: the DNS part is tested, the CA of" in result.output
    assert lab.pebble.directory_url in result.output
    assert lab.pebble.requests() == [*before, ("GET", "/dir")]


def test_a_first_dry_run_registers_at_certbots_test_server_without_asking(
    lab, client, configure, second_ca, staging
):
    configure(lab.department_config())
    before = order_paths(lab.pebble)
    result = client.run(*CERTONLY, "--dry-run", env=staging)
    assert result.returncode == 0, result.output
    assert "/order-plz" in order_paths(second_ca)
    assert order_paths(lab.pebble) == before
    assert client.lineages() == []


@pytest.mark.parametrize("verb", ["certonly", "renew"])
def test_what_the_user_gives_explicitly_wins(lab, client, configure, verb):
    configure(lab.department_config(department={"eab_kid": "unknown-to-the-ca"}))
    eab = ("--eab-kid", lab.eab_kid, "--eab-hmac-key", lab.eab_hmac_key)
    issued = client.run(*CERTONLY, *eab)
    assert issued.returncode == 0, issued.output
    if verb == "renew":
        renewed = client.run("renew", "--force-renewal", "--server", lab.pebble.directory_url)
        assert renewed.returncode == 0, renewed.output
    assert len(client.accounts()) == 1


def test_cli_ini_wins_over_the_department(lab, client, configure, second_ca, both_cas):
    configure(lab.department_config())
    mine = f"server = {second_ca.directory_url}\nagree-tos = true\nemail = a@b.test\n"
    result = client.run(*CERTONLY, cli_ini=mine, env=both_cas)
    assert result.returncode == 0, result.output
    assert client.renewal(NAME)["server"] == second_ca.directory_url


def test_a_config_elsewhere_is_found_again_at_the_renewal_from_any_folder(
    lab, client, configure, tmp_path, monkeypatch
):
    configure(lab.department_config()).rename(tmp_path / "mine.ini")
    monkeypatch.chdir(tmp_path)
    issued = client.run(*CERTONLY, "--tcs-lyon1-config", "mine.ini")
    assert issued.returncode == 0, issued.output
    monkeypatch.chdir("/")
    renewed = client.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output
    assert client.renewal(NAME)["tcs_lyon1_config"] == str(tmp_path / "mine.ini")


def test_the_department_asked_for_orders_and_is_kept(lab, client, configure):
    other = "[department autre]\neab_kid = autre\neab_hmac_key = " + "A" * 43 + "\n"
    configure(lab.department_config(department={"domains": None}, more=other))
    refused = client.run(*CERTONLY)
    assert refused.returncode == 1
    assert "test-dsi, autre" in refused.output
    issued = client.run(*CERTONLY, "--tcs-lyon1-department", "test-dsi")
    assert issued.returncode == 0, issued.output
    renewed = client.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output


@pytest.mark.parametrize("second_ca", ["with EAB"], indirect=True)
def test_a_lineage_moves_with_its_department_to_another_ca(
    lab, client, configure, second_ca, both_cas
):
    configure(lab.department_config())
    assert client.run(*CERTONLY).returncode == 0
    configure(lab.department_config(tcs={"server": second_ca.directory_url}))
    renewed = client.run("renew", "--force-renewal", env=both_cas)
    assert renewed.returncode == 0, renewed.output
    assert client.renewal(NAME)["server"] == second_ca.directory_url
    assert f"from {lab.pebble.directory_url} to {second_ca.directory_url}" in renewed.output
