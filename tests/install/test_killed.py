"""kill -9 at each step of a deployment of three files to two targets."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import warnings
from typing import Any

import pytest

from certbot_tcs_lyon1.errors import InstallError
from tests.install.conftest import Desk, Service, make_service

#: What a deployment changes something with, as Python's audit events call it.
STEPS = {
    "os.rename",
    "os.remove",
    "os.link",
    "os.chmod",
    "os.chown",
    "os.mkdir",
    "subprocess.Popen",
}
WRITING = os.O_WRONLY | os.O_RDWR


def deploy_until(step: int, desk: Desk, *services: Service) -> bool:
    """Deploy in a process that is killed right before that step; whether it came to that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # another thread may be there
        pid = os.fork()
    if pid == 0:
        try:
            _die_at(step)
            desk.deploy(*services)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


def _die_at(step: int) -> None:
    left = step

    def count(event: str, args: Any) -> None:
        nonlocal left
        if event in STEPS or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


@pytest.fixture
def services(tmp_path) -> tuple[Service, Service]:
    """Two services with three files each."""
    one = make_service(tmp_path / "one", name="one", mode=0o640)
    return one, make_service(tmp_path / "two", name="two")


@pytest.mark.parametrize(
    ("then", "stride"), [("the next run succeeds", 1), ("the next run fails", 2)]
)
def test_each_service_has_the_old_set_or_the_new_one_and_the_next_run_ends_with_the_new(
    desk, services, then, stride
):
    whole: list[list[Any]] = []  # by version, then by service: files, what it has in memory
    for _ in range(2):
        desk.deploy(*services)
        whole.append([(service.files(), service.served()) for service in services])
        desk.shelf.issue()
    mixed = 0
    for turn, step in enumerate(itertools.count(1, stride)):
        new = whole[turn % 2]
        desk.shelf.go_to(1 + turn % 2)
        if not deploy_until(step, desk, *services):
            break
        for index, service in enumerate(services):
            assert service.served() in [version[index][1] for version in whole]
            mixed += not has_whole_set(service, whole, index)
        if then == "the next run fails":
            for service in services:
                (service.folder / "test-fails").touch()
            with contextlib.suppress(InstallError):  # raised unless all was done already
                desk.deploy(*services)
            for index, service in enumerate(services):
                assert has_whole_set(service, whole, index)
                (service.folder / "test-fails").unlink()
        desk.deploy(*services)
        assert [(service.files(), service.served()) for service in services] == new
        for service in services:
            assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
        assert os.listdir(desk.machine.work_dir) == []
    assert step > 50
    assert 0 < mixed < 10  # between two renames; no service loads them then


def has_whole_set(service: Service, whole: list[list[Any]], index: int) -> bool:
    """Whether the service's files are all of one version."""
    return service.files() in [version[index][0] for version in whole]


def test_a_run_that_is_killed_while_it_heals_is_healed_as_well(desk, service):
    desk.deploy(service)
    desk.shelf.issue()
    step = 0
    while deploy_until(step + 1, desk, service):
        step += 4
        for again in range(1, 12, 3):
            deploy_until(again, desk, service)
        desk.deploy(service)
        assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")
        assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
        desk.shelf.issue()


def test_a_killed_run_is_undone_though_its_section_is_gone(desk, services):
    one, two = services
    desk.deploy(one)
    before = one.files()
    desk.shelf.issue()
    step = 1
    while deploy_until(step, desk, one) and one.files() == before:
        step += 1
    desk.deploy(two)
    assert one.files() == before
    assert one.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
