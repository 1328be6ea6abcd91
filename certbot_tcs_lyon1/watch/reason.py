"""Why a certificate is to be replaced."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A reason.

    :param kind: `revoked`, `campaign` or `ari`
    :param key: tells one reason of that kind from another
    :param text: for the user, after the certificate's name
    :param needs_new_key: the old key is not to be used again, whatever the lineage says
    """

    kind: str
    key: str
    text: str
    needs_new_key: bool = False
