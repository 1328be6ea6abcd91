"""Converging: what is written, with which rights, what is tried, and what is put back."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from certbot_tcs_lyon1 import disk
from certbot_tcs_lyon1 import lineage as lineages
from certbot_tcs_lyon1.errors import InstallError
from certbot_tcs_lyon1.install import deploy
from tests.install.conftest import NAME, changed, key_pem, make_service, new_pair

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


def test_the_files_are_written_tested_and_reloaded(desk, service):
    lines = desk.deploy(service)
    assert service.path("fullchain").read_bytes() == desk.shelf.read("fullchain")
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")
    assert service.runs == ["test", "reload"]
    assert service.served() == b"".join(
        desk.shelf.read(kind) for kind in ("fullchain", "chain", "privkey")
    )
    assert len(lines) == 1
    assert lines[0].startswith(f"[install mail] version 1 of {NAME} is in ")
    assert lines[0].endswith("; reloaded.")


def test_the_key_is_its_owners_alone_and_the_rest_is_everybodys(desk, service):
    desk.deploy(service)
    modes = {kind: mode for kind, (_, _, _, mode) in service.files().items()}
    assert modes == {"fullchain": 0o644, "chain": 0o644, "privkey": 0o600}


@needs_root
def test_owner_group_and_mode_are_those_of_the_section(desk, service):
    desk.deploy(changed(service, owner="nobody", group="12345", mode=0o640))
    for _, uid, gid, mode in service.files().values():
        assert (uid, gid, mode) == (65534, 12345, 0o640)


def test_all_pem_formats(desk, tmp_path):
    service = make_service(
        tmp_path / "service",
        cert=str(tmp_path / "service/tls/cert.pem"),
        combined=str(tmp_path / "service/tls/combined.pem"),
    )
    desk.deploy(service)
    assert service.path("cert").read_bytes() == desk.shelf.read("cert")
    combined = service.path("combined").read_bytes()
    assert combined == desk.shelf.read("privkey") + desk.shelf.read("fullchain")


def test_nothing_changed_means_no_write_and_no_reload(desk, service, tmp_path):
    desk.deploy(service)
    service.forget()
    before = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert desk.deploy(service) == []
    assert service.runs == []
    after = {path: path.lstat() for path in tmp_path.rglob("*")}
    assert {path: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for path, s in after.items()} == {
        path: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for path, s in before.items()
    }


def test_a_new_version_replaces_the_old_one_and_nothing_is_left_beside_it(desk, service):
    desk.deploy(service)
    desk.shelf.issue()
    assert desk.deploy(service)[0].startswith("[install mail] version 2 ")
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")
    assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
    assert not os.path.exists(desk.machine.records)


@pytest.mark.parametrize("how", ["overwritten", "removed", "chmod"])
def test_what_someone_changed_is_healed(desk, service, how):
    desk.deploy(service)
    good = service.files()
    service.forget()
    key = service.path("privkey")
    if how == "overwritten":
        key.write_text("oops")
    elif how == "removed":
        key.unlink()
    else:
        key.chmod(0o604)
    assert str(key) in desk.deploy(service)[0]
    assert service.files() == good
    assert service.runs == ["test", "reload"]


def test_a_section_of_another_certificate_is_left_alone(desk, service, tmp_path):
    others = changed(service, certificate="other")
    assert desk.deploy(others) == []
    assert service.files() == {}
    wanted = make_service(tmp_path / "wanted", name="ldap")
    assert len(desk.deploy(others, wanted)) == 1
    assert service.files() == {}


def test_a_file_with_a_name_as_long_as_the_disk_takes_is_written(desk, service):
    longest = service.folder / "tls" / ("é" * 125 + ".pem")
    desk.deploy(changed(service, privkey=str(longest), test=None, reload=None))
    assert longest.read_bytes() == desk.shelf.read("privkey")


def test_a_label_that_selinux_gives_and_the_disk_does_not_store_is_left_out(
    desk, service, monkeypatch
):
    """As on NFS, or with the mount option context=: it is not listed, and can't be set."""
    desk.deploy(service)
    desk.shelf.issue()
    monkeypatch.setattr(os, "listxattr", lambda descriptor: [])
    monkeypatch.setattr(os, "getxattr", lambda descriptor, name: b"system_u:object_r:nfs_t:s0")
    monkeypatch.delattr(os, "setxattr")
    assert len(desk.deploy(service)) == 1
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_a_disk_without_extended_attributes_is_written_to(desk, service, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "listxattr", refuse)
    for _ in range(2):
        assert len(desk.deploy(service)) == 1
        assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")
        desk.shelf.issue()


