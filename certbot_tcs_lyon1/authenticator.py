"""What certbot asks of an authenticator: the order's config, DNS-01, and withdrawing.

Not a `dns_common.DNSAuthenticator`: that one asks for each name in turn and then sleeps for a time
that is fixed, where this one sends one UPDATE per zone for the whole batch and polls.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Optional

from certbot import errors as certbot_errors

from certbot_tcs_lyon1 import compat, errors

if TYPE_CHECKING:
    from acme import challenges
    from certbot.achallenges import AnnotatedChallenge

    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.dns01.challenge import Servers, TxtRecord
    from certbot_tcs_lyon1.process import Process

logger = logging.getLogger(__name__)

#: What is published and not yet withdrawn, in certbot's work folder.
JOURNAL_NAME = "tcs-lyon1-journal.json"

_NEEDS_DNSPYTHON = "Answering a challenge in the DNS needs dnspython 2.0 or later"
_GET_DNSPYTHON = (
    "Install it: apt install python3-dnspython, dnf install python3-dns, or, in the environment of "
    "this certbot, pip install dnspython."
)


class Authenticator:
    """The DNS-01 part of one lineage's order.

    :param settings: the department config
    :param work_dir: certbot's, where the journal is
    :param propagation_seconds: in place of what the `[dns]` sections say (seconds)
    """

    def __init__(
        self,
        settings: Settings,
        process: Process,
        work_dir: str,
        propagation_seconds: Optional[int],
    ) -> None:
        self._settings = settings
        self._process = process
        self._journal_path = os.path.join(work_dir, JOURNAL_NAME)
        self._propagation_seconds = propagation_seconds
        #: Why `perform` failed, if it did.
        self._failure: Optional[errors.DnsError] = None
        #: Where records went that are not at the challenge's own name, by that name.
        self._targets: dict[str, str] = {}

    def check_library(self) -> None:
        """Warn if a `[dns]` section is there, and nothing that could use it."""
        if self._settings.dns and importlib.util.find_spec("dns") is None:
            self._process.report.warning(f"{_NEEDS_DNSPYTHON}, and there is none. {_GET_DNSPYTHON}")

    def perform(self, achalls: Sequence[AnnotatedChallenge]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published or did not arrive
        """
        challenge = _dns_wing()
        servers = self._servers(challenge)
        try:
            records = [_record(challenge, achall) for achall in achalls]
            batches = challenge.plan(records, self._settings, servers, self._propagation_seconds)
            self._targets = challenge.targets(records, batches)
            published = challenge.publish(batches, self._journal_path, servers)
            challenge.confirm(published, servers, warn=self._process.report.warning)
        except errors.DnsError as error:
            self._failure = error
            raise certbot_errors.PluginError(str(error)) from None
        return [achall.response(achall.account_key) for achall in achalls]

    def withdraw(self) -> None:
        """Withdraw all that the journal holds: what `perform` has sent, and what an earlier run has
        that was killed. Sends UPDATEs. Never raises.
        """
        path = self._journal_path
        if not os.path.lexists(path):
            return
        try:
            challenge = _dns_wing()
            left = challenge.withdraw(self._settings, path, self._servers(challenge))
        except Exception as error:  # a certificate is worth more than a TXT record left behind
            logger.debug("Withdrawing the records failed", exc_info=True)
            why = str(error).rstrip(".")
            self._process.report.warning(
                f"The TXT records in {path} could not be withdrawn: {why}. The next run tries "
                "again."
            )
            return
        for warning in left:
            # certbot shows why `perform` failed after this: if both failed alike, once is enough.
            if warning.why is not None and _is_same(warning.why, self._failure):
                warning.why = errors.DnsError("see the error below")
            self._process.report.warning(str(warning))

    def _servers(self, challenge: ModuleType) -> Servers:
        self._process.servers = self._process.servers or challenge.Servers()
        return self._process.servers

    def hint(self, failed: Sequence[AnnotatedChallenge]) -> str:
        """What to look at when the CA did not accept the records of these challenges."""
        names = sorted({compat.domain_of(achall) for achall in failed})
        asked = {one.validation_domain_name(compat.domain_of(one)) for one in failed}
        followed = "".join(
            f" The CNAME at {name} was followed, so the record is at {self._targets[name]}: CAs "
            "differ in following it. Ask the RAO whether this one does."
            for name in sorted(asked & self._targets.keys())
        )
        return (
            "The TXT records were published, and every name server of the zone that answered here "
            f"had them, for: {', '.join(names)}. If the CA did not find them, the name servers "
            "that it sees from outside are others (views, a hidden primary: see check_servers), "
            f"or the zone's delegation or its DNSSEC is faulty.{followed}"
        )


def _is_same(one: errors.DnsError, other: Optional[errors.DnsError]) -> bool:
    return type(one) is type(other) and other is not None and one.args == other.args


def _dns_wing() -> ModuleType:
    """The front door of the DNS wing, with which dnspython comes in.

    :raises certbot.errors.PluginError: it can't be imported
    """
    try:
        import dns.version

        if dns.version.MAJOR < 2:
            raise ImportError(f"version {dns.version.version} is too old")
        from certbot_tcs_lyon1.dns01 import challenge
    except Exception as error:  # a broken one may raise anything
        raise certbot_errors.PluginError(
            f"{_NEEDS_DNSPYTHON} ({error}). {_GET_DNSPYTHON}"
        ) from None
    return challenge


def _record(challenge: ModuleType, achall: AnnotatedChallenge) -> TxtRecord:
    name = achall.validation_domain_name(compat.domain_of(achall))
    record: TxtRecord = challenge.txt_record(name, achall.validation(achall.account_key))
    return record
