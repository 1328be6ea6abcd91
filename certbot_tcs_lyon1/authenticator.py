"""What certbot asks of an authenticator: answering DNS-01 challenges, and withdrawing the records.

Not a `dns_common.DNSAuthenticator`, which handles one name after the other and then sleeps for a
fixed time: this one sends one UPDATE per zone for all names, and polls the name servers.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Optional

from certbot import errors as certbot_errors

from certbot_tcs_lyon1 import compat, dns01, errors

if TYPE_CHECKING:
    from acme import challenges
    from certbot.achallenges import AnnotatedChallenge

    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.dns01.queries import Servers
    from certbot_tcs_lyon1.process import Process

logger = logging.getLogger(__name__)

#: The most errors of one order about CAA records that are explained: each is looked up.
_MOST_ADVICE = 3

#: The journal of records that are published and not yet withdrawn, in certbot's work folder.
JOURNAL_NAME = "tcs-lyon1-journal.json"


class Authenticator:
    """The DNS-01 part of one lineage's order.

    :param settings: the department config
    :param work_dir: certbot's work folder, which holds the journal
    :param propagation_seconds: overrides that of the `[dns]` sections (seconds)
    :param advise: returns the advice on an error of the CA; None if there is none
    """

    def __init__(
        self,
        settings: Settings,
        process: Process,
        work_dir: str,
        propagation_seconds: Optional[int],
        advise: Callable[[BaseException], Optional[str]],
    ) -> None:
        self._settings = settings
        self._advise = advise
        self._process = process
        self._journal_path = os.path.join(work_dir, JOURNAL_NAME)
        self._propagation_seconds = propagation_seconds
        #: The error of `perform`, if it failed.
        self._failure = ""
        #: For each challenge name with a CNAME: the name at which its record was published.
        self._targets: dict[str, str] = {}

    def check_library(self) -> None:
        """Warn if there is a `[dns]` section, and dnspython is not installed."""
        if self._settings.dns and importlib.util.find_spec("dns") is None:
            error = dns01.without_dnspython("it is missing")
            self._process.report.warning(str(error))

    def perform(self, achalls: Sequence[AnnotatedChallenge]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published, or did not reach every
            name server; or dnspython can't be used
        """
        servers = self._servers()
        from certbot_tcs_lyon1.dns01 import challenge

        try:
            records = [
                challenge.txt_record(_owner(one), one.validation(one.account_key))
                for one in achalls
            ]
            batches = challenge.plan(records, self._settings, servers, self._propagation_seconds)
            self._targets = challenge.targets(records, batches)
            published = challenge.publish(batches, self._journal_path, servers)
            challenge.confirm(published, servers, warn=self._warn)
        except errors.DnsError as error:
            self._failure = str(error)
            raise certbot_errors.PluginError(self._failure) from None
        return [achall.response(achall.account_key) for achall in achalls]

    def withdraw(self) -> None:
        """Withdraw the records in the journal, also those that a killed run has left.

        Sends UPDATEs. What can't be withdrawn is a warning. Never raises.
        """
        path = self._journal_path
        if not os.path.lexists(path):
            return
        try:
            servers = self._servers()
            from certbot_tcs_lyon1.dns01 import challenge

            # certbot shows the error of `perform` after the warnings.
            left = challenge.withdraw(self._settings, path, servers, self._failure)
        except Exception as error:  # a TXT record left behind must not fail the certificate
            logger.debug("Withdrawing the records failed", exc_info=True)
            why = str(error).rstrip(".")
            self._process.report.warning(
                f"The TXT records in {path} could not be withdrawn: {why}. The next run tries "
                "again."
            )
            return
        for warning in left:
            self._warn(warning)

    def _warn(self, warning: errors.DnsError) -> None:
        self._process.report.warning(str(warning))

    def _servers(self) -> Servers:
        """Import the DNS wing, and dnspython with it; return what it knows of name servers.

        :raises certbot.errors.PluginError: dnspython is missing, too old or broken
        """
        try:
            dns01.check_dnspython()
        except errors.DnsError as error:
            raise certbot_errors.PluginError(str(error)) from None
        from certbot_tcs_lyon1.dns01 import challenge

        self._process.servers = self._process.servers or challenge.Servers()
        return self._process.servers

    def hint(self, failed: Sequence[AnnotatedChallenge]) -> str:
        """Return what to check when the CA did not accept the records of these challenges."""
        by_caa = [achall for achall in failed if achall.error and achall.error.code == "caa"]
        advice = [self._advise(achall.error) for achall in by_caa[:_MOST_ADVICE]]
        parts = list(dict.fromkeys(filter(None, advice)))
        others = [achall for achall in failed if not parts or achall not in by_caa]
        if others:
            parts.append(self._hint_about_the_zone(others))
        return "\n".join(parts)

    def _hint_about_the_zone(self, failed: Sequence[AnnotatedChallenge]) -> str:
        names = sorted({compat.domain_of(achall) for achall in failed})
        followed = "".join(
            f" The CNAME at {name} was followed, so the record is at {target}: CAs differ in "
            "following it. Ask the RAO whether this one does."
            for name, target in sorted(self._targets.items())
            if name.partition(".")[2] in names
        )
        return (
            "The TXT records were published, and every name server of the zone that answered here "
            f"had them, for: {', '.join(names)}. If the CA did not find them, the name servers "
            "that it sees from outside are others (views, a hidden primary: see check_servers), "
            f"or the zone's delegation or its DNSSEC is faulty.{followed}"
        )


def _owner(achall: AnnotatedChallenge) -> str:
    """Return the owner name of a challenge's record."""
    name: str = achall.validation_domain_name(compat.domain_of(achall))
    return name
