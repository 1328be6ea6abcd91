"""`certbot-tcs-lyon1 test`: what an order needs is tried on real servers, and nothing is left."""

from __future__ import annotations

import io
import json
import sys

import dns.resolver
import pytest

from certbot_tcs_lyon1.status import command
from tests.lab import front, unbound, zones
from tests.lab.files import write_private

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"


@pytest.fixture
def probe(lab, resolver, capsys, monkeypatch, tmp_path):
    """Run `test` with this department config; exit code and output."""
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(lab.pebble.ca_bundle))
    (tmp_path / "var").mkdir()

    def run(text: str, *more: str) -> tuple[int, str]:
        write_private(tmp_path / "tcs-lyon1.ini", text)
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
        f"{NAME}: no CAA record stands in the way\n"
        f"    one that lets no other CA and account in: {NAME}. CAA 0 issue ",
    ):
        assert f"✓ {words}" in output
    assert lab.primary.txt(CHALLENGE) == []


def test_no_record_is_put_where_that_is_not_wanted(lab, probe, tmp_path):
    code, output = probe(lab.department_config(), NAME, "--no-dns-update")
    assert code == 0
    assert "no record was put" in output
    assert "every name server" not in output


def test_what_could_be_better_in_the_file_is_shown_and_nothing_is_wrong(lab, probe):
    key = {
        "key_file": None,
        "key_name": "x",
        "key_algorithm": "hmac-sha1",
        "key_secret": "c2VjcmV0",
    }
    code, output = probe(lab.department_config(dns=key))
    assert code == 0
    assert "– it could be better\n" in output
    assert "hmac-sha1 is weak" in output


def test_where_the_terminal_has_no_such_signs_words_take_their_place(
    lab, probe, monkeypatch, tmp_path
):
    for config, word in ((lab.department_config(), "ok "), ("[nonsense]", "FAILED ")):
        with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as terminal:
            with monkeypatch.context() as patched:
                patched.setattr(sys, "stdout", terminal)
                probe(config)
            terminal.seek(0)
            assert terminal.read().startswith(f"{word}{tmp_path}/tcs-lyon1.ini can be used")


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


def test_what_a_target_lacks_is_told(lab, probe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    text = lab.department_config(
        more=f"[install web]\ncertificate = {NAME}\nfullchain = {folder}/gone/x.pem\n"
        "owner = nobody-here\nreload = no-such-program\n"
    )
    code, output = probe(text, NAME, "--no-dns-update")
    assert code == 1
    for words in ("mkdir -p", "no user nobody-here", "no program no-such-program"):
        assert words in output


CA = "ca.test"


def _names_itself(request, ask):
    """As CAs do in their directory; Pebble doesn't."""
    reply = ask()
    if request.step != "directory":
        return reply
    return reply.with_json(meta={**reply.json()["meta"], "caaIdentities": [CA]})


@pytest.fixture(scope="module")
def ca(lab):
    with front.running(lab.pebble, _names_itself) as running:
        yield running


def _account(lab, ca, tmp_path) -> str:
    """The URL of an account of the department's."""
    url = f"{ca.directory_url[:-3]}my-account/1"
    server = ca.directory_url[len("https://") :]
    folder = tmp_path / "accounts" / server / "0123"
    folder.mkdir(parents=True)
    (folder / "tcs-lyon1.json").write_text(json.dumps({"eab_kid": lab.eab_kid}))
    (folder / "regr.json").write_text(json.dumps({"body": {}, "uri": url}))
    return url


@pytest.mark.parametrize(
    ("record", "permits"),
    [
        (f'0 issue "{CA}"', True),
        ('0 issue "harica.gr"', False),
        ('0 issue ";"', False),
        (f'0 issue "{CA}; accounturi=ACCOUNT"', True),
        (f'0 issue "{CA}; accounturi=https://elsewhere.test/1"', False),
        (f'0 issue "{CA}; validationmethods=dns-01"', True),
        (f'0 issue "{CA}; validationmethods=http-01"', False),
        (f'0 issue "{CA}; accounturi=ACCOUNT; validationmethods=http-01,dns-01"', True),
        ('128 future "x"', False),
    ],
)
@pytest.mark.parametrize("holder", ["labo.univ-lyon1.test.", "univ-lyon1.test."])
def test_the_caa_records_and_the_one_to_ask_for_are_told(
    lab, ca, probe, monkeypatch, tmp_path, record, permits, holder
):
    account = _account(lab, ca, tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca.ca_bundle))
    config = lab.department_config(tcs={"server": ca.directory_url})
    zone = holder.rstrip(".")
    with lab.holding(zone, (holder, 60, "CAA", record.replace("ACCOUNT", account))):
        code, output = probe(config, NAME, "--no-dns-update")
    assert code == int(not permits)
    mark = "✓" if permits else "✗"
    wanted = f'{zone}. CAA 0 issue "{CA}; accounturi={account}; validationmethods=dns-01"'
    assert f"{mark} {NAME}: the CAA records of {zone} permit this CA\n    there is: " in output
    assert f"\n    ask for: {wanted}\n" in output


