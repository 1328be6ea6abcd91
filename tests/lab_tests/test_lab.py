"""The lab does what its users rely on."""

import configparser
import contextlib
import datetime
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import pytest

from tests.lab import bind, namespace, pebble, ports, process, require, tls, zones
from tests.lab import lab as laboratory
from tests.lab.certbot import Certbot, Result, read_certificate
from tests.lab.errors import LabError, MissingProgram, PortTaken
from tests.lab.lab import Lab

ROOT = Path(__file__).parents[2]
CHALLENGE = "_acme-challenge.www.labo.univ-lyon1.test"

# What a person would write for `certbot --manual`: publish, then wait until the secondary has it.
AUTH_HOOK = """\
import os, time
import dns.query, dns.resolver, dns.tsig, dns.update
zone, name = "labo.univ-lyon1.test", "_acme-challenge." + os.environ["CERTBOT_DOMAIN"] + "."
value = os.environ["CERTBOT_VALIDATION"]
key = dns.tsig.Key({key!r}, {secret!r}, {algorithm!r})
update = dns.update.UpdateMessage(zone, keyring=key, keyname=key.name)
update.add(name, 60, "TXT", value)
assert dns.query.tcp(update, {primary!r}, timeout=5, port={port}).rcode() == 0
query = dns.message.make_query(name, "TXT")
deadline = time.monotonic() + 10
while value not in str(dns.query.tcp(query, {secondary!r}, timeout=5, port={port2})):
    assert time.monotonic() < deadline
"""


def is_gone(pid: int) -> bool:
    """Is there no such process (but perhaps one that is dead and not yet reaped)?"""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def pids(started: Lab) -> list[int]:
    return [s.process.pid for s in (started.pebble, started.primary, started.secondary)]


def register(client: Certbot, server: str, *args: str) -> Result:
    return client.run(
        "register", "-n", "--agree-tos", "-m", "a.b@univ-lyon1.fr", "--server", server, *args
    )


