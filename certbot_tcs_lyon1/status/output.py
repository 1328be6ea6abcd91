"""Facts and verdicts as text: for a person, and for four kinds of monitoring."""

from __future__ import annotations

import json
import re
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Optional

from certbot_tcs_lyon1.report import foreign
from certbot_tcs_lyon1.status.facts import Facts, Lineage
from certbot_tcs_lyon1.status.verdicts import Limits, State, Verdict, days_at, days_left, worst

#: The version of `--json`. A new key does not change it; one that is removed or redefined does.
SCHEMA = 1

_COLOURS = {State.OK: "32", State.WARNING: "33", State.CRITICAL: "31", State.UNKNOWN: "35"}


def show(text: str) -> None:
    """Print it at once, with escapes for what the output's encoding does not have."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _date(when: Optional[int]) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(when)) if when else "-"


# For a person


def table(facts: Facts, verdicts: Sequence[Verdict], width: int, colour: bool) -> str:
    """Return the output of `status`: for each lineage a line and its details.

    :param verdicts: the verdicts
    :param width: the most characters of a line
    :param colour: whether to colour lines by their state
    """
    name_width = max([11, *(len(lineage.name) for lineage in facts.lineages)])
    name_width = max(11, min(name_width, width - 55))
    head = f"{'CERTIFICATE':<{name_width}} NAMES {'ISSUED':<10} {'ENDS':<10}  DAYS {'RENEWS':<10}"
    lines = [head[:width]]
    for lineage in facts.lineages:
        mine = [verdict for verdict in verdicts if verdict.about == lineage.name]
        name = foreign(lineage.name)
        name = name if len(name) <= name_width else name[: name_width - 1] + "…"
        row = name
        if not lineage.fault:
            row = (
                f"{name:<{name_width}} {len(lineage.names):>5} {_date(lineage.issued)} "
                f"{_date(lineage.ends)} {days_left(lineage, facts.now):>5.0f} "
                f"{_date(lineage.renews)}"
            )
        row = row[:width]
        lines.append(f"\033[{_COLOURS[worst(mine)]}m{row}\033[0m" if colour else row)
        lines += _wrapped(_detail(lineage), width)
        lines += [part for v in mine for part in _wrapped(f"{v.state.name}: {v.text}", width)]
    lines += _machine(facts, verdicts, width)
    return "\n".join(lines)


def _detail(lineage: Lineage) -> str:
    if lineage.fault:
        return ""
    parts = [
        f"department {lineage.department or '-'}",
        f"CA {lineage.issuer or '-'}",
        f"{lineage.authenticator or '-'}/{lineage.installer or '-'}",
        _watched(lineage),
    ]
    for target in dict.fromkeys(file.target for file in lineage.deployed):
        faults = [file.fault for file in lineage.deployed if file.target == target and file.fault]
        parts.append(f"deployed to {target} ({'not ' if faults else ''}live)")
    if not lineage.deployed:
        parts.append("deployed nowhere")
    parts += [f"served by {there.service}" for there in lineage.served if not there.fault]
    return foreign(", ".join(parts))


def _watched(lineage: Lineage) -> str:
    if not lineage.names_crl:
        return "names no CRL, so a revocation would not be noticed"
    return "watched for revocation" if lineage.watched else "not watched for revocation"


def _machine(facts: Facts, verdicts: Sequence[Verdict], width: int) -> list[str]:
    lines = [""]
    for department in facts.departments:
        account = f"account {department.account}" if department.account else "no account yet"
        header, key_id = f"[department {department.name}]", f"Key ID {department.key_id}"
        text = f"{header} {key_id}, {account}, {department.server}"
        lines += _wrapped(text, width, "")
    for section in facts.dns:
        text = f"{section.section} {', '.join(section.servers)}, key {section.key}"
        lines += _wrapped(text, width, "")
    timer = facts.timer
    state = f"{timer.name} {'on' if timer.enabled and timer.active else 'off'}"
    ran = _date(max(facts.last_renew or 0, timer.last or 0))
    lines += _wrapped(f"[timer] {state if timer.name else 'none'}, last run {ran}", width, "")
    for verdict in _of_machine(facts, verdicts):
        lines += _wrapped(f"{verdict.state.name}: {verdict.text}", width)
    return lines


def _of_machine(facts: Facts, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts that are not about a lineage."""
    lineages = {lineage.name for lineage in facts.lineages}
    return [verdict for verdict in verdicts if verdict.about not in lineages]


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    lines = []
    for line in foreign(text, len(text)).splitlines():
        lines += textwrap.wrap(
            line,
            max(20, width),
            initial_indent=indent,
            subsequent_indent="  ",
            break_on_hyphens=False,  # options and names are meant to be copied
        )
    return lines


# For Monitoring Plugins (Nagios, Icinga)


