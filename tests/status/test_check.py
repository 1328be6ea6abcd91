"""`certbot-tcs-lyon1 check` and `status`: what is wrong is named, and what is right is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certbot_tcs_lyon1.status import certbots_log, command, gather, timer, verdicts
from tests.lab import services, terminal
from tests.lab.files import write_private
from tests.lab.require import require_root
from tests.status.conftest import NAME, Machine


@pytest.fixture
def check(machine, capsys):
    """Run `check` on the machine; exit code and output."""

    def run(*more: str) -> tuple[int, str]:
        code = command.main(machine.arguments("check", *more))
        return code, capsys.readouterr().out

    return run


def test_a_machine_on_which_all_is_right_is_ok(check):
    code, output = check()
    assert (code, output.count("\n")) == (0, 1)
    assert output.startswith("TCS OK - 1 certificates, the first ends in 72 days | ")
    assert re.search(rf"'{NAME} days'=7[12]\.\d\d;22\.50;9\.00$", output.strip())


@pytest.mark.parametrize("days", [200, 100, 47, 6])
@pytest.mark.parametrize(("left", "code"), [(26, 0), (24, 1), (9, 2), (0, 2), (-5, 2)])
def test_what_is_left_of_a_lifetime_decides_however_long_it_is(machine, check, left, days, code):
    machine.issue(left=left, days=days)
    assert check()[0] == code


def test_both_limits_can_be_set(machine, check):
    machine.issue(left=26)
    assert check("--warning", "30")[0] == 1
    assert check("--warning", "30", "--critical", "27")[0] == 2


def test_the_config_that_the_lineages_were_ordered_with_is_found(machine, check, tmp_path):
    elsewhere = tmp_path / "tcs.ini"
    (machine.config_dir / "tcs-lyon1.ini").rename(elsewhere)
    assert check()[0] == 2
    machine.issue(options=f"tcs_lyon1_config = {elsewhere}\n")
    assert check()[0] == 0


def test_a_config_that_is_named_is_read_and_no_other(machine, check, tmp_path):
    named = machine.configure().rename(tmp_path / "named.ini")
    machine.configure("nonsense")
    assert check()[0] == 2
    assert check("--tcs-lyon1-config", str(named))[0] == 0


def test_a_critical_limit_above_the_warning_counts(machine, check):
    machine.issue(left=8)
    assert check("--warning", "5", "--critical", "10")[0] == 2


def test_what_cannot_be_read_hides_no_config_that_is_wrong(machine):
    options = command.parser().parse_args(machine.arguments("check"))
    facts = gather.gather_facts(command._folders(options))
    broken = replace(facts, config_fault="line 1: broken", unreadable=("/var/log/letsencrypt",))
    found = verdicts.judge(broken, verdicts.Limits(25, 10))
    assert verdicts.worst(found.verdicts) is verdicts.State.CRITICAL


def test_a_machine_that_cannot_be_judged_is_unknown_and_no_warning(machine, monkeypatch, capsys):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(gather, "gather_facts", fail)
    assert command.main(machine.arguments("check")) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_written_for_prometheus(machine, check, tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    conf = machine.config_dir / "renewal" / f"{NAME}.conf"
    shutil.copy(conf, conf.with_name(f"{odd}.conf"))
    code, _ = check("--prometheus", str(tmp_path / "tcs.prom"))
    assert (code, [file.name for file in tmp_path.glob("tcs.prom*")]) == (0, ["tcs.prom"])


def test_a_lineage_whose_name_looks_like_a_part_of_the_machine_is_told_once(machine, check):
    machine.issue("[web]", left=5)
    code, output = check("--checkmk")
    assert code == 0
    assert '0 "TCS certbot" - renewal runs' in output


def test_a_name_draws_nothing_on_the_terminal(machine, capsys):
    machine.issue("a\x1b[31mb", left=5)
    command.main(machine.arguments("status"))
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_first_run_is_waited_for_two_days(machine, check):
    shutil.rmtree(machine.logs_dir)
    code, output = check()
    assert code == 1
    assert "`certbot renew` has not run yet, by its logs" in output
    machine.issue(left=99)
    assert check()[0] == 0


def test_the_last_run_is_told_of_all_logs_and_the_last_failure_of_each_lineage(machine, check):
    log = machine.logs_dir / "letsencrypt.log"
    begun = []
    for number, days in ((10, 0.03), (2, 0.02), (1, 0.01)):
        machine.log(f"Failed to renew certificate {NAME} with error: of {days}", days)
        begun.append(log.read_text()[:19])
        log.rename(log.with_name(f"letsencrypt.log.{number}"))
    machine.log(verb="certificates")
    facts = json.loads(check("--json")[1])
    assert facts["lineages"][0]["failure"]["cause"] == "of 0.01"
    last = time.strptime(begun[-1], "%Y-%m-%d %H:%M:%S")
    assert facts["last_renew"] == time.mktime(last)


def test_a_failure_of_a_lineage_with_a_blank_in_its_name_is_seen():
    for line in (
        "Failed to renew certificate my cert with error: boom",
        "Attempting to renew cert (my cert) from /etc/x y.conf produced an unexpected error: boom",
    ):
        found = certbots_log._FAILED.search(line)
        assert (found["new"] or found["old"], found["why"]) == ("my cert", "boom")


def test_a_config_that_is_wrong_is_critical_with_its_line(machine, check):
    machine.configure("nonsense = 1\n")
    code, output = check()
    assert code == 2
    assert "line 9" in output


@pytest.mark.parametrize("plugin", ["tcs-lyon1", "webroot"])
def test_a_folder_that_others_can_write_is_no_fault_of_a_config_that_is_not_there(
    machine, check, plugin
):
    (machine.config_dir / "tcs-lyon1.ini").unlink()
    machine.config_dir.chmod(0o775)
    conf = machine.config_dir / "renewal" / f"{NAME}.conf"
    conf.write_text(conf.read_text().replace("= tcs-lyon1\n", f"= {plugin}\n"))
    code, output = check()
    assert code == (2 if plugin == "tcs-lyon1" else 0)
    assert "can write" not in output


def test_a_config_whose_path_leads_nowhere_is_critical(machine, check):
    config = machine.config_dir / "tcs-lyon1.ini"
    config.unlink()
    config.symlink_to(config.name)
    code, output = check()
    assert code == 2
    assert f"{config}: Too many levels of symbolic links" in output


def test_a_key_file_of_dns_that_is_gone_is_a_warning(machine, check):
    machine.configure("[dns]\nserver = 127.0.0.1\nkey_file = /nowhere/key\n")
    code, output = check()
    assert code == 1
    assert "[dns] key_file" in output


def test_what_else_is_wrong_beside_a_key_file_that_is_gone_is_critical(machine, check):
    machine.configure(
        "[dns]\nserver = 127.0.0.1\nkey_file = /nowhere/key\n"
        "[dns no such file]\nserver = 127.0.0.1\nkeytab = /nowhere/keytab\n"
    )
    code, output = check()
    assert code == 2
    assert "[dns] key_file" in output


def test_an_account_that_is_gone_is_critical(machine, check):
    shutil.rmtree(machine.account())
    code, output = check()
    assert code == 2
    assert "ACME account" in output


def test_a_certificate_that_is_damaged_is_critical_and_the_others_are_looked_at(machine, check):
    machine.issue("other.univ-lyon1.test")
    (machine.config_dir / "live" / NAME / "cert.pem").write_bytes(b"spoilt")
    code, output = check()
    assert code == 2
    assert f"CRITICAL: {NAME}" in output
    assert "'other.univ-lyon1.test days'=" in output


@pytest.mark.parametrize(
    "words",
    [
        f"Failed to renew certificate {NAME} with error: the key is refused",
        f"Attempting to renew cert ({NAME}) from /etc/x.conf produced an unexpected error: "
        "the key is refused. Skipping.",
    ],
    ids=["5.8", "1.12"],
)
def test_a_renewal_that_failed_is_told_with_its_cause_until_one_succeeds(machine, check, words):
    machine.log(words, days=0.01)
    code, output = check()
    assert code == 1
    assert "the key is refused" in output
    machine.issue(left=100)
    assert check()[0] == 0


def test_a_timer_that_is_off_or_silent_or_missing_is_a_warning(machine, check, monkeypatch):
    for found, words in (
        (timer.Timer("certbot.timer", enabled=False, active=True), "certbot.timer is disabled"),
        (timer.Timer("certbot.timer", enabled=True, active=False), "certbot.timer is stopped"),
        (timer.Timer("certbot.timer", False, False, masked=True), "run: systemctl unmask certbot"),
        (timer.Timer("", enabled=False, active=False), "nothing starts `certbot renew`"),
        (timer.Timer("x.timer", True, True, failed="x.service"), "see: journalctl -u x.service"),
    ):
        monkeypatch.setattr(timer, "find", lambda found=found: found)
        code, output = check()
        assert code == 1
        assert words in output
    on = timer.Timer("/etc/cron.d/certbot", enabled=True, active=True)
    monkeypatch.setattr(timer, "find", lambda: on)
    machine.log(days=3)
    code, output = check()
    assert code == 1
    assert "has not run since" in output
    machine.log(days=1)
    assert check()[0] == 0


def test_client_auth_that_the_version_before_had_is_a_warning(machine, check):
    machine.issue(client_auth=False)
    code, output = check()
    assert code == 1
    assert "clientAuth" in output


def test_a_version_before_that_cannot_be_read_hides_nothing_of_the_live_one(machine, check):
    machine.issue(client_auth=False)
    (machine.config_dir / "archive" / NAME / "cert1.pem").write_bytes(b"spoilt")
    assert check()[0] == 0


@pytest.mark.parametrize(
    ("setting", "days"), [("30 days", 30), ("1 week", 7), ("36 hours", 1.5), ("2months", 60)]
)
def test_when_a_lineage_is_renewed_is_what_its_renewal_conf_says(machine, check, setting, days):
    conf = machine.config_dir / "renewal" / f"{NAME}.conf"
    conf.write_text(f"renew_before_expiry = {setting}\n{conf.read_text()}")
    (lineage,) = json.loads(check("--json")[1])["lineages"]
    assert lineage["ends"] - lineage["renews"] == days * 86400


def test_what_is_deployed_and_not_live_is_a_warning(machine, check):
    path = machine.folder / "tls" / "fullchain.pem"
    path.parent.mkdir()
    machine.configure(f"[install web]\ncertificate = {NAME}\nfullchain = {path}\n")
    code, output = check()
    assert code == 1
    assert "is not there" in output
    pem = machine.issue()
    path.write_bytes(pem + pem)
    assert check()[0] == 0
    machine.issue()
    code, output = check()
    assert code == 1
    assert f"[install web] {path} is not the live version" in output


def test_what_is_deployed_of_a_lineage_that_lies_elsewhere_cannot_be_looked_at(machine, check):
    """Its renewal conf names files that are not in certbot's `live`, from where it is deployed."""
    path = machine.folder / "tls" / "fullchain.pem"
    path.parent.mkdir()
    machine.configure(f"[install web]\ncertificate = {NAME}\nfullchain = {path}\n")
    pem = machine.issue()
    path.write_bytes(pem + pem)
    live = machine.config_dir / "live"
    (live / NAME).rename(machine.config_dir / "live" / "moved")
    conf = machine.config_dir / "renewal" / f"{NAME}.conf"
    conf.write_text(conf.read_text().replace(f"{live}/{NAME}/", f"{live}/moved/"))
    output = check()[1]
    assert f"[install web] {path} cannot be looked at" in output


