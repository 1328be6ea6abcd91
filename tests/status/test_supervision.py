"""Every block of docs/supervision.rst is taken by what it is for."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys

import pytest

from certbot_tcs_lyon1.status import command
from tests.docs import blocks
from tests.lab import process

PAGE = blocks.ROOT / "docs" / "supervision.rst"
BLOCKS = {block.about: block.text for block in blocks.of(PAGE)}


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
        "checkmk",
        "cron",
        "prometheus",
        "systemd service",
        "systemd drop-in",
    }
