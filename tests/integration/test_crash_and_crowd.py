"""certbot killed at each step of a challenge, and twenty certbots at one alias at once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.commands import CERTONLY, CHALLENGE, kill
from tests.lab import front, pebble, proxy, zones
from tests.lab import lab as lab_module
from tests.lab.certbot import Certbot
from tests.lab.require import require_lab

JOURNAL = "work/tcs-lyon1-journal.json"


def killer(client: Certbot, opcode: str, count: int, *, after: bool) -> Callable[..., Any]:
    """A proxy's behaviour: kill certbot when this message comes, before or after it is served."""

    def behave(query: proxy.Query, ask: Any) -> Any:
        if (query.opcode, query.count) != (opcode, count):
            return ask()
        if after:
            ask()
        kill(client)
        return proxy.SILENCE

    return behave


# The first UPDATE publishes, the second one withdraws; the second query reads back.
@pytest.mark.parametrize(
    ("opcode", "count", "after"),
    [
        ("QUERY", 1, False),
        ("UPDATE", 1, False),
        ("UPDATE", 1, True),
        ("QUERY", 3, True),
        ("UPDATE", 2, False),
        ("UPDATE", 2, True),
    ],
    ids=[
        "before the journal",
        "written down, not sent",
        "published, no reply",
        "while waiting",
        "validated, not withdrawn",
        "withdrawn, not struck off",
    ],
)
def test_after_a_kill_the_next_run_succeeds_and_leaves_nothing(
    lab, client, configure, between, opcode, count, after
):
    configure(lab.department_config(dns={"server": str(between.endpoint)}))
    between.behave = killer(client, opcode, count, after=after)
    killed = client.run(*CERTONLY)
    assert killed.returncode == -signal.SIGKILL
    assert (client.folder / JOURNAL).exists() == ((opcode, count) != ("QUERY", 1))

    between.behave = proxy.passed
    again = client.run(*CERTONLY)
    assert again.returncode == 0, again.output
    assert lab.primary.txt(CHALLENGE) == []
    assert not (client.folder / JOURNAL).exists()


@pytest.mark.parametrize(
    "after", [False, True], ids=["before the CA heard of it", "and the CA has"]
)
def test_after_a_kill_during_registration_the_next_run_succeeds(lab, client, configure, after):
    def behave(request: front.Request, ask: front.Ask) -> Any:
        if request.step != "newAccount":
            return ask()
        if after:
            ask()
        kill(client)
        return None

    with front.running(lab.pebble, behave) as ca:
        configure(lab.department_config(tcs={"server": ca.directory_url}))
        trusting = {"REQUESTS_CA_BUNDLE": str(ca.ca_bundle)}
        assert client.run(*CERTONLY, env=trusting).returncode == -signal.SIGKILL
        ca.behave = front.passed
        again = client.run(*CERTONLY, env=trusting)
    assert again.returncode == 0, again.output
    assert len(client.accounts()) == 1


def test_a_damaged_journal_draws_a_warning_and_is_never_fatal(lab, client, configure):
    configure(lab.department_config())
    (client.folder / "work").mkdir(parents=True)
    (client.folder / JOURNAL).write_text("{", encoding="utf-8")
    result = client.run(*CERTONLY)
    assert result.returncode == 0, result.output
    assert f"{JOURNAL}.damaged" in result.output


def test_twenty_certbots_at_one_alias_lose_no_record_of_each_other(tmp_path):
    require_lab()
    zone, shared = "univ-lyon1.test", "_shared.univ-lyon1.test"
    key, admin = zones.new_key("tcs-lyon1"), zones.new_key("lab-admin")
    hosts = [f"host{number}" for number in range(20)]
    aliases = "".join(f"_acme-challenge.{host} CNAME _shared\n" for host in hosts)
    policy = (f"grant {key.name} name {shared}. TXT;", f"grant {admin.name} zonesub ANY;")
    text = zones.zone_text(zone, {"ns1": "127.0.0.1"}, aliases)
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(
            lab_module.start(tmp_path, key=key, zone_list=[zones.Zone(zone, text, policy)])
        )
        # Pebble asks by UDP without EDNS: about 7 records at one name are more than it can read.
        ca = stack.enter_context(
            pebble.running(
                tmp_path / "gullible",
                lab.secondary.endpoint,
                lab.eab_keys,
                env={"PEBBLE_VA_ALWAYS_VALID": "1"},
            )
        )

        def issue(host: str) -> str:
            client = Certbot(tmp_path / host, ca.ca_bundle, lab.client.executable)
            client.configure(lab.department_config(tcs={"server": ca.directory_url}))
            result = client.run("certonly", "-n", "-a", "tcs-lyon1", "-d", f"{host}.{zone}")
            return "" if result.returncode == 0 else result.output

        with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
            failures = [output for output in pool.map(issue, hosts) if output]
        assert failures == []
        log = "\n".join(lab.primary.update_log())
        assert log.count(f"adding an RR at '{shared}' TXT") == len(hosts)
        assert log.count(f"deleting an RR at {shared} TXT") == len(hosts)
        assert lab.primary.txt(shared) == []
