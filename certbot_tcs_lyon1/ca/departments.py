"""Choosing the department of an order: by option, by the lineage's record, or by names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import lyon1
from certbot_tcs_lyon1.department.settings import (
    Department,
    Settings,
    is_address,
    is_under,
    without_wildcard,
)
from certbot_tcs_lyon1.errors import OrderError

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: The config attribute, and so the renewal parameter, that holds a lineage's department.
DEST = "tcs_lyon1_department"


def recorded(config: NamespaceConfig) -> Optional[str]:
    """Return the department that ordered the lineage of `--cert-name`; None if there is none.

    For `renew` and `reconfigure` certbot has restored it to its config already.
    """
    from certbot_tcs_lyon1 import compat  # `certbot-tcs-lyon1 check` does without certbot's modules

    return compat.lineage_parameters(config).get(DEST)


def names_of(config: NamespaceConfig) -> list[str]:
    """Return the DNS names and IP addresses to be ordered, as far as certbot knows them yet.

    `--ip-address` is an option of certbot 5.3 and later.
    """
    return [str(name) for name in (*config.domains, *getattr(config, "ip_addresses", ()))]


def choose(settings: Settings, wanted: Optional[str], names: Sequence[str]) -> Department:
    """Return the department that orders a certificate for these names.

    It is the wanted one, else the only one of the file, else the only one whose domains cover all
    names. If it has domains, they must cover all names.

    :param wanted: the department's name from the option or the lineage's record, or None
    :param names: the names to be ordered; [] if certbot asks for them later
    :raises OrderError: there is none; its parts say for each name who may order it
    """
    known = {department.name: department for department in settings.departments}
    if wanted is None and len(known) > 1:
        return _by_domains(settings, names)
    chosen = next(iter(known.values())) if wanted is None else known.get(wanted)
    if chosen is None:
        raise OrderError(
            f"there is no [department {wanted}] in it (there is: {', '.join(known)})",
            "Put it back, or name another with --tcs-lyon1-department",
            where=settings.path,
        )
    if chosen.domains and not all(covers(chosen, name) for name in names):
        raise _not_covered(settings, names, chosen)
    return chosen


def covers(department: Department, name: str) -> bool:
    """Return whether the name is at or below one of the department's domains.

    A wildcard is covered by the name without `*.`; an IP address by none.
    """
    base = without_wildcard(name.lower().rstrip("."))
    return any(is_under(base, domain) for domain in department.domains)


def _by_domains(settings: Settings, names: Sequence[str]) -> Department:
    fitting = [
        department
        for department in settings.departments
        if names and all(covers(department, name) for name in names)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if names and not fitting and any(department.domains for department in settings.departments):
        raise _not_covered(settings, names, None)
    every = ", ".join(department.name for department in settings.departments)
    raise OrderError(
        f"{settings.path} has several departments ({every})",
        "Say which one orders this certificate: --tcs-lyon1-department NAME",
    )


def _not_covered(
    settings: Settings, names: Sequence[str], chosen: Optional[Department]
) -> OrderError:
    """Return the error, with a part for each name: which departments may order it."""
    who = "no single department may" if chosen is None else f"department {chosen.name} may not"
    return OrderError(
        f"According to `domains` in {settings.path}, {who} request all these names:",
        parts=[_who_may(settings, name) for name in names],
    )


def _who_may(settings: Settings, name: str) -> OrderError:
    fitting = [found.name for found in settings.departments if covers(found, name)]
    if fitting:
        return OrderError(f"department {', '.join(fitting)}", where=name)
    if is_address(name):
        cause = "nobody: it is an IP address, which the DNS can't validate"
        return OrderError(cause, "Order a DNS name", where=name)
    return OrderError(
        "nobody",
        f"Check the spelling; have the domain validated in the portal ({lyon1.PORTAL_DOMAINS}), or"
        f" ask the RAO ({lyon1.CONTACT}), and add it to `domains`",
        where=name,
    )
