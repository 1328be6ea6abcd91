"""The record of what is being replaced, and what it brings back."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from certbot_tcs_lyon1 import disk, folders
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.install import files, undo
from tests.install.conftest import changed, make_service


@pytest.fixture
def records(tmp_path) -> str:
    return str(tmp_path / "records")


@pytest.fixture
def key(tmp_path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    path = folder / "key.pem"
    path.write_text("old")
    path.chmod(0o640)
    return path


def one(path: Path, new: bytes = b"new") -> list[undo.Replaced]:
    with folders.opened(str(path)) as place:
        found = disk.read_shared(place)
    return [undo.Replaced(str(path), os.geteuid(), undo.digest(new), ".tcs-lyon1-x", found)]


def test_without_a_record_there_is_nothing_to_do(records):
    assert undo.interrupted(records) == []
    assert not os.path.exists(records)


def test_the_old_file_comes_back_with_its_rights(records, key):
    undo.begin(records, "mail", one(key))
    assert stat.S_IMODE(os.stat(records).st_mode) == 0o700
    key.write_text("new")
    key.chmod(0o600)
    assert undo.interrupted(records) == ["mail"]
    undo.restore(records, "mail")
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("old", 0o640)
    assert os.listdir(key.parent) == ["key.pem"]
    assert not os.path.exists(records)


def test_what_was_not_there_is_gone_again(records, key):
    key.unlink()
    undo.begin(records, "mail", one(key))
    key.write_text("new")
    undo.restore(records, "mail")
    assert os.listdir(key.parent) == []


@pytest.mark.parametrize("content", ["old", "somebody's"])
def test_what_was_not_replaced_and_what_somebody_put_there_since_is_left(records, key, content):
    undo.begin(records, "mail", one(key))
    key.write_text(content)
    inode = key.stat().st_ino
    undo.restore(records, "mail")
    assert (key.read_text(), key.stat().st_ino) == (content, inode)


def test_a_new_file_that_was_not_whole_yet_is_removed(records, key):
    undo.begin(records, "mail", one(key))
    (key.parent / ".tcs-lyon1-x").write_text("half of a private key")
    undo.restore(records, "mail")
    assert os.listdir(key.parent) == ["key.pem"]


def test_a_record_that_a_killed_run_had_not_written_to_its_end_is_removed(records, key):
    undo.begin(records, "mail", one(key))
    Path(records, "mail.json").rename(Path(records, disk.temporary_name("mail.json")))
    assert undo.interrupted(records) == []
    assert not os.path.exists(records)


def test_the_old_files_are_in_the_record_which_is_roots_alone(records, key):
    undo.begin(records, "mail", one(key))
    assert os.listdir(records) == ["mail.json"]
    assert stat.S_IMODE(os.stat(f"{records}/mail.json").st_mode) == 0o600


def test_accepting_needs_no_room_on_the_disk(records, key, monkeypatch):
    undo.begin(records, "mail", one(key))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    for name in ("write", "write_aside"):
        monkeypatch.setattr(disk, name, full)
    undo.commit(records, "mail")
    assert not os.path.exists(records)


def test_a_folder_that_is_gone_has_nothing_to_put_back(records, key):
    undo.begin(records, "mail", one(key))
    key.unlink()
    key.parent.rmdir()
    undo.restore(records, "mail")
    assert not os.path.exists(records)


#: Records of another form.
BROKEN = (
    '[{"path": "/x", "owner": [], "new": "", "temporary": "", "old": null}]',
    '[{"path": "/x", "owner": 0, "new": "", "temporary": "", "old": {"data": "", "kept": 1}}]',
    '[{"path": "/x", "owner": 0, "new": "", "temporary": "", '
    '"old": {"data": "", "kept": [], "rights": []}}]',
)


@pytest.mark.parametrize("text", ["", "{", "{}x", "1", '[{"files": 1}]', "[" * 100000, *BROKEN])
def test_a_damaged_record_is_told_and_kept(records, key, text):
    undo.begin(records, "mail", one(key))
    path = Path(records, "mail.json")
    path.write_text(text)
    with pytest.raises(InstallError, match="it is damaged") as caught:
        undo.restore(records, "mail")
    assert f"{path}: it is damaged" in str(caught.value)
    assert "remove it, and run: certbot renew" in str(caught.value)
    assert path.read_text() == text


def test_after_a_damaged_record_is_removed_as_advised_the_next_run_deploys(desk, service):
    desk.deploy(service)
    desk.shelf.issue()
    os.mkdir(desk.machine.records)
    record = Path(desk.machine.records, "mail.json")
    record.write_text("{")
    with pytest.raises(InstallError, match="remove it, and run: certbot renew"):
        desk.deploy(service)
    record.unlink()
    assert len(desk.deploy(service)) == 1
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_an_old_file_that_cannot_be_put_back_yet_is_kept_and_put_back_by_the_next_run(records, key):
    undo.begin(records, "mail", one(key))
    key.write_text("new")
    mount = ["mount", "--bind", str(key), str(key)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        with pytest.raises(InstallError, match="a file is mounted there") as caught:
            undo.restore(records, "mail")
    finally:
        subprocess.run(["umount", key], check=True)
    assert f"the old files are in {records}" in str(caught.value)
    assert os.listdir(key.parent) == ["key.pem"]
    undo.restore(records, "mail")
    assert key.read_text() == "old"


@pytest.mark.skipif(os.geteuid() != 0, reason="sets an attribute")
def test_a_record_that_cannot_be_removed_is_told_with_its_attribute(records, key):
    undo.begin(records, "mail", one(key))
    record = f"{records}/mail.json"
    if subprocess.run(["chattr", "+i", record], capture_output=True, check=False).returncode != 0:
        pytest.skip("chattr does not work here")
    try:
        with pytest.raises(InstallError, match=r"cannot be written: .*chattr -i"):
            undo.commit(records, "mail")
    finally:
        subprocess.run(["chattr", "-i", record], check=True)
    undo.commit(records, "mail")
    assert not os.path.exists(records)


def test_a_reload_that_removes_the_record_and_fails_is_told_and_holds_no_other_up(
    desk, service, tmp_path
):
    other = make_service(tmp_path / "other", name="ldap")
    rash = ("sh", "-c", f"rm -r {desk.machine.records}; exit 1")
    message = desk.refused(changed(service, test=None, reload=rash), other)
    assert message.startswith("[install mail] ")
    assert f"{desk.machine.records}/mail.json" in message
    assert other.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_a_record_that_cannot_be_written_is_told(key):
    with pytest.raises(InstallError, match="/proc/records: cannot be written: No such file"):
        undo.begin("/proc/records", "mail", one(key))


def test_who_is_not_root_gives_files_to_himself(monkeypatch):
    monkeypatch.setattr(files.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(files.os, "getegid", lambda: 1001)
    assert (files.uid(None), files.gid(None)) == (1000, 1001)
    monkeypatch.setattr(files.os, "geteuid", lambda: 0)
    assert (files.uid(None), files.gid(None)) == (0, 0)


def test_users_and_groups_go_by_name_or_number():
    assert (files.uid("root"), files.gid("root")) == (0, 0)
    assert (files.uid("4711"), files.gid("4711")) == (4711, 4711)
