"""The porch: the class that certbot sees. It forwards to the wings, and decides nothing.

certbot imports this module for every command, so it imports only what certbot has loaded already;
the department config is read in `prepare`, and dnspython comes in when a challenge is answered.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Optional

from acme import challenges
from certbot import errors, util
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

#: What is being deployed, in certbot's work folder.
DEPLOYING_NAME = "tcs-lyon1-deploying.json"

_NO_ENHANCEMENTS = (
    "tcs-lyon1 puts certificates where services want them and does not edit a service's "
    "configuration, so it has no enhancements (redirect, hsts, uir, staple-ocsp): set them there."
)

_NEEDS_DNSPYTHON = "Answering a challenge in the DNS needs dnspython 2.0 or later"
_GET_DNSPYTHON = (
    "Install it: apt install python3-dnspython, dnf install python3-dns, or, in the environment of "
    "this certbot, pip install dnspython."
)

#: Said once in a process, though `certbot renew` prepares the plugin for each lineage anew.
_warned: set[str] = set()


@compat.register
class Plugin(common.Plugin, *compat.plugin_bases()):  # type: ignore[misc]
    """Authenticator and installer `tcs-lyon1`: all that they need is in the department config."""

    # In ASCII, as HELP: certbot stops where it lists the plugins and the output takes nothing else.
    description = "TCS certificates of the university Claude Bernard Lyon 1, validated in its DNS"
    long_description = certbot_tcs_lyon1.HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings: Optional[Settings] = None
        #: Why `perform` failed, if it did.
        self._failure = ""
        #: The live version of each certificate with an [install] section, when certbot began.
        self._versions: dict[str, Optional[int]] = {}

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

        :raises certbot.errors.ConfigurationError: asked for, and the department config is missing
            or faulty; certbot prints this one as it is
        :raises certbot.errors.PluginError: not asked for, see `_answer_menu`
        """
        if self.config.verb == "plugins" or not self._was_asked_for():
            self._answer_menu()
            return
        from certbot_tcs_lyon1.ca import advice, prefill
        from certbot_tcs_lyon1.ca.accounts import AccountError
        from certbot_tcs_lyon1.department import DepartmentError

        if self.conf("config"):  # certbot would store it relative to today's folder
            setattr(self.config, self.dest("config"), os.path.abspath(self.conf("config")))
        try:
            self._check_options()
            self._first_run()
            self._settings = self._read_settings()
            for warning in self._settings.warnings:
                _warn_once(warning)
            if self._settings.dns and importlib.util.find_spec("dns") is None:
                _warn_once(f"{_NEEDS_DNSPYTHON}, and there is none. {_GET_DNSPYTHON}")
            if self.config.verb in prefill.ORDERING_VERBS:
                advice.watch(self, lambda: advice.order_of(self.config), self._find_caa)
                prefill.prepare_order(self.config, self._settings, display_util.notify)
                self._withdraw()
        except (DepartmentError, AccountError) as error:
            raise errors.ConfigurationError(str(error)) from None
        self._prepare_installer(self._settings)

    def _find_caa(self, name: str) -> Optional[tuple[str, str]]:
        """The CAA records that apply to a name, for the advice on a CA's error."""
        from certbot_tcs_lyon1.dns01 import caa

        return caa.find(name, self._settings) if self._settings is not None else None

    def _was_asked_for(self) -> bool:
        config = self.config
        return self.name in (config.authenticator, config.installer, config.configurator)

    def _check_options(self) -> None:
        from certbot_tcs_lyon1 import values

        given = self.conf("propagation-seconds")
        try:
            if given is not None:
                values.seconds(1, 3600)(str(given))
        except values.Fault as fault:
            raise errors.ConfigurationError(
                f"--tcs-lyon1-propagation-seconds {given}: {fault}"
            ) from None

    def _first_run(self) -> None:
        """At a terminal, without a department config: ask for what belongs into it."""
        if os.path.lexists(self._config_path()):
            return
        from certbot_tcs_lyon1.ca import firstrun

        if firstrun.is_possible(self.config):
            firstrun.write_department_config(self.config, self._config_path())

    def _config_path(self) -> str:
        given = self.conf("config")
        if given is None and self.config.verb == "install":  # restores no option of the lineage's
            given = compat.lineage_parameters(self.config).get(self.dest("config"))
        return given or os.path.join(self.config.config_dir, DEFAULT_CONFIG_NAME)

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
            raise errors.NoInstallationError(
                f"There is no department config {self._config_path()}."
            )
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
            self._failure = str(error)
            raise errors.PluginError(self._failure) from None
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
            why = str(error).rstrip(".")
            warnings = [
                f"The TXT records in {path} could not be withdrawn: {why}. The next run tries "
                "again."
            ]
        for warning in warnings:
            # certbot shows why `perform` failed after this: if both failed alike, once is enough.
            logger.warning(warning.replace(self._failure or "\0", "see the error below."))

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

    # -- installer --------------------------------------------------------------------------

    def _prepare_installer(self, settings: Settings) -> None:
        """Note which certificates there are, so that `restart` can tell what is new.

        :raises certbot.errors.ConfigurationError: asked to enhance a service
        """
        config = self.config
        if self.name not in (config.installer, config.configurator):
            self._tell_not_installed(settings)
            return
        if config.verb == "enhance":
            raise errors.ConfigurationError(_NO_ENHANCEMENTS)
        from certbot_tcs_lyon1.install import lineage

        for target in settings.targets:
            folder = os.path.join(config.live_dir, target.certificate)
            self._versions[target.certificate] = lineage.version(folder)
        if config.verb == "certonly":
            compat.after_certonly(self._restart_at_the_end)

    def _tell_not_installed(self, settings: Settings) -> None:
        """Say if the department config wants the certificate somewhere, and it won't get there.

        certbot names a certificate after its first domain, unless the user does.
        """
        first = next((str(name) for name in self.config.domains or ()), "")
        name = self.config.certname or (first[2:] if first.startswith("*.") else first)
        sections = [f"[install {t.name}]" for t in settings.targets if t.certificate == name]
        if sections:
            display_util.notify(
                f"{', '.join(sections)}: not deployed, because {name} is ordered without "
                f"--installer {self.name}. To have it deployed now and at each renewal: "
                f"certbot renew --force-renewal --cert-name {name} --installer {self.name}"
            )

    def get_all_names(self) -> set[str]:
        """None: the names are the user's to give."""
        return set()

    def deploy_cert(
        self, domain: str, cert_path: str, key_path: str, chain_path: str, fullchain_path: str
    ) -> None:
        """Deploy a certificate that certbot keeps; certbot calls this for each of its names.

        :raises certbot.errors.PluginError: it failed, or the certificate isn't one of certbot's
        """
        folder = os.path.dirname(os.path.abspath(cert_path))
        if os.path.realpath(os.path.dirname(folder)) != os.path.realpath(self.config.live_dir):
            raise errors.PluginError(
                f"{cert_path} is not a certificate that certbot keeps. Name one with --cert-name; "
                "`certbot certificates` lists them."
            )
        name = os.path.basename(folder)
        if self.config.verb == "install" and name not in self._versions:
            raise errors.PluginError(
                f"{self._config_path()}: no section [install NAME] says certificate = {name}; "
                "write one with the files that the service wants."
            )
        self._deploy(name)

    def renew_deploy(self, lineage: Any, *args: Any, **kwargs: Any) -> None:
        """Deploy a certificate that was just renewed.

        :raises certbot.errors.PluginError: it failed
        """
        self._deploy(lineage.lineagename)

    def generic_updates(self, lineage: Any, *args: Any, **kwargs: Any) -> None:
        """Deploy what is not deployed; `certbot renew` calls this for each certificate, due or not.

        :raises certbot.errors.PluginError: it failed
        """
        self._deploy(lineage.lineagename)

    def restart(self) -> None:
        """Deploy what certbot has got since `prepare`: after `certonly` it calls nothing else.

        :raises certbot.errors.PluginError: it failed
        """
        from certbot_tcs_lyon1.install import lineage

        for name, before in self._versions.items():
            if lineage.version(os.path.join(self.config.live_dir, name)) != before:
                self._deploy(name)

    def _restart_at_the_end(self) -> None:
        try:
            self.restart()
        except Exception as error:  # nobody is left to catch it
            logger.debug("Deploying failed", exc_info=True)
            logger.error(str(error))

    def rollback_checkpoints(self, rollback: int = 1) -> None:
        """Deploy the previous version of each certificate, for `certbot rollback`.

        certbot calls this also after a failed `restart`; then the old files are back already.

        :raises certbot.errors.PluginError: it failed
        """
        if self.config.verb == "rollback":
            self._run_installer("deploy_previous", self.config.live_dir, rollback)

    def _deploy(self, name: str) -> None:
        if not self.config.dry_run:  # before 1.27 a dry run calls `restart` as well
            self._run_installer("deploy_live", os.path.join(self.config.live_dir, name))

    def _run_installer(self, verb: str, *args: Any) -> None:
        """Call a function of the installer wing, and tell the user what it did.

        :raises certbot.errors.PluginError: it failed
        """
        from certbot_tcs_lyon1.department import DepartmentError
        from certbot_tcs_lyon1.install import deploy

        config = self.config
        surroundings = deploy.Surroundings(
            os.path.join(config.work_dir, DEPLOYING_NAME),
            util.env_no_snap_for_external_calls(),
            (config.config_dir, config.work_dir, config.logs_dir),
        )
        try:
            settings = self._settings or self._read_settings()  # `generic_updates`: not prepared
            lines = getattr(deploy, verb)(settings.targets, *args, surroundings)
        except (DepartmentError, deploy.InstallError) as error:
            raise errors.PluginError(str(error)) from None
        for line in lines:
            display_util.notify(line)

    def enhance(self, domain: str, enhancement: str, options: Any = None) -> None:
        """Refuse.

        :raises certbot.errors.NotSupportedError: always
        """
        raise errors.NotSupportedError(_NO_ENHANCEMENTS)

    def supported_enhancements(self) -> list[str]:
        """None."""
        return []

    def save(self, title: Optional[str] = None, temporary: bool = False) -> None:
        """Nothing: a deployment is complete when it returns."""

    def recovery_routine(self) -> None:
        """Nothing: a deployment that fails puts the old files back itself."""

    def config_test(self) -> None:
        """Nothing: each deployment runs its section's `test`."""


def _dns_wing() -> Any:
    """The front door of the DNS wing, with which dnspython comes in.

    :raises certbot.errors.PluginError: it can't be imported
    """
    try:
        import dns.version

        if dns.version.MAJOR < 2:
            raise ImportError(f"version {dns.version.version} is too old")
        from certbot_tcs_lyon1.dns01 import challenge
    except Exception as error:  # a broken one may raise anything
        raise errors.PluginError(f"{_NEEDS_DNSPYTHON} ({error}). {_GET_DNSPYTHON}") from None
    return challenge


def _record(challenge: Any, achall: Any) -> Any:
    name = achall.validation_domain_name(compat.domain_of(achall))
    return challenge.Record(name, achall.validation(achall.account_key))


def _warn_once(warning: str) -> None:
    if warning not in _warned:
        _warned.add(warning)
        logger.warning(warning)
