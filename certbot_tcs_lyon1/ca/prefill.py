"""From a department to certbot's config: server, EAB, e-mail, terms, the lineage's department.

`Plugin.prepare` calls this before certbot picks the ACME account, on the config object that
certbot then uses; so whatever is set here holds (DESIGN.md, "When the plugin touches certbot's
config"). Whatever the user gave explicitly wins.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from certbot_tcs_lyon1.department import Department, DepartmentError, Settings

#: The verbs that order certificates; for all others certbot's config is left alone.
ORDERING_VERBS = ("certonly", "run", "renew", "reconfigure")

#: The verbs for which certbot has put a lineage's stored values into its config.
_RESTORING_VERBS = ("renew", "reconfigure")

#: The config attribute, and so the renewal parameter, that records a lineage's department.
DEPARTMENT_DEST = "tcs_lyon1_department"


def choose_department(settings: Settings, wanted: Optional[str]) -> Department:
    """The department to order for.

    :param wanted: the name given by option or recorded in the lineage, or None
    :raises DepartmentError: if there is none of that name, or a choice is left open
    """
    names = ", ".join(department.name for department in settings.departments)
    if wanted is not None:
        for department in settings.departments:
            if department.name == wanted:
                return department
        raise DepartmentError(
            f"{settings.path}: there is no [department {wanted}] in it (there is: {names}). "
            "Put it back, or name another with --tcs-lyon1-department."
        )
    if len(settings.departments) == 1:
        return settings.departments[0]
    raise DepartmentError(
        f"{settings.path} has several departments ({names}). "
        "Say which one orders this certificate: --tcs-lyon1-department NAME."
    )


def prefill_test_run(
    config: Any, department: Department, *, has_default_server: bool
) -> Optional[str]:
    """Point a `--dry-run` or `--staging` at the department's `dry_run_server`, if it has one.

    EAB and account are left alone: they belong to the department's own server.

    :param has_default_server: the user named no server of his own for this test
    :returns: a line to show to the user, or None
    """
    if not has_default_server:
        return None
    if department.dry_run_server is not None:
        config.server = department.dry_run_server
        return None
    return (
        f"Test run against {config.server}: the DNS part is tested, the CA of department "
        f"{department.name} ({department.server}) is not. To test elsewhere, set dry_run_server."
    )


def prefill(config: Any, department: Department, by_user: Callable[[str], bool]) -> Optional[str]:
    """Fill certbot's config with the department's values, unless this order isn't the department's.

    :param config: certbot's `NamespaceConfig`, changed in place
    :param by_user: tells whether the user gave the option of that (destination) name
    :returns: a line to show to the user (the lineage moves to another server), or None
    """
    if config.server != department.server and _keeps_its_server(config, by_user):
        return None
    moved = _set_server(config, department)
    _set_unless_given(config, "email", department.email, by_user)
    _set_unless_given(config, "issuance_timeout", department.issuance_timeout, by_user)
    _set_unless_given(config, "eff_email", False, by_user)
    if department.agree_tos:
        config.tos = True
    if not by_user("eab_kid"):
        config.eab_kid = department.eab_kid
        config.eab_hmac_key = department.eab_hmac_key
    setattr(config, DEPARTMENT_DEST, department.name)
    return moved


def _keeps_its_server(config: Any, by_user: Callable[[str], bool]) -> bool:
    """Whether an order whose server isn't the department's stays where it is: the user named
    that server, or it is a renewal of a lineage that was made without a department."""
    if by_user("server"):
        return True
    return config.verb in _RESTORING_VERBS and getattr(config, DEPARTMENT_DEST) is None


def _set_server(config: Any, department: Department) -> Optional[str]:
    """Set the server; the account of a lineage goes with its server, so it is given up with it."""
    before = config.server
    if before == department.server:
        return None
    config.server = department.server
    if config.verb not in _RESTORING_VERBS:
        return None
    config.account = None
    return f"Department {department.name}: moving from {before} to {department.server}."


def _set_unless_given(config: Any, name: str, value: Any, by_user: Callable[[str], bool]) -> None:
    if value is not None and not by_user(name):
        setattr(config, name, value)
