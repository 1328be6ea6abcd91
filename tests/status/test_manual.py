"""The manual of `certbot-tcs-lyon1`, its `--help` and the reference are one truth."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from certbot_tcs_lyon1 import status
from certbot_tcs_lyon1.status import command
from tests.status.conftest import NAME

ROOT = Path(__file__).resolve().parents[2]
_DEFINITION = re.compile(r"^``(--[^`]+)``\n((?:    .+\n)+)", re.MULTILINE)


def _verbs() -> dict[str, argparse.ArgumentParser]:
    (found,) = [a for a in command.parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found.choices)


def _options(parser: argparse.ArgumentParser) -> dict[str, str]:
    return {
        " ".join(filter(None, (action.option_strings[0], action.metavar))): action.help
        for action in parser._actions
        if action.option_strings and action.dest != "help"
    }


def _section(title: str) -> dict[str, str]:
    text = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", status.__doc__, re.M | re.S)[1]
    return {option: " ".join(words.split()) for option, words in _DEFINITION.findall(text)}


def test_the_manual_says_of_each_option_what_the_help_says():
    shared = _section("Options of each command")
    assert len(shared) == 4
    for verb, parser in _verbs().items():
        assert _options(parser) == {**shared, **_section(f"Options of {verb}")}


def test_the_manual_has_each_command_as_the_help_has_it():
    text = re.sub(r"\s+", " ", command.parser().format_help())
    for verb in _verbs():
        meaning = re.search(rf"^``certbot-tcs-lyon1 {verb}\b.*``\n    (.+)$", status.__doc__, re.M)[
            1
        ]
        assert f"{verb} {meaning}" in text


def test_the_manual_and_the_help_name_each_form_that_ends_with_0_whatever_is_wrong(
    machine, tmp_path
):
    machine.issue(left=5)
    codes = {
        words[0] if words else "": command.main(machine.arguments("check", *words))
        for words in ((), ("--json",), ("--checkmk",), ("--prometheus", str(tmp_path / "x.prom")))
    }
    manual = status.__doc__.partition("Exit codes\n----")[2].partition("JSON\n----")[0]
    for text in (manual, command.parser().epilog):
        assert set(re.findall(r"--\w+", text)) == {form for form in codes if codes[form] == 0}


def test_the_reference_shows_the_manual_itself():
    assert ".. automodule:: certbot_tcs_lyon1.status\n" in (ROOT / "docs/reference.rst").read_text()


def _keys(value) -> set[str]:
    """The keys of JSON's objects, at whatever depth."""
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def test_the_manual_has_every_key_of_the_json_and_no_other(machine, capsys):
    machine.log(f"Failed to renew certificate {NAME} with error: x")
    machine.configure(
        "[dns]\nserver = 127.0.0.1\nkey_name = k\nkey_secret = c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU=\n"
        f"[install web]\ncertificate = {NAME}\nfullchain = /nowhere/x\nserves = 127.0.0.1:1\n"
    )
    command.main(machine.arguments("check", "--json"))
    found = _keys(json.loads(capsys.readouterr().out)) - {"schema"}
    table = status.__doc__.partition("JSON\n----")[2].partition("=====")[2]
    assert set(re.findall(r"``(\w+)``", table)) == found
