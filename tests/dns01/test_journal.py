"""The journal: after a crash, the next run withdraws what was left, and exactly that."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from dataclasses import replace

import pytest

from certbot_tcs_lyon1.department.settings import TsigKey
from certbot_tcs_lyon1.dns01 import journal
from certbot_tcs_lyon1.dns01.challenge import txt_record
from certbot_tcs_lyon1.dns01.journal import Entry, JournalError
from certbot_tcs_lyon1.errors import DnsError
from tests.dns01.conftest import WWW, ZONE, dns_section, endpoint
from tests.lab import bind, ports, zones

ENTRY = Entry("dns", ZONE, "127.0.0.1", 53, "ns1", ((WWW, "one"), (WWW, "two")))
OTHER = Entry("dns x", "x.test", "::1", 5353, "::1", (("_acme-challenge.x.test", "three"),))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journal.json")


def test_what_is_added_is_read_again_until_it_is_struck_off(path):
    assert journal.read(path) == []
    journal.add(path, ENTRY)
    journal.add(path, OTHER)
    assert journal.read(path) == [ENTRY, OTHER]
    journal.strike(path, ENTRY)
    assert journal.read(path) == [OTHER]


def test_without_entries_there_is_no_file(path):
    journal.add(path, ENTRY)
    journal.strike(path, ENTRY)
    journal.strike(path, ENTRY)
    assert os.listdir(os.path.dirname(path)) == []


def test_only_its_owner_can_read_it_whatever_the_umask(path):
    before = os.umask(0)
    try:
        journal.add(path, ENTRY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_file_half_written_by_a_run_that_was_killed_does_not_matter(path):
    journal.add(path, ENTRY)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write('[{"zone": "x')
    journal.add(path, OTHER)
    assert journal.read(path) == [ENTRY, OTHER]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '[{"zone": "x"}]', "\x00"])
def test_a_damaged_journal_is_told(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(JournalError, match="damaged"):
        journal.read(path)


def test_a_journal_that_is_a_folder_is_told(path):
    os.mkdir(path)
    with pytest.raises(JournalError, match="cannot be read"):
        journal.read(path)
    with pytest.raises(JournalError):
        journal.add(path, ENTRY)


def test_a_journal_that_cannot_be_written_keeps_the_records_unpublished(lab, desk_with, path):
    nowhere = replace(desk_with(dns_section(lab)), journal_path="/no-such-folder/journal.json")
    with pytest.raises(DnsError, match="no-such-folder"):
        nowhere.publish(txt_record(WWW, "value"))
    assert lab.primary.txt(WWW) == []


def test_a_run_that_was_killed_is_cleaned_up_by_the_next_one(lab, desk):
    desk.publish(
        txt_record(WWW, "left"), txt_record("_acme-challenge.www.univ-lyon1.test", "behind")
    )
    lab.edit(ZONE, add=[(f"{WWW}.", 60, "TXT", "somebody-else")])
    try:
        assert desk.withdraw() == []  # as the next process does: it knows the journal only
        assert lab.primary.txt(WWW) == ["somebody-else"]
        assert lab.primary.txt("_acme-challenge.www.univ-lyon1.test") == []
        assert desk.journal() == []
    finally:
        lab.edit(ZONE, delete=[(f"{WWW}.", "TXT")])


def test_it_holds_no_secret(lab, desk):
    desk.publish(txt_record(WWW, "value"))
    with open(desk.journal_path, encoding="utf-8") as file:
        text = file.read()
    assert "value" in text
    assert lab.key.secret not in text


def test_a_damaged_journal_is_set_aside_with_a_warning(desk):
    with open(desk.journal_path, "w", encoding="utf-8") as file:
        file.write("{")
    [warning] = desk.withdraw()
    assert f"{desk.journal_path}.damaged" in warning
    assert desk.withdraw() == []
    assert os.listdir(os.path.dirname(desk.journal_path)) == [
        f"{os.path.basename(desk.journal_path)}.damaged"
    ]


def test_a_section_that_was_renamed_is_found_by_the_zone(lab, desk, desk_with):
    desk.publish(txt_record(WWW, "value"))
    renamed = dns_section(lab, base=ZONE, section=f"dns {ZONE}")
    later = desk_with(renamed)
    assert replace(desk, settings=later.settings).withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_a_section_that_is_gone_keeps_the_entry_and_says_so(desk, desk_with):
    desk.publish(txt_record(WWW, "value"))
    [warning] = replace(desk, settings=desk_with().settings).withdraw()
    assert "[dns]" in warning
    assert len(desk.journal()) == 1


@pytest.fixture
def two_configs(lab, desk_with, tmp_path):
    """Two department configs with one journal, as two `--tcs-lyon1-config` in one work folder: each
    has a section [dns], and the second one's name server has a zone of the same name."""
    configs = [tmp_path / "a.ini", tmp_path / "b.ini"]
    for config in configs:
        config.write_text("")
    key = zones.new_key("b")
    copy = zones.Zone(
        ZONE, zones.zone_text(ZONE, {"ns1": "127.0.0.1"}), (f"grant b subdomain {ZONE}. TXT;",)
    )
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(tmp_path / "copy", here, [copy], [key]):
            sections = (
                dns_section(lab, department_config=str(configs[0])),
                dns_section(
                    lab,
                    servers=(endpoint(here),),
                    key=TsigKey(key.name, key.algorithm, key.secret),
                    department_config=str(configs[1]),
                ),
            )
            desks = [desk_with(section) for section in sections]
            yield [
                replace(
                    desk,
                    settings=replace(desk.settings, path=str(config)),
                    journal_path=desks[0].journal_path,
                )
                for desk, config in zip(desks, configs)
            ]


