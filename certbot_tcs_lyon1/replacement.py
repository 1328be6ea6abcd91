"""Replacing a lineage before it is due, within `certbot renew`; `watch` says why."""

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
    from certbot_tcs_lyon1.watch.reason import Reason

logger = logging.getLogger(__name__)


def replace_if_needed(
    config: NamespaceConfig, renewed: RenewableCert, settings: Settings, process: Process
) -> None:
    """Replace a lineage that is revoked, part of a campaign, or that the CA wants renewed.

    What goes wrong before there is a reason is a line of certbot's log, and no failure.

    :param config: certbot's, with the lineage's stored values
    :param renewed: the lineage, certbot's `RenewableCert`
    :raises Exception: the replacement failed; as certbot raises it for a renewal
    """
    if config.verb != "renew" or compat.is_test_run(config):
        return
    name = renewed.lineagename
    try:
        department = _department(config, settings)
        reason, serial = _reason(config, name, department, settings, process)
    except Exception:  # also what a certificate or CRL of others can make a library raise
        logger.debug("%s could not be watched", name, exc_info=True)
        return
    if reason is None:
        return
    server = department.server if department else config.server  # it moves with its department
    if server in process.refusing:
        raise certbot_errors.PluginError(
            f"{name} is to be replaced ({reason.text}), but {server} said in this run that "
            "it has had too many orders (rateLimited). The next `certbot renew` tries again."
        )
    _begin(config, name, serial, reason, process)
    process.report.info(f"{name}: {reason.text}; replacing it.")
    try:
        compat.replace(config, renewed, reason.needs_new_key)
    except Exception as error:
        if compat.is_rate_limited(error):
            process.refusing.add(server)
        raise


def _begin(
    config: NamespaceConfig, name: str, serial: int, reason: Reason, process: Process
) -> None:
    assert process.watch is not None  # it gave the reason
    try:
        process.watch.record.begin(name, serial, reason, config.live_dir)
    except errors.WatchError as error:
        raise certbot_errors.PluginError(str(error)) from None


def _reason(
    config: NamespaceConfig,
    name: str,
    department: Optional[Department],
    settings: Settings,
    process: Process,
) -> tuple[Optional[Reason], int]:
    """The reason, if any, and the live certificate's serial number."""
    from cryptography import x509

    from certbot_tcs_lyon1.watch.why import Watch, Watched

    if process.watch is None:
        process.watch = Watch(config.work_dir, process.report, settings.revocation_check)
    live = lineage.read(os.path.join(config.live_dir, name))
    certificate = x509.load_pem_x509_certificate(live.cert)
    asks_ca = department is not None and not compat.knows_ari()
    watched = Watched(
        name,
        certificate,
        live.chain,
        department.replace_issued_before if department else None,
        config.server if asks_ca else "",
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    return process.watch.reason(watched, now), certificate.serial_number


def _department(config: NamespaceConfig, settings: Settings) -> Optional[Department]:
    from certbot_tcs_lyon1.ca import order

    try:
        return order.decide(config, settings).department
    except errors.OrderError as error:
        logger.debug("%s", error)
        return None
