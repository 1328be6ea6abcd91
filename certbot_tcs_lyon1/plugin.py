"""The porch: the class that certbot sees. It forwards to the wings, and decides nothing.

certbot imports this module for every command, so it imports only what certbot has loaded already;
the department config is read in `prepare`, and dnspython comes in when a challenge is answered.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional

from acme import challenges
from certbot import errors
from certbot.display import util as display_util
from certbot.plugins import common

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import compat

if TYPE_CHECKING:
    from certbot_tcs_lyon1.department import Settings

logger = logging.getLogger(__name__)

#: The department config's name in certbot's configuration folder.
DEFAULT_CONFIG_NAME = "tcs-lyon1.ini"

#: What is published and not yet withdrawn, in certbot's work folder.
JOURNAL_NAME = "tcs-lyon1-journal.json"

#: Said once in a process, though `certbot renew` prepares the plugin for each lineage anew.
_warned: set[str] = set()


@compat.register
class Plugin(common.Plugin, compat.authenticator_base()):  # type: ignore[misc]
    """Authenticator `tcs-lyon1`: server and EAB from the department config, DNS-01 by RFC 2136."""

    description = "TCS certificates of Université Claude Bernard Lyon 1, validated in its DNS"
    long_description = certbot_tcs_lyon1.HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings: Optional[Settings] = None

    @classmethod
    def add_parser_arguments(cls, add: Callable[..., None]) -> None:
        """Declare the options; none of them is a secret, for certbot stores and logs them all."""
        add(
            "config",
            metavar="PATH",
            help="The department config. (default: tcs-lyon1.ini in certbot's configuration "
            "folder, so /etc/letsencrypt/tcs-lyon1.ini)",
        )
        add(
            "department",
            metavar="NAME",
            help="The [department NAME] of the department config that orders the certificate. "
            "(default: the one that the certificate was made with, or the only one)",
        )
        add(
            "propagation-seconds",
            metavar="SECONDS",
            type=int,
            help="How long to wait at most until every name server of the zone shows the "
            "challenge's record. (default: propagation_seconds of the [dns] section, or 120)",
        )

    def more_info(self) -> str:
        """What `certbot` shows about the chosen plugin."""
        return certbot_tcs_lyon1.HELP

    # -- pre-filling ------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read the department config, and pre-fill certbot's config if this plugin was asked for.

        :raises certbot.errors.ConfigurationError: asked for, and the department config is missing
            or faulty; certbot prints this one as it is
        :raises certbot.errors.PluginError: not asked for, see `_answer_menu`
        """
        if not self._was_asked_for():
            self._answer_menu()
            return
        from certbot_tcs_lyon1.ca import prefill
        from certbot_tcs_lyon1.department import DepartmentError

        if self.conf("config") is not None:  # certbot would store it relative to today's folder
            setattr(self.config, self.dest("config"), os.path.abspath(self.conf("config")))
        try:
            self._check_options()
            self._settings = self._read_settings()
            for warning in self._settings.warnings:
                _warn_once(warning)
            if self.config.verb not in prefill.ORDERING_VERBS:
                return
            department = prefill.choose_department(self._settings, self.conf("department"))
        except DepartmentError as error:
            raise errors.ConfigurationError(str(error)) from None
        if compat.is_test_run(self.config):
            line = prefill.prefill_test_run(
                self.config,
                department,
                has_default_server=compat.has_default_test_server(self.config),
            )
        else:
            line = prefill.prefill(
                self.config, department, lambda name: compat.by_user(self.config, name)
            )
        if line is not None:
            display_util.notify(line)
        self._withdraw()

    def _was_asked_for(self) -> bool:
        config = self.config
        return self.name in (config.authenticator, config.installer, config.configurator)

    def _check_options(self) -> None:
        seconds = self.conf("propagation-seconds")
        if seconds is not None and seconds <= 0:
            raise errors.ConfigurationError(
                f"--tcs-lyon1-propagation-seconds {seconds}: it must be a positive number."
            )

    def _config_path(self) -> str:
        return self.conf("config") or os.path.join(self.config.config_dir, DEFAULT_CONFIG_NAME)

    def _read_settings(self) -> Settings:
        from certbot_tcs_lyon1 import department

        return department.read(self._config_path())

    def _answer_menu(self) -> None:
        """Answer certbot's menu, or `certbot plugins --prepare`: nothing is changed.

        certbot never says that a plugin was picked from its menu, so it could not be pre-filled
        there: whoever has a department config is told the command to use instead.

        :raises certbot.errors.NoInstallationError: there is no department config
        :raises certbot.errors.MisconfigurationError: there is one
        """
        from certbot_tcs_lyon1.department import DepartmentError

        if not os.path.lexists(self._config_path()):
            raise errors.NoInstallationError(f"There is no {self._config_path()}.")
        try:
            self._read_settings()
        except DepartmentError as error:
            raise errors.MisconfigurationError(str(error)) from None
        if self.config.verb != "plugins":
            raise errors.MisconfigurationError(
                "It cannot be chosen from this menu. Use: certbot certonly "
                f"--authenticator {self.name} -d NAME"
            )

    # -- DNS-01 -----------------------------------------------------------------------------

    def get_chall_pref(self, domain: str) -> Iterable[type[challenges.Challenge]]:
        """DNS-01 and nothing else."""
        return [challenges.DNS01]

    def perform(self, achalls: list[Any]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published or did not arrive
        """
        challenge = _dns_wing()
        records = [_record(challenge, achall) for achall in achalls]
        try:
            batches = challenge.plan(records, self._settings, self.conf("propagation-seconds"))
            challenge.confirm(challenge.publish(batches, self._journal_path()))
        except challenge.DnsError as error:
            raise errors.PluginError(str(error)) from None
        return [achall.response(achall.account_key) for achall in achalls]

    def cleanup(self, achalls: list[Any]) -> None:
        """Withdraw exactly the records that `perform` sent. Never raises."""
        self._withdraw()

    def _withdraw(self) -> None:
        """Withdraw what the journal holds: of this run, or of an earlier one that was killed."""
        path = self._journal_path()
        if not os.path.lexists(path):
            return
        try:
            warnings = _dns_wing().withdraw(self._settings, path)
        except Exception as error:  # a certificate is worth more than a TXT record left behind
            logger.debug("Withdrawing the records failed", exc_info=True)
            warnings = [f"The TXT records in {path} could not be withdrawn: {error}"]
        for warning in warnings:
            logger.warning(warning)

    def _journal_path(self) -> str:
        return os.path.join(self.config.work_dir, JOURNAL_NAME)

    def auth_hint(self, failed_achalls: list[Any]) -> str:
        """What to look at when the CA did not accept the records (certbot 1.16 and later)."""
        names = sorted({compat.domain_of(achall) for achall in failed_achalls})
        return (
            "The TXT records were published, and every name server of the zone that answered here "
            f"had them, for: {', '.join(names)}. If the CA did not find them, the name servers "
            "that it sees from outside are others (views, a hidden primary: see check_servers), "
            "or the zone's delegation or its DNSSEC is faulty."
        )


def _dns_wing() -> Any:
    """The front door of the DNS wing, with which dnspython comes in.

    :raises certbot.errors.PluginError: it can't be imported
    """
    try:
        from certbot_tcs_lyon1.dns01 import challenge
    except ImportError as error:
        raise errors.PluginError(
            f"Answering a challenge in the DNS needs dnspython 2.0 or later ({error}). Install it: "
            "apt install python3-dnspython, dnf install python3-dns, or pip install dnspython."
        ) from None
    return challenge


def _record(challenge: Any, achall: Any) -> Any:
    name = achall.validation_domain_name(compat.domain_of(achall))
    return challenge.Record(name, achall.validation(achall.account_key))


def _warn_once(warning: str) -> None:
    if warning not in _warned:
        _warned.add(warning)
        logger.warning(warning)
