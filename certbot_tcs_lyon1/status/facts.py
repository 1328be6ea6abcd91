"""What is so on this machine, as frozen data; whether that is right is for `verdicts`.

Times are seconds of the epoch. certbot's folders are read as they are, without its lock: a lineage
that is being replaced at this instant is seen before or after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.status.certbots_log import Failure
from certbot_tcs_lyon1.status.timer import Timer


@dataclass(frozen=True)
class Folders:
    """certbot's, and the department config; all absolute."""

    config_dir: str
    work_dir: str
    logs_dir: str
    config: str


@dataclass(frozen=True)
class Deployed:
    """A file of a target: `fault` is "" where it is the live version."""

    target: str
    path: str
    fault: str = ""


@dataclass(frozen=True)
class ServedThere:
    """A service of a target: `fault` is "" where it gives the live version."""

    target: str
    service: str
    fault: str = ""


@dataclass(frozen=True)
class Lineage:
    """A certificate of certbot's.

    `fault` says why it can't be read, and then little else is known; `renews` is when certbot
    replaces it by its own rule; `written` is when the live version came here; `department` is
    None for one of none; `misfit` is why it won't be renewed, by the department config or its own;
    `crl_asked` is when its CRL was last seen.
    """

    name: str
    fault: str = ""
    names: tuple[str, ...] = ()
    department: Optional[str] = None
    server: str = ""
    issuer: str = ""
    serial: str = ""
    issued: int = 0
    ends: int = 0
    renews: int = 0
    written: int = 0
    authenticator: str = ""
    installer: str = ""
    account: str = ""
    account_is_there: bool = True
    lost_client_auth: bool = False
    revoked: bool = False
    names_crl: bool = False
    watched: bool = False
    crl_asked: Optional[int] = None
    deployed: tuple[Deployed, ...] = ()
    served: tuple[ServedThere, ...] = ()
    failure: Optional[Failure] = None
    misfit: str = ""
    der: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class DepartmentFact:
    """A department of the config.

    `account` is the id of the ACME account that its next lineage gets, or None; `accounts` are all
    that a lineage of it keeps at a renewal.
    """

    name: str
    key_id: str
    server: str
    account: Optional[str]
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class DnsFact:
    """A `[dns]` section, without its secret."""

    section: str
    servers: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Facts:
    """All that is known of the machine.

    `config_fault` is why the department config can't be used; `keys_missing` if that is only that
    files of keys for the DNS aren't there; `unreadable` are the folders that this user can't read,
    `full` those that certbot can't write any more; `without_lineage` are targets, each with the
    certificate that certbot has not.
    """

    now: int
    folders: Folders
    lineages: tuple[Lineage, ...]
    departments: tuple[DepartmentFact, ...]
    dns: tuple[DnsFact, ...]
    timer: Timer
    last_renew: Optional[int]
    config_fault: str
    keys_missing: bool
    unreadable: tuple[str, ...]
    full: tuple[str, ...] = ()
    without_lineage: tuple[str, ...] = ()
