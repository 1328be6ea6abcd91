"""`certbot-tcs-lyon1` of the package on Debian 12: with its timers, sudo, cron and mail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.distros import packages
from tests.docs import blocks
from tests.lab import process, system
from tests.lab.require import cannot_run
from tests.lab.system import Booted, System
from tests.status.conftest import NAME
from tests.status.conftest import Machine as Folders

PAGE = blocks.texts(blocks.SUPERVISION)
CHECK = ("certbot-tcs-lyon1", "check")


@pytest.fixture(scope="module")
def debian(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Debian 12 with the package, and what the page on supervision wants."""
    reason = system.why_not()
    if reason:
        cannot_run(reason)
    folder = tmp_path_factory.mktemp("debian") / "system"
    with system.fresh("bookworm", folder, system.BOOTABLE) as made:
        made.run("apt-get", "update").or_fail()
        more = ("certbot", "sudo", "cron", "bsd-mailx", "postfix", "man-db")
        packages.install(made, deb, "--no-install-recommends", *more)
        _set_up(made.root)
        yield made


def _set_up(root: Path) -> None:
    """A lineage of ten days ago, the department config, and an account."""
    (root / "etc/letsencrypt").mkdir(exist_ok=True)
    made = _InPlace(root)
    made.issue()
    made.account()
    made.configure()
    for path in made.config_dir.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(path.read_bytes().replace(str(root).encode(), b""))


class _InPlace(Folders):
    """certbot's folders where Debian has them."""

    @property
    def config_dir(self) -> Path:
        return self.folder / "etc/letsencrypt"

    @property
    def logs_dir(self) -> Path:
        return self.folder / "var/log/letsencrypt"


@pytest.fixture(scope="module")
def booted(debian: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    log = tmp_path_factory.mktemp("boot") / "log"
    with system.booted(debian, log, options=("--private-network",)) as running:
        running.run("systemctl", "start", "certbot.service").or_fail()
        yield running


def _check(machine: Booted) -> tuple[int, str]:
    done = machine.run(*CHECK)
    return done.returncode, done.output


@pytest.fixture
def timer(booted: Booted) -> Iterator[Callable[..., process.Done]]:
    """`systemctl` on the machine; after the test the timer is as it was."""

    def systemctl(*words: str) -> process.Done:
        return booted.run("systemctl", *words).or_fail()

    systemctl("enable", "--now", "certbot.timer")
    yield systemctl
    systemctl("unmask", "certbot.timer")
    systemctl("enable", "--now", "certbot.timer")


def test_the_package_has_the_command_and_its_manual(booted):
    assert booted.run("certbot-tcs-lyon1", "--help").or_fail().stdout.startswith("usage: ")
    manual = booted.run("man", "-P", "cat", "certbot-tcs-lyon1").or_fail().stdout
    assert "--no-dns-update" in manual


def test_a_timer_that_runs_is_right(booted, timer):
    code, output = _check(booted)
    assert (code, output[:7]) == (0, "TCS OK "), output
    whole = json.loads(booted.run(*CHECK, "--json").stdout)["timer"]
    assert (whole["name"], whole["enabled"], whole["active"]) == ("certbot.timer", True, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("disable", "--now", "certbot.timer"), "certbot.timer is disabled; run: systemctl enable"),
        (("stop", "certbot.timer"), "certbot.timer is stopped; run: systemctl enable --now"),
        (("mask", "--now", "certbot.timer"), "certbot.timer is masked; run: systemctl unmask"),
    ],
)
def test_a_timer_that_does_not_run_is_a_warning_with_what_mends_it(booted, timer, words, said):
    timer(*words)
    code, output = _check(booted)
    assert code == 1
    assert said in output
    command = output.splitlines()[-1].split("; run: ")[1]
    booted.run("sh", "-ec", command).or_fail()
    assert "is masked" not in _check(booted)[1]
    assert _check(booted)[0] == 0


def test_the_timer_of_the_snap_is_found(booted, timer):
    units = booted.system.root / "etc/systemd/system"
    name = "snap.certbot.renew"
    (units / f"{name}.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    (units / f"{name}.timer").write_text(
        "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
    )
    timer("daemon-reload")
    timer("disable", "--now", "certbot.timer")
    try:
        timer("enable", "--now", f"{name}.timer")
        found = json.loads(booted.run(*CHECK, "--json").stdout)["timer"]
        assert (found["name"], found["enabled"], found["active"]) == (f"{name}.timer", True, True)
        assert "[timer]" not in _check(booted)[1]
    finally:
        timer("disable", "--now", f"{name}.timer")
        for ending in ("service", "timer"):
            (units / f"{name}.{ending}").unlink()
        timer("daemon-reload")


