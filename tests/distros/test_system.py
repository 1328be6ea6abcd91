"""Systems of the lab: copies that go, commands that leave nothing behind, and a boot."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import process, system
from tests.lab.require import cannot_run

_CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _systems_can_run() -> None:
    reason = system.why_not()
    if reason:
        cannot_run(reason)


def processes_with(word: str) -> list[str]:
    """The command lines that hold the word."""
    return [line for _, line in process.command_lines() if word in line]


def test_a_system_is_its_own_and_gone_afterwards(tmp_path):
    with system.fresh("bookworm", tmp_path / "one") as one:
        (one.root / "etc/mine").write_text("text")
        done = one.run("sh", "-c", "cat /etc/mine; id -u; echo no >&2; exit 3", stdin="x")
        assert (done.returncode, done.stdout, done.stderr) == (3, "text0\n", "no\n")
        assert one.run("env", env={"WORD": "a b"}).stdout.count("WORD=a b\n") == 1
        with system.copied(one, tmp_path / "two") as two:
            assert (two.root / "etc/mine").exists()
    assert list(tmp_path.iterdir()) == []
    assert not (system.base("bookworm") / "etc/mine").exists()


def test_nothing_is_left_of_a_command_that_takes_too_long(tmp_path):
    with system.fresh("bookworm", tmp_path / "one") as one:
        with pytest.raises(subprocess.TimeoutExpired):
            one.run("sh", "-c", f"setsid sleep 99 {tmp_path}; sleep 99", timeout=0.5)
        assert process.wait_until(lambda: processes_with(str(tmp_path)) == [], 5)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_nothing_is_left_when_the_tests_are_killed(tmp_path):
    code = (
        "from pathlib import Path; from tests.lab import system\n"
        f"system.System(Path({str(tmp_path / 'one')!r})).run('sleep', '99', {str(tmp_path)!r})"
    )
    with system.fresh("bookworm", tmp_path / "one"):
        started = subprocess.Popen([sys.executable, "-c", code], cwd=_CHECKOUT)
        assert process.wait_until(lambda: len(processes_with("sleep 99 " + str(tmp_path))) > 1, 20)
        started.kill()
        started.wait()
        assert process.wait_until(lambda: processes_with(str(tmp_path)) == [], 5)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_base_that_was_half_made_is_made_anew(tmp_path, monkeypatch):
    code = (
        "from pathlib import Path; from tests.lab import system\n"
        f"system.base('bookworm', cache=Path({str(tmp_path)!r}))"
    )
    started = subprocess.Popen([sys.executable, "-c", code], cwd=_CHECKOUT)
    half = tmp_path / "bookworm.making"
    assert process.wait_until(lambda: (half / "var").exists(), 60)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert process.wait_until(lambda: processes_with(str(tmp_path)) == [], 5)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()

    def debootstrap(release, include, folder):
        folder.mkdir()
        (folder / "whole").touch()

    monkeypatch.setattr(system, "_debootstrap", debootstrap)
    made = system.base("bookworm", cache=tmp_path)
    assert [path.name for path in made.iterdir()] == ["whole"]
    assert not half.exists()


def test_a_booted_system_runs_services_and_timers(tmp_path):
    with system.fresh("bookworm", tmp_path / "one", system.BOOTABLE) as one:
        with system.booted(one, tmp_path / "boot.log") as running:
            timers = running.run("systemctl", "list-timers").or_fail()
            assert "apt-daily.timer" in timers.stdout
            service = ("systemd-run", "--wait", "--pipe", "cat", "/etc/os-release")
            assert "bookworm" in running.run(*service).or_fail().stdout
            leader = running.leader
        assert not Path(f"/proc/{leader}").exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
