"""What differs between the certbots in service, 1.12 to 5.8, and all of `certbot._internal`.

Nothing else in the package looks at certbot's version or at its private modules.
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
    """Make `plugin_class` visible to a certbot that still looks plugins up by zope.interface.

    Before 1.18 certbot skips a plugin that does not provide `IPluginFactory`; where the ABCs exist
    (1.18 and later) the zope names are at best deprecated, so they are not touched there.
    """
    if hasattr(interfaces, "Authenticator"):
        return plugin_class
    import zope.interface  # certbot itself has imported it there

    zope.interface.provider(interfaces.IPluginFactory)(plugin_class)
    zope.interface.implementer(interfaces.IAuthenticator, interfaces.IInstaller)(plugin_class)
    return plugin_class


def plugin_bases() -> tuple[type, ...]:
    """The ABCs of what the plugin is; before 1.18 an authenticator or installer needs none."""
    names = ("Authenticator", "Installer", "GenericUpdater", "RenewDeployer")
    return tuple(getattr(interfaces, name) for name in names if hasattr(interfaces, name))


def _version() -> tuple[int, int]:
    major, minor = certbot.__version__.split(".")[:2]
    return int(major), int(minor)


def after_certonly(call: Callable[[], None]) -> None:
    """Have `call` called when `certonly` has saved a certificate, where certbot doesn't do it.

    `certonly` calls nothing of an installer's before 1.27, so it is done when certbot ends; the
    exit code can't be changed then. Later versions call `restart`.
    """
    if _version() < (1, 27):
        util.atexit_register(call)


def by_user(config: NamespaceConfig, name: str) -> bool:
    """Whether the user gave the option `name`: on the command line, in the environment or cli.ini.

    A value that certbot restored from a renewal file does not count. Never ask for a secret:
    certbot writes the value of what it is asked about to its log.
    """
    sources = getattr(config, "argument_sources", None)  # certbot 2.7 and later
    if sources is not None:
        source = sources.get(name)
        return source is not None and source.name in ("COMMAND_LINE", "CONFIG_FILE", "ENV_VAR")
    from certbot._internal import cli

    return bool(cli.set_by_cli(name))  # type: ignore[attr-defined]  # gone in 2.7


def is_test_run(config: NamespaceConfig) -> bool:
    """Whether certbot was told `--dry-run` or `--staging` (`--test-cert`)."""
    return bool(config.dry_run or config.staging)


def has_default_test_server(config: NamespaceConfig) -> bool:
    """Whether a test run goes where certbot sends it by default: Let's Encrypt staging.

    Not `by_user(config, "server")`: before 2.7 certbot answers yes to that for any dry run.
    """
    from certbot._internal import constants

    return bool(config.server == constants.STAGING_URI)


def domain_of(achall: AnnotatedChallenge) -> str:
    """The name that an annotated challenge is for, without `*.` (`identifier` from certbot 5.3)."""
    identifier = getattr(achall, "identifier", None)
    return str(achall.domain if identifier is None else identifier.value)


def account_ids(config: NamespaceConfig) -> list[str]:
    """The ids of the ACME accounts that certbot has for `config.server`, by their folders.

    certbot's own `find_all` loads every account's RSA key, which takes 50 ms each; and an account
    whose files are not all there it passes over, as this does.
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
    """Register an ACME account with `config`'s server, EAB and e-mail; its id.

    As certbot does when it has none, with the same questions at a terminal.

    :raises certbot.errors.Error: in certbot's words; it was raised from the CA's error, if any
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
    question = (
        f"Please read the Terms of Service at: {url}\n"
        "You must agree in order to register with the ACME server. Do you agree?"
    )
    if not config.tos and not ask_yes_no(question, "--agree-tos"):
        raise errors.Error("Registration cannot proceed without accepting Terms of Service.")


def ask_yes_no(question: str, option: str) -> bool:
    """The answer at the terminal; `option` is what answers it elsewhere.

    :raises certbot.errors.MissingCommandlineFlag: there is no terminal
    """
    ask: Any = getattr(display_util, "yesno", None)  # certbot 1.15 and later
    if ask is None:
        import zope.component

        ask = zope.component.getUtility(getattr(interfaces, "IDisplay")).yesno  # noqa: B009
    return bool(ask(question, cli_flag=option, force_interactive=True))


def lineage_parameters(config: NamespaceConfig, certname: Optional[str] = None) -> dict[str, str]:
    """What certbot keeps of a lineage, else of the one that `config.certname` names; nothing if
    there is none."""
    import configobj  # certbot's own
    from certbot._internal import storage

    certname = certname or config.certname
    if not certname:
        return {}
    try:
        path = storage.renewal_file_for_certname(config, certname)
        kept = configobj.ConfigObj(path, encoding="utf-8", default_encoding="utf-8")
        return {name: str(value) for name, value in kept["renewalparams"].items()}
    except (errors.Error, configobj.ConfigObjError, OSError, KeyError):
        return {}


def user_agent(config: NamespaceConfig) -> str:
    """What certbot says of itself to a CA."""
    from certbot._internal import client as certbot_client

    return str(certbot_client.determine_user_agent(config))


def is_choice_of_plugins(record: logging.LogRecord) -> bool:
    """Whether a record of certbot's log says which plugins it goes on with (1.12 to 5.8)."""
    return str(record.msg).startswith("Selected authenticator")


def fatal_error(record: logging.LogRecord) -> Optional[BaseException]:
    """The error that ends certbot, if a record of its log is about one (1.12 to 5.8)."""
    if str(record.msg).startswith("Exiting abnormally") and record.exc_info:
        return record.exc_info[1]
    return None


def comes_from_a_file(config: NamespaceConfig, name: str) -> bool:
    """Whether the user gave the option `name` in cli.ini, and not for this command.

    Before 2.7 certbot does not tell them apart: then all that is not on the command line counts.
    """
    sources = getattr(config, "argument_sources", None)
    if sources is not None:
        source = sources.get(name)
        return source is not None and source.name == "CONFIG_FILE"
    flag = f"--{name.replace('_', '-')}"
    return by_user(config, name) and not any(word.startswith(flag) for word in sys.argv)


def knows_ari() -> bool:
    """Whether this certbot asks the CA itself when to renew (RFC 9773)."""
    return _version() >= (4, 1)


def replace(config: NamespaceConfig, renewed: RenewableCert, needs_new_key: bool) -> None:
    """Renew a lineage that is not due and deploy it, within `certbot renew`, hooks included.

    :param config: certbot's, with the lineage's stored values
    :param renewed: the lineage
    :param needs_new_key: also where the lineage says `reuse_key`
    :raises Exception: whatever certbot raises when a renewal fails
    """
    from certbot._internal import main, storage
    from certbot._internal.plugins.disco import PluginsRegistry

    lineage = cast(storage.RenewableCert, renewed)  # it is certbot's own

    def renew() -> None:
        main.renew_cert(config, PluginsRegistry.find_all(), lineage)

    if not needs_new_key or not config.reuse_key:
        renew()
    elif hasattr(config, "new_key"):  # certbot 1.25 and later; it is not stored
        setattr(config, "new_key", True)  # noqa: B010  # a property that can be set
        renew()
    else:
        config.reuse_key = False
        try:
            renew()
        finally:  # certbot has stored what it was told for this time
            config.reuse_key = True
            links = {kind: getattr(lineage, kind) for kind in storage.ALL_FOUR}
            storage.update_configuration(lineage.lineagename, lineage.archive_dir, links, config)
