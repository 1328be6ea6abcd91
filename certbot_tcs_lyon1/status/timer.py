"""What starts `certbot renew` on this machine: a systemd timer, the snap's, or cron."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Optional

#: The timers of Debian, of EPEL, and of the snap.
UNITS = ("certbot.timer", "certbot-renew.timer", "snap.certbot.renew.timer")
_CRON = ("/etc/crontab", "/etc/anacrontab", "/var/spool/cron/root", "/var/spool/cron/crontabs/root")
_CRON_FOLDERS = ("/etc/cron.d", "/etc/cron.daily", "/etc/cron.weekly")
_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,LastTriggerUSec,Unit"

_SECONDS = 5


@dataclass(frozen=True)
class Timer:
    """What starts `certbot renew`.

    :ivar name: of the unit, or the path of the crontab; "" if nothing starts it
    :ivar last: when it started it last, in seconds since the epoch
    :ivar failed: the service that it starts, if that failed the last time
    """

    name: str
    enabled: bool
    active: bool
    last: Optional[int] = None
    masked: bool = False
    failed: str = ""


def find() -> Timer:
    """Return the timer of this machine; an active one before an inactive one."""
    found = [*_systemd(), *_cron()]
    found.sort(key=lambda timer: not (timer.enabled and timer.active))
    return found[0] if found else Timer("", enabled=False, active=False)


def _systemd() -> list[Timer]:
    if not os.path.isdir("/run/systemd/system"):
        return []
    properties = f"--property={_PROPERTIES}"
    # before systemd 248 there is no --timestamp
    shown = _show(properties, "--timestamp=unix", *UNITS) or _show(properties, *UNITS)
    return [_timer(one) for one in shown if one.get("LoadState") in ("loaded", "masked")]


def _show(*words: str) -> list[dict[str, str]]:
    """Return the output of `systemctl show` for each unit; [] if it fails."""
    command = ["systemctl", "show", *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    blocks = done.stdout.split("\n\n") if done.returncode == 0 else []
    return [dict(line.split("=", 1) for line in one.splitlines() if "=" in line) for one in blocks]


def _timer(shown: dict[str, str]) -> Timer:
    match = re.fullmatch("@([0-9]+)", shown.get("LastTriggerUSec", ""))
    service = shown.get("Unit", "")
    results = [one.get("Result") for one in _show("--property=Result", service)] if service else []
    return Timer(
        shown["Id"],
        shown.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "generated"),
        shown.get("ActiveState") == "active",
        int(match[1]) if match else None,
        shown["LoadState"] == "masked",
        service if results and results[0] not in ("success", "") else "",
    )


def _cron() -> list[Timer]:
    """Return the crontabs with `certbot renew`; Debian's own does nothing under systemd."""
    under_systemd = os.path.isdir("/run/systemd/system")
    paths = list(_CRON)
    for folder in _CRON_FOLDERS:
        with contextlib.suppress(OSError):
            paths += [
                os.path.join(folder, name)
                for name in sorted(os.listdir(folder))
                if re.fullmatch(r"[A-Za-z0-9_-]+", name)  # cron ignores all others
            ]
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line for line in file if not line.lstrip().startswith("#")]
            for line in lines:
                idle = under_systemd and "/run/systemd/system" in line
                if re.search(r"certbot\b.*\brenew\b", line) and not idle:
                    found.append(Timer(path, enabled=True, active=True))
                    break
    return found
