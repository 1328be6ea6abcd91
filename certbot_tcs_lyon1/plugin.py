"""The porch: the class that certbot sees. It forwards, and decides nothing.

certbot imports this module for every command, so it imports only what certbot has loaded already;
`preparation` and all that it needs come in with `prepare`, dnspython with a challenge.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable, Optional

from acme import challenges
from certbot import errors as certbot_errors
from certbot.display import util as display_util
from certbot.plugins import common

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import compat, lyon1
from certbot_tcs_lyon1.process import Process
from certbot_tcs_lyon1.report import Report

if TYPE_CHECKING:
    from certbot.achallenges import AnnotatedChallenge
    from certbot.configuration import NamespaceConfig
    from certbot.interfaces import RenewableCert

    from certbot_tcs_lyon1.authenticator import Authenticator
    from certbot_tcs_lyon1.installer import Installer
    from certbot_tcs_lyon1.preparation import Prepared


@compat.register
class Plugin(common.Plugin, *compat.plugin_bases()):  # type: ignore[misc]
    """Authenticator and installer `tcs-lyon1`: all that they need is in the department config."""

    description = lyon1.DESCRIPTION
    long_description = certbot_tcs_lyon1.HELP

    #: What this process has learnt, for the next lineage's Plugin as well.
    process = Process(Report(lambda line: display_util.notify(line)))

    def __init__(self, config: NamespaceConfig, name: str) -> None:
        super().__init__(config, name)
        self._prepared: Optional[Prepared] = None

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
            help="The [department NAME] that orders the certificate. (default: the one that it "
            "was made with, the only one, or the only one whose domains cover all names)",
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

        Before an order this also sends UPDATEs, if an earlier run has left records in the journal.

        :raises certbot.errors.ConfigurationError: asked for, and the department config is missing
            or faulty, or no order can be made
        :raises certbot.errors.PluginError: not asked for
        """
        from certbot_tcs_lyon1 import preparation

        self._prepared = preparation.prepare(self.config, self.name, self.process, self)

    # -- DNS-01 -----------------------------------------------------------------------------

    def get_chall_pref(self, domain: str) -> Iterable[type[challenges.Challenge]]:
        """DNS-01 and nothing else."""
        return [challenges.DNS01]

    def perform(self, achalls: list[AnnotatedChallenge]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published or did not arrive
        """
        return self._authenticator().perform(achalls)

    def cleanup(self, achalls: list[AnnotatedChallenge]) -> None:
        """Withdraw all that the journal holds. Never raises."""
        self._authenticator().withdraw()

    def auth_hint(self, failed_achalls: list[AnnotatedChallenge]) -> str:
        """What to look at when the CA did not accept the records (certbot 1.16 and later)."""
        return self._authenticator().hint(failed_achalls)

    def _authenticator(self) -> Authenticator:
        if self._prepared is None:
            raise certbot_errors.PluginError(f"{self.name} was not prepared.")
        return self._prepared.authenticator

    # -- installer --------------------------------------------------------------------------

    def _installer(self) -> Installer:
        """The installer; `generic_updates` is called without `prepare`.

        :raises certbot.errors.PluginError: the department config can't be read
        """
        from certbot_tcs_lyon1 import preparation

        if self._prepared is None:
            return preparation.unprepared_installer(self.config, self.process)
        return self._prepared.installer

    def get_all_names(self) -> set[str]:
        """None: the names are the user's to give."""
        return set()

    def deploy_cert(
        self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str
    ) -> None:
        """Deploy a certificate that certbot keeps; certbot calls this for each of its names.

        :raises certbot.errors.PluginError: it failed, or the certificate isn't one of certbot's
        """
        self._installer().deploy_file(cert_path)

    def renew_deploy(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Deploy a certificate that was just renewed.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer().deploy(lineage.lineagename)

    def generic_updates(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Replace what must be replaced, and deploy what is not deployed.

        `certbot renew` calls this for each certificate, due or not.

        :raises certbot.errors.PluginError: it failed
        :raises Exception: a replacement failed; as certbot raises it for a renewal
        """
        self._installer().update(lineage)

    def restart(self) -> None:
        """Deploy what certbot has got since `prepare`: after `certonly` it calls nothing else.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer().deploy_new()

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """Deploy the previous version of each certificate, for `certbot rollback`.

        certbot calls this also after a failed `restart`; then the old files are back already.

        :raises certbot.errors.PluginError: it failed
        """
        if self.config.verb == "rollback":
            self._installer().deploy_previous(rollback)

    def enhance(self, domain: str, enhancement: str, options: object = None) -> None:
        """Refuse.

        :raises certbot.errors.NotSupportedError: always
        """
        from certbot_tcs_lyon1.installer import NO_ENHANCEMENTS

        raise certbot_errors.NotSupportedError(NO_ENHANCEMENTS)

    def supported_enhancements(self) -> list[str]:
        """None."""
        return []

    def save(self, title: Optional[str] = None, temporary: bool = False) -> None:
        """Nothing: a deployment is complete when it returns."""

    def recovery_routine(self) -> None:
        """Nothing: a deployment that fails puts the old files back itself."""

    def config_test(self) -> None:
        """Nothing: each deployment runs its section's `test`."""
