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
from certbot_tcs_lyon1.status.facts import Lineage
from certbot_tcs_lyon1.status.verdicts import Judgement, State, worst

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


def table(judgement: Judgement, width: int, colour: bool) -> str:
    """Return the output of `status`: for each lineage a line and its details.

    :param width: the most characters of a line
    :param colour: whether to colour lines by their state
    """
    lineages = judgement.facts.lineages
    name_width = max([11, *(len(lineage.name) for lineage in lineages)])
    name_width = max(11, min(name_width, width - 55))
    head = f"{'CERTIFICATE':<{name_width}} NAMES {'ISSUED':<10} {'ENDS':<10}  DAYS {'RENEWS':<10}"
    lines = [head[:width]]
    for lineage in lineages:
        verdicts = judgement.of(lineage)
        name = foreign(lineage.name)
        row = name if len(name) <= name_width else name[: name_width - 1] + "…"
        if not lineage.fault:
            row = (
                f"{row:<{name_width}} {len(lineage.names):>5} {_date(lineage.issued)} "
                f"{_date(lineage.ends)} {judgement.days(lineage)[0]:>5.0f} "
                f"{_date(lineage.renews)}"
            )
        row = row[:width]
        lines.append(f"\033[{_COLOURS[worst(verdicts)]}m{row}\033[0m" if colour else row)
        lines += _wrapped(_detail(lineage), width)
        lines += [part for v in verdicts for part in _wrapped(f"{v.state.name}: {v.text}", width)]
    return "\n".join([*lines, "", *_machine(judgement, width)])


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
    parts += [f"served by {one.service}" for one in lineage.served if not one.fault]
    return foreign(", ".join(parts))


def _watched(lineage: Lineage) -> str:
    if not lineage.names_crl:
        return "names no CRL, so a revocation would not be noticed"
    return "watched for revocation" if lineage.watched else "not watched for revocation"


def _machine(judgement: Judgement, width: int) -> list[str]:
    facts, texts = judgement.facts, []
    for department in facts.departments:
        account = f"account {department.account}" if department.account else "no account yet"
        header, key_id = f"[department {department.name}]", f"Key ID {department.key_id}"
        texts.append(f"{header} {key_id}, {account}, {department.server}")
    for section in facts.dns:
        texts.append(f"{section.section} {', '.join(section.servers)}, key {section.key}")
    timer = facts.timer
    state = f"{timer.name} {'on' if timer.is_on else 'off'}" if timer.name else "none"
    texts.append(f"[timer] {state}, last run {_date(facts.last_run)}")
    lines = [line for text in texts for line in _wrapped(text, width, "")]
    for verdict in judgement.of_machine():
        lines += _wrapped(f"{verdict.state.name}: {verdict.text}", width)
    return lines


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


def nagios(judgement: Judgement) -> str:
    """Return the output for Nagios and Icinga: performance data, then a line for each verdict."""
    usable, verdicts = judgement.usable, judgement.verdicts
    soonest = min((judgement.days(lineage)[0] for lineage in usable), default=0)
    summary = f"{len(judgement.facts.lineages)} certificates, the first ends in {soonest:.0f} days"
    if verdicts:
        summary = _one_line(f"{verdicts[0].about} {verdicts[0].text}")
        summary += f" (and {len(verdicts) - 1} more)" if verdicts[1:] else ""
    data = " ".join(f"{_label(lineage.name)}={_values(judgement, lineage)}" for lineage in usable)
    lines = [
        f"TCS {worst(verdicts).name} - {summary}",
        *(_one_line(f"{one.state.name}: {one.about} {one.text}") for one in verdicts),
    ]
    lines = [line.replace("|", "/") for line in lines]
    return "\n".join([lines[0] + (f" | {data}" if data else ""), *lines[1:]])


def _label(name: str) -> str:
    """Return a label of performance data, in quotes, without `=` (Monitoring Plugins)."""
    plain = _one_line(name).replace("=", "_").replace("|", "_").replace("'", "''")
    return f"'{plain} days'"


def _values(judgement: Judgement, lineage: Lineage) -> str:
    """Return the days left, and those at the limits, as Nagios and Checkmk read them."""
    return ";".join(f"{days:.2f}" for days in judgement.days(lineage))


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", foreign(text, 2000)).strip()


# For Checkmk: https://docs.checkmk.com/latest/en/localchecks.html


def checkmk(judgement: Judgement) -> str:
    """Return the output for Checkmk: a line for each lineage, and one for the machine."""
    lines = []
    for lineage in judgement.facts.lineages:
        verdicts = judgement.of(lineage)
        values = "-" if lineage.fault else f"days={_values(judgement, lineage)}"
        summary = "; ".join(_one_line(verdict.text) for verdict in verdicts)
        summary = summary or f"ends on {_date(lineage.ends)}"
        service = _one_line(lineage.name).replace('"', "'")
        lines.append(f'{int(worst(verdicts))} "TCS {service}" {values} {summary}')
    verdicts = judgement.of_machine()
    summary = "; ".join(_one_line(f"{verdict.about} {verdict.text}") for verdict in verdicts)
    lines.append(f'{int(worst(verdicts))} "TCS certbot" - {summary or "renewal runs"}')
    return "\n".join(lines)


# For Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

_LABELS = ("name", "department", "issuer", "serial", "server")


def prometheus(judgement: Judgement) -> str:
    """Return the content of a file for node_exporter's textfile collector."""
    facts, usable = judgement.facts, judgement.usable
    parts = [
        _metric(
            "certificate_info",
            "A certificate of certbot's.",
            [({key: getattr(one, key) or "" for key in _LABELS}, 1) for one in usable],
        ),
        _metric(
            "certificate_issued_timestamp_seconds",
            "Begin of the live version's validity.",
            [({"name": one.name}, one.issued) for one in usable],
        ),
        _metric(
            "certificate_end_timestamp_seconds",
            "End of the live version's validity.",
            [({"name": one.name}, one.ends) for one in usable],
        ),
        _metric(
            "certificate_state",
            "0 right, 1 warning, 2 critical, 3 unknown.",
            [({"name": one.name}, int(worst(judgement.of(one)))) for one in facts.lineages],
        ),
        _metric("state", "The same of the whole machine.", [({}, int(worst(judgement.verdicts)))]),
        _metric(
            "renew_run_timestamp_seconds",
            "Last run of certbot renew; 0: none.",
            [({}, facts.last_run)],
        ),
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


def to_json(judgement: Judgement, with_verdicts: bool) -> str:
    """Return the facts as JSON, and the verdicts if they are wanted."""
    whole: dict[str, Any] = {"schema": SCHEMA, **asdict(judgement.facts)}
    whole["folders"]["config"] = whole["folders"].pop("department_config")
    for lineage in whole["lineages"]:
        del lineage["der"]
    if with_verdicts:
        whole["state"] = worst(judgement.verdicts).name
        whole["verdicts"] = [
            {**asdict(verdict), "state": verdict.state.name} for verdict in judgement.verdicts
        ]
    return json.dumps(whole, indent=1, ensure_ascii=True)
