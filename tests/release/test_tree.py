"""The checkout itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.release.source import ROOT

#: The package, the folders that dpkg-buildpackage and Ansible want, and what `make` makes (modules
#: of those names are about; they win over a folder without an __init__.py).
_MAY_BE_IMPORTED = {"certbot_tcs_lyon1", "debian", "ansible", "build", "dist"}

# Where an isolated Python (without the working folder) would import each of the names from.
_WHO_HAS_THEM = """
import importlib.util, json, sys
found = ((name, importlib.util.find_spec(name)) for name in sys.argv[1:])
print(json.dumps({name: str(spec.origin or spec.name) for name, spec in found if spec}))
"""


@pytest.mark.parametrize("python", sorted({"/usr/bin/python3", sys.executable}))
def test_no_folder_of_the_checkout_hides_a_module(python: str) -> None:
    """`python -c 'import packaging'`, typed in the checkout, finds a folder of that name first."""
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier()}
    assert {"docs", "release", "tests"} <= folders
    command = [python, "-I", "-c", _WHO_HAS_THEM, *sorted(folders - _MAY_BE_IMPORTED)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(done.stdout) == {}
