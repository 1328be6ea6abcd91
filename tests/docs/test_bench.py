"""What the README and the picture say of speed is what `make bench` measured."""

from __future__ import annotations

import json

from tests.bench import chart, readme, results, summary
from tests.bench.contestants import OURS
from tests.bench.rows import ROWS
from tests.bench.runs import BASE, CASE, Case, Kept, Sample

DOCS = readme.ROOT / "docs"
DATA = json.loads((DOCS / "bench.json").read_text(encoding="utf-8"))


def test_the_readme_s_table_of_the_bad_day_is_what_was_measured():
    text = (readme.ROOT / "README.rst").read_text(encoding="utf-8")
    assert readme.table(readme.measured()) in text, "python -m tests.bench.readme prints it"


def test_the_picture_shows_what_was_measured():
    drawn = chart.svg(results.from_data(DATA), summary.from_data(DATA["beside"]))
    assert (DOCS / "bench.svg").read_text(encoding="utf-8") == drawn


def test_the_targets_are_of_the_rows_beside_them():
    lines = summary.from_data(DATA["beside"])
    assert {line.row for line in lines} == set(ROWS)
    assert (
        json.loads(json.dumps(summary.as_data(lines, {})))["targets"] == DATA["beside"]["targets"]
    )
    assert results.as_data(results.from_data(DATA), {})["targets"] == DATA["targets"]


def sample(seconds: float, ok: bool = True, told: int = 0) -> Sample:
    return Sample(ok, seconds, 0.1, 50 * 1024, told)


def kept_of(tmp_path, row: str, size: str, base: list[Sample], case: list[Sample]) -> Kept:
    kept = Kept(tmp_path / "runs.json")
    left = {BASE: list(base), CASE: list(case)}
    kept.run(
        [
            Case(row, OURS, size, state, len(runs), lambda runs=runs: runs.pop(0))
            for state, runs in left.items()
        ]
    )
    return kept


def test_a_benchmark_that_was_stopped_goes_on_where_it_was(tmp_path):
    kept_of(tmp_path, "gss", "1 name", [sample(2)], [sample(3)])
    more = []
    again = Kept(tmp_path / "runs.json")
    again.run([Case("gss", OURS, "1 name", CASE, 3, lambda: more.append(1) or sample(4))])
    assert len(more) == 2
    assert [run.seconds for run in again.of("gss", "1 name", OURS, CASE)] == [3, 4, 4]


def test_a_missed_target_shows_and_so_does_one_failed_run(tmp_path):
    runs = [sample(2), sample(2), sample(9)]
    kept = kept_of(tmp_path, "udp-lossy", "1 name", [sample(2)], runs)
    [target] = summary.targets(summary.lines(kept))
    assert (target.met, target.measured) == (False, "9.00 s")
    kept = kept_of(tmp_path, "slow-queries", "1 name", [sample(2)], [sample(9), sample(1, False)])
    found = {t.what: t.met for t in summary.targets(summary.lines(kept))}
    assert found["update server answers after 2.5 s, 1 name"] is False


def test_what_is_to_be_told_once_is_told_once_in_each_run(tmp_path):
    case = [sample(3, told=1), sample(3, told=2)]
    kept = kept_of(tmp_path, "resolver-silent", "1 name", [sample(2)], case)
    assert [t.met for t in summary.targets(summary.lines(kept))] == [True, False]


def test_each_row_has_goals_that_can_be_looked_at(tmp_path):
    for row, about in ROWS.items():
        for size, goals in about.goals.items():
            assert goals
            kept = kept_of(tmp_path / row / size, row, size, [sample(1)], [sample(1)])
            assert len(list(summary.targets(summary.lines(kept)))) == len(goals)
