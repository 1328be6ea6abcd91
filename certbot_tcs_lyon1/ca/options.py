"""Single values from a department to certbot's config; what the user gave explicitly wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1 import compat
from certbot_tcs_lyon1.department.settings import Department

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig


def fill_registration(config: NamespaceConfig, department: Department) -> None:
    """Who registers: e-mail address and agreement to the terms, without any newsletter."""
    set_unless_given(config, "eff_email", False)
    if not config.register_unsafely_without_email:
        set_unless_given(config, "email", department.email)
    if department.agree_tos:
        config.tos = True


def set_unless_given(config: NamespaceConfig, name: str, value: object) -> None:
    """Set the option `name` to `value`, unless that is None, the user gave the option, or this
    certbot has no such option (`issuance_timeout` before 1.18)."""
    if value is not None and hasattr(config, name) and not compat.by_user(config, name):
        setattr(config, name, value)
