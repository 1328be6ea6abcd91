"""A machine that certbot itself has set up, broken in many ways: `check` or `test` names each.

It runs on whatever certbot there is, so in the matrix on the oldest and the newest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import dns.resolver
import pytest

from certbot_tcs_lyon1.status import command, timer
from tests.lab import bind, ports, process, zones
from tests.lab.certbot import Certbot
from tests.lab.files import write_private
from tests.lab.require import require_root

NAME = "www.labo.univ-lyon1.test"
CHALLENGE = f"_acme-challenge.{NAME}"


@dataclass(frozen=True)
class Broken:
    """The machine: `root` is the folder of everything of certbot's."""

    root: Path
    bundle: Path
    client: Certbot

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def conf(self) -> Path:
        return self.config / "renewal" / f"{NAME}.conf"

    @property
    def deployed(self) -> Path:
        return self.root / "tls" / "privkey.pem"

    def live(self, kind: str) -> Path:
        return self.config / "live" / NAME / f"{kind}.pem"

    def archive(self, kind: str) -> Path:
        return self.config / "archive" / NAME / f"{kind}1.pem"

    def ini(self) -> Path:
        return self.config / "tcs-lyon1.ini"

    def accounts(self) -> list[Path]:
        return [path.parent for path in (self.config / "accounts").rglob("regr.json")]

    def arguments(self, verb: str, *more: str) -> list[str]:
        folders = [f"--{name}-dir={self.root / name}" for name in ("config", "work", "logs")]
        return [verb, *folders, *more]

    def elsewhen(self, when: str, verb: str, *more: str) -> tuple[int, str]:
        """Run the command with the clock set otherwise; exit code and output."""
        words = [process.need("faketime", "faketime"), "-f", when, sys.executable, "-m"]
        words += ["certbot_tcs_lyon1.status.command", *self.arguments(verb, *more)]
        environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(self.bundle), "PYTHONUTF8": "1"}
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            env={**environment, "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        )
        return done.returncode, done.stdout.decode()


@pytest.fixture(scope="module")
def original(lab, tmp_path_factory):
    """What certbot makes: one certificate, deployed."""
    client = lab.new_client("broken")
    (client.folder / "tls").mkdir(parents=True)
    write_private(client.folder / "password", "changeit\n")
    tls = client.folder / "tls"
    more = f"[install web]\ncertificate = {NAME}\nprivkey = {tls}/privkey.pem\n"
    more += f"pkcs12 = {tls}/all.p12\npkcs12_password_file = {client.folder}/password\n"
    client.configure(lab.department_config(more=more))
    plugins = ["-a", "tcs-lyon1", "-i", "tcs-lyon1"]
    for words in (
        ("run", "-n", *plugins, "-d", NAME),
        ("renew", "-n", "--no-random-sleep-on-renew"),
    ):
        done = client.run(*words)
        assert done.returncode == 0, done.output
    kept = tmp_path_factory.mktemp("kept") / "all"
    shutil.copytree(client.folder, kept, symlinks=True)
    return Broken(client.folder, lab.pebble.ca_bundle, client), kept


@pytest.fixture
def broken(original, resolver, monkeypatch):
    """The machine as certbot left it."""
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    found, kept = original
    shutil.rmtree(found.root)
    shutil.copytree(kept, found.root, symlinks=True)
    on = timer.Timer("certbot.timer", enabled=True, active=True)
    monkeypatch.setattr(timer, "find", lambda: on)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(found.bundle))
    return found


@pytest.fixture
def run(broken, capsys):
    """Run the command; exit code and output, in which nothing looks like a traceback."""

    def run(verb: str, *more: str) -> tuple[int, str]:
        code = command.main(broken.arguments(verb, *more))
        said = capsys.readouterr()
        assert said.err == ""
        return code, said.out

    return run


def test_what_certbot_has_just_made_is_right(run):
    assert run("check") == (0, run("check")[1])
    assert run("check")[1].startswith("TCS OK - ")
    assert "✗" not in run("test", NAME)[1]


