"""The reason to replace a certificate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A reason to replace a certificate.

    :ivar kind: `revoked`, `campaign` or `ari`
    :ivar key: distinguishes reasons of one kind
    :ivar text: for the user, after the certificate's name
    :ivar needs_new_key: don't use the old key again, even if the lineage has `reuse_key`
    """

    kind: str
    key: str
    text: str
    needs_new_key: bool = False