@contextlib.contextmanager
def run_python(*args: str) -> Iterator["subprocess.Popen[str]"]:
    """Run this Python in the checkout, with its output as a pipe, as a user's shell would; it is
    gone when the context ends."""
    with subprocess.Popen(
        [sys.executable, *args],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A job in the background has it ignored, and would hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as python:
        try:
            yield python
        finally:
            python.kill()


# Starting and stopping


def test_nothing_is_left_running(tmp_path: Path) -> None:
    require.require_lab()
    with laboratory.start(tmp_path) as started:
        running = pids(started)
        assert not any(is_gone(pid) for pid in running)
    assert all(is_gone(pid) for pid in running)


def test_nothing_is_left_running_after_a_failure(tmp_path: Path) -> None:
    require.require_lab()
    running: list[int] = []

    def fail() -> None:
        with laboratory.start(tmp_path) as started:
            running.extend(pids(started))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert running
    assert all(is_gone(pid) for pid in running)


PRINT_PIDS = """\
import pathlib, signal, sys
from tests.lab import lab
from tests.lab_tests.test_lab import pids
with lab.start(pathlib.Path(sys.argv[1])) as started:
    print(*pids(started), flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_survives_python(tmp_path: Path, number: signal.Signals) -> None:
    require.require_lab()
    with run_python("-c", PRINT_PIDS, str(tmp_path)) as python:
        assert python.stdout
        running = [int(pid) for pid in python.stdout.readline().split()]
        assert len(running) == 3
        python.send_signal(number)
        python.communicate(timeout=15)
    assert process.wait_until(lambda: all(is_gone(pid) for pid in running), 10)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_command_runs_until_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    require.require_lab()
    with run_python("-m", "tests.lab", str(tmp_path)) as python:
        assert python.stdout
        lines = [python.stdout.readline()]
        while lines[-1] and "Ctrl-C" not in lines[-1]:
            lines.append(python.stdout.readline())
        python.send_signal(number)
        rest, _ = python.communicate(timeout=15)
    assert python.returncode == code, rest
    text = "".join(lines)
    assert "https://localhost:" in text
    assert str(tmp_path / "tcs-lyon1.key") in text
    assert rest == ""


def test_two_labs_at_once(lab: Lab, tmp_path: Path) -> None:
    with laboratory.start(tmp_path) as other:
        assert (
            other.primary.update(
                zones.CHILD, other.key, [("_acme-challenge.two", 60, "TXT", "other")]
            )
            == "NOERROR"
        )
        assert other.primary.txt(f"_acme-challenge.two.{zones.CHILD}") == ["other"]
        assert lab.primary.txt(f"_acme-challenge.two.{zones.CHILD}") == []
        assert other.primary.endpoint.port != lab.primary.endpoint.port
        assert other.pebble.directory_url != lab.pebble.directory_url


def test_a_folder_can_be_used_again(tmp_path: Path) -> None:
    require.require_lab()
    for _ in range(2):
        with laboratory.start(tmp_path) as started:
            assert started.primary.txt(CHALLENGE) == []
            added = started.primary.update(
                zones.CHILD, started.key, [(CHALLENGE + ".", 60, "TXT", "x")]
            )
            assert added == "NOERROR"


def test_missing_program_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    with pytest.raises(MissingProgram, match="^pebble not found: apt-get install pebble$"):
        laboratory.check_programs()


def test_system_folders_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    require.require_lab()
    monkeypatch.setenv("PATH", "/usr/bin")
    assert process.need("named", "bind9") == "/usr/sbin/named"


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_a_test_that_cannot_run(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    with pytest.raises(outcome, match="apt-get install pebble"):
        require.require_lab()


def test_a_server_that_dies_shows_its_log(tmp_path: Path) -> None:
    started = process.start(
        "sh", ["sh", "-c", "echo no such zone; exit 3"], tmp_path, tmp_path / "log"
    )
    with process.running(started), pytest.raises(LabError, match="sh ended with 3.*\nno such zone"):
        process.wait_ready(started, lambda: False)


def test_a_server_that_never_answers_shows_its_log(tmp_path: Path) -> None:
    started = process.start("sleep", ["sleep", "60"], tmp_path, tmp_path / "log")
    with process.running(started), pytest.raises(LabError, match="sleep not ready in 0.1 s"):
        process.wait_ready(started, lambda: False, 0.1)
    assert is_gone(started.pid)


def test_a_fault_in_the_configuration_is_shown(tmp_path: Path) -> None:
    require.require_lab()
    zone = zones.Zone(
        "x.test", zones.zone_text("x.test", {"ns1": "127.0.0.1"}), ("grant nonsense;",)
    )
    with ports.claimed() as port, pytest.raises(LabError, match="named.conf:.* expected"):
        with bind.primary(tmp_path, ports.Endpoint("127.0.0.1", port), [zone], []):
            pass


# Ports


def test_a_claimed_port_is_not_given_twice() -> None:
    with ports.claimed() as port:
        with pytest.raises(PortTaken):
            with ports.claimed(port):
                pass
    with ports.claimed(port) as again:
        assert again == port


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_noticed(tmp_path: Path, kind: socket.SocketKind) -> None:
    require.require_lab()
    zone = zones.Zone("x.test", zones.zone_text("x.test", {"ns1": "127.0.0.1"}))
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        endpoint = ports.Endpoint("127.0.0.1", other.getsockname()[1])
        with pytest.raises(PortTaken):
            with bind.primary(tmp_path, endpoint, [zone], []):
                pass


def test_pebble_notices_a_port_in_use(tmp_path: Path) -> None:
    require.require_lab()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken):
            with pebble.running(tmp_path, ports.Endpoint("127.0.0.1", 1), port=port):
                pass


def test_a_taken_port_is_tried_again_with_another() -> None:
    tries: list[int] = []

    @contextlib.contextmanager
    def server() -> Iterator[str]:
        tries.append(1)
        if len(tries) < 3:
            raise PortTaken("taken")
        yield "started"

    with contextlib.ExitStack() as stack:
        assert ports.enter(stack, server) == "started"
    assert len(tries) == 3


# Name servers


def test_an_update_reaches_the_secondary(lab: Lab) -> None:
    name = f"_acme-challenge.reach.{zones.CHILD}"
    before = lab.primary.statistics().get("UPDATE", 0)
    for value in ("one", "two"):
        code = lab.primary.update(zones.CHILD, lab.key, [(f"{name}.", 60, "TXT", value)])
        assert code == "NOERROR"
    assert process.wait_until(lambda: lab.secondary.txt(name) == ["one", "two"], 5)
    assert lab.primary.statistics()["UPDATE"] == before + 2
    assert any(line.startswith(f"{name} IN TXT") for line in lab.secondary.query_log())
    assert any(name in line and '"two"' in line for line in lab.primary.update_log())
    code = lab.primary.update(zones.CHILD, lab.key, delete=[(f"{name}.", "TXT", "one")])
    assert code == "NOERROR"
    assert process.wait_until(lambda: lab.secondary.txt(name) == ["two"], 5)


@pytest.mark.parametrize(
    ("zone", "name", "rdtype", "value"),
    [
        (zones.CHILD, "www", "A", "127.0.0.9"),
        (zones.PARENT, "_acme-challenge.mail", "TXT", "x"),
        (zones.PARENT, "_acme-challenge.www", "A", "127.0.0.9"),
    ],
)
def test_what_the_policy_does_not_grant_is_refused(
    lab: Lab, zone: str, name: str, rdtype: str, value: str
) -> None:
    assert lab.primary.update(zone, lab.key, [(name, 60, rdtype, value)]) == "REFUSED"


def test_what_the_policy_of_the_parent_grants(lab: Lab) -> None:
    change = ("_acme-challenge.www", 60, "TXT", "x")
    assert lab.primary.update(zones.PARENT, lab.key, [change]) == "NOERROR"


def test_an_unsigned_update_is_refused(lab: Lab) -> None:
    change = ("_acme-challenge.unsigned", 60, "TXT", "x")
    assert lab.primary.update(zones.CHILD, None, [change]) == "REFUSED"


def test_a_test_may_edit_everything(lab: Lab) -> None:
    lab.edit(zones.PARENT, [("alias", 60, "CNAME", "www")])
    assert "alias.univ-lyon1.test. 60 IN CNAME" in str(
        lab.secondary.query("alias.univ-lyon1.test", "A")
    )
    lab.edit(zones.PARENT, delete=[("alias",)])
    assert not lab.secondary.query("alias.univ-lyon1.test", "A").answer


def test_zone_discovery_finds_the_child_and_the_parent(lab: Lab) -> None:
    for name, zone in (
        (CHALLENGE, zones.CHILD),
        ("_acme-challenge.mail.univ-lyon1.test", zones.PARENT),
    ):
        answer = lab.primary.query(name, "SOA")
        assert answer.flags & dns.flags.AA
        assert answer.authority[0].name.to_text() == f"{zone}."


def test_both_name_servers_have_one_port(lab: Lab) -> None:
    assert lab.same_port == ports.has_ipv6_loopback()
    expected = {False: "127.0.0.1", True: "::1"}[lab.same_port]
    assert lab.secondary.endpoint.address == expected
    assert expected in str(lab.primary.query(f"ns2.{zones.CHILD}", "ANY"))


def test_a_secondary_that_is_never_notified_stays_behind(tmp_path: Path) -> None:
    require.require_lab()
    with laboratory.start(tmp_path, notify_delay=bind.NEVER) as started:
        change = (f"{CHALLENGE}.", 60, "TXT", "x")
        assert started.primary.update(zones.CHILD, started.key, [change]) == "NOERROR"
        assert started.primary.txt(CHALLENGE) == ["x"]
        assert started.secondary.txt(CHALLENGE) == []
        started.secondary.rndc("refresh", zones.CHILD)
        assert started.wait_for_secondary(zones.CHILD)
        assert started.secondary.txt(CHALLENGE) == ["x"]


def test_rndc_says_what_went_wrong(lab: Lab) -> None:
    with pytest.raises(LabError, match="rndc reload no.such.zone .primary.: .*not found"):
        lab.primary.rndc("reload", "no.such.zone")


def test_the_key_file_is_what_tsig_keygen_prints(lab: Lab) -> None:
    keygen = process.need("tsig-keygen", "bind9")
    printed = subprocess.run(
        [keygen, "tcs-lyon1"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    text = lab.key_file.read_text(encoding="ascii")
    assert len(text) == len(printed)
    assert text.replace(lab.key.secret, "") == printed.replace(printed.split('"')[3], "")
    assert stat.S_IMODE(lab.key_file.stat().st_mode) == 0o600


# Pebble and certbot


def test_registration_needs_external_account_binding(lab: Lab, client: Certbot) -> None:
    refused = register(client, lab.pebble.directory_url)
    assert refused.returncode == 1
    assert "xternal account" in refused.output + refused.log
    assert client.accounts() == []
    before = lab.pebble.requests().count(("POST", "/sign-me-up"))
    accepted = register(
        client,
        lab.pebble.directory_url,
        "--eab-kid",
        lab.eab_kid,
        "--eab-hmac-key",
        lab.eab_hmac_key,
    )
    assert accepted.returncode == 0, accepted.output
    assert [account.server for account in client.accounts()] == [
        lab.pebble.directory_url.replace("https://", "")
    ]
    assert lab.pebble.requests().count(("POST", "/sign-me-up")) == before + 1
    assert "_internal.main:Arguments: [" in accepted.log


def test_a_ca_without_external_account_binding(tmp_path: Path) -> None:
    require.require_lab()
    with laboratory.start(tmp_path, eab_keys={}) as started:
        result = register(started.client, started.pebble.directory_url)
        assert result.returncode == 0, result.output
        assert "eab_" not in started.department_config()


def issue(lab: Lab, client: Certbot, name: str) -> Result:
    """Get a certificate in certbot's manual mode, with AUTH_HOOK."""
    hook = client.folder.with_name("hook.py")
    text = AUTH_HOOK.format(
        key=lab.key.name,
        secret=lab.key.secret,
        algorithm=lab.key.algorithm,
        primary=lab.primary.endpoint.address,
        port=lab.primary.endpoint.port,
        secondary=lab.secondary.endpoint.address,
        port2=lab.secondary.endpoint.port,
    )
    hook.write_text(text, encoding="utf-8")
    args = ["--manual", "--preferred-challenges", "dns", "--agree-tos", "-m", "a.b@univ-lyon1.fr"]
    args += ["--eab-kid", lab.eab_kid, "--eab-hmac-key", lab.eab_hmac_key]
    args += ["--manual-auth-hook", f"{sys.executable} {hook}"]
    if client.run("--version").output.startswith("certbot 1."):
        args.append("--manual-public-ip-logging-ok")
    return client.run("certonly", "-n", "-d", name, *args, "--server", lab.pebble.directory_url)


def test_a_certificate_without_the_plugin(lab: Lab, client: Certbot) -> None:
    """Plain certbot gets one, and renews it with no option: the parts fit together."""
    name = "manual.labo.univ-lyon1.test"
    first = issue(lab, client, name)
    assert first.returncode == 0, first.output
    assert client.lineages() == [name]
    assert client.renewal(name)["server"] == lab.pebble.directory_url
    issued = client.certificate(name)
    assert issued.names == (name,)
    assert "Pebble Intermediate CA" in issued.issuer
    assert (issued.not_after - issued.not_before).days in (89, 90)
    second = client.run("renew", "--force-renewal")
    assert second.returncode == 0, second.output
    assert client.certificate(name).serial != issued.serial
    assert f"_acme-challenge.{name}" in "".join(lab.secondary.query_log())


def test_pebble_s_settings(tmp_path: Path) -> None:
    """Validity, authorizations that are valid from the start, and forbidden names."""
    require.require_lab()
    name, blocked = "manual.labo.univ-lyon1.test", "bad.labo.univ-lyon1.test"
    settings: dict[str, Any] = {
        "authz_reuse": 100,
        "validity_days": 10,
        "domain_blocklist": [blocked],
    }
    with laboratory.start(tmp_path, **settings) as started:
        assert issue(started, started.client, name).returncode == 0
        issued = started.client.certificate(name)
        assert (issued.not_after - issued.not_before).days in (9, 10)
        updates = started.primary.statistics()["UPDATE"]
        again = started.client.run("renew", "--force-renewal")
        assert again.returncode == 0, again.output
        assert started.primary.statistics()["UPDATE"] == updates
        refused = issue(started, started.client, blocked)
        assert refused.returncode == 1
        assert "rejectedIdentifier" in refused.log


def test_the_user_s_cli_ini(lab: Lab, client: Certbot) -> None:
    cli_ini = f"""\
server = {lab.pebble.directory_url}
eab-kid = {lab.eab_kid}
eab-hmac-key = {lab.eab_hmac_key}
"""
    args = ["register", "-n", "--agree-tos", "-m", "a.b@univ-lyon1.fr"]
    result = client.run(*args, cli_ini=cli_ini)
    assert result.returncode == 0, result.output
    assert len(client.accounts()) == 1


def test_a_host_s_cli_ini_is_told(
    client: Certbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cli.ini"
    file.write_text("# server = x\nmax-log-backups = 0\nemail = a@b\n", encoding="utf-8")
    monkeypatch.setattr("tests.lab.certbot._HOST_CLI_INI", file)
    with pytest.raises(LabError, match="would change what certbot does here: email$"):
        client.run("plugins")


def test_certbot_is_stopped_at_its_deadline(client: Certbot, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    with pytest.raises(subprocess.TimeoutExpired):
        Certbot(client.folder, client.ca_bundle, str(slow)).run(timeout=0.5)
    assert is_gone(int((tmp_path / "pid").read_text(encoding="ascii")))


def test_two_runs_have_logs_of_their_own(client: Certbot) -> None:
    assert "certbot version" in client.run("plugins").log
    unknown = client.run("plugins", "--no-such-option")
    assert unknown.returncode == 2
    assert "certbot version" not in unknown.log


# The department config


def test_department_config(lab: Lab) -> None:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.read_string(
        lab.department_config(tcs={"email": None}, dns={"ttl": "5"}, more="[install mail]\n")
    )
    assert parser.sections() == ["tcs", "department test-dsi", "dns", "install mail"]
    assert dict(parser["tcs"]) == {"server": lab.pebble.directory_url, "agree_tos": "yes"}
    assert parser["department test-dsi"]["eab_hmac_key"] == lab.eab_hmac_key
    assert parser["dns"]["ttl"] == "5"
    assert parser["dns"]["server"] == str(lab.primary.endpoint)
    assert "[dns]" not in lab.department_config(dns=None)


def test_secrets_are_in_no_repr(lab: Lab) -> None:
    for secret in (lab.key.secret, lab.eab_hmac_key, lab.admin_key.secret):
        assert secret not in repr(lab)


def test_the_lab_s_own_certificate(tmp_path: Path) -> None:
    files = tls.make(tmp_path)
    assert stat.S_IMODE(files.private_key.stat().st_mode) == 0o600
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    certificate = read_certificate(files.certificate)
    assert certificate.names == ("localhost",)
    assert certificate.not_before < now < certificate.not_after


# Namespaces


PORT_53 = """\
import pathlib, sys
import dns.resolver
from tests.lab import lab, zones
with lab.start(pathlib.Path(sys.argv[1]), addresses=("127.0.0.2", "fd00::2"), port=53) as started:
    assert started.same_port
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.2"]
    names = sorted(record.target for record in resolver.resolve(zones.CHILD, "NS"))
    found = [resolver.resolve(names[0], "A")[0], resolver.resolve(names[1], "AAAA")[0]]
    print(*sorted(record.address for record in found))
    print(started.primary.endpoint, started.secondary.endpoint)
"""


def in_namespace(*args: str) -> "subprocess.CompletedProcess[str]":
    require.require_namespace()
    return subprocess.run(
        [sys.executable, "-m", "tests.lab.namespace", "--", *args],
        cwd=str(ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def test_port_53_in_a_namespace(tmp_path: Path) -> None:
    require.require_lab()
    done = in_namespace(sys.executable, "-c", PORT_53, str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-2:] == ["127.0.0.2 fd00::2", "127.0.0.2:53 [fd00::2]:53"]


def test_a_namespace_passes_the_exit_code_on() -> None:
    assert in_namespace("sh", "-c", "exit 7").returncode == 7


def test_a_namespace_has_only_a_loopback() -> None:
    done = in_namespace("ip", "-brief", "link", "show", "up")  # the kernel adds tunnels, down
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["lo"]


def test_namespace_usage() -> None:
    assert namespace.main([]) == 2


def test_why_not_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", ())
    assert namespace.why_not() == "ip not found: apt-get install iproute2"