def test_what_certbots_own_log_says_of_its_runs_is_read(run, broken, original, lab):
    """Its wordings and its clock, those of the certbot that is here."""
    client = original[0].client
    renew = ("renew", "-n", "--no-random-sleep-on-renew", "--force-renewal")
    kept = broken.ini().read_text()
    before = json.loads(run("check", "--json")[1])["last_renew"]
    there = f"[tcs]\ndry_run_server = {lab.pebble.directory_url}\n"
    broken.ini().write_text(kept.replace("[tcs]\n", there))
    client.run(*renew, "--dry-run")
    broken.ini().write_text(kept)
    assert client.run("certificates").returncode == 0
    assert json.loads(run("check", "--json")[1])["last_renew"] == before
    assert run("check")[0] == 0
    begun = int(time.time())
    assert client.run(*renew).returncode == 0
    whole = json.loads(run("check", "--json")[1])
    assert begun <= whole["last_renew"] <= time.time()
    assert whole["lineages"][0]["failure"] is None
    other = zones.write_key_file(broken.root / "other.key", zones.new_key("other"))
    broken.ini().write_text(re.sub("key_file = .*", f"key_file = {other}", kept))
    # In 1 of 100 orders Pebble takes a valid authorization again, and needs no record.
    assert any(client.run(*renew, "--cert-name", NAME).returncode for _ in range(4))
    whole = json.loads(run("check", "--json")[1])
    failure = whole["lineages"][0]["failure"]
    assert begun <= failure["when"] <= time.time()
    assert "with the TSIG key other: BADKEY" in failure["cause"]
    code, output = run("check")
    assert code == 1
    assert "the last renewal failed (" in output
    broken.ini().write_text(kept)
    assert client.run(*renew).returncode == 0
    assert run("check")[0] == 0


def _replace(path: Path, text: bytes) -> None:
    path.unlink()
    path.write_bytes(text)


def _with_link(kind: str, end: str):
    def damage(machine: Broken) -> None:
        machine.live(kind).unlink()
        machine.live(kind).symlink_to(f"../../archive/{NAME}/{end}")

    return damage


def _with_conf(edit):
    def damage(machine: Broken) -> None:
        machine.conf.write_bytes(edit(machine.conf.read_bytes()))

    return damage


def _with_other_key(machine: Broken) -> None:
    make = [process.need("openssl", "openssl"), "genpkey", "-algorithm", "EC", "-pkeyopt"]
    make += ["ec_paramgen_curve:P-256", "-out", str(machine.archive("privkey"))]
    subprocess.run(make, check=True, capture_output=True)


def _without_middle(machine: Broken) -> None:
    lines = machine.archive("cert").read_text().splitlines(keepends=True)
    machine.archive("cert").write_text("".join([*lines[:3], *lines[-2:]]))


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _copied(machine: Broken) -> None:
    for kind in ("cert", "chain", "fullchain", "privkey"):
        _replace(machine.live(kind), machine.live(kind).read_bytes())


def _without_accounts(machine: Broken) -> None:
    shutil.rmtree(machine.config / "accounts")


def _with_account_cut_short(machine: Broken) -> None:
    for folder in machine.accounts():
        (folder / "regr.json").write_text("{", encoding="ascii")


def _without_server(machine: Broken) -> None:
    lines = machine.conf.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("server = ")]
    machine.conf.write_text("\n".join(kept), encoding="utf-8")


def _with_empty_account(machine: Broken) -> None:
    for folder in machine.accounts():
        key = folder / "private_key.json"  # 0400
        key.unlink()
        key.touch()


def _with_others_file(machine: Broken) -> None:
    require_root("a file is given to another user")
    os.chown(machine.deployed, 1, 1)


def _with_other_department(machine: Broken) -> None:
    text = machine.ini().read_text()
    machine.ini().write_text(text.replace("[department test-dsi]", "[department other]"))


def _with_other_domains(machine: Broken) -> None:
    machine.ini().write_text(re.sub(r"domains = .*", "domains = x.test", machine.ini().read_text()))


_SWITCHED_OFF = b"[renewalparams]\nautorenew = False\n"

