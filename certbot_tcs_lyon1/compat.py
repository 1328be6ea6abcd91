"""What differs between the certbots in service, 1.12 to 5.8, and all of `certbot._internal`.

Nothing else in the package looks at certbot's version or at its private modules.
"""

from __future__ import annotations

from typing import Any, TypeVar

from certbot import interfaces

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
    zope.interface.implementer(interfaces.IAuthenticator)(plugin_class)
    return plugin_class


def authenticator_base() -> type:
    """The ABC that makes a class an authenticator (certbot 1.18 and later), else `object`."""
    base: type = getattr(interfaces, "Authenticator", object)
    return base


def by_user(config: Any, name: str) -> bool:
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


def is_test_run(config: Any) -> bool:
    """Whether certbot was told `--dry-run` or `--staging` (`--test-cert`)."""
    return bool(config.dry_run or config.staging)


def has_default_test_server(config: Any) -> bool:
    """Whether a test run goes where certbot sends it by default: Let's Encrypt staging.

    Not `by_user(config, "server")`: before 2.7 certbot answers yes to that for any dry run.
    """
    from certbot._internal import constants

    return bool(config.server == constants.STAGING_URI)


def domain_of(achall: Any) -> str:
    """The name that an annotated challenge is for, without `*.` (`identifier` from certbot 5.3)."""
    identifier = getattr(achall, "identifier", None)
    return str(achall.domain if identifier is None else identifier.value)
