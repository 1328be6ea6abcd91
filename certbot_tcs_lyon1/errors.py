"""The errors of this package, one family: each has its parts as fields, and the text is made last.

`cause` says why, `remedy` what to do or whom to ask, `where` names the place: a file and its line,
a server, a zone, a target. Code decides by the class and the fields, never by the text. Text that
others control (a CA, a name server, a command) has gone through `report.foreign`.

certbot's own errors are another family: the modules that certbot calls (`plugin`, `preparation`,
`authenticator`, `installer`, `replacement`) convert one into the other.
"""

from __future__ import annotations

from collections.abc import Sequence


class Error(Exception):
    """Something that the user can cause or correct.

    :param cause: why, without a final period; "" if `parts` say everything
    :param remedy: what to do, or whom to ask, likewise; "" if there is nothing to do
    :param where: the place; "" if the cause names it
    :param parts: one error for each name, file or target, where several have failed
    """

    #: What separates cause and remedy, and what ends the text.
    separator, end = ". ", "."

    def __init__(
        self, cause: str = "", remedy: str = "", *, where: str = "", parts: Sequence[Error] = ()
    ) -> None:
        super().__init__(cause, remedy, where)
        self.cause = cause
        self.remedy = remedy
        self.where = where
        self.parts = tuple(parts)

    def __str__(self) -> str:
        if not self.cause:
            lines = "\n".join(filter(None, (*map(str, self.parts), self.remedy)))
            return " ".join(filter(None, (self.where, lines)))
        place = f"{self.where}: " if self.where else ""
        text = self.separator.join(filter(None, (self.cause, self.remedy)))
        lines = "".join(f"\n  {part}" for part in self.parts)
        ended = text.endswith((".", "?", "!", ":")) or "\n" in text
        return f"{place}{text}{'' if ended or lines else self.end}{lines}"


class ConfigError(Error):
    """The department config can't be used; `parts` are its faults.

    :ivar path: the file that can't be read: the department config, or one that it names
    :ivar key: the key that names that file; "" for the department config
    :ivar errno: why it can't, as in `OSError`; 0 if that is not the fault
    """

    separator, end = "; ", ""
    parts: tuple[ConfigError, ...]
    path, key, errno = "", "", 0


class OrderError(Error):
    """No department may order these names, or the choice is ambiguous; nothing was sent."""


class ServerError(Error):
    """The CA's server can't be used: it gives no answer, or not that of an ACME server."""


class AccountError(Error):
    """There is no ACME account for the department, or its record can't be written."""


class DnsError(Error):
    """A record could not be published, confirmed or withdrawn."""


class InstallError(Error):
    """A certificate could not be deployed."""

    separator = "; "


class DiskError(Error):
    """A file that root relies on can't be used: another user could change it or its path."""

    separator = "; "


class WatchError(Error):
    """Whether a certificate must be replaced early can't be found out, or not be recorded."""
