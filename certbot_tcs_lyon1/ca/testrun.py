"""`--dry-run` and `--staging`: the CA has no test environment, so where and what can be tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certbot_tcs_lyon1.ca import directory
from certbot_tcs_lyon1.department.settings import Department, Settings
from certbot_tcs_lyon1.errors import ServerError
from certbot_tcs_lyon1.process import Process

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig


def check(
    config: NamespaceConfig, department: Department, settings: Settings, process: Process
) -> None:
    """Check that a department's order can be tested, and report what is tested and what is not.

    Of the department's own server only the directory is fetched.

    :param process: shows messages, and keeps which servers have answered
    :raises ServerError: a test is not possible, or the department's server does not answer
    """
    _check_directory(config, department, process)
    if department.dry_run_server is not None:
        if not config.dry_run:
            process.report.info(
                f"--staging: this certificate comes from {department.dry_run_server}, and will be "
                "renewed there until it is ordered again without --staging."
            )
    elif settings.dns:
        process.report.info(
            f"Test run at {config.server}: the DNS part is tested, the CA of department "
            f"{department.name} ({department.server}) is not. To test elsewhere, set "
            "dry_run_server."
        )
    else:
        raise ServerError(
            f"There is nothing to test with: the CA of department {department.name} has no test "
            f"environment, and at {config.server} every name has to be validated in the DNS, for "
            f"which {settings.path} has no [dns] section",
            f"The file is valid, and {department.server} answers. For more, set dry_run_server",
        )


def _check_directory(config: NamespaceConfig, department: Department, process: Process) -> None:
    if department.server in process.answered:
        return
    try:
        directory.read(config, department.server)
    except ServerError as error:
        raise ServerError(
            f"The server of department {department.name} does not answer as an ACME server: "
            f"{department.server}: {error.cause}",
            "Compare it with the ACME URL in the portal. If it is right, check that this machine "
            "reaches it by HTTPS (firewall, proxy)",
        ) from None
    process.answered.add(department.server)
