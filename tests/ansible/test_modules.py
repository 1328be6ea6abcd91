"""The modules of the collection, run as Ansible runs them on a host."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.fleet import VERSIONS
from tests.lab.pebble import new_hmac_key
from tests.lab.require import cannot_run
from tests.status.conftest import NAME, Machine

_CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=VERSIONS)
def run_module(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """`run_module(MODULE, …)`: what the module says, with each version of ansible-core."""
    python = _CHECKOUT / VERSIONS[request.param] / "bin" / "python"
    if not python.exists():
        cannot_run(f"no {python}: make fleet")
    namespace = tmp_path / "path" / "ansible_collections" / "univ_lyon1"
    namespace.mkdir(parents=True)
    (namespace / "tcs").symlink_to(_CHECKOUT / "ansible")

    def run(called: str, **given: Any) -> dict[str, Any]:
        bin_folder = f"{Path(sys.executable).parent}/"
        done = subprocess.run(
            [python, "-m", f"ansible_collections.univ_lyon1.tcs.plugins.modules.{called}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {"bin": bin_folder, **given}}),
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONPATH": str(tmp_path / "path"),
                "XDG_CONFIG_HOME": str(tmp_path / "home"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(json.loads(done.stdout))

    tmp_path.chmod(0o755)
    return run


@pytest.fixture
def write(run_module: Any, tmp_path: Path) -> Any:
    """`write(CONFIG, [FILE, …])`: what the module that writes a host's config says."""

    def run(config: str, files: list[dict[str, str]] | None = None, **more: Any) -> dict[str, Any]:
        path = str(tmp_path / "tcs-lyon1.ini")
        found: dict[str, Any] = run_module(
            "tcs_config", path=path, content=config, files=files or [], **more
        )
        return found

    return run


def config(folder: Path, *departments: str) -> str:
    """A department config as the role writes it."""
    sections = [
        f"[department {name}]\neab_hmac_key_file = {folder}/tcs-lyon1.{name}.hmac\n"
        f"domains = {name}.univ-lyon1.test\neab_kid = {name}\n"
        for name in departments
    ]
    return "\n".join(["# Ansible managed", "[tcs]", "agree_tos = yes", *sections])


def hmac(folder: Path, *departments: str) -> list[dict[str, str]]:
    """The files of the departments' HMAC keys."""
    return [
        {"path": f"{folder}/tcs-lyon1.{name}.hmac", "content": new_hmac_key()}
        for name in departments
    ]


def test_of_the_old_config_a_diff_shows_nothing_that_could_be_a_secret(
    write: Any, tmp_path: Path
) -> None:
    secrets = [f"{number}-{new_hmac_key()}" for number in range(9)]
    (tmp_path / "tcs-lyon1.ini").write_text(
        f"# {secrets[0]}\n;eab_hmac_key = {secrets[1]}\n[tcs] ; {secrets[2]}\n"
        f"agree_tos = no ;{secrets[3]}\n[department old]\nEab_Kid=old\n"
        f"EAB_HMAC_KEY = {secrets[4]}\n[dns]\nkey_secret =\n  {secrets[5]}\n"
        f"password = {secrets[6]}\n#agree_tos = {secrets[7]}\n{secrets[8]}\n",
        encoding="ascii",
    )
    new = config(tmp_path, "labo")
    told = write(new, hmac(tmp_path, "labo"), _ansible_check_mode=True, _ansible_diff=True)
    assert told["changed"] is True
    assert not any(secret in json.dumps(told) for secret in secrets)
    before = told["diff"]["before"].splitlines()
    for line in ("agree_tos = no (not shown)", "[department old]", "Eab_Kid=old", "[dns]"):
        assert line in before
    assert told["diff"]["after"] == new


def test_of_a_config_with_its_keys_inline_a_diff_shows_none(write: Any, tmp_path: Path) -> None:
    secrets = [new_hmac_key() for _ in range(3)]
    path = tmp_path / "tcs-lyon1.ini"
    new = f"[tcs]\neab_hmac_key = {secrets[0]}\n\tKEY_SECRET={secrets[1]}\n"
    path.write_text(new.replace(secrets[0], secrets[2]), encoding="ascii")
    told = write(new, [], _ansible_check_mode=True, _ansible_diff=True)
    assert told["changed"] is True
    assert not any(secret in json.dumps(told["diff"]) for secret in secrets)