DAMAGE = {
    "a live link cut short": (_with_link("cert", "cer"), 2, "live/.*cert.pem: No such file"),
    "a key's link gone": (lambda m: m.live("privkey").unlink(), 2, "privkey.pem: No such file"),
    "a link to itself": (_with_link("chain", f"../../live/{NAME}/chain.pem"), 2, "chain.pem"),
    "files in place of links": (_copied, 2, "no symbolic link"),
    "live gone": (lambda m: shutil.rmtree(m.live("cert").parent), 2, "No such file"),
    "archive gone": (lambda m: shutil.rmtree(m.archive("cert").parent), 2, "No such file"),
    "half a certificate": (lambda m: _half(m.archive("cert")), 2, "cert.pem: it is damaged"),
    "a certificate's middle gone": (_without_middle, 2, "cert.pem: it is damaged"),
    "half a chain": (lambda m: _half(m.archive("chain")), 2, "not cert.pem and chain.pem"),
    "half a fullchain": (lambda m: _half(m.archive("fullchain")), 2, "not cert.pem and chain.pem"),
    "half a key": (lambda m: _half(m.archive("privkey")), 2, "cannot be used together"),
    "an empty key": (lambda m: m.archive("privkey").write_bytes(b""), 2, "cannot be used togeth"),
    "another key": (_with_other_key, 2, "cannot be used together"),
    "a conf of bytes": (_with_conf(lambda _: b"\x00\xff\xfe[["), 2, "it is damaged"),
    "an empty conf": (_with_conf(lambda _: b""), 2, "it is damaged"),
    "half a conf": (_with_conf(lambda text: text[: len(text) // 3]), 2, "it is damaged"),
    "a conf of words": (_with_conf(lambda _: b"renewalparams = x\n"), 2, "it is damaged"),
    "a conf without the chain": (
        _with_conf(lambda text: re.sub(rb"(?m)^chain = .*\n", b"", text)),
        2,
        "it does not say where chain is",
    ),
    "a conf that refers to nothing": (
        _with_conf(lambda text: text.replace(b"server = ", b"server = %(x)s")),
        2,
        "it is damaged",
    ),
    "a conf gone": (lambda m: m.conf.unlink(), 2, rf"renewal/{NAME}.conf: No such file"),
    "a folder for a conf": (lambda m: (m.conf.unlink(), m.conf.mkdir()), 2, f"{NAME}.conf"),
    "the accounts gone": (_without_accounts, 2, "ACME account .* is gone"),
    "an account's key emptied": (_with_empty_account, 2, "ACME account .* is gone"),
    "an account cut short": (_with_account_cut_short, 2, "ACME account .* damaged"),
    "no server in the renewal conf": (_without_server, 2, "it names no server"),
    "the config gone": (lambda m: m.ini().unlink(), 2, "tcs-lyon1.ini: it is not there"),
    "a config of bytes": (lambda m: m.ini().write_bytes(b"\x00\xff"), 2, r"\[config\]"),
    "a config for all to write": (lambda m: m.ini().chmod(0o666), 2, "chmod"),
    "a department renamed": (
        _with_other_department,
        1,
        "not be renewed: .*no .department test-dsi",
    ),
    "a domain taken out": (_with_other_domains, 1, "not be renewed: "),
    "a renewal switched off": (
        _with_conf(lambda text: text.replace(b"[renewalparams]\n", _SWITCHED_OFF)),
        1,
        "autorenew = False; take",
    ),
    "a target's certificate misspelt": (
        lambda m: m.ini().write_text(m.ini().read_text().replace(f"= {NAME}", "= ww.x.test")),
        1,
        "install web. ww.x.test: certbot has no such certificate",
    ),
    "a deployed file gone": (lambda m: m.deployed.unlink(), 1, "privkey.pem is not there"),
    "a deployed file spoilt": (lambda m: _half(m.deployed), 1, "is not the live version"),
    "a keystore spoilt": (
        lambda m: _half(m.deployed.with_name("all.p12")),
        1,
        "all.p12 is not the live version",
    ),
    "a keystore's password changed": (
        lambda m: (m.root / "password").write_text("another\n"),
        1,
        "all.p12 is not the live version",
    ),
    "a keystore's password gone": (
        lambda m: (m.root / "password").unlink(),
        1,
        "all.p12 cannot be looked at",
    ),
    "a deployed file for all": (lambda m: m.deployed.chmod(0o644), 1, "mode 0644, and not"),
    "a deployed file of others": (_with_others_file, 1, "has owner 1, group 1"),
    "a target's folder gone": (lambda m: shutil.rmtree(m.deployed.parent), 1, "its folder cannot"),
    "a pipe for a deployed file": (
        lambda m: (m.deployed.unlink(), os.mkfifo(m.deployed)),
        1,
        "not an ordinary file",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_check_names(run, broken, damage):
    break_it, code, words = DAMAGE[damage]
    break_it(broken)
    found, output = run("check")
    assert found == code
    assert re.search(words, output)
    for form in ("--json", "--checkmk"):
        run("check", form)
    assert run("status")[0] == 0


@pytest.mark.parametrize("name", ["x" * 200, "étude", "a b", "x\n[department y]", "%(x)s"])
def test_a_lineage_of_any_name_is_told(run, broken, name):
    (broken.config / "renewal" / f"{name}.conf").write_bytes(b"\xff")
    code, output = run("check")
    assert code == 2
    assert "it is damaged" in output


@pytest.mark.parametrize(("days", "words"), [("+400d", "has expired"), ("-30d", "is not valid be")])
def test_a_clock_that_is_off_is_seen_by_the_certificate(broken, days, words):
    code, output = broken.elsewhen(days, "check")
    assert code == 2
    assert words in output


@pytest.mark.parametrize(
    ("left", "code", "words"),
    [(26, 0, ""), (24, 1, "(24 % of"), (9, 2, "(9 % of"), (0, 2, "has expired")],
)
def test_time_goes_by_and_what_is_left_decides(broken, run, left, code, words):
    """Of a certificate of certbot's, by faketime. What starts `renew` here isn't looked at."""
    (lineage,) = json.loads(run("check", "--json")[1])["lineages"]
    lifetime = lineage["ends"] - lineage["issued"]
    at = int(lineage["ends"] - lifetime * left / 100)
    later = f"+{at - int(time.time())}s"
    _, output = broken.elsewhen(later, "check", "--json")
    verdicts = [one for one in json.loads(output)["verdicts"] if one["about"] == NAME]
    assert [one["state"] for one in verdicts] == [[], ["WARNING"], ["CRITICAL"]][code]
    assert all(words in one["text"] for one in verdicts)


def test_a_clock_that_is_off_is_seen_by_the_cas(broken):
    code, output = broken.elsewhen("+1h", "test", NAME)
    assert code == 1
    assert "✗ the clock agrees with the CA's within 300 s\n    this machine's is +3" in output
    assert f"✗ {CHALLENGE}: a zone that this key may change" in output


@contextlib.contextmanager
def _small_disk(folder: Path):
    """A file system of 64 kB in a folder's place, with what was there, and then full."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("which", ["config", "work", "logs"])
def test_a_disk_that_is_full_is_named(run, broken, which):
    with _small_disk(broken.root / which):
        with contextlib.suppress(OSError), open(broken.root / which / "fill", "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        code, output = run("check")
        assert code == 1
        assert f"[disk] certbot can write nothing to {broken.root / which}" in output
        code, output = run("test", NAME)
        assert code == 1
        assert "✗ certbot's folders have room" in output


def test_a_name_server_that_is_lame_is_named(run, broken, lab, tmp_path):
    other = zones.Zone("other.test", zones.zone_text("other.test", {"ns1": "127.0.0.1"}))
    with ports.claimed() as port:
        here = ports.Endpoint("127.0.0.1", port)
        with bind.primary(tmp_path, here, [other], []):
            text = lab.department_config(
                dns={"check_servers": f"{lab.primary.endpoint}, 127.0.0.1:{port}"}
            )
            broken.ini().write_text(text)
            code, output = run("test", NAME)
    assert code == 1
    assert f"✗ {CHALLENGE}: every name server shows the record" in output
    assert "lame: REFUSED" in output


@pytest.mark.parametrize(
    ("dns", "words"),
    [
        ({"server": "127.0.0.1:1"}, "127.0.0.1:1"),
        ({"zone": "elsewhere.test"}, "elsewhere.test"),
    ],
)
def test_a_dns_section_that_leads_nowhere_is_named(run, broken, lab, dns, words):
    broken.ini().write_text(lab.department_config(dns=dns))
    code, output = run("test", NAME)
    assert code == 1
    assert words in output


@pytest.mark.parametrize("name", ["", ".", "a..b", "https://x.test/", "x" * 300, "ü\x00", "*.*.x"])
def test_a_name_that_is_none_is_told(run, broken, lab, name):
    broken.ini().write_text(lab.department_config(department={"domains": None}))
    code, output = run("test", name)
    assert code == 1
    assert "is a DNS name" in output


def test_before_certbots_first_run_there_may_be_no_work_folder(run, broken):
    shutil.rmtree(broken.root / "work")
    assert run("test", NAME)[0] == 0
