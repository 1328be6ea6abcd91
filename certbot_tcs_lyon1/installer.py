"""What certbot asks of an installer: to deploy lineages, at the different calls of its verbs."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Optional

from certbot import errors as certbot_errors
from certbot import util

from certbot_tcs_lyon1 import compat, errors, lineage
from certbot_tcs_lyon1.department.settings import without_wildcard

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig
    from certbot.interfaces import RenewableCert

    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.install.deploy import Machine
    from certbot_tcs_lyon1.process import Process

logger = logging.getLogger(__name__)

NO_ENHANCEMENTS = (
    "tcs-lyon1 writes certificates where services read them and does not edit a service's "
    "configuration, so it has no enhancements (redirect, hsts, uir, staple-ocsp): set them there."
)


class Installer:
    """Deploys lineages by the `[install]` sections of a department config.

    :param config: certbot's `NamespaceConfig`
    """

    def __init__(self, settings: Settings, process: Process, config: NamespaceConfig) -> None:
        self._settings = settings
        self._process = process
        self._config = config
        #: The live version of each lineage with an [install] section, when certbot started.
        self._versions: dict[str, Optional[int]] = {}

    def note_versions(self) -> None:
        """Remember the live version of each lineage, by which `deploy_new` finds the new ones."""
        for target in self._settings.targets:
            self._versions[target.certificate] = lineage.version(self._folder(target.certificate))
        if self._config.verb == "certonly":
            compat.after_certonly(self._deploy_at_exit)

    def deploy(self, name: str) -> None:
        """Deploy the live version of a lineage.

        :raises certbot.errors.PluginError: it failed
        """
        if self._config.dry_run:  # before 1.27 certbot calls `restart` in a dry run, too
            return
        from certbot_tcs_lyon1.install import deploy

        with self._machine() as machine:
            deploy.deploy_live(self._settings.targets, self._folder(name), machine)

    def update(self, renewed: RenewableCert) -> None:
        """Replace a lineage early if there is a reason, and deploy it.

        :param renewed: certbot's object for the lineage
        :raises certbot.errors.PluginError: it was not deployed
        :raises Exception: it was not replaced
        """
        from certbot_tcs_lyon1 import replacement

        try:
            replacement.replace_if_needed(self._config, renewed, self._settings, self._process)
        finally:
            self.deploy(renewed.lineagename)

    def deploy_file(self, cert_path: str) -> None:
        """Deploy the lineage of a certificate's path, for `certbot install` and `run`.

        :raises certbot.errors.PluginError: it failed, or the certificate is not one of certbot's
        """
        folder = os.path.dirname(os.path.abspath(cert_path))
        if os.path.realpath(os.path.dirname(folder)) != os.path.realpath(self._config.live_dir):
            raise certbot_errors.PluginError(
                f"{cert_path} is not a certificate that certbot keeps. Name one with --cert-name; "
                "`certbot certificates` lists them."
            )
        name = os.path.basename(folder)
        if self._config.verb == "install" and name not in self._versions:
            raise certbot_errors.PluginError(
                f"{self._settings.path}: no section [install NAME] says certificate = {name}; "
                "write one with the files that the service wants."
            )
        self.deploy(name)

    def deploy_new(self) -> None:
        """Deploy the lineages that have a new version since `note_versions`.

        :raises certbot.errors.PluginError: it failed
        """
        for name, before in self._versions.items():
            if lineage.version(self._folder(name)) != before:
                self.deploy(name)

    def deploy_previous(self, steps: int) -> None:
        """Deploy the version `steps` before the live one of each lineage, for `certbot rollback`.

        :raises certbot.errors.PluginError: it failed
        """
        from certbot_tcs_lyon1.install import deploy

        live = self._config.live_dir
        with self._machine() as machine:
            deploy.deploy_previous(self._settings.targets, live, steps, machine)

    def report_not_deployed(self, plugin: str) -> None:
        """Report that a lineage with an `[install]` section is ordered without this installer.

        Without `--cert-name`, certbot names a lineage after its first domain.

        :param plugin: the name of this plugin
        """
        config, settings = self._config, self._settings
        first = next((str(name) for name in config.domains or ()), "")
        name = config.certname or without_wildcard(first)
        sections = [f"[install {t.name}]" for t in settings.targets if t.certificate == name]
        renew = f"certbot renew --force-renewal --cert-name {name} --installer {plugin}"
        if sections:
            self._process.report.info(
                f"{', '.join(sections)}: not deployed, because {name} is ordered without "
                f"--installer {plugin}. To have it deployed now and at each renewal: {renew}"
            )
        elif (
            plugin == config.authenticator
            and config.verb in ("certonly", "run", "renew")
            and settings.revocation_check
            and not compat.is_test_run(config)
        ):  # without this installer, certbot calls no `generic_updates`
            other = f" (in the place of {config.installer})" if config.installer else ""
            self._process.report.info(
                f"{name}: a revocation by the CA will not be noticed, because it is ordered "
                f"without --installer {plugin}. To have it watched{other}: {renew}"
            )

    def _folder(self, name: str) -> str:
        return os.path.join(self._config.live_dir, name)

    def _deploy_at_exit(self) -> None:
        try:
            self.deploy_new()
        except Exception as error:  # an atexit function has no caller to handle it
            logger.debug("Deploying failed", exc_info=True)
            logger.error(str(error))

    @contextlib.contextmanager
    def _machine(self) -> Iterator[Machine]:
        """Yield what a deployment needs, and turn an InstallError into certbot's.

        :raises certbot.errors.PluginError: the deployment failed
        """
        from certbot_tcs_lyon1.install.deploy import Machine

        config = self._config
        try:
            yield Machine(
                config.work_dir,
                util.env_no_snap_for_external_calls(),
                (config.config_dir, config.work_dir, config.logs_dir),
                self._process.report.info,
            )
        except errors.InstallError as error:
            raise certbot_errors.PluginError(str(error)) from None
