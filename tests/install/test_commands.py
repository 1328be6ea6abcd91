"""The services' commands: environment, output, time limit."""

from __future__ import annotations

import os
import time

import pytest

from certbot_tcs_lyon1.install import commands
from tests.install.conftest import NAME, changed


def run(*words: str, seconds: float = 10) -> str:
    """How the command failed, or "it went well"."""
    return commands.run(words, dict(os.environ), seconds) or "it went well"


def test_a_command_that_succeeds_says_nothing():
    assert run("echo", "hello") == "it went well"


def test_what_a_failing_command_printed_is_told_with_both_its_streams():
    told = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert told.endswith("exit code 3; it printed:\n    out\n    err")


def test_of_a_long_output_the_end_is_told():
    told = run("sh", "-c", "seq 1 100000; exit 1")
    assert told.endswith("\n    100000")
    assert len(told) < 4200


def test_a_command_that_is_not_there_is_told():
    assert run("no-such-command", "-x") == (
        "no-such-command -x: cannot be run: No such file or directory"
    )


def test_a_command_killed_by_a_signal_is_told():
    assert "was ended by SIGTERM; it printed nothing" in run("sh", "-c", "kill $$")


def test_a_command_that_does_not_end_is_killed_with_its_children():
    began = time.monotonic()
    told = run("sh", "-c", "echo started; sleep 60", seconds=0.3)
    assert "did not end within 0.3 seconds, and was killed; it printed:\n    started" in told
    assert time.monotonic() - began < 5


def test_a_daemon_that_keeps_the_output_open_does_not_hold_it_up():
    began = time.monotonic()
    assert run("sh", "-c", "sleep 3 & exit 0") == "it went well"
    assert time.monotonic() - began < 2


def test_a_daemon_that_prints_on_and_on_does_not_hold_it_up():
    began = time.monotonic()
    assert run("sh", "-c", "yes & exit 0") == "it went well"
    assert time.monotonic() - began < 5


def test_a_reload_that_is_no_program_is_told_and_the_old_files_are_put_back(desk, service):
    message = desk.refused(changed(service, reload=("no-such-command", "-x")))
    assert "reload = no-such-command -x: cannot be run: No such file or directory" in message
    assert service.names() == []


def test_no_shell_reads_the_words(tmp_path):
    assert run("test", "$HOME;x", "=", "$HOME;x") == "it went well"


def test_commands_get_certbots_environment_and_the_targets_paths(desk, service, tmp_path):
    out = tmp_path / "environment"
    quirky = changed(service, test=("sh", "-c", f"env > {out}"), reload=None)
    desk.machine.environment["MARK"] = "as passed in"  # type: ignore[index]
    desk.deploy(quirky)
    found = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
    assert found["MARK"] == "as passed in"
    ours = {name: value for name, value in found.items() if name.startswith("TCS_LYON1_")}
    assert ours == {
        "TCS_LYON1_TARGET": "mail",
        "TCS_LYON1_CERTIFICATE": NAME,
        "TCS_LYON1_FULLCHAIN": str(service.path("fullchain")),
        "TCS_LYON1_CHAIN": str(service.path("chain")),
        "TCS_LYON1_PRIVKEY": str(service.path("privkey")),
    }


def test_the_programs_of_daemons_are_found_also_by_cron():
    assert commands.environment({"PATH": "/bin:/usr/sbin"}, {})["PATH"] == (
        "/bin:/usr/sbin:/usr/local/sbin:/sbin"
    )
    assert commands.environment({}, {})["PATH"].startswith(os.defpath)


def test_a_script_that_is_not_there_is_told_by_its_path(desk, service):
    missing = f"{service.folder}/no-such-script"
    message = desk.refused(changed(service, test=("sh", "-e", missing)))
    assert f"test: {missing}: No such file or directory" in message


@pytest.mark.parametrize(
    "words", [("bash", "--version"), ("sh", "-c", "/bin/true"), ("sh", "-ce", "/bin/true")]
)
def test_an_interpreter_without_a_script_is_run(desk, service, words):
    assert len(desk.deploy(changed(service, test=words))) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "hook"),
        ("bash", "-s"),
        ("python3", "-W", "ignore::a/b", "-c", "0"),
        ("perl", "-e0"),
    ],
)
def test_an_argument_is_not_taken_for_an_interpreters_script(words):
    found = commands.find_program("test", [*words, "/not/there"], dict(os.environ))
    assert found is not None


def test_a_command_that_closes_its_output_and_goes_on_is_waited_for(tmp_path):
    late = tmp_path / "late"
    assert run("sh", "-c", f"exec >&- 2>&-; sleep 0.3; touch {late}") == "it went well"
    assert late.exists()


def test_ctrl_c_kills_the_command(monkeypatch, tmp_path):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_read", interrupted)
    late = tmp_path / "late"
    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", f"sleep 0.5; touch {late}")
    time.sleep(0.7)
    assert not late.exists()
