"""Judging the facts: OK, WARNING, CRITICAL or UNKNOWN, each with its reason."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from shlex import quote

from certbot_tcs_lyon1.status.facts import Facts, Lineage

_DAY = 86400

#: Seconds without a run of `certbot renew` that draw a warning.
_SILENCE = 2 * _DAY

#: Seconds without fetching a CRL that draw a warning.
_CRL_PATIENCE = 3 * _DAY


class State(enum.IntEnum):
    """The exit codes of Monitoring Plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


#: The command for sudoers: with options of the user's choice, it could write any file.
SUDO_COMMAND = "/usr/bin/certbot-tcs-lyon1 check"

#: From the best to the worst: UNKNOWN must not hide what is known to be wrong.
_ORDER = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


@dataclass(frozen=True)
class Limits:
    """The percentages of lifetime left at which a certificate draws a warning, or is critical."""

    warning: float = 25.0
    critical: float = 10.0


@dataclass(frozen=True)
class Verdict:
    """Something that is wrong, or can't be found out.

    :ivar about: the name of a lineage, or a part of the machine in brackets
    """

    state: State
    about: str
    text: str


def judge(facts: Facts, limits: Limits) -> list[Verdict]:
    """Return everything that is wrong, the worst first."""
    found = list(_of_machine(facts))
    for lineage in facts.lineages:
        found += _of_lineage(lineage, facts, limits)
    return sorted(found, key=lambda verdict: -_ORDER.index(verdict.state))


def worst(found: Iterable[Verdict]) -> State:
    """Return the worst state; OK without a verdict."""
    states = [verdict.state for verdict in found]
    return max(states, key=_ORDER.index, default=State.OK)


def days_left(lineage: Lineage, now: int) -> float:
    """Return the days until the end; negative after it."""
    return (lineage.ends - now) / _DAY


def days_at(lineage: Lineage, percent: float) -> float:
    """Return the days that are left at a percentage of the lifetime."""
    return (lineage.ends - lineage.issued) * percent / 100 / _DAY


def _of_machine(facts: Facts) -> Iterator[Verdict]:
    if facts.unreadable:
        places = ", ".join(facts.unreadable)
        yield Verdict(
            State.UNKNOWN,
            "[rights]",
            f"{places} cannot be read as this user; run it by sudo, and write into "
            "/etc/sudoers.d/tcs-lyon1, with the user of the monitoring, and after `check` what "
            f"options it gives, without a `*`: nagios ALL=(root) NOPASSWD: {SUDO_COMMAND}",
        )
    if facts.config_fault:
        state = State.WARNING if facts.keys_missing else State.CRITICAL
        yield Verdict(state, "[config]", facts.config_fault)
    if not facts.lineages and not facts.unreadable:
        text = f"no certificate in {facts.folders.config_dir}; order one, or see --config-dir"
        yield Verdict(State.UNKNOWN, "[certbot]", text)
        return
    for folder in facts.full:
        text = f"certbot can write nothing to {folder}; see: df -h {folder}; df -i {folder}; mount"
        yield Verdict(State.WARNING, "[disk]", text)
    for target in facts.without_lineage if not facts.unreadable else ():
        text = f"{target}: certbot has no such certificate; correct the name, or order it"
        yield Verdict(State.WARNING, "[install]", text)
    for text in _of_timer(facts):
        yield Verdict(State.WARNING, "[timer]", text)


def _of_timer(facts: Facts) -> Iterator[str]:
    timer = facts.timer
    if not timer.name:
        yield "nothing starts `certbot renew`; run: systemctl enable --now certbot.timer"
    elif timer.masked:
        yield (
            f"{timer.name} is masked; run: systemctl unmask {timer.name}; "
            f"systemctl enable --now {timer.name}"
        )
    elif not (timer.enabled and timer.active):
        what = "is stopped" if timer.enabled else "is disabled"
        yield f"{timer.name} {what}; run: systemctl enable --now {timer.name}"
    if timer.failed:
        yield f"{timer.failed} has failed when it ran last; see: journalctl -u {timer.failed}"
    last = max(facts.last_renew or 0, timer.last or 0)
    oldest = min(
        (lineage.issued for lineage in facts.lineages if not lineage.fault), default=facts.now
    )
    readable = facts.folders.logs_dir not in facts.unreadable
    if readable and facts.now - (last or oldest) > _SILENCE:
        when = time.strftime("since %F", time.gmtime(last)) if last else "yet, by its logs"
        yield f"`certbot renew` has not run {when}; see: journalctl -u certbot"