def test_a_renew_that_systemd_saw_fail_is_a_warning_and_a_mail_is_sent(booted, timer):
    units = booted.system.root / "etc/systemd/system"
    (units / "certbot.service.d").mkdir()
    (units / "certbot.service.d/mail.conf").write_text(PAGE["systemd drop-in"])
    (units / "tcs-lyon1-mail.service").write_text(PAGE["systemd service"])
    cli_ini = booted.system.root / "etc/letsencrypt/cli.ini"
    good = cli_ini.read_text()
    timer("daemon-reload")
    timer("start", "postfix")
    try:
        cli_ini.write_text(f"{good}\nno-such-option = 1\n")
        assert booted.run("systemctl", "start", "certbot.service").returncode != 0
        code, output = _check(booted)
        assert code == 1
        assert "certbot.service has failed when it ran last; see: journalctl -u certbot.s" in output
        box = booted.system.root / "var/mail/root"

        def came() -> bool:
            return box.exists() and "certbot.service has failed" in box.read_text()

        assert process.wait_until(came, 20), booted.run("journalctl", "-n", "40").output
        assert "Subject: Certificats de " in box.read_text()
    finally:
        cli_ini.write_text(good)
        booted.run("systemctl", "start", "certbot.service")
        shutil.rmtree(units / "certbot.service.d")
        timer("daemon-reload")
    assert _check(booted)[0] == 0


def test_a_renew_that_has_not_run_for_two_days_is_a_warning(booted, timer):
    """The timer is up, and no trigger of it is known: as after a boot that was long ago."""
    root = booted.system.root
    logs = root / "var/log/letsencrypt"
    kept = logs.with_name("kept")
    timer("stop", "certbot.timer")
    stamp = root / "var/lib/systemd/timers/stamp-certbot.timer"
    stamp.unlink(missing_ok=True)
    logs.rename(kept)
    timer("daemon-reexec")
    try:
        made = _InPlace(root)
        made.log(days=3)
        timer("start", "certbot.timer")
        shown = booted.run("systemctl", "show", "-P", "LastTriggerUSec", "certbot.timer").stdout
        code, output = _check(booted)
        assert code == 1, shown
        assert "`certbot renew` has not run since" in output
        made.log(days=1)
        assert _check(booted)[0] == 0
    finally:
        shutil.rmtree(logs)
        kept.rename(logs)


def test_the_user_of_a_monitoring_gets_unknown_and_the_line_that_is_said_helps(booted, timer):
    booted.run("useradd", "nagios").or_fail()
    as_user = ("runuser", "-u", "nagios", "--")
    done = booted.run(*as_user, *CHECK)
    assert done.returncode == 3
    line = done.stdout.splitlines()[-1].split("`*`: ")[1]
    assert f"{line}\n" == PAGE["sudoers"]
    path = booted.system.root / "etc/sudoers.d/tcs-lyon1"
    path.write_text(PAGE["sudoers"])
    path.chmod(0o440)
    words = PAGE["nagios"].split("command_line")[1].splitlines()[0].split()
    helped = booted.run(*as_user, words[0], "-n", *words[1:])
    assert (helped.returncode, helped.stdout[:7]) == (0, "TCS OK "), helped.output
    for more in ("--prometheus=/etc/cron.d/x", "--tcs-lyon1-config=/home/x", "--json"):
        refused = booted.run(*as_user, "sudo", "-n", "/usr/bin/certbot-tcs-lyon1", "check", more)
        assert refused.returncode == 1
        assert "password" in refused.output


def test_the_checkmk_script_and_the_crontab_of_the_page_do_what_they_are_for(booted, timer):
    booted.run("sh", stdin=PAGE["checkmk"]).or_fail()
    fields = PAGE["cron"].split(None, 6)
    assert fields[5] == "root"
    target = "/var/lib/prometheus/node-exporter"
    booted.run("mkdir", "-p", target).or_fail()
    booted.run("sh", "-ec", fields[6]).or_fail()
    written = (booted.system.root / target[1:] / "tcs-lyon1.prom").read_text()
    assert f'tcs_lyon1_certificate_state{{name="{NAME}"}} 0' in written


def test_without_systemd_the_crontab_of_the_package_counts(debian, tmp_path):
    with system.copied(debian, tmp_path / "system") as machine:
        found = json.loads(machine.run(*CHECK, "--json").stdout)["timer"]
        assert (found["name"], found["active"]) == ("/etc/cron.d/certbot", True)
        crontab = machine.root / "etc/cron.d/certbot"
        crontab.write_text(crontab.read_text().replace("0 */12", "#0 */12"))
        assert "nothing starts `certbot renew`" in machine.run(*CHECK).output
