"""The class that certbot loads. It forwards each of certbot's calls, and decides nothing.

certbot imports this module for every command, so it imports only what certbot has loaded already:
`preparation` and what it needs are imported by `prepare`, dnspython when there is a challenge.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Callable, Optional

from acme import challenges
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
    """Authenticator and installer `tcs-lyon1`: everything they need is in the department config."""

    description = lyon1.DESCRIPTION
    long_description = certbot_tcs_lyon1.HELP

    #: Shared by the Plugin objects of this process: certbot makes one for each lineage.
    process = Process(Report(lambda line: display_util.notify(line)))

    def __init__(self, config: NamespaceConfig, name: str) -> None:
        super().__init__(config, name)
        self._prepared: Optional[Prepared] = None

    @classmethod
    def add_parser_arguments(cls, add: Callable[..., None]) -> None:
        """Declare the options. None of them holds a secret: certbot stores and logs all options."""
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
        """Return what certbot shows about the chosen plugin."""
        return certbot_tcs_lyon1.HELP

    # -- pre-filling ------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read the department config, and pre-fill certbot's config if the user named this plugin.

        Before an order this also sends UPDATEs, if an earlier run has left records in the journal.

        :raises certbot.errors.ConfigurationError: the user named the plugin, and the department
            config is missing or faulty, or no order can be made
        :raises certbot.errors.PluginError: the user did not name the plugin
        """
        from certbot_tcs_lyon1 import preparation

        self._prepared = preparation.prepare(self.config, self.name, self.process, self)

    # -- DNS-01 -----------------------------------------------------------------------------

    def get_chall_pref(self, domain: str) -> Iterable[type[challenges.Challenge]]:
        """Return DNS-01, the only challenge that this plugin answers."""
        return [challenges.DNS01]

    def perform(self, achalls: list[AnnotatedChallenge]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published, or did not reach every
            name server
        """
        return self._authenticator().perform(achalls)

    def cleanup(self, achalls: list[AnnotatedChallenge]) -> None:
        """Withdraw the records in the journal. Never raises."""
        self._authenticator().withdraw()

    def auth_hint(self, failed_achalls: list[AnnotatedChallenge]) -> str:
        """Return what to check when the CA did not accept the records (certbot 1.16 and later)."""
        return self._authenticator().hint(failed_achalls)

    def _authenticator(self) -> Authenticator:
        assert self._prepared is not None  # certbot answers challenges with what it has prepared
        return self._prepared.authenticator

    # -- installer --------------------------------------------------------------------------

    def _installer(self) -> Installer:
        """Return the installer. certbot calls `generic_updates` without `prepare`.

        :raises certbot.errors.PluginError: the department config can't be read
        """
        from certbot_tcs_lyon1 import preparation

        if self._prepared is None:
            return preparation.unprepared_installer(self.config, self.process)
        return self._prepared.installer

    def get_all_names(self) -> set[str]:
        """Return no names: the user gives them."""
        return set()

    def deploy_cert(
        self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str
    ) -> None:
        """Deploy a lineage, given by its certificate's path; certbot calls this once for each name.

        :raises certbot.errors.PluginError: it failed, or the certificate is not one of certbot's
        """
        self._installer().deploy_file(cert_path)

    def renew_deploy(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Deploy a lineage that was just renewed.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer().deploy(lineage.lineagename)

    def generic_updates(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Replace a lineage early if there is a reason, and deploy it if it is not deployed.

        `certbot renew` calls this for each lineage, due or not.

        :raises certbot.errors.PluginError: it failed
        :raises Exception: a replacement failed, with what certbot raises for a renewal
        """
        self._installer().update(lineage)

    def restart(self) -> None:
        """Deploy the lineages that have changed since `prepare`.

        It is the only method that certbot calls after `certonly`.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer().deploy_new()

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """Deploy the previous version of each lineage, for `certbot rollback`.

        certbot also calls this after a failed `restart`, which has restored the old files already.

        :raises certbot.errors.PluginError: it failed
        """
        if self.config.verb == "rollback":
            self._installer().deploy_previous(rollback)

    def enhance(self, domain: str, enhancement: str, options: object = None) -> None:
        """Do nothing: certbot calls this for the enhancements that are supported."""

    def supported_enhancements(self) -> list[str]:
        """Return no enhancements."""
        return []

    def save(self, title: Optional[str] = None, temporary: bool = False) -> None:
        """Do nothing: a deployment is complete when it returns."""

    def recovery_routine(self) -> None:
        """Do nothing: a deployment that fails restores the old files itself."""

    def config_test(self) -> None:
        """Do nothing: each deployment runs the `test` command of its section."""
