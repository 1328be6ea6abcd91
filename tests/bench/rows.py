"""The rows beside the healthy ones: what each is about, its goals, and how its cases are made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from tests.bench import broken, orders, renewals, revoked, signed
from tests.bench import stage as stage_module
from tests.bench.contestants import NO_WAIT, OURS
from tests.bench.orders import LEGO, Run
from tests.bench.runs import BASE, CASE, Case, Sample
from tests.bench.stage import OUTSIDE, THREE, TWO, Stage
from tests.lab.ports import Endpoint

State = Callable[[Stage], contextlib.AbstractContextManager[Endpoint]]


@dataclass(frozen=True)
class Goal:
    """What is at most so much: `seconds` (median), `worst` (of all runs), `extra` seconds, `ratio`
    or `mib` of memory beyond the base; or `told`, so often exactly. `succeeds` needs no figure."""

    of: str
    limit: float = 0


@dataclass(frozen=True)
class Row:
    """A row: `goals` by size; `base` is what its runs are compared with."""

    title: str
    goals: Mapping[str, Sequence[Goal]]
    base: str = "healthy"


#: In the order of the table; the first ones make up the bad day.
ROWS: Mapping[str, Row] = {
    "udp-filtered": Row(
        "UDP filtered, TCP open", {"1 name": [Goal("seconds", 5)], "50 names": [Goal("seconds", 7)]}
    ),
    "udp-lossy": Row(
        "30 % of UDP packets lost each way",
        {"1 name": [Goal("worst", 5)], "20 names": [Goal("worst", 8)]},
    ),
    "one-silent": Row("1 of 3 name servers silent", {"10 lineages": [Goal("extra", 3)]}),
    "all-silent": Row(
        # 60 s once, and 6 s for each of the next: without, the CA comes before BIND's notify.
        "every name server silent",
        {"10 lineages": [Goal("extra", 61 + 9 * 6.1), Goal("told", 1)]},
    ),
    "resolver-silent": Row(
        "system's resolver silent, a name server outside the zone",
        {"1 name": [Goal("extra", 4), Goal("told", 1)]},
    ),
    "slow-queries": Row("update server answers after 2.5 s", {"1 name": [Goal("succeeds")]}),
    "slow-update": Row(
        "update server answers an UPDATE after 16 s", {"1 name": [Goal("succeeds")]}
    ),
    "journal": Row(
        "journal that can't be emptied", {"6 lineages": [Goal("extra", 5), Goal("told", 1)]}
    ),
    "rate-limit": Row(
        "five answers a second (BIND rate-limit)", {"50 names": [Goal("seconds", 12)]}
    ),
    "idle": Row(
        "certbot renew, 20 lineages due",
        {"1000 more idle": [Goal("ratio", 1.02)]},
        "--standalone in the files",
    ),
    "crl-shared": Row(
        "certbot renew, idle lineages, one cached CRL",
        {"300 lineages": [Goal("ratio", 1.10)]},
        "revocation_check = no",
    ),
    "crl-large": Row(
        "certbot renew, a CRL of 100,000 entries",
        {"1 lineage": [Goal("extra", 0.5), Goal("mib", 60)]},
        "revocation_check = no",
    ),
    "gss": Row("UPDATE signed by Kerberos", {"1 name": [Goal("ratio", 1.05)]}, "TSIG"),
}
BAD_DAY, MORE = tuple(ROWS)[:9], tuple(ROWS)[9:]


@dataclass(frozen=True)
class _Orders:
    """Orders in a state, for each size by this plugin and by others."""

    state: State
    by_size: Mapping[int, Sequence[str]]
    base: State = broken.nothing
    zone: str = TWO
    tells: str = ""
    rounds: int = 0


_ORDERS: Mapping[str, _Orders] = {
    "udp-filtered": _Orders(broken.udp_filtered, {1: (NO_WAIT, LEGO), 50: (NO_WAIT,)}),
    "udp-lossy": _Orders(broken.udp_lossy, {1: (NO_WAIT, LEGO), 20: (NO_WAIT,)}, rounds=20),
    "resolver-silent": _Orders(
        broken.resolver_silent, {1: (NO_WAIT, LEGO)}, zone=OUTSIDE, tells="has no address here"
    ),
    "slow-queries": _Orders(broken.slow_to_answer, {1: (NO_WAIT, LEGO)}, broken.between),
    "slow-update": _Orders(broken.slow_to_update, {1: (NO_WAIT, LEGO)}, broken.between),
    "rate-limit": _Orders(broken.rate_limited, {50: (NO_WAIT,)}),
}


@dataclass(frozen=True)
class Rounds:
    """How often this plugin's cases are run, and others'."""

    own: int
    others: int


@contextlib.contextmanager
def cases(key: str, folder: Path, rounds: Rounds) -> Iterator[list[Case]]:
    """The cases of a row, and what they need running."""
    if key == "gss":
        with signed.by_both(folder / key) as (base, case):
            yield _pair(key, "1 name", rounds, base, case)
        return
    with stage_module.start(folder / key, always_valid=key == "idle") as stage:
        if key == "crl-shared":
            with revoked.watched(stage, 300, 1000, is_cached=True) as (base, case):
                yield _pair(key, "300 lineages", rounds, base, case)
        elif key == "crl-large":
            with revoked.watched(stage, 1, 100_000, is_cached=False) as (base, case):
                yield _pair(key, "1 lineage", rounds, base, case)
        elif key == "idle":
            idle = renewals.Idle(stage, 1000, 20)
            yield _pair(key, "1000 more idle", rounds, idle.standalone, idle.ours)
        else:
            yield _network(key, stage, rounds)


def _network(key: str, stage: Stage, rounds: Rounds) -> list[Case]:
    if key in _ORDERS:
        return _orders(key, _ORDERS[key], stage, rounds)
    size = next(iter(ROWS[key].goals))
    if key == "journal":
        plain, with_entry = renewals.with_journal(stage, 6)
        base, case = _in(stage, broken.nothing, plain), _in(stage, broken.nothing, with_entry)
    elif key == "one-silent":
        run = renewals.forced(stage, 10, THREE)
        base, case = _in(stage, broken.nothing, run), _in(stage, broken.third_silent, run)
    else:
        run = renewals.forced(stage, 10, TWO, "no name server can be asked")
        base, case = _in(stage, broken.hidden_primary, run), _in(stage, broken.all_silent, run)
    return _pair(key, size, rounds, base, case)


def _pair(
    key: str, size: str, rounds: Rounds, base: Callable[[], Sample], case: Callable[[], Sample]
) -> list[Case]:
    return [
        Case(key, OURS, size, BASE, rounds.own, base),
        Case(key, OURS, size, CASE, rounds.own, case),
    ]


def _orders(key: str, what: _Orders, stage: Stage, rounds: Rounds) -> list[Case]:
    found = []
    for count, others in what.by_size.items():
        size = "1 name" if count == 1 else f"{count} names"
        for name in (OURS, *others):
            run = orders.by(name, stage, count, what.zone, what.tells)
            if run is None:
                continue
            often = rounds.own if name == OURS else rounds.others
            most = max(what.rounds, often) if name == OURS and rounds.own > 1 else often
            found.append(Case(key, name, size, BASE, often, _in(stage, what.base, run)))
            found.append(Case(key, name, size, CASE, most, _in(stage, what.state, run)))
    return found


def _in(stage: Stage, state: State, run: Run) -> Callable[[], Sample]:
    def once() -> Sample:
        with state(stage) as server:
            return run(server)

    return once
