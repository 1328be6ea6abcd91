"""What a user sees who got the department config wrong, or nothing configured at all."""

from __future__ import annotations

import pytest

from tests.integration.commands import CERTONLY, NAME
from tests.lab import proxy


def assert_plain(result, *expected: str) -> None:
    """One message that holds `expected`; exit code 1, no traceback, no exception's repr."""
    assert result.returncode == 1
    for text in expected:
        assert text in result.output
    assert "Traceback" not in result.output
    assert "Error(" not in result.output


def test_three_faults_of_a_file_are_told_in_one_message(lab, client, configure):
    config = configure(
        lab.department_config(
            tcs={"server": "http://ca.test/"},
            department={"eab_hmac_key": lab.eab_hmac_key[:-1], "domain": "labo.univ-lyon1.test"},
        )
    )
    before = lab.pebble.requests()
    result = client.run(*CERTONLY)
    assert_plain(
        result,
        f"{config}, line 2, [tcs] server",
        f"{config}, line 8, [department test-dsi] eab_hmac_key",
        f"{config}, line 10, [department test-dsi] domain",
    )
    assert client.accounts() == []
    assert lab.pebble.requests() == before
    assert lab.eab_hmac_key[:-1] not in result.output + result.log


def test_without_a_department_config_the_smallest_one_is_shown(lab, client):
    result = client.run(*CERTONLY)
    assert_plain(result, str(client.config_dir / "tcs-lyon1.ini"), "eab_hmac_key =", "chmod 600")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "no department"),
        (b"\xff\xfe[\x00d\x00", "UTF-16"),
        (b"\xff[d]", "line 1"),
        (b"eab_kid = 1\n", "line 1"),
        (b"[department x\n", "line 1"),
        (b"[department x]\neab_kid = 1\neab_hmac_key: c2VjcmV0LXNlY3JldC1zZWNyZXQ\n", "line 3"),
    ],
)
def test_no_bad_file_gives_a_traceback_or_an_account(lab, client, configure, text, expected):
    configure("").write_bytes(text)
    before = lab.pebble.requests()
    result = client.run(*CERTONLY)
    assert_plain(result, expected)
    assert client.accounts() == []
    assert lab.pebble.requests() == before
    assert "c2VjcmV0" not in result.output + result.log


def test_a_config_that_others_can_write_is_refused(lab, client, configure):
    configure(lab.department_config()).chmod(0o620)
    assert_plain(client.run(*CERTONLY), "chmod 600")


def test_a_config_that_others_can_read_draws_one_warning_and_works(lab, client, configure):
    configure(lab.department_config()).chmod(0o640)
    result = client.run(*CERTONLY)
    assert result.returncode == 0, result.output
    assert result.output.count("chmod 600") == 1
    client.copy_lineage(NAME, "two")
    renewed = client.run("renew", "--force-renewal")
    assert renewed.returncode == 0, renewed.output
    assert renewed.output.count("chmod 600") == 1


def test_a_broken_config_fails_the_renewal_and_keeps_the_certificate(lab, client, configure):
    configure(lab.department_config())
    assert client.run(*CERTONLY).returncode == 0
    before, conf = client.certificate(NAME), client.renewal_text(NAME)
    configure("[department\n")
    result = client.run("renew", "--force-renewal")
    assert_plain(result, "tcs-lyon1.ini, line 1")
    assert client.certificate(NAME) == before
    assert client.renewal_text(NAME) == conf


def test_the_deadline_given_as_an_option_must_be_a_number_of_seconds(lab, client, configure):
    configure(lab.department_config())
    result = client.run(*CERTONLY, "--tcs-lyon1-propagation-seconds", "0")
    assert_plain(result, "--tcs-lyon1-propagation-seconds 0")


def test_what_fails_alike_at_publishing_and_at_withdrawing_is_explained_once(
    lab, client, configure
):
    # Unsigned, no answer shows that the records are gone, either.
    with proxy.running(lab.primary.endpoint, proxy.unsigned) as between:
        configure(lab.department_config(dns={"server": str(between.endpoint)}))
        result = client.run(*CERTONLY)
    assert_plain(result, "could not be withdrawn", "see the error below")
    assert result.output.count("is not signed") == 1


def test_plugins_lists_it_and_prepare_changes_nothing(lab, client, configure):
    configure(lab.department_config())
    listed = client.run("plugins")
    assert listed.returncode == 0
    assert "* tcs-lyon1" in listed.output
    before = lab.pebble.requests()
    prepared = client.run("plugins", "--prepare")
    assert prepared.returncode == 0, prepared.output
    assert "* tcs-lyon1" in prepared.output
    assert lab.pebble.requests() == before
    assert client.accounts() == []


@pytest.mark.parametrize("text", [None, "[department\n"])
@pytest.mark.parametrize("asked", [(), ("-a", "tcs-lyon1")])
def test_plugins_prepare_goes_on_where_the_config_is_missing_or_broken(
    client, configure, text, asked
):
    if text is not None:
        configure(text)
    result = client.run("plugins", "--prepare", *asked)
    assert result.returncode == 0, result.output
    assert "* standalone" in result.output
    assert ("* tcs-lyon1" in result.output) == (text is not None)


def test_picked_from_the_menu_it_names_the_command_to_use_instead(lab, client, configure):
    configure(lab.department_config())
    before = lab.pebble.requests()
    menu = ("certonly", "-d", NAME, "--force-interactive")
    result = client.run(*menu, stdin="2\nc\n")
    assert result.returncode == 1
    assert "tcs-lyon1) [Misconfigured]" in result.output
    assert "--configurator tcs-lyon1" in " ".join(result.output.split())  # certbot wraps it
    assert lab.pebble.requests() == before


def test_without_a_config_it_stays_out_of_the_menu(client):
    result = client.run("certonly", "-d", NAME, "--force-interactive", stdin="c\n")
    assert result.returncode == 1
    assert "tcs-lyon1" not in result.output


def test_help_shows_every_option(client):
    result = client.run("--help", "tcs-lyon1")
    assert result.returncode == 0
    for option in ("config", "department", "propagation-seconds"):
        assert f"--tcs-lyon1-{option}" in result.output
