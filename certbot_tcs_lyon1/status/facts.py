"""The state of this machine as frozen data; `verdicts` judges it.

Times are seconds since the epoch. certbot's folders are read without its lock: a lineage that is
being replaced is seen as it was before, or as it is after.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from certbot_tcs_lyon1.status.certbots_log import Failure
from certbot_tcs_lyon1.status.timer import Timer


@dataclass(frozen=True)
class Folders:
    """certbot's folders, and the path of the department config; all absolute."""

    config_dir: str
    work_dir: str
    logs_dir: str
    department_config: str

    @property
    def of_certbot(self) -> tuple[str, str, str]:
        """The folders without the department config."""
        return self.config_dir, self.work_dir, self.logs_dir


@dataclass(frozen=True)
class DeployedFile:
    """A file of a target; `fault` is "" if it is that of the live version."""

    target: str
    path: str
    fault: str = ""


@dataclass(frozen=True)
class ServedTarget:
    """A service of a target; `fault` is "" if it serves the live version."""

    target: str
    service: str
    fault: str = ""


@dataclass(frozen=True)
class Lineage:
    """A lineage.

    :ivar fault: why it can't be read or used; the other values are then mostly unknown
    :ivar unreadable: the folder that this user can't read, if that is the fault
    :ivar department: None if it was made without one
    :ivar renews: when certbot renews it by its own rule
    :ivar written: when the live version was saved
    :ivar names_crl: its certificate has a CRL distribution point
    :ivar watched: its CRL was fetched
    :ivar crl_asked: when its CRL was last fetched, or since when it could not be
    :ivar autorenew: whether its renewal conf lets `certbot renew` renew it
    :ivar misfit: why it will not be renewed, by its renewal conf or the department config
    """

    name: str
    fault: str = ""
    unreadable: str = ""
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
    deployed: tuple[DeployedFile, ...] = ()
    served: tuple[ServedTarget, ...] = ()
    failure: Optional[Failure] = None
    autorenew: bool = True
    misfit: str = ""
    der: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class DepartmentFact:
    """A department of the config; `account` is the id of its Key ID's ACME account, or None."""

    name: str
    key_id: str
    server: str
    account: Optional[str]
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class DnsFact:
    """A `[dns]` section, without its secret.

    :ivar key: the name of the key
    """

    section: str
    servers: tuple[str, ...]
    key: str


@dataclass(frozen=True)
class Facts:
    """The state of the machine.

    :ivar config_fault: why the department config can't be used
    :ivar keys_missing: the only faults are missing key files of `[dns]`
    :ivar unreadable: folders and files that this user can't read
    :ivar full: certbot's folders to which nothing can be written
    :ivar without_lineage: targets whose lineage does not exist, each with its name
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
    full: tuple[str, ...]
    without_lineage: tuple[str, ...]

    @property
    def last_run(self) -> int:
        """When `certbot renew` ran last, by its logs or its timer; 0 if neither says it."""
        return max(self.last_renew or 0, self.timer.last or 0)


@dataclass(frozen=True)
class Step:
    """The result of one check of `test`.

    :ivar right: None if it can't be found out from here
    """

    right: Optional[bool]
    text: str
    remedy: str = ""