def test_what_another_department_config_has_published_is_left_for_its_own_next_run(
    lab, two_configs
):
    first, second = two_configs
    first.publish(txt_record(WWW, "value"))
    entries = first.journal()
    assert second.withdraw() == []
    assert first.journal() == entries
    assert lab.primary.txt(WWW) == ["value"]
    assert first.withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_a_department_config_under_another_name_is_known_by_its_file(lab, two_configs, tmp_path):
    first, _ = two_configs
    (tmp_path / "link.ini").symlink_to(first.settings.path)
    first.publish(txt_record(WWW, "value"))
    linked = replace(first.settings, path=str(tmp_path / "link.ini"))
    assert replace(first, settings=linked).withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_what_a_department_config_that_is_gone_has_published_is_withdrawn_by_another(
    lab, two_configs, tmp_path
):
    first, _ = two_configs
    first.publish(txt_record(WWW, "value"))
    moved = str(tmp_path / "moved.ini")
    os.rename(first.settings.path, moved)
    assert replace(first, settings=replace(first.settings, path=moved)).withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_an_entry_whose_department_config_can_be_no_path_is_withdrawn(lab, desk):
    desk.publish(txt_record(WWW, "value"))
    [entry] = desk.journal()
    journal.strike(desk.journal_path, entry)
    journal.add(desk.journal_path, replace(entry, department_config="a\0b"))
    assert desk.withdraw() == []
    assert lab.primary.txt(WWW) == []


def test_records_that_may_not_be_withdrawn_but_are_gone_are_struck_off(lab, desk):
    entry = Entry(
        "dns",
        "univ-lyon1.test",
        lab.primary.endpoint.address,
        lab.primary.endpoint.port,
        "ns1",
        (("_acme-challenge.mail.univ-lyon1.test", "value"),),
    )
    journal.add(desk.journal_path, entry)
    assert desk.withdraw() == []
    assert desk.journal() == []


def test_records_that_may_not_be_withdrawn_and_are_there_stay_in_the_journal(lab, desk):
    name = "_acme-challenge.mail.univ-lyon1.test"
    endpoint = lab.primary.endpoint
    entry = Entry(
        "dns", "univ-lyon1.test", endpoint.address, endpoint.port, "ns1", ((name, "value"),)
    )
    journal.add(desk.journal_path, entry)
    lab.edit("univ-lyon1.test", add=[(f"{name}.", 60, "TXT", "value")])
    try:
        [warning] = desk.withdraw()
        assert name in warning
        assert desk.journal() == [entry]
    finally:
        lab.edit("univ-lyon1.test", delete=[(f"{name}.", "TXT")])


def test_a_work_folder_that_is_full_draws_one_warning_for_two_zones(lab, desk, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "none", str(work)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        small = replace(desk, journal_path=str(work / "journal.json"))
        small.publish(
            txt_record(WWW, "value"), txt_record("_acme-challenge.www.univ-lyon1.test", "value")
        )
        with contextlib.suppress(OSError), (work / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        told = [*small.withdraw_here(), *small.withdraw_here()]
        assert len(set(told)) == 1  # a process says nothing twice
        assert "No space left on device; the records are gone" in told[0]
        assert lab.primary.txt(WWW) == []
        (work / "filler").unlink()
        assert small.withdraw() == []
        assert small.journal() == []
    finally:
        subprocess.run(["umount", str(work)], check=True)


def test_of_an_entry_what_may_be_withdrawn_is_and_the_rest_is_told(lab, desk):
    denied, allowed = "_acme-challenge.mail.univ-lyon1.test", "_acme-challenge.www.univ-lyon1.test"
    here = lab.primary.endpoint
    values = ((denied, "value"), (allowed, "value"))
    entry = Entry("dns", "univ-lyon1.test", here.address, here.port, "ns1", values)
    journal.add(desk.journal_path, entry)
    lab.edit("univ-lyon1.test", add=[(f"{name}.", 60, "TXT", text) for name, text in values])
    try:
        [warning] = desk.withdraw()
        assert "REFUSED" in warning
        assert lab.primary.txt(allowed) == []
        assert lab.primary.txt(denied) == ["value"]
        assert desk.journal() == [entry]
    finally:
        lab.edit("univ-lyon1.test", delete=[(f"{denied}.", "TXT")])
    assert desk.withdraw() == []


def test_a_journal_that_is_too_large_to_be_one_is_set_aside_unread(desk):
    with open(desk.journal_path, "wb") as file:
        file.truncate(journal._MOST_BYTES + 1)
    [warning] = desk.withdraw()
    assert "is damaged" in warning
    assert not os.path.exists(desk.journal_path)


def test_a_damaged_journal_that_cannot_be_set_aside_is_told_with_what_to_do(desk):
    with open(desk.journal_path, "w", encoding="utf-8") as file:
        file.write("{")
    os.mkdir(f"{desk.journal_path}.damaged")
    [warning] = desk.withdraw()
    assert f"{desk.journal_path} cannot be renamed" in warning
    assert "Remove it; records may be left in the DNS" in warning
