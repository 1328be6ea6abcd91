"""The first run at a terminal: ask for what the portal shows, and write the department config."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Optional

from certbot_tcs_lyon1 import disk, lyon1
from certbot_tcs_lyon1.ca import directory
from certbot_tcs_lyon1.department import keyfiles, values
from certbot_tcs_lyon1.errors import Aborted, ServerError
from certbot_tcs_lyon1.report import foreign

_Check = Callable[[str], Any]

_TERMS_IN_PORTAL = "The CA's terms of service are in the portal."


def is_possible(config: Any) -> bool:
    """Whether somebody is there who can be asked."""
    return not config.noninteractive_mode and sys.stdin.isatty() and sys.stdout.isatty()


def write_department_config(config: Any, path: str) -> None:
    """Ask for everything, and write the file at `path` (mode 0600).

    Each answer is checked as the file's reader does, and asked for again until it is right.

    :raises Aborted: it was broken off, or the file could not be written
    """
    print(f"\nThere is no department config yet. These questions write {path}.")
    print(f"The first three answers are in the portal ({lyon1.PORTAL_ACCOUNTS}).\n")
    try:
        text = _ask_for_text(config)
    except (EOFError, KeyboardInterrupt):
        raise Aborted(
            f"Broken off; {path} was not written. Run the command again, or write the file with an "
            "editor."
        ) from None
    try:
        disk.write(path, text.encode())
    except OSError as error:
        raise Aborted(
            f"{path} cannot be written: {error.strerror}. Run certbot as root, or make room."
        ) from None
    print(f"\n{path} is written. Everything in it can be changed with an editor.\n")


def _ask_for_text(config: Any) -> str:
    server = _ask("ACME URL", values.https_url, lyon1.DEFAULT_SERVER)
    kid = _ask("Key ID", values.key_id)
    hmac = _ask("HMAC Key (not shown)", values.hmac_key, read=getpass.getpass)
    email = _ask("E-mail address for the ACME account", values.email, config.email)
    agreed = _ask(f"{_terms(config, server)} Do you agree (yes or no)", values.yes_no)
    name = _ask("A name for the department, in this file only", _name, "my-department")
    print(
        "\nThe update server, a name server that takes dynamic updates (type none if the CA holds"
    )
    print("every name as validated):")
    dns = _ask("Name or address", values.endpoints, "none")
    key_file = None if dns in ("", "none") else _ask("TSIG key file, or keytab", _key_file)
    lines = [
        "[tcs]",
        f"server = {server}",
        f"email = {email}",
        f"agree_tos = {'yes' if values.yes_no(agreed) else 'no'}",
        "",
        f"[department {name}]",
        f"eab_kid = {kid}",
        f"eab_hmac_key = {hmac}",
    ]
    if key_file is not None:
        key = "keytab" if _is_keytab(key_file) else "key_file"
        lines += ["", "[dns]", f"server = {dns}", f"{key} = {key_file}"]
    return "\n".join(lines) + "\n"


def _ask(
    question: str, check: _Check, default: Optional[str] = None, read: Optional[_Check] = None
) -> str:
    """The first answer that passes the check, as it was typed."""
    prompt = f"{question} [{default}]: " if default else f"{question}: "
    while True:
        answer = str((read or input)(prompt)).strip() or default or ""
        try:
            if not answer:
                raise values.Fault("it is empty; type an answer")
            check(answer)
            return answer
        except values.Fault as fault:
            print(f"  Not taken: {fault}")


def _terms(config: Any, server: str) -> str:
    """Where the CA's terms are, as its directory says."""
    try:
        url = directory.meta(directory.read(config, server), "termsOfService")
    except ServerError as error:
        print(f"  {server} does not answer as an ACME server ({error.cause}); going on.")
        url = None
    return f"The CA's terms of service: {foreign(str(url))}." if url else _TERMS_IN_PORTAL


def _name(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise values.Fault(
            "the name may have letters, digits, dots, hyphens and underscores; change it"
        )


def _key_file(text: str) -> None:
    values.path(text)
    if not os.path.isfile(text):
        raise values.Fault("is no file; the DNS administrator sends it")
    if _is_keytab(text):
        with open(text, "rb") as file:
            keyfiles.parse_keytab(file.read())
    else:
        keyfiles.read_key_file(text)


def _is_keytab(path: str) -> bool:
    """Whether the file begins as keytabs do (of any version)."""
    with open(path, "rb") as file:
        return file.read(1) == b"\5"
