"""The differences between certbot 1.12 and 5.8, and every use of `certbot._internal`.

No other module imports its private modules, and only `status.config_dir` looks at its version, too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, cast

import certbot
from certbot import errors, interfaces, util
from certbot.display import util as display_util

if TYPE_CHECKING:
    from certbot.achallenges import AnnotatedChallenge
    from certbot.configuration import NamespaceConfig
    from certbot.interfaces import RenewableCert

_PluginClass = TypeVar("_PluginClass", bound=type)


def register(plugin_class: _PluginClass) -> _PluginClass:
    """Make `plugin_class` visible to certbot before 1.18, which finds plugins by zope.interface.

    Such a certbot ignores a plugin that does not provide `IPluginFactory`. Where the ABCs exist
    (1.18 and later), the zope names are deprecated or missing, so they are not used.
    """
    if hasattr(interfaces, "Authenticator"):
        return plugin_class
    import zope.interface  # certbot itself has imported it there

    zope.interface.provider(interfaces.IPluginFactory)(plugin_class)
    zope.interface.implementer(interfaces.IAuthenticator, interfaces.IInstaller)(plugin_class)
    return plugin_class


def plugin_bases() -> tuple[type, ...]:
    """Return the ABCs that the plugin inherits from; before 1.18 certbot has only some of them."""
    names = ("Authenticator", "Installer", "GenericUpdater", "RenewDeployer")
    return tuple(getattr(interfaces, name) for name in names if hasattr(interfaces, name))


def _version() -> tuple[int, int]:
    major, minor = certbot.__version__.split(".")[:2]
    return int(major), int(minor)


def after_certonly(call: Callable[[], None]) -> None:
    """Register `call` to be called after `certonly` has saved a certificate, before certbot 1.27.

    Such a certbot calls no method of an installer after `certonly`, so this is done at its exit,
    when the exit code can't be changed any more. Later versions call `restart`.
    """
    if _version() < (1, 27):
        util.atexit_register(call)


def is_set_by_user(config: NamespaceConfig, name: str) -> bool:
    """Return whether the user set an option: on the command line, in the environment or cli.ini.

    A value that certbot restored from a renewal file does not count. Not for secrets: certbot logs
    the value of the option.
    """
    return _source(config, name) in ("COMMAND_LINE", "CONFIG_FILE", "ENV_VAR")


def is_set_in_cli_ini(config: NamespaceConfig, name: str) -> bool:
    """Return whether the option `name` is set in cli.ini, and not for this command alone."""
    return _source(config, name) == "CONFIG_FILE"


def _source(config: NamespaceConfig, name: str) -> Optional[str]:
    """Return the name of certbot's ArgumentSource of an option; None if it has its default.

    Before 2.7 there is none, and what is not on the command line is taken to be from cli.ini.
    """
    sources = getattr(config, "argument_sources", None)
    if sources is not None:
        source = sources.get(name)
        return None if source is None else str(source.name)
    from certbot._internal import cli

    if not cli.set_by_cli(name):  # type: ignore[attr-defined]  # gone in 2.7
        return None
    flag = f"--{name.replace('_', '-')}"
    return "COMMAND_LINE" if any(word.startswith(flag) for word in sys.argv) else "CONFIG_FILE"


def is_test_run(config: NamespaceConfig) -> bool:
    """Return whether certbot was called with `--dry-run` or `--staging` (`--test-cert`)."""
    return bool(config.dry_run or config.staging)


def has_default_test_server(config: NamespaceConfig) -> bool:
    """Return whether a test run uses certbot's default test server, Let's Encrypt staging.

    Not `is_set_by_user(config, "server")`: before 2.7 that is true for any dry run.
    """
    from certbot._internal import constants

    return bool(config.server == constants.STAGING_URI)


def domain_of(achall: AnnotatedChallenge) -> str:
    """Return the name of an annotated challenge, without `*.` (`identifier` from certbot 5.3)."""
    identifier = getattr(achall, "identifier", None)
    return str(achall.domain if identifier is None else identifier.value)


def account_ids(config: NamespaceConfig) -> list[str]:
    """Return the ids of the ACME accounts that certbot has for `config.server`.

    They are read from the folders: certbot's own `find_all` loads each account's RSA key, which
    takes 50 ms. As in certbot, an account with a file missing is ignored.
    """
    files = ("regr.json", "private_key.json", "meta.json")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [
            name
            for name in sorted(os.listdir(config.accounts_dir))
            if all(os.path.exists(os.path.join(config.accounts_dir, name, f)) for f in files)
        ]
    return []


def register_account(config: NamespaceConfig) -> str:
    """Register an ACME account with `config`'s server, EAB and e-mail, and return its id.

    At a terminal it asks what certbot asks when it registers.

    :raises certbot.errors.Error: with certbot's text; raised from the CA's error, if there is one
    """
    from acme import messages
    from certbot._internal import account, client
    from certbot.display import ops

    if config.email is None and not config.register_unsafely_without_email:
        config.email = ops.get_email()
    try:
        made, _ = client.register(
            config, account.AccountFileStorage(config), tos_cb=lambda url: _agree(config, url)
        )
    except messages.Error as error:
        raise errors.Error(f"Unable to register an account with ACME server. {error}") from error
    display_util.notify("Account registered.")
    return str(made.id)


def _agree(config: NamespaceConfig, url: str) -> None:
    if config.tos:
        return
    ask: Any = getattr(display_util, "yesno", None)  # certbot 1.15 and later
    if ask is None:
        import zope.component

        ask = zope.component.getUtility(getattr(interfaces, "IDisplay")).yesno  # noqa: B009
    question = (
        f"Please read the Terms of Service at: {url}\n"
        "You must agree in order to register with the ACME server. Do you agree?"
    )
    if not ask(question, cli_flag="--agree-tos", force_interactive=True):
        raise errors.Error("Registration cannot proceed without accepting Terms of Service.")


def lineage_parameters(config: NamespaceConfig) -> dict[str, str]:
    """Return the stored options of the lineage `--cert-name`, {} if there is no such lineage."""
    import configobj  # certbot's own
    from certbot._internal import storage

    if not config.certname:
        return {}
    try:
        path = storage.renewal_file_for_certname(config, config.certname)
        stored = configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8")
        return {name: str(value) for name, value in stored["renewalparams"].items()}
    except (errors.Error, configobj.ConfigObjError, OSError, KeyError):
        return {}


def user_agent(config: NamespaceConfig) -> str:
    """Return the User-Agent that certbot sends to a CA."""
    from certbot._internal import client as certbot_client

    return str(certbot_client.determine_user_agent(config))


def is_choice_of_plugins(record: logging.LogRecord) -> bool:
    """Return whether a log record of certbot (1.12 to 5.8) names the plugins it now uses."""
    return str(record.msg).startswith("Selected authenticator")


def fatal_error(record: logging.LogRecord) -> Optional[BaseException]:
    """Return the error that ends certbot, if a log record of certbot (1.12 to 5.8) reports one."""
    if str(record.msg).startswith("Exiting abnormally") and record.exc_info:
        return record.exc_info[1]
    return None


def supports_ari() -> bool:
    """Return whether this certbot asks the CA itself when to renew (ARI, RFC 9773)."""
    return _version() >= (4, 1)


def renew_before_due(config: NamespaceConfig, renewed: RenewableCert, needs_new_key: bool) -> None:
    """Renew a lineage that is not due, and deploy it, within `certbot renew`; certbot's hooks run.

    :param config: certbot's, with the lineage's stored values
    :param renewed: the lineage
    :param needs_new_key: make a new key even if the lineage has `reuse_key`
    :raises Exception: what certbot raises when a renewal fails
    """
    from certbot._internal import main, storage
    from certbot._internal.plugins.disco import PluginsRegistry

    lineage = cast(storage.RenewableCert, renewed)  # the only implementation of the interface

    def renew() -> None:
        main.renew_cert(config, PluginsRegistry.find_all(), lineage)

    if not needs_new_key or not config.reuse_key:
        renew()
    elif hasattr(config, "new_key"):  # certbot 1.25 and later; not stored in the lineage
        setattr(config, "new_key", True)  # noqa: B010  # a property that can be set
        renew()
    else:
        config.reuse_key = False
        try:
            renew()
        finally:  # certbot has stored reuse_key = False in the lineage
            config.reuse_key = True
            links = {kind: getattr(lineage, kind) for kind in storage.ALL_FOUR}
            storage.update_configuration(lineage.lineagename, lineage.archive_dir, links, config)
