"""certbot at a terminal with no department config yet: it asks, writes the file, and goes on."""

from __future__ import annotations

import shutil
import stat

import pytest

from tests.department import keytabs
from tests.integration.commands import NAME
from tests.lab.terminal import converse


def certonly(client) -> list[str]:
    client.run("--version")  # makes the folders
    # The lab's name servers are not on port 53, where they are looked for: a short blind wait.
    options = ["certonly", "-a", "tcs-lyon1", "-d", NAME, "--tcs-lyon1-propagation-seconds", "1"]
    return [client.executable, *options, *client.folder_options()]


def answers(lab) -> list[tuple[str, str]]:
    """What the lab's CA wants to know."""
    return [
        ("ACME URL", lab.pebble.directory_url),
        ("Key ID:", lab.eab_kid),
        ("HMAC Key (not shown):", lab.eab_hmac_key),
        ("E-mail address", "prenom.nom@univ-lyon1.fr"),
        ("terms of service", "yes"),
        ("A name for the department", ""),
    ]


def test_the_answers_are_checked_written_and_used(lab, client):
    code, screen = converse(
        certonly(client),
        [
            ("ACME URL [https://acme.sectigo.com/v2/OV]:", "http://localhost/"),
            ("is not an https URL", None),
            ("ACME URL [https://acme.sectigo.com/v2/OV]:", lab.pebble.directory_url),
            ("Key ID:", lab.eab_kid),
            ("HMAC Key (not shown):", lab.eab_hmac_key[:-1]),
            ("HMAC Key (not shown):", lab.eab_hmac_key),
            ("E-mail address", "prenom.nom@univ-lyon1.fr"),
            ("terms of service: data:text/plain", "yes"),
            ("A name for the department", ""),
            ("Name or address", str(lab.primary.endpoint)),
            ("TSIG key file, or keytab:", "/no/such/file"),
            ("is no file", None),
            ("TSIG key file, or keytab:", str(lab.key_file)),
        ],
        client.environment(),
    )
    config = client.config_dir / "tcs-lyon1.ini"
    text = config.read_text(encoding="utf-8")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert f"server = {lab.pebble.directory_url}\n" in text
    assert f"eab_hmac_key = {lab.eab_hmac_key}\n" in text
    assert "[department my-department]" in text
    assert f"key_file = {lab.key_file}\n" in text
    assert "cut short" in screen
    assert lab.eab_hmac_key[:-1] not in screen
    assert code == 0, screen
    assert client.certificate(NAME).names == (NAME,)
    assert len(client.accounts()) == 1, screen


def test_what_the_file_cannot_hold_is_asked_for_again_and_no_answer_is_lost(lab, client, tmp_path):
    odd = tmp_path / "key ;file"
    odd.write_bytes(lab.key_file.read_bytes())
    odd.chmod(0o600)
    (tmp_path / "key").write_bytes(lab.key_file.read_bytes())
    code, screen = converse(
        certonly(client),
        [
            ("ACME URL", lab.pebble.directory_url),
            ("Key ID:", ";x"),
            ("Key ID:", f"{lab.eab_kid} ;mine"),
            ("Key ID:", lab.eab_kid),
            ("HMAC Key (not shown):", "cl\udce9"),  # Latin-1
            ("HMAC Key (not shown):", lab.eab_hmac_key),
            ("E-mail address", "prenom.nom@univ-lyon1.fr"),
            ("terms of service", "yes"),
            ("A name for the department", "None"),
            ("A name for the department", "labo"),
            ("Name or address", ","),
            ("Name or address", str(lab.primary.endpoint)),
            ("TSIG key file, or keytab:", str(odd)),
            ("TSIG key file, or keytab:", str(lab.key_file)),
        ],
        client.environment(),
    )
    assert code == 0, screen
    assert screen.count("Not taken:") == 6, screen
    assert client.certificate(NAME).names == (NAME,)


def test_without_an_update_server_and_with_a_ca_that_is_down_the_file_is_written_all_the_same(
    lab, client
):
    code, screen = converse(
        certonly(client),
        [
            ("ACME URL", "https://localhost:1/dir"),
            ("Key ID:", ""),
            ("it is empty", None),
            ("Key ID:", lab.eab_kid),
            ("HMAC Key (not shown):", lab.eab_hmac_key),
            ("E-mail address", "prenom.nom@univ-lyon1.fr"),
            ("terms of service are in the portal", "yes"),
            ("A name for the department", ""),
            ("Name or address [none]:", ""),
        ],
        client.environment(),
    )
    assert code == 1  # the order fails
    assert "https://localhost:1/dir does not answer as an ACME server" in screen
    text = (client.config_dir / "tcs-lyon1.ini").read_text(encoding="utf-8")
    assert "server = https://localhost:1/dir\n" in text
    assert "[dns]" not in text


def test_a_keytab_with_no_key_that_can_sign_is_asked_for_again(lab, client, tmp_path):
    old = tmp_path / "old.keytab"
    old.touch(mode=0o600)
    accounts = ("svc-acme@AD.UNIV-LYON1.FR", "host/www@AD.UNIV-LYON1.FR")
    old.write_bytes(keytabs.keytab(*((account, keytabs.RC4) for account in accounts)))
    folder = tmp_path / "of-everybody"
    folder.mkdir()
    folder.chmod(0o777)
    open_to_all = shutil.copy2(old, folder)
    code, screen = converse(
        certonly(client),
        [
            *answers(lab),
            ("Name or address", str(lab.primary.endpoint)),
            ("TSIG key file, or keytab:", str(old)),
            ("Not taken:", None),
            ("TSIG key file, or keytab:", str(open_to_all)),
            ("[dns] keytab", None),
            ("TSIG key file, or keytab:", "\x04"),
        ],
        client.environment(),
    )
    assert code == 1
    assert "AES" in screen.partition("Not taken:")[2]
    assert not (client.config_dir / "tcs-lyon1.ini").exists()


def test_where_the_file_cannot_be_written_it_says_so_and_orders_nothing(lab, client, tmp_path):
    path = tmp_path / "missing" / "tcs-lyon1.ini"
    before = order_requests(lab)
    code, screen = converse(
        [*certonly(client), "--tcs-lyon1-config", str(path)],
        [
            *answers(lab),
            ("Name or address", "none"),
        ],
        client.environment(),
    )
    assert code == 1
    assert f"{path} cannot be written" in "".join(screen.splitlines())
    assert order_requests(lab) == before


def order_requests(lab) -> int:
    """How many orders the CA has got."""
    return [path for _, path in lab.pebble.requests()].count("/order-plz")


@pytest.mark.parametrize(("agrees", "code"), [("y", 0), ("n", 1)])
def test_at_a_terminal_certbot_asks_what_the_department_config_leaves_out(
    lab, client, agrees, code
):
    client.configure(lab.department_config(tcs={"email": None, "agree_tos": None}))
    found, screen = converse(
        certonly(client),
        [("Enter email address", "prenom.nom@univ-lyon1.fr"), ("Do you agree?", agrees)],
        client.environment(),
    )
    assert found == code, screen
    assert len(client.accounts()) == (1 if code == 0 else 0)


def test_broken_off_it_leaves_nothing_and_says_so(client):
    code, screen = converse(
        certonly(client),
        [("ACME URL", ""), ("Key ID:", "\x04")],
        client.environment(),
    )
    assert code == 1
    assert "was not written" in screen
    assert not (client.config_dir / "tcs-lyon1.ini").exists()
