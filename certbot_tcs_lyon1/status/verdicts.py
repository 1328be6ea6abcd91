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

    warning: float
    critical: float


@dataclass(frozen=True)
class Verdict:
    """Something that is wrong, or can't be found out.

    :ivar about: the name of a lineage, or a part of the machine in brackets
    """

    state: State
    about: str
    text: str


def worst(found: Iterable[Verdict]) -> State:
    """Return the worst state; OK without a verdict."""
    return max((verdict.state for verdict in found), key=_ORDER.index, default=State.OK)


@dataclass(frozen=True)
class Judgement:
    """The facts, and everything that is wrong, the worst first."""

    facts: Facts
    limits: Limits
    verdicts: tuple[Verdict, ...]

    @property
    def usable(self) -> list[Lineage]:
        """The lineages without a fault."""
        return [lineage for lineage in self.facts.lineages if not lineage.fault]

    def of(self, lineage: Lineage) -> list[Verdict]:
        """Return the verdicts about a lineage."""
        return [verdict for verdict in self.verdicts if verdict.about == lineage.name]

    def of_machine(self) -> list[Verdict]:
        """Return the verdicts that are not about a lineage."""
        lineages = {lineage.name for lineage in self.facts.lineages}
        return [verdict for verdict in self.verdicts if verdict.about not in lineages]

    def days(self, lineage: Lineage) -> tuple[float, ...]:
        """Return the days until the end (negative after it), and those at the two limits."""
        lifetime = lineage.ends - lineage.issued
        limits = (self.limits.warning, self.limits.critical)
        seconds = (lineage.ends - self.facts.now, *(lifetime * part / 100 for part in limits))
        return tuple(one / _DAY for one in seconds)


def judge(facts: Facts, limits: Limits) -> Judgement:
    """Judge everything that is known of the machine."""
    found = [Verdict(*judged) for judged in _judge_machine(facts)]
    for lineage in facts.lineages:
        judged = _judge_lineage(lineage, facts, limits)
        found += [Verdict(state, lineage.name, text) for state, text in judged]
    found.sort(key=lambda verdict: -_ORDER.index(verdict.state))
    return Judgement(facts, limits, tuple(found))


def _judge_machine(facts: Facts) -> Iterator[tuple[State, str, str]]:
    if facts.unreadable:
        text = (
            f"{', '.join(facts.unreadable)} cannot be read as this user; run it by sudo, and write "
            "into /etc/sudoers.d/tcs-lyon1, with the user of the monitoring, and after `check` "
            f"what options it gives, without a `*`: nagios ALL=(root) NOPASSWD: {SUDO_COMMAND}"
        )
        yield State.UNKNOWN, "[rights]", text
    if facts.config_fault:
        state = State.WARNING if facts.keys_missing else State.CRITICAL
        yield state, "[config]", facts.config_fault
    if not facts.lineages and not facts.unreadable:
        text = f"no certificate in {facts.folders.config_dir}; order one, or see --config-dir"
        yield State.UNKNOWN, "[certbot]", text
        return
    for folder in facts.full:
        text = f"certbot can write nothing to {folder}; see: df -h {folder}; df -i {folder}; mount"
        yield State.WARNING, "[disk]", text
    for target in facts.without_lineage if not facts.unreadable else ():
        text = f"{target}: certbot has no such certificate; correct the name, or order it"
        yield State.WARNING, "[install]", text
    for text in _judge_timer(facts):
        yield State.WARNING, "[timer]", text


def _judge_timer(facts: Facts) -> Iterator[str]:
    timer = facts.timer
    start = f"systemctl enable --now {timer.name or 'certbot.timer'}"
    if not timer.name:
        yield f"nothing starts `certbot renew`; run: {start}"
    elif timer.masked:
        yield f"{timer.name} is masked; run: systemctl unmask {timer.name}; {start}"
    elif not timer.is_on:
        yield f"{timer.name} is {'stopped' if timer.enabled else 'disabled'}; run: {start}"
    if timer.failed:
        yield f"{timer.failed} has failed when it ran last; see: journalctl -u {timer.failed}"
    if facts.folders.logs_dir in facts.unreadable:
        return
    oldest = min((one.issued for one in facts.lineages if not one.fault), default=facts.now)
    if facts.now - (facts.last_run or oldest) > _SILENCE:
        when = f"since {_date(facts.last_run)}" if facts.last_run else "yet, by its logs"
        yield f"`certbot renew` has not run {when}; see: journalctl -u certbot"


def _judge_lineage(lineage: Lineage, facts: Facts, limits: Limits) -> Iterator[tuple[State, str]]:
    if lineage.fault:
        if not lineage.unreadable:
            yield State.CRITICAL, f"{lineage.fault.rstrip('.')}; see: certbot certificates"
        return
    yield from _judge_lifetime(lineage, facts.now, limits)
    named = f"--cert-name {quote(lineage.name)}"
    if lineage.revoked:
        yield State.CRITICAL, f"is revoked; run: certbot renew --force-renewal {named}"
    if lineage.crl_asked is not None and facts.now - lineage.crl_asked > _CRL_PATIENCE:
        yield (
            State.WARNING,
            f"its CRL was not seen since {_date(lineage.crl_asked)}; look whether this machine "
            "reaches its URL",
        )
    if not lineage.account_is_there:
        yield (
            State.CRITICAL,
            f"its ACME account {lineage.account} at {lineage.server} is gone or damaged; restore "
            f"the folder accounts from a backup, or order it anew: certbot certonly {named} "
            "--configurator tcs-lyon1",
        )
    for served in lineage.served:
        if served.fault:
            where = f"[install {served.target}]"
            yield State.CRITICAL, f"{served.service} {served.fault}; start or reload it ({where})"
    for file in lineage.deployed:
        if file.fault:
            text = f"[install {file.target}] {file.path} {file.fault}; run: certbot renew"
            yield State.WARNING, text
    if lineage.failure:
        when = _date(lineage.failure.when)
        yield State.WARNING, f"the last renewal failed ({when}): {lineage.failure.cause}"
    if lineage.misfit:
        yield State.WARNING, f"it will not be renewed: {lineage.misfit}"
    if lineage.lost_client_auth:
        yield (
            State.WARNING,
            "it has lost clientAuth, which the version before had: a service that shows it as a "
            "client (LDAP replication, RADIUS, SMTP) may be refused",
        )


def _judge_lifetime(lineage: Lineage, now: int, limits: Limits) -> Iterator[tuple[State, str]]:
    left = lineage.ends - now
    share = 100 * left / max(1, lineage.ends - lineage.issued)
    how = f"run: certbot renew --cert-name {quote(lineage.name)}, and see what it says"
    end = _date(lineage.ends, "%F %H:%M UTC")
    if now < lineage.issued:
        begin = _date(lineage.issued, "%F %H:%M UTC")
        text = f"is not valid before {begin}; is this machine's clock right? See: timedatectl"
        yield State.CRITICAL, text
    elif left <= 0:
        yield State.CRITICAL, f"has expired on {end}; {how}"
    elif share <= max(limits.warning, limits.critical):
        state = State.CRITICAL if share <= limits.critical else State.WARNING
        text = f"ends on {end}, in {left / _DAY:.1f} days ({share:.0f} % of its lifetime); {how}"
        yield state, text


def _date(when: int, form: str = "%F") -> str:
    return time.strftime(form, time.gmtime(when))
