"""What one process learns and keeps.

certbot makes a `Plugin` anew for each lineage that it renews, so what is known of one lineage's
order for the next one lives here. `plugin` makes the one object, and hands it to the wings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1.report import Report

if TYPE_CHECKING:
    from certbot_tcs_lyon1.ca.listener import Listener
    from certbot_tcs_lyon1.department.settings import Settings
    from certbot_tcs_lyon1.dns01.queries import Servers
    from certbot_tcs_lyon1.watch.why import Watch


@dataclass
class Process:
    """What outlives one lineage.

    `answered` holds the ACME servers whose directory has answered: one look at each is enough;
    `listener` hears the errors that certbot logs;
    `settings` are the department configs by path, to be read again where a file has changed;
    `servers` is what is known of name servers, once dnspython was needed;
    `watch` has the CRLs; `refusing` are the ACME servers that said rateLimited.
    """

    report: Report
    answered: set[str] = field(default_factory=set)
    listener: Optional[Listener] = None
    settings: dict[str, Settings] = field(default_factory=dict)
    servers: Optional[Servers] = None
    watch: Optional[Watch] = None
    refusing: set[str] = field(default_factory=set)
