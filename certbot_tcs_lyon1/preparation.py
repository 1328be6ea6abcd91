"""What `prepare` does: read the department config, and fill certbot's config.

The rules are those of DESIGN.md, "When the plugin touches certbot's config".
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from certbot import errors as certbot_errors

from certbot_tcs_lyon1 import compat, errors
from certbot_tcs_lyon1.authenticator import Authenticator
from certbot_tcs_lyon1.ca import prefill
from certbot_tcs_lyon1.ca.listener import Listener
from certbot_tcs_lyon1.department import keys, reader
from certbot_tcs_lyon1.installer import NO_ENHANCEMENTS, Installer

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.process import Process

#: The department config's name in certbot's configuration folder.
DEFAULT_CONFIG_NAME = "tcs-lyon1.ini"

#: The config attribute, and so the renewal parameter, of the option that names another.
CONFIG_DEST = "tcs_lyon1_config"


@dataclass(frozen=True)
class Prepared:
    """The objects that answer certbot's calls for one lineage."""

    authenticator: Authenticator
    installer: Installer


def prepare(
    config: NamespaceConfig, name: str, process: Process, plugin: object
) -> Optional[Prepared]:
    """Read the department config, and fill certbot's config if the user named the plugin.

    Before an order this also sends UPDATEs, if an earlier run has left records in the journal.

    :param config: certbot's; changed in place
    :param name: of the plugin
    :param plugin: the object by which certbot's log names the plugin
    :returns: None if the user did not name the plugin, and for `certbot plugins --prepare`
    :raises certbot.errors.ConfigurationError: the user named the plugin, and the department config
        is missing or faulty, or no order can be made; certbot prints its text as it is
    :raises certbot.errors.PluginError: the user did not name it, see `_answer_menu`
    """
    named = name in (config.authenticator, config.installer, config.configurator)
    if config.verb == "plugins" or not named:
        _answer_menu(config, name, process)
        return None
    given = getattr(config, CONFIG_DEST)
    if given:  # certbot stores it in the lineage; a relative path would depend on the folder
        setattr(config, CONFIG_DEST, os.path.abspath(given))
    try:
        _check_options(config)
        _first_run(config, process)
        settings = read_settings(config, process)
        for warning in settings.warnings:
            process.report.warning(str(warning))
        seconds = config.tcs_lyon1_propagation_seconds
        advise = functools.partial(_advise, config, settings, process)
        authenticator = Authenticator(settings, process, config.work_dir, seconds, advise)
        authenticator.check_library()
        if config.verb in prefill.ORDERING_VERBS:
            process.listener = process.listener or Listener()
            process.listener.listen(plugin, advise)
            prefill.prepare_order(config, settings, process)
            authenticator.withdraw()
    except errors.Error as error:
        raise certbot_errors.ConfigurationError(str(error)) from None
    return Prepared(authenticator, _installer(config, name, settings, process))


def config_path(config: NamespaceConfig) -> str:
    """Return the path of the department config: that of the option, or the default."""
    given = getattr(config, CONFIG_DEST)
    if given is None and config.verb == "install":  # certbot restores no options of the lineage
        given = compat.lineage_parameters(config).get(CONFIG_DEST)
    return given or os.path.join(config.config_dir, DEFAULT_CONFIG_NAME)


def read_settings(config: NamespaceConfig, process: Process) -> Settings:
    """Return the department config; it is read again only if one of its files has changed.

    :raises ConfigError: it is missing or faulty
    """
    path = config_path(config)
    settings = process.settings.get(path)
    if settings is None or not reader.is_current(settings):
        settings = process.settings[path] = reader.read(path)
    return settings


def unprepared_installer(config: NamespaceConfig, process: Process) -> Installer:
    """Return the installer for calls that certbot makes without `prepare`, like `generic_updates`.

    :raises certbot.errors.PluginError: the department config can't be read
    """
    try:
        return Installer(read_settings(config, process), process, config)
    except errors.ConfigError as error:
        raise certbot_errors.PluginError(str(error)) from None


def _answer_menu(config: NamespaceConfig, name: str, process: Process) -> None:
    """Answer certbot's menu, or `certbot plugins --prepare`; nothing is changed.

    certbot does not say when a plugin was picked from its menu, so its config can't be pre-filled
    then: a user with a department config is shown the command to use instead.

    :raises certbot.errors.NoInstallationError: there is no department config
    :raises certbot.errors.MisconfigurationError: there is one
    """
    path = config_path(config)
    if not os.path.lexists(path):
        raise certbot_errors.NoInstallationError(f"There is no department config {path}.")
    try:
        read_settings(config, process)
    except errors.ConfigError as error:
        raise certbot_errors.MisconfigurationError(str(error)) from None
    if config.verb != "plugins":
        raise certbot_errors.MisconfigurationError(
            "It cannot be chosen from this menu. Use: certbot certonly "
            f"--configurator {name} -d NAME"
        )


def _check_options(config: NamespaceConfig) -> None:
    given = config.tcs_lyon1_propagation_seconds
    try:
        if given is not None:
            keys.KEYS["dns"]["propagation_seconds"].check(str(given))
    except errors.ConfigError as fault:
        where = f"--tcs-lyon1-propagation-seconds {given}"
        raise errors.ConfigError(fault.cause, fault.remedy, where=where) from None


def _first_run(config: NamespaceConfig, process: Process) -> None:
    """At a terminal, without a department config, ask for its values and write it."""
    path = config_path(config)
    if os.path.lexists(path):
        return
    from certbot_tcs_lyon1.ca import firstrun

    if firstrun.is_possible(config):
        firstrun.write_department_config(config, path, process.report)


def _advise(
    config: NamespaceConfig,
    settings: Settings,
    process: Process,
    error: BaseException,
    shown: Optional[str] = None,
) -> Optional[str]:
    """Return the advice on an error of the CA; None if there is none.

    :param shown: see `advice.advise`
    What it needs is imported for an error only: `certbot renew` has none on most nights.
    """
    from certbot_tcs_lyon1.ca import advice, directory

    lookups = advice.Lookups(
        functools.partial(_find_caa, settings, process),
        lambda server: directory.caa_identities(directory.read(config, server)),
    )
    order = advice.order_of(config)  # only now, since certbot sets the account late
    return advice.advise(error, order, shown, lookups)


def _find_caa(settings: Settings, process: Process, name: str) -> Optional[tuple[str, str]]:
    from certbot_tcs_lyon1.dns01 import caa, queries

    return caa.find(name, settings, process.servers or queries.Servers())


def _installer(
    config: NamespaceConfig, name: str, settings: Settings, process: Process
) -> Installer:
    """Return the installer, and report where a lineage will not be deployed or watched.

    :raises certbot.errors.ConfigurationError: the verb is `enhance`
    """
    installer = Installer(settings, process, config)
    if name not in (config.installer, config.configurator):
        installer.report_not_deployed(name)
    elif config.verb == "enhance":
        raise certbot_errors.ConfigurationError(NO_ENHANCEMENTS)
    else:
        installer.note_versions()
    return installer
