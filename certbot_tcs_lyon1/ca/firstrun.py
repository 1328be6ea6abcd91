"""The first run at a terminal: ask for the portal's values, and write the department config."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

from certbot_tcs_lyon1 import disk, lyon1
from certbot_tcs_lyon1.ca import directory
from certbot_tcs_lyon1.department import inifile, keyfiles, keys, reader, sections, values
from certbot_tcs_lyon1.department.faults import Fault
from certbot_tcs_lyon1.errors import ConfigError, DiskError, ServerError
from certbot_tcs_lyon1.report import Report, foreign

if TYPE_CHECKING:
    from certbot.configuration import NamespaceConfig

#: Checks an answer; raises `ConfigError`.
_Check = Callable[[str], object]

_TERMS_IN_PORTAL = "The CA's terms of service are in the portal."


def is_possible(config: NamespaceConfig) -> bool:
    """Return whether certbot runs interactively, at a terminal."""
    return not config.noninteractive_mode and sys.stdin.isatty() and sys.stdout.isatty()


def write_department_config(config: NamespaceConfig, path: str, report: Report) -> None:
    """Ask for all values, and write the file at `path` (mode 0600).

    Each question is repeated until the reader of the department config accepts the answer; and the
    whole file is written only if the reader accepts it.

    :raises ConfigError: the user cancelled, or the file could not be written
    """
    report.info(
        f"\nThere is no department config yet. These questions write {path}.\n"
        f"The first three answers are in the portal ({lyon1.PORTAL_ACCOUNTS}).\n"
    )
    try:
        text = _Dialogue(path, report).text(config)
    except (EOFError, KeyboardInterrupt):
        raise ConfigError(
            f"Cancelled; {path} was not written",
            "run the command again, or write the file with an editor",
        ) from None
    try:
        disk.write(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", "run certbot as root, or make room"
        ) from None
    report.info(f"\n{path} is written. Everything in it can be changed with an editor.\n")


class _Dialogue:
    """The questions for one file."""

    def __init__(self, path: str, report: Report) -> None:
        self._path = path
        self._report = report

    def text(self, config: NamespaceConfig) -> str:
        """Return the whole file, which the reader accepts."""
        server = self._ask("ACME URL", _check_of("tcs", "server"), lyon1.DEFAULT_SERVER)
        kid = self._ask("Key ID", _check_of("department", "eab_kid"))
        hmac = self._ask(
            "HMAC Key (not shown)", _check_of("department", "eab_hmac_key"), read=getpass.getpass
        )
        email = self._ask(
            "E-mail address for the ACME account", _check_of("tcs", "email"), config.email
        )
        terms = self._terms(config, server)
        agreed = self._ask(f"{terms} Do you agree (yes or no)", _check_of("tcs", "agree_tos"))
        name = self._ask(
            "A name for the department, in this file only",
            lambda answer: sections.check_name("department", answer),
            "my-department",
        )
        text = (
            f"[tcs]\nserver = {server}\nemail = {email}\n"
            f"agree_tos = {'yes' if values.yes_no(agreed) else 'no'}\n"
            f"\n[department {name}]\neab_kid = {kid}\neab_hmac_key = {hmac}\n"
        )
        self._report.info(
            "\nThe update server, a name server that takes dynamic updates (type none if the CA "
            "holds\nevery name as validated):"
        )
        update_server = self._ask("Name or address", _check_of("dns", "server"), "none")
        if update_server != "none":
            text += f"\n[dns]\nserver = {update_server}\n"
            text += self._key_lines(text)
        self._read(text)
        return text

    def _key_lines(self, text: str) -> str:
        """Return the lines for the key that signs: a TSIG key file, or a keytab and its account."""
        path = self._ask(
            "TSIG key file, or keytab", lambda answer: self._usable_accounts(text, answer)
        )
        line, accounts = self._usable_accounts(text, path)
        if not accounts:
            return line
        self._report.info(f"  It holds keys of several accounts: {', '.join(accounts)}")
        question = "The account that may write the challenges"
        chosen = self._ask(
            question, lambda answer: self._read(f"{text}{line}principal = {answer}\n"), accounts[0]
        )
        return f"{line}principal = {chosen}\n"

    def _usable_accounts(self, text: str, path: str) -> tuple[str, list[str]]:
        """Return the line for a key file, and a keytab's accounts that can sign, if it has several.

        :raises ConfigError: the reader refuses the file with this path
        """
        line, accounts = _key(path)
        usable, faults = [], []
        for account in accounts:
            try:
                self._read(f"{text}{line}principal = {account}\n")
                usable.append(account)
            except ConfigError as fault:
                faults.append(fault)
        if faults and not usable:
            raise faults[0]
        if not usable:
            self._read(text + line)
        return line, usable

    def _read(self, text: str) -> None:
        """Check that the reader accepts the file.

        :raises ConfigError: it does not
        """
        reader.parse(self._path, text.encode())

    def _ask(
        self,
        question: str,
        check: _Check,
        default: Optional[str] = None,
        read: Optional[Callable[[str], str]] = None,
    ) -> str:
        """Return the first answer that passes the check, as it was typed."""
        prompt = f"{question} [{default}]: " if default else f"{question}: "
        while True:
            try:
                answer = (read or input)(prompt).strip() or default or ""
                if not answer:
                    raise Fault("it is empty", "type an answer")
                answer.encode()
                check(answer)
                return answer
            except ConfigError as fault:
                self._report.info(f"  Not taken: {fault}")
            except UnicodeError:  # the terminal's encoding is another
                self._report.info(
                    "  Not taken: it is not UTF-8; type it without accents, or set the terminal to "
                    "UTF-8"
                )

    def _terms(self, config: NamespaceConfig, server: str) -> str:
        """Return where the CA's terms of service are, as its directory says."""
        try:
            url = directory.meta(directory.read(config, server), "termsOfService")
        except ServerError as error:
            self._report.info(
                f"  {server} does not answer as an ACME server ({error.cause}); going on."
            )
            url = None
        return f"The CA's terms of service: {foreign(str(url))}." if url else _TERMS_IN_PORTAL


def _check_of(kind: str, key: str) -> _Check:
    """Return the check of an answer as the value of a key, as the reader finds it in the file."""

    def check(answer: str) -> object:
        if (kind, key, answer) == ("dns", "server", "none"):
            return None
        line = f"{key} = {answer}"
        source = inifile.Source("", f"[{kind}]\n{line}\n".encode())
        found = next((section.texts.get(key) for section in inifile.parse(source)), None)
        if found != answer:
            raise Fault(
                "the file cannot hold it: what comes after a blank and a semicolon is a comment "
                "there",
                "type the value alone",
            )
        return keys.convert(found, keys.KEYS[kind][key], line)

    return check


def _key(path: str) -> tuple[str, list[str]]:
    """Return the line of the file for a TSIG key file, or for a keytab, and its principals.

    The principals are [] for a TSIG key file, and for a keytab that has only one.

    :raises Fault: the path can't be a value in the file, or is not a file's
    """
    _check_of("dns", "key_file")(path)
    if not os.path.isfile(path):
        raise Fault("is no file", "the DNS administrator sends it")
    key, principals = "key_file", []
    with contextlib.suppress(OSError, ConfigError, DiskError):  # the reader says why
        with open(path, "rb") as file:
            key = "keytab" if file.read(1) == b"\5" else "key_file"
        principals = keyfiles.principals(disk.read(path)[0])
    return f"{key} = {path}\n", principals if len(principals) > 1 else []
