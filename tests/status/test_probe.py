"""`certbot-tcs-lyon1 test`: what an order needs is tried on real servers, and nothing is left."""

from __future__ import annotations

import dns.resolver
import pytest

from certbot_tcs_lyon1.status import command
from tests.lab import zones

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"


@pytest.fixture
def probe(lab, client, capsys, monkeypatch, tmp_path):
    """Run `test` with this department config; exit code and output."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [lab.primary.endpoint.address]
    resolver.port = lab.primary.endpoint.port
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(lab.pebble.ca_bundle))
    (tmp_path / "var").mkdir()

    def run(text: str, *more: str) -> tuple[int, str]:
        path = tmp_path / "tcs-lyon1.ini"
        path.touch(mode=0o600)
        path.write_text(text)
        folders = [f"--config-dir={tmp_path}", f"--work-dir={tmp_path / 'var'}"]
        code = command.main(["test", *folders, *more])
        return code, capsys.readouterr().out

    return run


def test_where_all_is_right_each_step_says_so_and_no_record_is_left(lab, probe):
    code, output = probe(lab.department_config(), NAME)
    assert (code, "✗" in output) == (0, False)
    for words in (
        "department test-dsi requests them",
        f"the CA's directory {lab.pebble.directory_url} answers",
        f"{CHALLENGE}: a zone that this key may change",
        f"{CHALLENGE}: every name server shows the record",
        f"{CHALLENGE}: nothing is left of it",
        "no CAA record stands in the way",
    ):
        assert f"✓ {words}" in output or words in output
    assert lab.primary.txt(CHALLENGE) == []


def test_no_record_is_put_where_that_is_not_wanted(lab, probe, tmp_path):
    code, output = probe(lab.department_config(), NAME, "--no-dns-update")
    assert code == 0
    assert "no record was put" in output
    assert "every name server" not in output


def test_without_names_the_file_alone_is_read(lab, probe):
    code, output = probe(lab.department_config())
    assert (code, output.count("\n")) == (0, 1)
    code, output = probe(lab.department_config(more="[nonsense]"))
    assert code == 1
    assert "line 16" in output
    assert "is unknown" in output


def test_a_name_that_no_department_may_request_is_told_with_whom_to_ask(lab, probe):
    code, output = probe(lab.department_config(), "www.elsewhere.test")
    assert code == 1
    assert "www.elsewhere.test: nobody" in output


def test_a_ca_that_does_not_answer_is_told_and_the_dns_is_tried_all_the_same(lab, probe):
    text = lab.department_config(tcs={"server": "https://localhost:9/dir"})
    code, output = probe(text, NAME)
    assert code == 1
    assert "✗ the CA's directory https://localhost:9/dir" in output
    assert f"✓ {CHALLENGE}: every name server shows the record" in output


def test_a_key_that_the_name_server_does_not_know_is_told(lab, probe, tmp_path):
    other = zones.write_key_file(tmp_path / "other.key", zones.new_key("other"))
    code, output = probe(lab.department_config(dns={"key_file": str(other)}), NAME)
    assert code == 1
    assert f"✗ {CHALLENGE}" in output


def test_what_a_target_lacks_is_told(lab, probe, tmp_path):
    text = lab.department_config(
        more=f"[install web]\ncertificate = {NAME}\nfullchain = {tmp_path}/gone/x.pem\n"
        "owner = nobody-here\nreload = no-such-program\n"
    )
    code, output = probe(text, NAME, "--no-dns-update")
    assert code == 1
    for words in ("mkdir -p", "no user nobody-here", "no program no-such-program"):
        assert words in output