def test_a_resolver_that_fails_is_told_for_a_ca_refuses_then(lab, probe, monkeypatch, tmp_path):
    lame = {"elsewhere.test": lab.primary.endpoint}
    with unbound.running(tmp_path / "unbound", lame, {}) as failing:
        monkeypatch.setattr(dns.resolver, "default_resolver", failing)
        config = lab.department_config(dns=None, department={"domains": None})
        code, output = probe(config, "www.elsewhere.test")
    assert code == 1
    assert "✗ www.elsewhere.test: its CAA records can be looked up" in output
    assert "✗ _acme-challenge.www.elsewhere.test: its TXT cannot be resolved (SERVFAIL" in output


def test_a_resolver_that_does_not_answer_says_nothing_about_a_ca(lab, probe, monkeypatch):
    silent = dns.resolver.Resolver(configure=False)
    silent.nameservers, silent.port = ["127.0.0.1"], 1
    monkeypatch.setattr(dns.resolver, "default_resolver", silent)
    config = lab.department_config(dns=None, department={"domains": None})
    code, output = probe(config, "www.elsewhere.test")
    assert code == 0
    assert "– www.elsewhere.test: its CAA records cannot be looked up from here (" in output


def test_a_ca_that_does_not_say_its_name_in_caa_records_is_not_judged_by_them(lab, probe):
    with lab.holding(
        "labo.univ-lyon1.test", ("labo.univ-lyon1.test.", 60, "CAA", '0 issue "x.test"')
    ):
        code, output = probe(lab.department_config(), NAME, "--no-dns-update")
    assert code == 0
    assert "permit this CA? It does not say by what name\n    there is: 0 issue" in output


def test_an_account_that_is_damaged_is_in_no_record_to_ask_for(lab, ca, probe, tmp_path):
    _account(lab, lab.pebble, tmp_path)
    (path,) = tmp_path.rglob("regr.json")
    for damaged in ("", "{}", "[]"):
        path.write_text(damaged)
        assert "accounturi" not in probe(lab.department_config(), NAME, "--no-dns-update")[1]


def test_a_name_is_taken_as_certbot_takes_it(lab, probe):
    config = lab.department_config(department={"domains": None})
    code, output = probe(config, "Étude.Labo.univ-lyon1.test.", "--no-dns-update")
    assert code == 0
    assert "_acme-challenge.xn--tude-9oa.labo.univ-lyon1.test: its zone is found" in output


def test_a_wildcard_and_its_base_are_tried_one_after_the_other(lab, probe):
    code, output = probe(lab.department_config(), NAME, f"*.{NAME}")
    assert code == 0
    assert output.count(f"✓ {CHALLENGE}: every name server shows the record") == 2
    assert f'{NAME}. CAA 0 issuewild "' in output
    assert lab.primary.txt(CHALLENGE) == []