@pytest.mark.parametrize(
    "line",
    [
        "config-dir = {}",
        "config_dir={}",
        "--config-dir {}",
        "config-dir: '{}' # ours",
        '  config-dir = "{}"',
        "[certbot]\nconfig-dir = {}  ; ours",
    ],
)
def test_the_folders_are_those_of_cli_ini_however_it_is_written(machine, monkeypatch, capsys, line):
    home = machine.folder / "home"
    (home / "letsencrypt").mkdir(parents=True)
    text = f"#config-dir = /nowhere\n{line.format(machine.config_dir)}\nquiet\n"
    (home / "letsencrypt" / "cli.ini").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    command.main(["status", "--json", f"--logs-dir={machine.logs_dir}"])
    assert json.loads(capsys.readouterr().out)["folders"]["config_dir"] == str(machine.config_dir)


def test_a_file_for_prometheus_that_cannot_be_written_is_unknown_and_nothing_is_left(
    machine, check
):
    folder = machine.folder / "textfile"
    (folder / "tcs.prom" / "in-the-way").mkdir(parents=True)
    assert check("--prometheus", str(folder / "tcs.prom")) == (3, "")
    assert os.listdir(folder) == ["tcs.prom"]


def test_a_reader_that_has_enough_ends_the_command_without_a_traceback(
    machine, monkeypatch, capsys
):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert command.main(machine.arguments("check")) == 3
    assert capsys.readouterr().err == ""


