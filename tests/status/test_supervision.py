"""Every block of docs/supervision.rst is taken by what it is for; tests/distros has it running."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import urllib.request

import pytest

from certbot_tcs_lyon1.status import command, verdicts
from tests.docs import blocks
from tests.lab import ports, process
from tests.status.conftest import NAME

BLOCKS = blocks.texts(blocks.SUPERVISION)


def _run(*words: str, **more: str) -> str:
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        env={**os.environ, **more},
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def test_nagios_takes_the_command_and_the_service(tmp_path):
    program = process.need("nagios4", "nagios4-core")
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    (tmp_path / "tcs.cfg").write_text(BLOCKS["nagios"] + _NAGIOS_AROUND)
    (tmp_path / "spool").mkdir()
    main = tmp_path / "nagios.cfg"
    main.write_text(
        f"nagios_user={user}\nnagios_group={group}\n"
        f"cfg_file={tmp_path}/tcs.cfg\nlog_file={tmp_path}/log\nlock_file={tmp_path}/lock\n"
        f"check_result_path={tmp_path}/spool\ntemp_path={tmp_path}\ntemp_file={tmp_path}/temp\n"
        f"status_file={tmp_path}/status\nobject_cache_file={tmp_path}/cache\n"
        f"command_file={tmp_path}/command\nstate_retention_file={tmp_path}/retention\n"
    )
    assert "Total Errors:   0" in _run(program, "-v", str(main))


_NAGIOS_AROUND = """
define timeperiod {
    timeperiod_name always
    alias always
    monday 00:00-24:00
}
define contact {
    contact_name rao
    host_notification_period always
    service_notification_period always
    host_notification_commands check_tcs_lyon1
    service_notification_commands check_tcs_lyon1
}
define host {
    host_name www
    address 127.0.0.1
    max_check_attempts 3
    check_period always
    contacts rao
    notification_period always
}
define service {
    name generic-service
    register 0
    max_check_attempts 3
    check_period always
    contacts rao
    notification_period always
}
"""


def test_icinga_takes_the_command_and_the_service(tmp_path):
    program = process.need("icinga2", "icinga2-bin")
    config = tmp_path / "icinga2.conf"
    config.write_text(BLOCKS["icinga2"] + _ICINGA_AROUND)
    folders = ("DataDir", "LogDir", "CacheDir", "InitRunDir", "SpoolDir")
    here = [f"--define={name}={tmp_path}" for name in folders]
    owner = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    as_us = dict(zip(("ICINGA2_USER", "ICINGA2_GROUP"), owner))
    said = _run(program, "daemon", "-C", "-c", str(config), *here, **as_us)
    assert "Instantiated 1 Service." in said
    assert "Instantiated 2 CheckCommands." in said
    assert "warning" not in said


_ICINGA_AROUND = """
object Endpoint "www" {}
object Zone "www" { endpoints = [ "www" ] }
object CheckCommand "up" { command = [ "/bin/true" ] }
object Host "www" { check_command = "up"; zone = "www" }
"""


def test_promtool_takes_the_metrics_and_the_alerts(machine, tmp_path, capsys):
    program = process.need("promtool", "prometheus")
    path = tmp_path / "tcs.prom"
    assert command.main(machine.arguments("check", "--prometheus", str(path))) == 0
    with path.open("rb") as metrics:
        assert subprocess.run([program, "check", "metrics"], stdin=metrics).returncode == 0
    (tmp_path / "rules.yml").write_text(BLOCKS["prometheus"])
    assert "3 rules found" in _run(program, "check", "rules", str(tmp_path / "rules.yml"))
    known = path.read_text()
    for word in BLOCKS["prometheus"].replace("-", " ").split():
        if word.startswith("tcs_lyon1_"):
            assert f"# TYPE {word} gauge" in known


def test_node_exporter_serves_the_file(machine, tmp_path):
    program = process.need("prometheus-node-exporter", "prometheus-node-exporter")
    folder = tmp_path / "textfile"
    folder.mkdir()
    machine.issue('odd"\\ name', left=5)
    assert command.main(machine.arguments("check", "--prometheus", str(folder / "tcs.prom"))) == 0
    with ports.claimed() as port:
        words = [program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults"]
        words += ["--collector.textfile", f"--collector.textfile.directory={folder}"]
        started = process.start("node_exporter", words, tmp_path, tmp_path / "exporter.log")
        with process.running(started):
            served: list[str] = []

            def answers() -> bool:
                with contextlib.suppress(OSError):
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/metrics", timeout=5
                    ) as it:
                        served[:] = it.read().decode().splitlines()
                return bool(served)

            process.wait_ready(started, answers)
    assert "node_textfile_scrape_error 0" in served
    assert f'tcs_lyon1_certificate_state{{name="{NAME}"}} 0' in served
    assert 'tcs_lyon1_certificate_state{name="odd\\"\\\\ name"} 2' in served


#: https://docs.checkmk.com/latest/en/localchecks.html: state, service, metrics with both limits of
#: each, and text.
CHECKMK_LINE = re.compile(
    r'[0-3P] (?:"[^"]+"|\S+) '
    r"(?:-|[^\s=;|]+=-?[0-9.]+(?:;[0-9.]+;[0-9.]+)?(?:\|[^\s=;|]+=-?[0-9.]+)*) \S.*"
)


def test_each_line_for_checkmk_has_its_form(machine, capsys):
    machine.issue('odd" | name', left=5)
    machine.issue("new\nline", left=-5)
    (machine.config_dir / "renewal" / "broken.conf").write_bytes(b"\xff")
    machine.configure("nonsense = 1\n")
    assert command.main(machine.arguments("check", "--checkmk")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(CHECKMK_LINE.fullmatch(line) for line in lines)


def test_sudo_takes_the_line_of_the_page_and_that_of_the_message(tmp_path):
    program = process.need("visudo", "sudo")
    line = f"nagios ALL=(root) NOPASSWD: {verdicts.SUDO_COMMAND}\n"
    assert BLOCKS["sudoers"] == line
    (tmp_path / "tcs-lyon1").write_text(line)
    (tmp_path / "tcs-lyon1").chmod(0o440)
    _run(program, "-c", "-s", "-f", str(tmp_path / "tcs-lyon1"))


def test_the_checkmk_script_prints_a_line_for_each_certificate(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "certbot-tcs-lyon1"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -m certbot_tcs_lyon1.status.command "$@"\n'
    )
    program.chmod(0o755)
    script = tmp_path / "tcs-lyon1"
    script.write_text(BLOCKS["checkmk"])
    lines = _run("sh", str(script), PATH=f"{folder}:{os.environ['PATH']}").splitlines()
    assert lines[-1].split('"')[1] == "TCS certbot"


@pytest.mark.parametrize("about", ["sudoers", "cron"])
def test_a_command_that_others_run_is_one_that_the_command_takes(about):
    words = BLOCKS[about].split()
    at = words.index("/usr/bin/certbot-tcs-lyon1")
    assert command.parser().parse_args(words[at + 1 :]).verb == "check"


def test_systemd_takes_both_units(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd on this machine")
    drop_in = tmp_path / "certbot.service.d"
    drop_in.mkdir()
    (drop_in / "mail.conf").write_text(BLOCKS["systemd drop-in"])
    (tmp_path / "tcs-lyon1-mail.service").write_text(BLOCKS["systemd service"])
    unit = tmp_path / "certbot.service"
    unit.write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    said = _run(program, "verify", str(unit), SYSTEMD_UNIT_PATH=f"{tmp_path}:")
    assert str(tmp_path) not in said


def test_every_block_of_the_page_is_tried_here():
    assert set(BLOCKS) == {
        "sudoers",
        "nagios",
        "icinga2",
        "checkmk",
        "cron",
        "prometheus",
        "systemd service",
        "systemd drop-in",
    }
