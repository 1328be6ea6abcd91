"""What is remembered from run to run."""

from __future__ import annotations

import json
import time

from certbot_tcs_lyon1.watch.record import RECORD_NAME, Reason, Record

CAMPAIGN = Reason("campaign", "2026-07-21", "issued before")


def test_what_was_replaced_is_known_also_on_a_machine_with_thousands_of_lineages(tmp_path):
    begun = {
        f"host{number}.labo.univ-lyon1.test": {"campaign": ["2026-07-21", "aa"]}
        for number in range(5000)
    }
    (tmp_path / RECORD_NAME).write_text(json.dumps({"begun": begun}), "utf-8")
    assert (tmp_path / RECORD_NAME).stat().st_size > 256 * 1024
    assert Record(str(tmp_path)).is_done("host4999.labo.univ-lyon1.test", 0xBB, CAMPAIGN)


def test_a_lineage_is_replaced_again_only_while_it_has_the_serial_number_of_before(tmp_path):
    (tmp_path / "live" / "www").mkdir(parents=True)
    record = Record(str(tmp_path))
    assert not record.is_done("www", 0xAA, CAMPAIGN)
    record.begin("www", 0xAA, CAMPAIGN, str(tmp_path / "live"))
    for known in (record, Record(str(tmp_path))):
        assert not known.is_done("www", 0xAA, CAMPAIGN)  # it failed, or was killed
        assert known.is_done("www", 0xBB, CAMPAIGN)
        assert not known.is_done("www", 0xBB, Reason("campaign", "2026-08-01", ""))


def test_what_is_past_or_gone_is_forgotten(tmp_path):
    live = tmp_path / "live"
    for name in ("www", "gone"):
        (live / name).mkdir(parents=True)
    record = Record(str(tmp_path))
    record.begin("gone", 0xAA, CAMPAIGN, str(live))
    record.note("ari", "old", time.time() - 1)
    record.note("ari", "new", time.time() + 60)
    (live / "gone").rmdir()
    record = Record(str(tmp_path))
    record.begin("www", 0xAA, CAMPAIGN, str(live))
    kept = json.loads((tmp_path / RECORD_NAME).read_text("utf-8"))
    assert list(kept["begun"]) == ["www"]
    assert list(kept["ari"]) == ["new"]