@pytest.mark.parametrize(
    "content",
    [
        {"content_base64": "%%%%"},
        {"content_base64": "AAEC*"},
        {"content_base64": "AAE"},
        {"content_base64": "é"},
        {"content_base64": " \n"},
        {"content": "\n"},
    ],
)
def test_a_secret_that_is_damaged_or_empty_does_not_replace_the_good_one(
    write: Any, tmp_path: Path, content: dict[str, str]
) -> None:
    keytab = tmp_path / "tcs-lyon1.keytab"
    keytab.write_bytes(b"good")
    told = write("", [{"path": str(keytab), **content}])
    assert told["failed"] is True
    assert str(keytab) in told["msg"]
    assert keytab.read_bytes() == b"good"


def test_a_keytab_as_the_command_base64_folds_it_is_taken(write: Any, tmp_path: Path) -> None:
    keytab = bytes(range(256))
    folded = base64.encodebytes(keytab).decode("ascii")
    told = write("", [{"path": f"{tmp_path}/tcs-lyon1.keytab", "content_base64": folded}])
    assert told["changed"] is True
    assert (tmp_path / "tcs-lyon1.keytab").read_bytes() == keytab


def test_the_key_of_a_department_that_is_gone_does_not_stay_on_the_host(
    write: Any, tmp_path: Path
) -> None:
    both = hmac(tmp_path, "labo", "old")
    assert write(config(tmp_path, "labo", "old"), both)["changed"] is True
    by_hand = tmp_path / "tcs-lyon1.other.hmac"
    by_hand.write_text("of another config\n", encoding="ascii")
    files = {"path", "tcs-lyon1.ini", "tcs-lyon1.labo.hmac", "tcs-lyon1.other.hmac"}

    wrong = config(tmp_path, "labo").replace("agree_tos = yes", "agree_tos = maybe")
    assert write(wrong, both[:1])["failed"] is True
    assert {one.name for one in tmp_path.iterdir()} == files | {"tcs-lyon1.old.hmac"}

    assert write(config(tmp_path, "labo"), both[:1])["changed"] is True
    assert {one.name for one in tmp_path.iterdir()} == files
    assert write(config(tmp_path, "labo"), both[:1])["changed"] is False


def test_a_key_that_the_config_names_in_another_spelling_stays(write: Any, tmp_path: Path) -> None:
    write(config(tmp_path, "labo"), hmac(tmp_path, "labo"))
    key = tmp_path / "tcs-lyon1.labo.hmac"
    before = key.read_bytes()
    write(config(tmp_path, "labo").replace("eab_hmac_key_file = ", "eab_hmac_key_file="), [])
    assert key.read_bytes() == before


def test_nothing_is_left_aside_where_a_file_cannot_be_put_in_place(
    write: Any, tmp_path: Path
) -> None:
    before = sorted(one.name for one in tmp_path.iterdir())
    nowhere = [
        {"path": f"{tmp_path}/new.key", "content": "x"},
        {"path": f"{tmp_path}/missing/new.key", "content": "x"},
    ]
    told = write("", nowhere)
    assert "missing" in told["msg"]
    assert sorted(one.name for one in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("department", "options", "action"),
    [
        ("labo", "", ""),
        ("renamed", "", "renew"),
        ("autorenew", "", "renew"),
        ("renamed", "autorenew = False\n", ""),
    ],
)
def test_a_certificate_of_a_department_that_is_gone_is_renewed_unless_somebody_switched_that_off(
    run_module: Any, tmp_path: Path, department: str, options: str, action: str
) -> None:
    machine = Machine(tmp_path / "machine")
    machine.issue(options=options)
    machine.account()
    machine.configure()
    conf = machine.config_dir / "renewal" / f"{NAME}.conf"
    conf.write_text(conf.read_text().replace("department = labo", f"department = {department}"))
    (tmp_path / "home" / "letsencrypt").mkdir(parents=True)
    (tmp_path / "home" / "letsencrypt" / "cli.ini").write_text(
        f"config-dir = {machine.config_dir}\nlogs-dir = {machine.logs_dir}\n", encoding="utf-8"
    )
    told = run_module("tcs_certificate", name=NAME, _ansible_check_mode=True)
    assert told.get("action") == action, told