def nagios(facts: Facts, verdicts: Sequence[Verdict], limits: Limits) -> str:
    """Return the output for Nagios and Icinga: performance data, then a line for each verdict."""
    state, readable = worst(verdicts), [lineage for lineage in facts.lineages if not lineage.fault]
    soonest = min((days_left(lineage, facts.now) for lineage in readable), default=0)
    said = f"{len(facts.lineages)} certificates, the first ends in {soonest:.0f} days"
    if verdicts:
        first = _one_line(f"{verdicts[0].about} {verdicts[0].text}")
        said = first if len(verdicts) == 1 else f"{first} (and {len(verdicts) - 1} more)"
    data = " ".join(
        f"{_label(lineage.name)}={days_left(lineage, facts.now):.2f};"
        f"{days_at(lineage, limits.warning):.2f};{days_at(lineage, limits.critical):.2f}"
        for lineage in readable
    )
    lines = [f"TCS {state.name} - {said.replace('|', '/')}" + (f" | {data}" if data else "")]
    for verdict in verdicts:
        text = _one_line(f"{verdict.state.name}: {verdict.about} {verdict.text}")
        lines.append(text.replace("|", "/"))
    return "\n".join(lines)


def _label(name: str) -> str:
    """Return a label of performance data, in quotes, without `=` (Monitoring Plugins)."""
    plain = _one_line(name).replace("=", "_").replace("|", "_").replace("'", "''")
    return f"'{plain} days'"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", foreign(text, 2000)).strip()


# For Checkmk: https://docs.checkmk.com/latest/en/localchecks.html


def checkmk(facts: Facts, verdicts: Sequence[Verdict], limits: Limits) -> str:
    """Return the output for Checkmk: a line for each lineage, and one for the machine."""
    lines = []
    for lineage in facts.lineages:
        mine = [verdict for verdict in verdicts if verdict.about == lineage.name]
        values = "-"
        if not lineage.fault:
            warning, critical = days_at(lineage, limits.warning), days_at(lineage, limits.critical)
            left = days_left(lineage, facts.now)
            values = f"days={left:.2f};{warning:.2f};{critical:.2f}"
        said = "; ".join(_one_line(verdict.text) for verdict in mine)
        said = said or f"ends on {_date(lineage.ends)}"
        service = _one_line(lineage.name).replace('"', "'")
        lines.append(f'{int(worst(mine))} "TCS {service}" {values} {said}')
    mine = _of_machine(facts, verdicts)
    said = "; ".join(_one_line(f"{verdict.about} {verdict.text}") for verdict in mine)
    lines.append(f'{int(worst(mine))} "TCS certbot" - {said or "renewal runs"}')
    return "\n".join(lines)


# For Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/


def prometheus(facts: Facts, verdicts: Sequence[Verdict]) -> str:
    """Return the content of a file for node_exporter's textfile collector."""
    readable = [lineage for lineage in facts.lineages if not lineage.fault]
    labels = ("name", "department", "issuer", "serial", "server")
    info = [({key: getattr(lineage, key) or "" for key in labels}, 1) for lineage in readable]
    states = [
        ({"name": lineage.name}, int(worst(v for v in verdicts if v.about == lineage.name)))
        for lineage in facts.lineages
    ]
    last = max(facts.last_renew or 0, facts.timer.last or 0)
    parts = [
        _metric("certificate_info", "A certificate of certbot's.", info),
        _metric(
            "certificate_issued_timestamp_seconds",
            "Begin of the live version's validity.",
            [({"name": lineage.name}, lineage.issued) for lineage in readable],
        ),
        _metric(
            "certificate_end_timestamp_seconds",
            "End of the live version's validity.",
            [({"name": lineage.name}, lineage.ends) for lineage in readable],
        ),
        _metric("certificate_state", "0 right, 1 warning, 2 critical, 3 unknown.", states),
        _metric("state", "The same of the whole machine.", [({}, int(worst(verdicts)))]),
        _metric("renew_run_timestamp_seconds", "Last run of certbot renew; 0: none.", [({}, last)]),
        _metric("check_run_timestamp_seconds", "When this was written.", [({}, facts.now)]),
    ]
    return "".join(parts)


def _metric(name: str, text: str, rows: Sequence[tuple[dict[str, str], int]]) -> str:
    if not rows:
        return ""
    full = f"tcs_lyon1_{name}"
    lines = [f"# HELP {full} {text}", f"# TYPE {full} gauge"]
    for labels, value in rows:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{full}{{{inside}}} {value}" if inside else f"{full} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# As JSON


def to_json(facts: Facts, verdicts: Optional[Sequence[Verdict]]) -> str:
    """Return the facts as JSON, with the verdicts unless they are None."""
    whole: dict[str, Any] = asdict(facts)
    for lineage in whole["lineages"]:
        del lineage["der"]
    whole = {"schema": SCHEMA, **whole}
    if verdicts is not None:
        whole["state"] = worst(verdicts).name
        whole["verdicts"] = [
            {**asdict(verdict), "state": verdict.state.name} for verdict in verdicts
        ]
    return json.dumps(whole, indent=1, ensure_ascii=True)
