"""The record of what is being replaced, and what it brings back."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from certbot_tcs_lyon1.install import files, undo
from certbot_tcs_lyon1.install.files import InstallError, Rights


@pytest.fixture
def record(tmp_path) -> str:
    return str(tmp_path / "record.json")


@pytest.fixture
def key(tmp_path) -> Path:
    folder = tmp_path / "tls"
    folder.mkdir()
    path = folder / "key.pem"
    path.write_text("old")
    path.chmod(0o640)
    return path


def one(path: Path) -> undo.Record:
    return undo.Record("mail", (undo.Replaced(str(path), path.exists()),))


def test_without_a_record_there_is_nothing_to_do(record):
    assert undo.restore(record) is None
    undo.accept(record)


def test_the_old_file_comes_back_with_its_rights(record, key):
    undo.begin(record, one(key))
    assert stat.S_IMODE(os.stat(record).st_mode) == 0o600
    mine = Rights(os.geteuid(), os.getegid(), 0o600)
    files.write(files.new_name(str(key)), b"new", mine)
    files.rename(files.new_name(str(key)), str(key))
    assert undo.restore(record) == "mail"
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("old", 0o640)
    assert os.listdir(key.parent) == ["key.pem"]
    assert not os.path.exists(record)


def test_on_a_file_system_without_hard_links_the_old_file_is_copied(record, key, monkeypatch):
    def link(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", link)
    undo.begin(record, one(key))
    old = Path(files.old_name(str(key)))
    assert (old.read_text(), stat.S_IMODE(old.stat().st_mode)) == ("old", 0o640)
    assert old.stat().st_nlink == 1
    key.write_text("new")
    undo.restore(record)
    assert key.read_text() == "old"


def test_what_cannot_be_kept_aside_is_not_begun(record, key, monkeypatch):
    key_record = undo.Record("mail", (undo.Replaced(str(key), True), undo.Replaced("/x/y", True)))
    monkeypatch.setattr(files, "_copy_aside", lambda path: files.rename("/x/y", path))
    with pytest.raises(InstallError, match="/x/y: cannot be written"):
        undo.begin(record, key_record)
    assert os.listdir(key.parent) == ["key.pem"]
    assert not os.path.exists(record)


def test_a_backup_of_a_lost_record_is_not_put_back(record, key):
    Path(files.old_name(str(key))).write_text("older")
    undo.begin(record, one(key))
    undo.restore(record)
    assert key.read_text() == "old"


def test_an_accepted_deployment_stays(record, key):
    undo.begin(record, one(key))
    key.unlink()
    key.write_text("new")
    undo._write(record, undo.Record("mail", one(key).files, accepted=True))
    assert undo.restore(record) is None
    assert key.read_text() == "new"
    assert os.listdir(key.parent) == ["key.pem"]


def test_a_folder_that_is_gone_has_nothing_to_put_back(record, key):
    undo.begin(record, one(key))
    Path(files.old_name(str(key))).unlink()
    key.unlink()
    key.parent.rmdir()
    assert undo.restore(record) == "mail"
    assert not os.path.exists(record)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": [1]}'])
def test_a_damaged_record_is_told_and_kept(record, text):
    Path(record).write_text(text)
    with pytest.raises(InstallError, match="it is damaged") as caught:
        undo.restore(record)
    assert record in str(caught.value)
    assert Path(record).read_text() == text


def test_a_record_that_cannot_be_written_is_told(key):
    with pytest.raises(InstallError, match="/nowhere/record.json: cannot be written: No such file"):
        undo.begin("/nowhere/record.json", one(key))


def test_a_file_that_cannot_be_removed_is_told(key):
    with pytest.raises(InstallError, match="cannot be removed: Is a directory"):
        files.remove(str(key.parent))


def test_a_folder_that_cannot_be_synced_is_told():
    with pytest.raises(InstallError, match="/nowhere: cannot be written"):
        files.sync_folders(["/nowhere/file"])


def test_a_file_that_is_there_already_is_not_written_over(key):
    with pytest.raises(InstallError, match="File exists"):
        files.write(str(key), b"new", Rights(0, 0, 0o600))
    assert key.read_text() == "old"


def test_who_is_not_root_gives_files_to_himself(monkeypatch):
    monkeypatch.setattr(files.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(files.os, "getegid", lambda: 1001)
    assert (files.uid(None), files.gid(None)) == (1000, 1001)
    monkeypatch.setattr(files.os, "geteuid", lambda: 0)
    assert (files.uid(None), files.gid(None)) == (0, 0)


def test_users_and_groups_go_by_name_or_number():
    assert (files.uid("root"), files.gid("root")) == (0, 0)
    assert (files.uid("4711"), files.gid("4711")) == (4711, 4711)