def test_commands_are_optional(desk, service):
    lines = desk.deploy(changed(service, test=None, reload=None))
    assert lines[0].endswith("privkey.pem.")


# -- What fails


def test_a_test_that_fails_puts_everything_back_as_it_was(desk, service):
    desk.deploy(changed(service, mode=0o600))
    before = service.files()
    desk.shelf.issue()
    service.forget()
    (service.folder / "test-fails").touch()
    message = desk.refused(service)
    assert "test of mail is broken" in message
    assert "exit code 3" in message
    assert "fails as well" in message
    assert service.files() == before
    assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
    assert service.runs == ["test", "test"]

    (service.folder / "test-fails").unlink()
    desk.deploy(service)
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_a_test_that_only_the_old_files_pass_says_so(desk, service):
    old = desk.shelf.read("privkey").decode().splitlines()[1]
    picky = changed(service, test=("grep", "-q", old, str(service.path("privkey"))), reload=None)
    desk.deploy(picky)
    desk.shelf.issue()
    message = desk.refused(picky)
    assert "exit code 1; it printed nothing" in message
    assert "With them the test succeeds." in message


def test_a_first_deployment_that_fails_leaves_no_file(desk, service):
    (service.folder / "test-fails").touch()
    desk.refused(service)
    assert service.names() == []


def test_a_reload_that_fails_puts_the_old_files_back_and_reloads_again(desk, service):
    desk.deploy(service)
    before, served = service.files(), service.served()
    desk.shelf.issue()
    service.forget()
    (service.folder / "reload-fails").touch()
    assert "reload = " in desk.refused(service)
    assert service.files() == before
    assert service.runs == ["test", "reload", "reload"]
    (service.folder / "reload-fails").unlink()
    desk.deploy(service)
    assert service.served() != served


def test_one_target_that_fails_does_not_keep_the_others_back(desk, service, tmp_path):
    other = make_service(tmp_path / "other", name="ldap")
    (service.folder / "test-fails").touch()
    message = desk.refused(service, other)
    assert "[install mail] test = " in message
    (line,) = desk.said
    assert line.startswith(f"[install ldap] version 1 of {NAME} is in ")
    assert other.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_ctrl_c_puts_the_old_files_back(desk, service, monkeypatch):
    desk.deploy(service)
    before = service.files()
    desk.shelf.issue()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy.commands, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        desk.deploy(service)
    assert service.files() == before


def test_a_key_that_is_not_the_certificates_is_not_written(desk, service):
    desk.deploy(service)
    before = service.files()
    desk.shelf.issue()
    Path(desk.shelf.certificate(), "privkey.pem").write_bytes(key_pem(new_pair("other")[0]))
    message = desk.refused(service)
    assert "cannot be used together (KEY_VALUES_MISMATCH)" in message
    assert service.files() == before


@pytest.mark.parametrize("content", [b"", b"no key"])
def test_a_key_that_is_damaged_is_not_written(desk, service, content):
    Path(desk.shelf.certificate(), "privkey.pem").write_bytes(content)
    assert "cannot be used together" in desk.refused(service)
    assert service.names() == []


def test_a_certificate_that_is_incomplete_is_told(desk, service):
    Path(desk.shelf.certificate(), "chain.pem").unlink()
    assert "chain.pem: cannot be read: No such file" in desk.refused(service)


def full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk.os, "fsync", fsync)


def test_a_disk_that_says_no_leaves_the_old_files(desk, service, monkeypatch):
    desk.deploy(service)
    before = service.files()
    desk.shelf.issue()
    full_disk(service.folder / "tls" / ".privkey", monkeypatch)
    message = desk.refused(service)
    assert "No space left on device; make room" in message
    assert service.files() == before
    assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]


@needs_root
def test_a_disk_that_is_really_full_leaves_the_old_files(desk, service):
    tls = str(service.folder / "tls")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "none", tls]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot mount a tmpfs here")
    try:
        desk.deploy(service)
        before = service.files()
        desk.shelf.issue()
        assert "No space left on device; make room" in desk.refused(service)
        assert service.files() == before
        assert service.names() == ["chain.pem", "fullchain.pem", "privkey.pem"]
    finally:
        subprocess.run(["umount", tls], check=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"owner": "nobody-here"}, "there is no user nobody-here on this machine"),
        ({"group": "nobody-here"}, "there is no group nobody-here on this machine"),
        ({"privkey": "/nowhere/at/all/privkey.pem"}, "mkdir -p /nowhere/at/all"),
        ({"privkey": "/dev/null"}, "not an ordinary file"),
        ({"privkey": "/etc/passwd/privkey.pem"}, "Not a directory; correct the path"),
    ],
)
def test_what_the_section_has_wrong_is_told_and_nothing_is_touched(
    desk, service, changes, expected
):
    desk.deploy(service)
    before = service.files()
    desk.shelf.issue()
    message = desk.refused(changed(service, **changes))
    assert expected in message
    assert message.startswith("[install mail] ")
    assert "certbot renew" in message
    assert service.files() == before
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_folder_that_others_can_write_is_refused(desk, service, mode):
    (service.folder / "tls").chmod(mode)
    assert f"chmod go-w {service.folder}/tls" in desk.refused(service)
    assert service.names() == []


