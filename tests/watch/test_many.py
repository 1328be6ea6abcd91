"""Many lineages: revoked all at once, and a campaign in runs that are killed."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess

from tests.lab import process
from tests.watch.authority import NAME, ORDER, exchange

#: Lineages that are replaced, and kills; CAMPAIGN_LINEAGES=100 for more.
LINEAGES = int(os.environ.get("CAMPAIGN_LINEAGES", "10"))
KILLS = 10


def versions(client, name):
    return len({p.read_bytes() for p in (client.config_dir / "archive" / name).glob("cert*.pem")})


def test_all_that_the_ca_has_revoked_is_replaced_in_one_run(lab, client, ca, web):
    client.configure(lab.department_config())
    done = client.run(*ORDER)
    assert done.returncode == 0, done.output
    leaf = exchange(client, ca, [f"{web.url}/many.crl"])
    web.put("many.crl", ca.crl({leaf.serial: "superseded"}))
    names = [NAME, *(f"own{i}" for i in range(LINEAGES - 1))]
    for name in names[1:]:
        client.copy_lineage(NAME, name)
    for _ in range(2):
        done = client.run("renew", timeout=600)
        assert done.returncode == 0, done.output
        assert {name: versions(client, name) for name in names} == dict.fromkeys(names, 2)
    assert len([line for line in web.requests() if line.startswith("/many.crl")]) == 1


def test_a_campaign_that_is_killed_ten_times_replaces_each_lineage_once(lab, client, ca):
    other = f"\n[department other]\neab_kid = {lab.eab_kid}\neab_hmac_key = {lab.eab_hmac_key}\n"
    client.configure(lab.department_config(more=other))
    done = client.run(*ORDER, "--tcs-lyon1-department", "test-dsi")
    assert done.returncode == 0, done.output
    exchange(client, ca, [], days_old=3)
    names = [NAME, *(f"own{i}" for i in range(LINEAGES - 1))]
    others = [f"other{i}" for i in range(3)]
    for name in (*names[1:], *others):
        client.copy_lineage(NAME, name)
    for name in others:
        path = client.config_dir / "renewal" / f"{name}.conf"
        text = path.read_text("utf-8")
        path.write_text(text.replace("department = test-dsi", "department = other"), "utf-8")
    yesterday = datetime.date.today() - datetime.timedelta(days=1)
    text = lab.department_config(department={"replace_issued_before": str(yesterday)}, more=other)
    client.configure(text)

    for _ in range(KILLS):
        popen = subprocess.Popen(
            process.dies_with_us([client.executable, "renew", *client.folder_options()]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=client.environment(),
            start_new_session=True,
        )
        try:  # a random point of the run
            popen.wait(random.uniform(1, 1 + LINEAGES / 5))
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
    done = client.run("renew", timeout=600)
    assert done.returncode == 0, done.output
    assert {name: versions(client, name) for name in names} == dict.fromkeys(names, 2)
    assert {name: versions(client, name) for name in others} == dict.fromkeys(others, 1)
    again = client.run("renew", timeout=600)
    assert again.returncode == 0, again.output
    assert sum(versions(client, name) for name in names) == 2 * LINEAGES
