"""Replacing a lineage before it is due, during `certbot renew`. `watch` finds the reasons."""

from __future__ import annotations

import datetime
import logging
import os
from typing import TYPE_CHECKING, Optional

from certbot import errors as certbot_errors

from certbot_tcs_lyon1 import compat, errors, lineage

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig
    from certbot.interfaces import RenewableCert

    from certbot_tcs_lyon1.department.settings import Department, Settings
    from certbot_tcs_lyon1.process import Process
    from certbot_tcs_lyon1.watch.reasons import Watch, Watched

logger = logging.getLogger(__name__)


def replace_if_needed(
    config: NamespaceConfig, renewed: RenewableCert, settings: Settings, process: Process
) -> None:
    """Replace a lineage that is revoked, part of a campaign, or that the CA wants renewed (ARI).

    An error while looking for a reason is logged, and is no failure.

    :param config: certbot's, with the lineage's stored values
    :param renewed: certbot's object for the lineage
    :raises certbot.errors.PluginError: it can't be replaced now
    :raises Exception: the replacement failed, with what certbot raises for a renewal
    """
    if compat.is_test_run(config):
        return
    try:
        watch = _watch(config, process)
        department = _department(config, settings)
        watched = _watched(config, renewed.lineagename, department)
        now = datetime.datetime.now(datetime.timezone.utc)
        reason = watch.reason(watched, now, settings.revocation_check)
    except Exception:  # a certificate or a CRL may make a library raise anything
        logger.debug("%s could not be watched", renewed.lineagename, exc_info=True)
        return
    if reason is None:
        return
    server = department.server if department else config.server  # the order moves it there
    try:
        if server in process.rate_limited:
            raise errors.WatchError(
                f"{watched.name} is to be replaced ({reason.text}), but {server} said in this run "
                "that it has had too many orders (rateLimited)",
                "The next `certbot renew` tries again",
            )
        watch.begin(watched, reason, config.live_dir)
    except errors.WatchError as error:
        raise certbot_errors.PluginError(str(error)) from None
    process.report.info(f"{watched.name}: {reason.text}; replacing it.")
    try:
        compat.renew_before_due(config, renewed, reason.needs_new_key)
    except Exception as error:
        from certbot_tcs_lyon1.ca import problems

        if any(problem.kind == "rateLimited" for problem in problems.collect(error)):
            process.rate_limited.add(server)
        raise


def _watch(config: NamespaceConfig, process: Process) -> Watch:
    from certbot_tcs_lyon1.watch.reasons import Watch

    process.watch = process.watch or Watch(config.work_dir, process.report)
    return process.watch


def _watched(config: NamespaceConfig, name: str, department: Optional[Department]) -> Watched:
    from cryptography import x509

    from certbot_tcs_lyon1.watch.reasons import Watched

    live = lineage.read(os.path.join(config.live_dir, name))
    return Watched(
        name,
        x509.load_pem_x509_certificate(live.cert),
        live.chain,
        department.replace_issued_before if department else None,
        config.server if department and not compat.supports_ari() else "",
    )


def _department(config: NamespaceConfig, settings: Settings) -> Optional[Department]:
    from certbot_tcs_lyon1.ca import order

    try:
        return order.decide(config, settings).department
    except errors.OrderError as error:
        logger.debug("%s", error)
        return None