@needs_root
def test_a_folder_of_another_user_is_refused_but_not_the_owners_own(desk, service):
    os.chown(service.folder / "tls", 4711, 0)
    assert "belongs to user number 4711" in desk.refused(service)
    desk.deploy(changed(service, owner="4711"))
    assert service.files()["privkey"][1] == 4711


def test_certbots_own_folders_are_refused_also_by_way_of_a_link(desk, service, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "certbot" / "config")
    live = desk.shelf.certificate()
    for path in (f"{live}/privkey.pem", f"{link}/key.pem", f"{link}/missing/key.pem"):
        assert "where certbot keeps its own files" in desk.refused(changed(service, privkey=path))


# -- Symbolic links


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_is_written_through_to_its_end(desk, service, tmp_path, caplog, dangling):
    caplog.set_level("INFO")
    end = tmp_path / "elsewhere" / "key.pem"
    end.parent.mkdir()
    if not dangling:
        end.write_text("old")
    service.path("privkey").symlink_to(end)
    desk.deploy(service)
    assert service.path("privkey").is_symlink()
    assert end.read_bytes() == desk.shelf.read("privkey")
    assert stat.S_IMODE(end.stat().st_mode) == 0o600
    assert f"{service.path('privkey')} leads to {end}" in caplog.text


def test_a_link_to_a_folder_that_is_missing_is_no_name_of_a_file(desk, service):
    service.path("privkey").symlink_to("new/")
    assert "its folder cannot be used: No such file" in desk.refused(service)
    assert service.names() == ["privkey.pem"]


def test_links_that_lead_nowhere_are_told(desk, service):
    service.path("privkey").symlink_to("privkey.pem")
    assert "Too many levels of symbolic links" in desk.refused(service)


def test_two_sections_that_links_lead_to_one_file_are_refused(desk, service, tmp_path):
    other = make_service(tmp_path / "other", name="ldap")
    other.path("privkey").symlink_to(service.path("privkey"))
    message = desk.refused(service, other)
    assert "lead here from [install ldap]" in message
    assert "lead here from [install mail]" in message
    assert service.names() == []


# -- The previous version


def test_the_previous_version_comes_from_the_archive(desk, service):
    first = desk.shelf.read("privkey")
    desk.shelf.issue()
    desk.deploy(service)
    deploy.deploy_previous([service.target], desk.shelf.live, 1, desk.machine)
    assert service.path("privkey").read_bytes() == first
    assert "from version 2 to version 1" in desk.said[-1]
    desk.deploy(service)
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_where_there_is_no_previous_version_nothing_happens(desk, service):
    desk.deploy(service)
    for live in (desk.shelf.live, "/nowhere"):
        deploy.deploy_previous([service.target], live, 1, desk.machine)
        assert "has no version 1 before this one" in desk.said[-1]
    assert service.path("privkey").read_bytes() == desk.shelf.read("privkey")


def test_a_rollback_that_fails_is_told(desk, service):
    desk.shelf.issue()
    desk.deploy(service)
    (service.folder / "reload-fails").touch()
    with pytest.raises(InstallError, match="reload of mail is broken"):
        deploy.deploy_previous([service.target], desk.shelf.live, 1, desk.machine)


def test_a_certificate_that_is_no_lineage_of_certbots_has_no_version(shelf):
    assert lineages.version(shelf.certificate()) == 1
    link = Path(shelf.certificate(), "cert.pem")
    link.unlink()
    link.symlink_to("somewhere.pem")
    assert lineages.version(shelf.certificate()) is None


def test_no_key_is_in_the_representation_of_anything(desk, service):
    lineage = lineages.read(desk.shelf.certificate())
    secret = desk.shelf.read("privkey").decode().splitlines()[1]
    with contextlib.ExitStack() as held:
        places = deploy._open_all(service.target, desk.machine, held)
        wrong = deploy._find_differing(service.target, lineage, places, desk.machine)
        desk.deploy(service)
        found = disk.read_shared(places["privkey"])
    assert len(wrong) == 3
    assert found is not None
    assert secret not in repr((lineage, wrong, found))
