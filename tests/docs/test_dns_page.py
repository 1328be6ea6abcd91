"""docs/dns.rst and docs/dns.en.rst: what they show works on the real servers, as it is written."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.docs import dns_machines, dns_page
from tests.docs.blocks import ROOT
from tests.docs.dns_machines import DENIED, LABO, VALUE, WIKI_TARGET
from tests.lab import process
from tests.lab.require import cannot_run

ALL = ["ns-maj", "ns1", "ns2"]
TXT = [f'TXT "{VALUE}"']
SIGNED = ["RRSIG TXT", *TXT]

Seen = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What was seen in one of `dns_machines.SCENARIOS`; each is done once for all workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def result(scenario: str) -> dict[str, Any]:
        reason = dns_machines.why_not()
        if reason:
            cannot_run(reason)
        folder = shared / f"dns-page-{scenario}"
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "seen.json").exists():
                _do(scenario, folder)
        found: dict[str, Any] = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
        return found

    return result


def _do(scenario: str, folder: Path) -> None:
    unshare = ["unshare", "--net", "--mount", "--propagation=private", "--"]
    module = [sys.executable, "-m", "tests.docs.dns_machines", scenario, str(folder)]
    process.output(scenario, [*unshare, *module], ROOT, seconds=180)


def shown(marker: str) -> re.Pattern[str]:
    """An output block of the page, as a pattern: … is anything, and lines are folded anywhere."""
    blocks = dns_page.blocks(dns_page.FRENCH)
    [text] = [b.text for b in blocks if (b.mark, b.about) == ("output", marker)]
    words = [re.escape(word).replace("…", r"\S+") for word in text.split()]
    return re.compile(r"\s+".join(words))


# The page itself


def test_the_english_page_has_every_block_of_the_french_one():
    french, english = (
        [(block.mark, block.about, block.text) for block in dns_page.blocks(page)]
        for page in (dns_page.FRENCH, dns_page.ENGLISH)
    )
    assert french == english
    assert len(french) > 30


def test_every_example_file_is_on_the_page():
    files = {str(f.relative_to(dns_page.DOCS)) for f in dns_page.EXAMPLES.rglob("*") if f.is_file()}
    included = {b.source for b in dns_page.blocks(dns_page.FRENCH)} - {""}
    assert files == included


def test_every_example_file_was_loaded_into_a_server(seen):
    files = {str(f.relative_to(dns_page.EXAMPLES)) for f in dns_page.EXAMPLES.rglob("*.*")}
    assert files == {
        name for scenario in dns_machines.SCENARIOS for name in seen(scenario)["loaded"]
    }


@pytest.mark.parametrize("scenario", ["bind", "knot", "pdns"])
def test_every_command_of_the_page_was_run(seen, scenario):
    assert seen(scenario)["all done"]


# What the plugin sends


def test_as_many_queries_and_updates_as_the_page_says(seen):
    told = "7 requêtes et 2 mises à jour"
    assert told in " ".join(dns_page.text(dns_page.FRENCH).split())
    assert seen("bind")["queries"]["ns-maj"] == 7
    assert seen("bind")["updates"] == 2


def test_an_update_is_as_large_as_the_page_says(seen):
    one, ten, hundred = seen("bind")["sizes"]
    assert f"{one} octets pour un nom, environ 1 ko pour 10, et 9 ko pour 100" in " ".join(
        dns_page.text(dns_page.FRENCH).split()
    )
    assert (round(ten, -3), round(hundred, -3)) == (1000, 9000)


# The least rights


@pytest.mark.parametrize(("scenario", "servers"), [("bind", ALL), ("knot", ALL)])
def test_the_granted_name_is_published_everywhere_and_withdrawn(seen, scenario, servers):
    labo = seen(scenario)["labo"]
    assert labo["during"] == dict.fromkeys(servers, TXT)
    assert labo["gone"]


@pytest.mark.parametrize("scenario", ["bind", "knot", "pdns"])
def test_a_cname_leads_into_the_signed_zone_for_challenges(seen, scenario):
    wiki = seen(scenario)["wiki"]
    assert wiki["during"] == dict.fromkeys(ALL, SIGNED)
    assert wiki["gone"]


@pytest.mark.parametrize(
    ("scenario", "name", "answer"),
    [("bind", DENIED, "REFUSED"), ("knot", DENIED, "BADKEY"), ("pdns", LABO, "REFUSED")],
)
def test_a_name_that_is_not_granted_is_refused(seen, scenario, name, answer):
    message = seen(scenario)["refused"]
    assert f"tcs-lyon1: {answer}" in message
    assert name in message


def test_the_whole_zone_for_challenges_can_be_granted_at_once(seen):
    assert dns_machines.GRANT_WHOLE in dns_page.text(dns_page.FRENCH)
    assert seen("bind")["zonesub"]["during"] == dict.fromkeys(ALL, SIGNED)


def test_the_section_of_the_zone_for_challenges_is_the_one_that_is_used(seen):
    assert seen("bind")["section"] == ["dns acme.univ-lyon1.fr"]


def test_the_key_can_be_tried_without_certbot(seen):
    assert seen("bind")["nsupdate"] == ""


def test_the_key_file_is_for_root_alone_in_the_end(seen):
    assert seen("bind")["key mode before"] == "0o640"
    assert seen("bind")["key mode"] == "0o600"


def test_from_outside_each_name_server_shows_the_record(seen):
    assert seen("bind")["labo"]["meanwhile"] == f'"{VALUE}"\n' * 2


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("bind", "zone acme.univ-lyon1.fr/IN: loaded serial"),
        ("views", "zone univ-lyon1.fr/IN: loaded serial"),
        ("knot", "Configuration is valid"),
    ],
)
def test_the_server_itself_finds_no_fault_in_the_example(seen, scenario, words):
    check = seen(scenario)["check"]
    assert words in check
    assert "warning" not in check
    assert "inline-signing" not in check  # BIND's hint about 9.20


# Views


def test_with_views_the_external_name_servers_get_the_record(seen):
    during = seen("views")["labo"]["during"]
    assert during == {"ns-maj": [], "ns1": TXT, "ns2": TXT}
    assert seen("views")["labo"]["gone"]


def test_with_views_and_without_check_servers_the_internal_name_server_is_named(seen):
    message = seen("views")["without check_servers"]
    assert "ns-maj.univ-lyon1.fr (192.0.2.10): stale" in message


def test_with_views_a_name_that_is_not_granted_is_refused(seen):
    assert DENIED in seen("views")["refused"]


# Operation


@pytest.mark.parametrize("scenario", ["bind", "knot"])
def test_a_frozen_zone_can_be_edited_and_takes_updates_again(seen, scenario):
    freeze = seen(scenario)["freeze"]
    assert "REFUSED" in freeze["frozen"]
    assert freeze["edit arrived"]
    assert freeze["again"]["during"] == {"ns-maj": TXT, "ns1": TXT}


def test_the_journal_is_gone_after_a_sync(seen):
    assert "univ-lyon1.fr.zone.jnl" not in seen("bind")["journals"]
    assert "acme.univ-lyon1.fr.zone.jnl" in seen("bind")["journals"]


@pytest.mark.parametrize(
    ("marker", "scenario", "what"),
    [
        ("bind refused", "bind", "refused log"),
        ("bind frozen", "bind", "frozen log"),
        ("bind unknown key", "bind", "unknown key log"),
        ("knot refused", "knot", "refused log"),
        ("pdns refused", "pdns", "refused log"),
        ("message refused", "bind", "refused"),
    ],
)
def test_logs_and_message_are_as_shown(seen, marker, scenario, what):
    assert shown(marker).search(seen(scenario)[what])


def test_knot_is_silent_about_a_refusal_at_level_info(seen):
    assert seen("knot")["quiet log"] == []


# Removing the key


@pytest.mark.parametrize(
    ("scenario", "answer"),
    [("bind", "tcs-lyon1: BADKEY"), ("knot", "tcs-lyon1: BADKEY"), ("pdns", "Check the key")],
)
def test_a_removed_key_is_refused(seen, scenario, answer):
    """PowerDNS signs no more then, and the alias that it still shows is not followed."""
    assert answer in seen(scenario)["removed"]


def test_pdns_takes_unsigned_updates_only_if_its_metadata_go_in_the_wrong_order(seen):
    assert seen("pdns")["unsigned in the wrong order"] == "NOERROR"
    assert seen("pdns")["unsigned"] == "REFUSED"
    assert WIKI_TARGET in seen("pdns")["removed"]