def _of_lineage(lineage: Lineage, facts: Facts, limits: Limits) -> Iterator[Verdict]:
    if lineage.unreadable:
        return
    if lineage.fault:
        text = f"{lineage.fault.rstrip('.')}; see: certbot certificates"
        yield Verdict(State.CRITICAL, lineage.name, text)
        return
    yield from _of_age(lineage, facts.now, limits)
    if lineage.revoked:
        text = f"is revoked; run: certbot renew --force-renewal --cert-name {quote(lineage.name)}"
        yield Verdict(State.CRITICAL, lineage.name, text)
    if lineage.crl_asked is not None and facts.now - lineage.crl_asked > _CRL_PATIENCE:
        when = time.strftime("%F", time.gmtime(lineage.crl_asked))
        text = f"its CRL was not seen since {when}; look whether this machine reaches its URL"
        yield Verdict(State.WARNING, lineage.name, text)
    if not lineage.account_is_there:
        text = (
            f"its ACME account {lineage.account} at {lineage.server} is gone or damaged; restore "
            "the folder accounts from a backup, or order it anew: certbot certonly --cert-name "
            f"{quote(lineage.name)} --configurator tcs-lyon1"
        )
        yield Verdict(State.CRITICAL, lineage.name, text)
    for there in lineage.served:
        if there.fault:
            text = f"{there.service} {there.fault}; start or reload it ([install {there.target}])"
            yield Verdict(State.CRITICAL, lineage.name, text)
    for file in lineage.deployed:
        if file.fault:
            text = f"[install {file.target}] {file.path} {file.fault}; run: certbot renew"
            yield Verdict(State.WARNING, lineage.name, text)
    if lineage.failure:
        when = time.strftime("%F", time.gmtime(lineage.failure.when))
        text = f"the last renewal failed ({when}): {lineage.failure.cause}"
        yield Verdict(State.WARNING, lineage.name, text)
    if lineage.misfit:
        yield Verdict(State.WARNING, lineage.name, f"it will not be renewed: {lineage.misfit}")
    if lineage.lost_client_auth:
        text = (
            "it has lost clientAuth, which the version before had: a service that shows it as a "
            "client (LDAP replication, RADIUS, SMTP) may be refused"
        )
        yield Verdict(State.WARNING, lineage.name, text)


def _of_age(lineage: Lineage, now: int, limits: Limits) -> Iterator[Verdict]:
    left, share = (
        lineage.ends - now,
        100 * (lineage.ends - now) / max(1, lineage.ends - lineage.issued),
    )
    how = f"run: certbot renew --cert-name {quote(lineage.name)}, and see what it says"
    end = time.strftime("%F %H:%M UTC", time.gmtime(lineage.ends))
    if now < lineage.issued:
        begin = time.strftime("%F %H:%M UTC", time.gmtime(lineage.issued))
        text = f"is not valid before {begin}; is this machine's clock right? See: timedatectl"
        yield Verdict(State.CRITICAL, lineage.name, text)
    elif left <= 0:
        yield Verdict(State.CRITICAL, lineage.name, f"has expired on {end}; {how}")
    elif share <= max(limits.warning, limits.critical):
        state = State.CRITICAL if share <= limits.critical else State.WARNING
        text = f"ends on {end}, in {left / _DAY:.1f} days ({share:.0f} % of its lifetime); {how}"
        yield Verdict(state, lineage.name, text)