def test_a_limit_is_from_0_to_100_per_cent(machine, capsys):
    for percent in ("101", "-1", "nan"):
        with pytest.raises(SystemExit):
            command.main(machine.arguments("check", f"--warning={percent}"))
    assert "from 0 to 100" in capsys.readouterr().err


def test_without_any_certificate_there_are_no_numbers_of_one(machine, check, tmp_path):
    shutil.rmtree(machine.config_dir / "live")
    shutil.rmtree(machine.config_dir / "renewal")
    assert check()[0] == 3
    assert check("--prometheus", str(tmp_path / "tcs.prom")) == (0, "")
    text = (tmp_path / "tcs.prom").read_text()
    assert "tcs_lyon1_state 3\n" in text
    assert "certificate" not in text


@pytest.fixture
def enterable():
    """A folder that a service's user can enter; pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="tcs-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def _serving(machine: Machine, port: int, starttls: str = "") -> None:
    live = machine.config_dir / "live" / NAME
    path = machine.folder / "copy.pem"
    path.write_bytes((live / "fullchain.pem").read_bytes())
    machine.configure(
        f"[install web]\ncertificate = {NAME}\nfullchain = {path}\n"
        f"serves = localhost:{port}{starttls}\n"
    )


@pytest.mark.parametrize(("start", "how"), [("nginx", ""), ("postfix", " starttls=smtp")])
def test_a_service_that_gives_another_certificate_than_the_live_one_is_critical(
    machine, check, enterable, start, how
):
    if start == "postfix":
        require_root("Postfix's master is started")
    live = machine.config_dir / "live" / NAME
    running = getattr(services, start)
    with running(enterable / start, live / "fullchain.pem", live / "privkey.pem") as service:
        _serving(machine, service.port, how)
        assert check()[0] == 0
        machine.issue()
        _serving(machine, service.port, how)
        code, output = check()
        assert code == 2
        assert f"localhost:{service.port} gives another certificate" in output
    code, output = check()
    assert code == 2
    assert "cannot be asked" in output


def test_checkmk_gets_a_line_for_each_certificate_and_one_for_the_machine(machine, check):
    machine.issue("old.univ-lyon1.test", left=5)
    code, output = check("--checkmk")
    assert code == 0
    lines = output.splitlines()
    assert lines[0].startswith('2 "TCS old.univ-lyon1.test" days=4.')
    assert lines[1].startswith(f'0 "TCS {NAME}" days=')
    assert lines[2] == '0 "TCS certbot" - renewal runs'


def test_prometheus_gets_a_whole_file_that_others_can_read(machine, check):
    path = machine.folder / "tcs.prom"
    assert check("--prometheus", str(path)) == (0, "")
    assert path.stat().st_mode & 0o777 == 0o644
    text = path.read_text()
    assert f'tcs_lyon1_certificate_end_timestamp_seconds{{name="{NAME}"}} ' in text
    metrics = re.findall(r"^(\w+)", text, re.MULTILINE)
    for metric in set(metrics):
        assert f"# HELP {metric} " in text
        assert f"# TYPE {metric} gauge\n" in text
    assert os.listdir(machine.folder).count("tcs.prom") == 1


def test_json_has_a_version_the_facts_and_the_verdicts_and_no_secret(machine, check):
    machine.issue(left=9)
    code, output = check("--json")
    whole = json.loads(output)
    assert (code, whole["schema"], whole["state"]) == (2, 1, "CRITICAL")
    assert whole["lineages"][0]["names"] == [NAME]
    assert whole["departments"][0]["account"]
    assert "hmac" not in output.lower()


def test_json_has_every_account_that_a_lineage_of_the_department_keeps(machine, check):
    folder = machine.account()
    records: dict[str, object] = {
        "00": {"eab_kid": "kid-1"},
        "11": {"eab_kid": "kid-2"},
        "22": {"eab_kid": "kid-3", "given": True},
        "33": {"eab_kid": None},
        "44": [],
        "ff": {"eab_kid": "kid-1"},
    }
    for name, record in records.items():
        folder.with_name(name).mkdir()
        (folder.with_name(name) / "tcs-lyon1.json").write_text(json.dumps(record))
    (folder.parent / "55").mkdir()
    [labo] = json.loads(check("--json")[1])["departments"]
    assert labo["account"] == "00"
    assert labo["accounts"] == sorted(["00", "ff", folder.name]) + ["22"]


def test_status_is_no_wider_than_the_terminal(machine, capsys, monkeypatch):
    machine.issue("a-very-long-name.of.some.laboratory.univ-lyon1.test", left=5)
    for columns in (60, 80, 132):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert command.main(machine.arguments("status")) == 0
        output = capsys.readouterr().out
        assert max(map(len, output.splitlines())) <= columns
        assert "\033" not in output
        assert "CRITICAL: ends on" in re.sub(r"\s+", " ", output)


@pytest.mark.parametrize(
    ("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)]
)
def test_colour_is_for_a_terminal_that_wants_it(machine, more, coloured):
    words = [sys.executable, "-m", "certbot_tcs_lyon1.status.command"]
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    code, shown = terminal.converse([*words, *machine.arguments("status")], [], {**kept, **more})
    assert code == 0
    assert ("\033[32m" in shown) is coloured
    assert "\033" not in machine.run("status")[1]


def test_what_is_to_be_copied_is_not_broken_at_a_hyphen(machine, capsys, monkeypatch):
    name = "a-name-of-many-parts.labo.univ-lyon1.test"
    machine.issue(name, left=5)
    for columns in range(60, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        command.main(machine.arguments("status"))
        words = [word.strip(",") for word in capsys.readouterr().out.split()]
        assert "--cert-name" in words
        assert name in words


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")
def test_another_user_gets_unknown_and_the_line_for_sudo(machine, check):
    check()  # loads the modules: the other user may not be able to read the checkout
    for name in ("live", "archive", "accounts"):
        (machine.config_dir / name).chmod(0o700)
    os.seteuid(65534)
    try:
        code, output = check()
    finally:
        os.seteuid(0)
    assert code == 3
    assert "NOPASSWD: /usr/bin/certbot-tcs-lyon1 check" in output
    assert "CRITICAL" not in output


@pytest.fixture
def check_as_another(machine, enterable, check, capsys):
    """Copy the machine to where another user can enter, and run `check` as that user."""
    require_root("another user runs the command")
    check()  # loads the modules

    def run(change: Callable[[Machine], object]) -> tuple[int, str]:
        there = Machine(enterable / "machine")
        shutil.copytree(machine.folder, there.folder, symlinks=True)
        for path in (*(there.config_dir / "renewal").iterdir(), there.config_dir / "tcs-lyon1.ini"):
            path.write_text(path.read_text().replace(str(machine.folder), str(there.folder)))
        change(there)
        os.seteuid(65534)
        try:
            code = command.main(there.arguments("check"))
        finally:
            os.seteuid(0)
        return code, capsys.readouterr().out.replace(str(there.folder), "")

    return run


def test_a_config_that_another_user_may_not_read_is_not_said_to_be_gone(check_as_another):
    code, output = check_as_another(lambda there: None)
    assert "/etc/tcs-lyon1.ini cannot be read" in output
    assert code == 3
    assert "it is not there" not in output


@pytest.mark.parametrize(
    ("folder", "named"),
    [("live", "/etc/live"), ("archive", f"/etc/live/{NAME}"), ("renewal", "/etc/renewal")],
)
def test_a_folder_of_certbots_that_another_user_may_not_read_is_named(
    check_as_another, folder, named
):
    code, output = check_as_another(lambda there: (there.config_dir / folder).chmod(0o700))
    assert code == 3
    assert f"{named}, " in output
    assert "CRITICAL" not in output


@pytest.mark.parametrize("name", ["dns.key", "private/tsigkeyfile"])
@pytest.mark.parametrize(("more", "expected"), [("", 3), ("nonsense = 1\n", 2)])
def test_a_key_file_that_another_user_may_not_read_hides_nothing_that_is_wrong(
    machine, check_as_another, more, expected, name
):
    (machine.config_dir / "private").mkdir(0o700)
    key = write_private(machine.config_dir / name, "")
    machine.configure(f"[dns]\nserver = 127.0.0.1\nkey_file = {key}\n{more}")

    def theirs(there: Machine) -> None:
        for path in (there.config_dir, there.config_dir / "tcs-lyon1.ini"):
            os.chown(path, 65534, 65534)

    code, output = check_as_another(theirs)
    assert code == expected
    assert ("is unknown; known are server" in output) is bool(more)
    assert f"[rights] /etc/{name} cannot be read as this user" in output


def test_a_thousand_certificates_take_a_second_and_60_mib_at_most(machine):
    text = (machine.config_dir / "renewal" / f"{NAME}.conf").read_text()
    for number in range(1000):
        name = f"n{number}.univ-lyon1.test"
        live = machine.config_dir / "live" / name
        live.mkdir()
        for kind in ("cert", "chain", "fullchain", "privkey"):
            (live / f"{kind}.pem").symlink_to(f"../../archive/{NAME}/{kind}1.pem")
        (machine.config_dir / "renewal" / f"{name}.conf").write_text(text.replace(NAME, name))
    machine.run("check")  # compiles the modules
    _, output = machine.run("check", "--json", before=_MEASURE)
    assert output.count('"fault": ""') == 1001
    seconds, kilobytes = map(float, output.split()[-2:])
    assert seconds <= 1
    assert kilobytes <= 60 * 1024


#: Runs the command after it, and prints its seconds of processor time (others are at work on this
#: machine) and the most memory that it had, in kB.
_MEASURE = [
    "python3",
    "-c",
    "import resource, subprocess, sys; subprocess.call(sys.argv[1:]); "
    "u = resource.getrusage(resource.RUSAGE_CHILDREN); "
    "print(u.ru_utime + u.ru_stime, u.ru_maxrss)",
]
