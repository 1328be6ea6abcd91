"""What starts `certbot renew` on this machine: a systemd timer, the snap's, or cron."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Optional

#: The timers of Debian, of EPEL, and of the snap; each starts the service of its name.
UNITS = ("certbot", "certbot-renew", "snap.certbot.renew")
_CRON = ("/etc/crontab", "/etc/anacrontab", "/var/spool/cron/root", "/var/spool/cron/crontabs/root")
_CRON_FOLDERS = ("/etc/cron.d", "/etc/cron.daily", "/etc/cron.weekly")
_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,LastTriggerUSec,Result"

#: It exists if systemd runs this machine.
_SYSTEMD = "/run/systemd/system"
_SECONDS = 5

_RENEW = re.compile(r"(?!\s*#).*certbot\b.*\brenew\b")


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

    @property
    def is_on(self) -> bool:
        """Whether it starts `certbot renew`, also after a boot."""
        return self.enabled and self.active


def find() -> Timer:
    """Return the timer of this machine; one that is on before one that is not."""
    under_systemd = os.path.isdir(_SYSTEMD)
    found = [*(_systemd() if under_systemd else ()), *_cron(under_systemd)]
    nothing = Timer("", enabled=False, active=False)
    return max(found, key=lambda timer: timer.is_on, default=nothing)


def _systemd() -> Iterator[Timer]:
    # before systemd 251 there is no --timestamp=unix
    shown = _show("--timestamp=unix") or _show()
    for timer, service in zip(shown[::2], shown[1::2]):
        if timer["LoadState"] in ("loaded", "masked"):
            last = re.fullmatch("@([0-9]+)", timer.get("LastTriggerUSec", ""))
            yield Timer(
                timer["Id"],
                timer.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "generated"),
                timer.get("ActiveState") == "active",
                int(last[1]) if last else None,
                timer["LoadState"] == "masked",
                service["Id"] if service.get("Result", "") not in ("success", "") else "",
            )


def _show(*options: str) -> list[dict[str, str]]:
    """Return the properties of each timer and its service in turn; [] if systemd does not say."""
    names = [f"{unit}.{kind}" for unit in UNITS for kind in ("timer", "service")]
    command = ["systemctl", "show", f"--property={_PROPERTIES}", *options, *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    units = done.stdout.split("\n\n")
    return [dict(line.split("=", 1) for line in unit.splitlines() if line) for unit in units]


def _cron(under_systemd: bool) -> Iterator[Timer]:
    """Yield the crontabs with `certbot renew`; Debian's own does nothing under systemd."""
    paths = list(_CRON)
    for folder in _CRON_FOLDERS:
        found = sorted(glob.glob(os.path.join(folder, "*")))
        # cron ignores all other names
        paths += [path for path in found if re.fullmatch(r"[\w-]+", os.path.basename(path), re.A)]
    for path in paths:
        with contextlib.suppress(OSError):
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = list(filter(_RENEW.match, file))
            if any(not (under_systemd and _SYSTEMD in line) for line in lines):
                yield Timer(path, enabled=True, active=True)
