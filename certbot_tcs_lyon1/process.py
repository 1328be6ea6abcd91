"""What one process keeps from one lineage to the next.

certbot makes a new `Plugin` for each lineage that it renews; `plugin` makes the one `Process`, and
passes it to the wings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1.report import Report

if TYPE_CHECKING:
    from certbot_tcs_lyon1.ca.listener import Listener
    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.dns01.queries import Servers
    from certbot_tcs_lyon1.watch.reasons import Watch


@dataclass
class Process:
    """The state of one process.

    :ivar report: shows messages to the user, each once
    :ivar answered: the ACME servers whose directory was fetched successfully: once is enough
    :ivar listener: explains the errors that certbot logs
    :ivar settings: the department configs, by path
    :ivar servers: what is known of name servers; None until dnspython is needed
    :ivar watch: the CRLs and ARI answers
    :ivar rate_limited: the ACME servers that have answered rateLimited
    """

    report: Report
    answered: set[str] = field(default_factory=set)
    listener: Optional[Listener] = None
    settings: dict[str, Settings] = field(default_factory=dict)
    servers: Optional[Servers] = None
    watch: Optional[Watch] = None
    rate_limited: set[str] = field(default_factory=set)
