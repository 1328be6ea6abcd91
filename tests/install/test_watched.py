"""A watcher at the key's path and in its folder, through 200 deployments."""

from __future__ import annotations

import contextlib
import os
import stat
import threading

from tests.install.conftest import changed

DEPLOYMENTS = 200
MODES = {"fullchain": 0o644, "chain": 0o644, "privkey": 0o600}


def test_a_watcher_never_sees_looser_rights_or_a_part_of_the_key(desk, service):
    quick = changed(service, test=None, reload=None)
    desk.deploy(quick)
    first = desk.shelf.read("privkey")
    desk.shelf.issue()
    versions = {first, desk.shelf.read("privkey")}
    seen: list[str] = []
    looks = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal looks
        folder, key = service.folder / "tls", service.path("privkey")
        while not done.is_set():
            looks += 1
            content = key.read_bytes()
            if content not in versions:
                seen.append(f"{len(content)} bytes at the key's path")
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError):
                    mode = stat.S_IMODE(os.stat(folder / name).st_mode)
                    if mode & ~MODES[name.strip(".").split(".")[0]]:
                        seen.append(f"{name} had mode {mode:o}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        written = 0
        for number in range(DEPLOYMENTS):
            desk.shelf.go_to(2 - number % 2)
            written += len(desk.deploy(quick))
    finally:
        done.set()
        watcher.join()
    assert seen == []
    assert written == DEPLOYMENTS
    assert looks > DEPLOYMENTS
