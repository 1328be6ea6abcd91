"""What starts `certbot renew`, as systemd and cron say it.

The real systemd is asked by `tests/distros`; here its answers are replayed, since no machine has
each version of it.
"""

from __future__ import annotations

import pytest

from certbot_tcs_lyon1.status import timer

#: Of `systemctl show` of systemd 252, for the timer and service of each of `timer.UNITS`.
TIMER = """\
Result=success
LastTriggerUSec={last}
Id={name}.timer
LoadState={load}
ActiveState={active}
UnitFileState={enabled}
"""
SERVICE = """\
Result={result}
Id={name}.service
LoadState={load}
ActiveState=inactive
UnitFileState=static
"""
MISSING = "Id={}\nLoadState=not-found\nActiveState=inactive\n"


def _answer(**units: dict[str, str]) -> str:
    """What systemctl prints if these units are there."""
    parts = []
    for name in timer.UNITS:
        if name in units:
            there = {"load": "loaded", "active": "active", "enabled": "enabled", "last": ""}
            there = {**there, "result": "success", **units[name]}
            parts += [TIMER.format(name=name, **there), SERVICE.format(name=name, **there)]
        else:
            parts += [MISSING.format(f"{name}.timer"), MISSING.format(f"{name}.service")]
    return "\n".join(parts)


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """Have `systemctl` be a script, on a machine that systemd runs and that has no crontab."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(timer, "_SYSTEMD", str(tmp_path / "run"))
    monkeypatch.setattr(timer, "_CRON", ())
    monkeypatch.setattr(timer, "_CRON_FOLDERS", (str(tmp_path / "cron.d"),))

    def put(text: str) -> None:
        program.write_text(f"#!/bin/sh\n{text}", encoding="ascii")
        program.chmod(0o755)

    return put


def _prints(text: str) -> str:
    return f"cat <<'END'\n{text}END\n"


@pytest.mark.parametrize(
    ("units", "found"),
    [
        (
            {"certbot": {"last": "@1700000000"}},
            timer.Timer("certbot.timer", enabled=True, active=True, last=1700000000),
        ),
        (
            {"certbot": {"enabled": "disabled", "active": "inactive"}, "certbot-renew": {}},
            timer.Timer("certbot-renew.timer", enabled=True, active=True),
        ),
        (
            {"snap.certbot.renew": {"active": "inactive"}},
            timer.Timer("snap.certbot.renew.timer", enabled=True, active=False),
        ),
        (
            {"certbot": {"load": "masked", "enabled": "masked", "active": "inactive"}},
            timer.Timer("certbot.timer", enabled=False, active=False, masked=True),
        ),
        (
            {"certbot": {"result": "exit-code"}},
            timer.Timer("certbot.timer", enabled=True, active=True, failed="certbot.service"),
        ),
        ({}, timer.Timer("", enabled=False, active=False)),
    ],
)
def test_the_timer_that_systemd_knows_is_found_the_one_that_is_on_before_others(
    systemctl, units, found
):
    systemctl(_prints(_answer(**units)))
    assert timer.find() == found


def test_a_systemd_that_does_not_know_this_form_of_times_is_asked_without(systemctl):
    there = _prints(_answer(certbot={"last": "Thu 2026-11-26 04:00:00 UTC"}))
    systemctl(f'case "$*" in *--timestamp*) exit 1;; esac\n{there}')
    assert timer.find() == timer.Timer("certbot.timer", enabled=True, active=True)


@pytest.mark.parametrize("text", ["exec sleep 60", "exit 1"])
def test_where_systemd_does_not_answer_a_crontab_counts(systemctl, tmp_path, monkeypatch, text):
    monkeypatch.setattr(timer, "_SECONDS", 0.2)
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d" / "tcs").write_text("0 4 * * * root certbot renew\n", encoding="ascii")
    systemctl(text)
    assert timer.find().name == str(tmp_path / "cron.d" / "tcs")


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("0 4 * * * root certbot renew", True),
        ("  # 0 4 * * * root certbot renew", False),
        ("0 4 * * * root test -d {systemd} || certbot -q renew", False),
        ("0 4 * * * root certbot certificates", False),
    ],
)
def test_a_line_of_a_crontab_counts_if_it_renews_under_systemd(systemctl, tmp_path, line, counts):
    systemctl(_prints(_answer()))
    (tmp_path / "cron.d").mkdir()
    line = line.format(systemd=tmp_path / "run")
    (tmp_path / "cron.d" / "tcs").write_text(f"{line}\n", encoding="ascii")
    assert bool(timer.find().name) is counts


@pytest.mark.parametrize(
    ("name", "read"), [("certbot", True), ("certbot.disabled", False), ("certbot~", False)]
)
def test_a_crontab_counts_only_where_cron_reads_it(systemctl, tmp_path, name, read):
    systemctl("exit 1")
    (tmp_path / "cron.d").mkdir()
    line = "0 4 * * * root certbot renew\n"
    (tmp_path / "cron.d" / name).write_text(line, encoding="ascii")
    assert bool(timer.find().name) is read
