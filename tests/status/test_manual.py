"""The manual of `certbot-tcs-lyon1`, its `--help` and the reference are one truth."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from certbot_tcs_lyon1 import status
from certbot_tcs_lyon1.status import command

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


def test_the_reference_shows_the_manual_itself():
    assert ".. automodule:: certbot_tcs_lyon1.status\n" in (ROOT / "docs/reference.rst").read_text()
