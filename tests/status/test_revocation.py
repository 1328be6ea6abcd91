"""What `check` says of the CRLs that `certbot renew` keeps."""

from __future__ import annotations

import datetime
import json

import pytest

from certbot_tcs_lyon1.status import command
from certbot_tcs_lyon1.watch import cache, crl, fetch
from certbot_tcs_lyon1.watch.record import CRL_FOLDER_NAME, Record
from tests.status.conftest import NAME
from tests.watch.conftest import ca, web

__all__ = ["ca", "web"]


@pytest.fixture
def watched(machine, ca, web, capsys):
    """A machine with a certificate of the CA's; revoke it or not, look, and judge."""
    leaf = ca.issue([f"{web.url}/status.crl"])
    live = machine.config_dir / "live" / NAME
    (live / "cert.pem").write_bytes(leaf.pem)
    (live / "chain.pem").write_bytes(ca.pem)
    (live / "fullchain.pem").write_bytes(leaf.pem + ca.pem)
    (live / "privkey.pem").write_bytes((ca.folder / "leaf.key").read_bytes())

    def judge(revoked: bool, days_ago: float = 0) -> tuple[int, str]:
        web.put("status.crl", ca.crl({leaf.serial: "superseded"} if revoked else {}))
        now = datetime.datetime.now(datetime.timezone.utc)
        work = str(machine.folder / "var")
        issuers = crl.issuers(leaf.certificate, ca.pem)
        cache.CrlCache(work, fetch.Fetcher()).get(f"{web.url}/status.crl", issuers, now)
        (path,) = (machine.folder / "var" / CRL_FOLDER_NAME).iterdir()
        head, _, data = path.read_bytes().partition(b"\n")
        said = json.loads(head)
        said["asked"] -= days_ago * 86400
        path.write_bytes(json.dumps(said).encode() + b"\n" + data)
        code = command.main(machine.arguments("check"))
        return code, capsys.readouterr().out

    return judge


def test_a_revoked_certificate_is_critical(watched):
    code, output = watched(revoked=True)
    assert code == 2
    assert "is revoked" in output


def test_one_that_is_not_revoked_is_not(watched):
    assert "revoked" not in watched(revoked=False)[1]


def _status(machine, capsys) -> str:
    command.main(machine.arguments("status"))
    return " ".join(capsys.readouterr().out.split())


def test_status_tells_a_certificate_that_names_no_crl_from_one_that_is_not_watched(
    machine, watched, capsys
):
    assert "not watched for revocation" in _status(machine, capsys)
    watched(revoked=False)
    assert "deployed nowhere" in _status(machine, capsys)
    assert ", watched for revocation" in _status(machine, capsys)
    machine.issue()  # its certificates name none
    shown = _status(machine, capsys)
    assert "names no CRL" in shown
    assert "watched" not in shown


def test_a_crl_that_was_not_seen_for_three_days_is_a_warning(watched):
    assert "CRL" not in watched(revoked=False, days_ago=2)[1]
    assert "its CRL was not seen since" in watched(revoked=False, days_ago=4)[1]


def test_a_crl_that_was_never_had_is_a_warning_after_three_days(machine, ca, capsys):
    url = "http://localhost:9/status.crl"
    leaf = ca.issue([url])
    live = machine.config_dir / "live" / NAME
    (live / "cert.pem").write_bytes(leaf.pem)
    (live / "chain.pem").write_bytes(ca.pem)
    (live / "fullchain.pem").write_bytes(leaf.pem + ca.pem)
    (live / "privkey.pem").write_bytes((ca.folder / "leaf.key").read_bytes())
    (machine.folder / "var").mkdir()
    for days, code in ((2, 0), (4, 1)):
        since = datetime.datetime.now().timestamp() - days * 86400
        Record(str(machine.folder / "var")).note("unusable", url, since)
        assert command.main(machine.arguments("check")) == code
        assert ("its CRL was not seen since" in capsys.readouterr().out) is bool(code)
