"""What one process learns and keeps.

certbot makes a `Plugin` anew for each lineage that it renews, so what is known of one lineage's
order for the next one lives here. `plugin` makes the one object, and hands it to the wings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from certbot_tcs_lyon1.report import Report


@dataclass
class Process:
    """What outlives one lineage.

    `answered` holds the ACME servers whose directory has answered: one look at each is enough.
    """

    report: Report
    answered: set[str] = field(default_factory=set)
