"""The porch: the class that certbot sees. It forwards, once it was asked for.

certbot imports this module for every command, so it imports only what certbot has loaded already;
the department config is read in `prepare`, and dnspython comes in when a challenge is answered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional

from acme import challenges
from certbot import errors as certbot_errors
from certbot.display import util as display_util
from certbot.plugins import common

import certbot_tcs_lyon1
from certbot_tcs_lyon1 import compat, errors, lyon1
from certbot_tcs_lyon1.process import Process
from certbot_tcs_lyon1.report import Report

if TYPE_CHECKING:
    from certbot.achallenges import AnnotatedChallenge
    from certbot.interfaces import RenewableCert

    from certbot_tcs_lyon1.authenticator import Authenticator
    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.installer import Installer

#: The department config's name in certbot's configuration folder.
DEFAULT_CONFIG_NAME = "tcs-lyon1.ini"

_NO_ENHANCEMENTS = (
    "tcs-lyon1 puts certificates where services want them and does not edit a service's "
    "configuration, so it has no enhancements (redirect, hsts, uir, staple-ocsp): set them there."
)


@compat.register
class Plugin(common.Plugin, *compat.plugin_bases()):  # type: ignore[misc]
    """Authenticator and installer `tcs-lyon1`: all that they need is in the department config."""

    description = lyon1.DESCRIPTION
    long_description = certbot_tcs_lyon1.HELP

    #: What this process has learnt, for the next lineage's Plugin as well.
    process = Process(Report(lambda line: display_util.notify(line)))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings: Optional[Settings] = None
        self._authenticator: Optional[Authenticator] = None
        self._installer: Optional[Installer] = None

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
            or faulty; certbot prints this one as it is
        :raises certbot.errors.PluginError: not asked for, see `_answer_menu`
        """
        if self.config.verb == "plugins" or not self._was_asked_for():
            self._answer_menu()
            return
        from certbot_tcs_lyon1.authenticator import Authenticator
        from certbot_tcs_lyon1.ca import prefill

        if self.conf("config"):  # certbot would store it relative to today's folder
            setattr(self.config, self.dest("config"), os.path.abspath(self.conf("config")))
        try:
            self._check_options()
            self._first_run()
            self._settings = settings = self._read_settings()
            for warning in settings.warnings:
                self.process.report.warning(str(warning))
            self._authenticator = Authenticator(
                settings, self.process, self.config.work_dir, self.conf("propagation-seconds")
            )
            self._authenticator.check_library()
            if self.config.verb in prefill.ORDERING_VERBS:
                self._listen()
                prefill.prepare_order(self.config, settings, self.process)
                self._authenticator.withdraw()
        except errors.Error as error:
            raise certbot_errors.ConfigurationError(str(error)) from None
        self._prepare_installer(settings)

    def _listen(self) -> None:
        """Have the CA's errors explained, with what is looked up when there is one."""
        from certbot_tcs_lyon1.ca import advice, directory
        from certbot_tcs_lyon1.ca.listener import Listener

        config = self.config

        def caa(name: str) -> Optional[tuple[str, str]]:
            from certbot_tcs_lyon1.dns01 import caa, queries

            servers = self.process.servers or queries.Servers()
            return caa.find(name, self._settings, servers) if self._settings is not None else None

        def identities(server: str) -> list[str]:
            return directory.caa_identities(directory.read(config, server))

        look_up = advice.LookUp(caa, identities)
        if self.process.listener is None:
            self.process.listener = Listener()
        self.process.listener.listen(self, lambda: advice.order_of(config), look_up)

    def _was_asked_for(self) -> bool:
        config = self.config
        return self.name in (config.authenticator, config.installer, config.configurator)

    def _check_options(self) -> None:
        from certbot_tcs_lyon1.department import keys

        given = self.conf("propagation-seconds")
        try:
            if given is not None:
                keys.KEYS["dns"]["propagation_seconds"].check(str(given))
        except errors.ConfigError as fault:
            where = f"--tcs-lyon1-propagation-seconds {given}"
            raise errors.ConfigError(fault.cause, fault.remedy, where=where) from None

    def _first_run(self) -> None:
        """At a terminal, without a department config: ask for what belongs into it."""
        if os.path.lexists(self._config_path()):
            return
        from certbot_tcs_lyon1.ca import firstrun

        if firstrun.is_possible(self.config):
            firstrun.write_department_config(self.config, self._config_path(), self.process.report)

    def _config_path(self) -> str:
        given = self.conf("config")
        if given is None and self.config.verb == "install":  # restores no option of the lineage's
            given = compat.lineage_parameters(self.config).get(self.dest("config"))
        return given or os.path.join(self.config.config_dir, DEFAULT_CONFIG_NAME)

    def _read_settings(self) -> Settings:
        from certbot_tcs_lyon1.department import reader

        path = self._config_path()
        kept = self.process.settings.get(path)
        if kept is None or not reader.is_current(kept):
            kept = self.process.settings[path] = reader.read(path)
        return kept

    def _answer_menu(self) -> None:
        """Answer certbot's menu, or `certbot plugins --prepare`: nothing is changed.

        certbot never says that a plugin was picked from its menu, so it could not be pre-filled
        there: whoever has a department config is told the command to use instead.

        :raises certbot.errors.NoInstallationError: there is no department config
        :raises certbot.errors.MisconfigurationError: there is one
        """
        if not os.path.lexists(self._config_path()):
            raise certbot_errors.NoInstallationError(
                f"There is no department config {self._config_path()}."
            )
        try:
            self._read_settings()
        except errors.ConfigError as error:
            raise certbot_errors.MisconfigurationError(str(error)) from None
        if self.config.verb != "plugins":
            raise certbot_errors.MisconfigurationError(
                "It cannot be chosen from this menu. Use: certbot certonly "
                f"--configurator {self.name} -d NAME"
            )

    # -- DNS-01 -----------------------------------------------------------------------------

    def get_chall_pref(self, domain: str) -> Iterable[type[challenges.Challenge]]:
        """DNS-01 and nothing else."""
        return [challenges.DNS01]

    def perform(self, achalls: list[AnnotatedChallenge]) -> list[challenges.ChallengeResponse]:
        """Publish the records of all challenges, and wait until every name server has them.

        :raises certbot.errors.PluginError: a record could not be published or did not arrive
        """
        return self._authenticator_of_order().perform(achalls)

    def cleanup(self, achalls: list[AnnotatedChallenge]) -> None:
        """Withdraw all that the journal holds. Never raises."""
        self._authenticator_of_order().withdraw()

    def auth_hint(self, failed_achalls: list[AnnotatedChallenge]) -> str:
        """What to look at when the CA did not accept the records (certbot 1.16 and later)."""
        return self._authenticator_of_order().hint(failed_achalls)

    def _authenticator_of_order(self) -> Authenticator:
        if self._authenticator is None:
            raise certbot_errors.PluginError(f"{self.name} was not prepared.")
        return self._authenticator

    # -- installer --------------------------------------------------------------------------

    def _prepare_installer(self, settings: Settings) -> None:
        """
        :raises certbot.errors.ConfigurationError: asked to enhance a service
        """
        from certbot_tcs_lyon1.installer import Installer

        config = self.config
        self._installer = Installer(settings, self.process, config)
        if self.name not in (config.installer, config.configurator):
            self._installer.report_not_deployed(self.name)
            return
        if config.verb == "enhance":
            raise certbot_errors.ConfigurationError(_NO_ENHANCEMENTS)
        self._installer.note_versions()

    def _installer_of_run(self) -> Installer:
        """The installer; `generic_updates` is called without `prepare`.

        :raises certbot.errors.PluginError: the department config can't be read
        """
        from certbot_tcs_lyon1.installer import Installer

        if self._installer is None:
            try:
                self._installer = Installer(self._read_settings(), self.process, self.config)
            except errors.ConfigError as error:
                raise certbot_errors.PluginError(str(error)) from None
        return self._installer

    def get_all_names(self) -> set[str]:
        """None: the names are the user's to give."""
        return set()

    def deploy_cert(
        self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str
    ) -> None:
        """Deploy a certificate that certbot keeps; certbot calls this for each of its names.

        :raises certbot.errors.PluginError: it failed, or the certificate isn't one of certbot's
        """
        self._installer_of_run().deploy_file(cert_path, self._config_path())

    def renew_deploy(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Deploy a certificate that was just renewed.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer_of_run().deploy(lineage.lineagename)

    def generic_updates(self, lineage: RenewableCert, *args: object, **kwargs: object) -> None:
        """Replace what must be replaced, and deploy what is not deployed.

        `certbot renew` calls this for each certificate, due or not.

        :raises certbot.errors.PluginError: it failed
        :raises Exception: a replacement failed; as certbot raises it for a renewal
        """
        self._installer_of_run().update(lineage)

    def restart(self) -> None:
        """Deploy what certbot has got since `prepare`: after `certonly` it calls nothing else.

        :raises certbot.errors.PluginError: it failed
        """
        self._installer_of_run().deploy_new()

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """Deploy the previous version of each certificate, for `certbot rollback`.

        certbot calls this also after a failed `restart`; then the old files are back already.

        :raises certbot.errors.PluginError: it failed
        """
        if self.config.verb == "rollback":
            self._installer_of_run().deploy_previous(rollback)

    def enhance(self, domain: str, enhancement: str, options: object = None) -> None:
        """Refuse.

        :raises certbot.errors.NotSupportedError: always
        """
        raise certbot_errors.NotSupportedError(_NO_ENHANCEMENTS)

    def supported_enhancements(self) -> list[str]:
        """None."""
        return []

    def save(self, title: Optional[str] = None, temporary: bool = False) -> None:
        """Nothing: a deployment is complete when it returns."""

    def recovery_routine(self) -> None:
        """Nothing: a deployment that fails puts the old files back itself."""

    def config_test(self) -> None:
        """Nothing: each deployment runs its section's `test`."""
