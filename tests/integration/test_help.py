"""The options, as certbot's help, the package's docstring and the README say them: one truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import certbot_tcs_lyon1
from tests.integration.options import defined_in

README = Path(__file__).resolve().parents[2] / "README.rst"


def test_the_readme_and_the_manual_say_the_same_of_each_option():
    assert len(defined_in(certbot_tcs_lyon1.__doc__)) == 3
    assert defined_in(README.read_text("utf-8")) == defined_in(certbot_tcs_lyon1.__doc__)


def test_the_help_says_of_each_option_what_the_manual_says(client):
    shown = client.run("--help", "tcs-lyon1")
    assert shown.returncode == 0
    # argparse breaks lines at the hyphens of words, too.
    text = re.sub(r"\s+", "", shown.stdout)
    for option, meaning in defined_in(certbot_tcs_lyon1.__doc__).items():
        assert re.sub(r"\s+", "", option + meaning) in text
    assert set(re.findall(r"^  (--tcs-lyon1-\S+)", shown.stdout, re.MULTILINE)) == {
        option.split()[0] for option in defined_in(certbot_tcs_lyon1.__doc__)
    }


@pytest.mark.parametrize("topic", ["tcs-lyon1"])
def test_the_help_begins_with_what_the_plugin_does(client, topic):
    text = re.sub(r"\s+", "", client.run("--help", topic).stdout)
    assert re.sub(r"\s+", "", certbot_tcs_lyon1.HELP) in text
