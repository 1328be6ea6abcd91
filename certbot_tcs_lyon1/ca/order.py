"""Deciding which department an order belongs to, and to which server it goes, before any change.

The rules and their order are those of DESIGN.md ("When the plugin touches certbot's config").
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.ca import departments
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import OrderError

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: The verbs for which certbot restores a lineage's stored values to its config.
_RESTORING_VERBS = ("renew", "reconfigure")


class Kind(enum.Enum):
    """What is done with certbot's config."""

    #: Nothing: the order does not belong to a department.
    KEEP_OUT = "keep out"
    #: It is filled with the department's values.
    FILL = "fill"
    #: Nothing: `reconfigure` cannot move a lineage to the department's server.
    CANNOT_MOVE = "cannot move"
    #: A test of the department's order, at another server.
    TEST = "test"
    #: A test at a server that the user set.
    TEST_ELSEWHERE = "test elsewhere"
    #: A test of an order that does not belong to a department.
    TEST_OF_ANOTHER = "test of another"


@dataclass(frozen=True)
class Decision:
    """What is done with certbot's config, and where the order goes.

    :ivar server: the ACME directory URL to which the order goes
    :ivar department: None if the order is not a department's
    :ivar moves_from: the server of the lineage until now, if it changes
    """

    kind: Kind
    server: str
    department: Optional[Department] = None
    moves_from: Optional[str] = None


def decide(config: NamespaceConfig, settings: Settings) -> Decision:
    """Decide from certbot's config, which is not changed, and the department config.

    :raises OrderError: no department may order these names, or the choice is ambiguous
    """
    server = str(config.server)
    if compat.is_test_run(config):
        if not compat.has_default_test_server(config):
            return Decision(Kind.TEST_ELSEWHERE, server)
        department = _tested(config, settings)
        if department is None:
            return Decision(Kind.TEST_OF_ANOTHER, server)
        return Decision(Kind.TEST, department.dry_run_server or server, department)
    department = _ordering(config, settings)
    if department is None:
        return Decision(Kind.KEEP_OUT, server)
    leaves = department.server != server
    if leaves and config.verb == "reconfigure":
        return Decision(Kind.CANNOT_MOVE, server, department)
    moves_from = server if leaves and config.verb in _RESTORING_VERBS else None
    return Decision(Kind.FILL, department.server, department, moves_from)


def _wanted(config: NamespaceConfig) -> Optional[str]:
    """Return the department's name from the option or the lineage's record, if any."""
    return getattr(config, departments.DEST) or departments.recorded(config)


def _ordering(config: NamespaceConfig, settings: Settings) -> Optional[Department]:
    """Return the department that the order belongs to.

    None if the user set another server than the department's, and for the renewal of a lineage that
    was made without a department on another server.
    """
    wanted = _wanted(config)
    stays = compat.is_set_by_user(config, "server") or (
        config.verb in _RESTORING_VERBS and wanted is None
    )
    if stays and config.server not in {found.server for found in settings.departments}:
        return None
    chosen = departments.choose(settings, wanted, departments.names_of(config))
    return None if stays and config.server != chosen.server else chosen


def _tested(config: NamespaceConfig, settings: Settings) -> Optional[Department]:
    """Return the department whose order is tested.

    None for a lineage that was made without a department, if no department may order its names.
    """
    wanted = _wanted(config)
    try:
        return departments.choose(settings, wanted, departments.names_of(config))
    except OrderError:
        if config.verb == "renew" and wanted is None:
            return None
        raise
