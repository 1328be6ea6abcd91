"""One family of errors: typed, with their parts; the text is made last, where it is shown.

`cause` says why, `remedy` what to do or whom to ask, `where` names the place: a file and its line,
a server, a zone, a target. Code that decides looks at the class and its attributes, never at the
text. Words of others (a CA, a name server, a command) in a part have gone through `report.foreign`.

certbot's own errors are another family: where certbot calls (`plugin`, `authenticator`,
`installer`) one becomes the other, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence


class Error(Exception):
    """What the user can cause or mend.

    :param cause: why, in words without a final mark; "" where `parts` say it all
    :param remedy: what to do, or whom to ask, likewise; "" where nothing can be done
    :param where: the place; "" where the cause names it
    :param parts: an error for each name, file or target, where several have failed alike
    """

    #: Between cause and remedy, and after both.
    joint, end = ". ", "."

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
        said = self.joint.join(filter(None, (self.cause, self.remedy)))
        lines = "".join(f"\n  {part}" for part in self.parts)
        ended = said.endswith((".", "?", "!", ":")) or "\n" in said
        return f"{place}{said}{'' if ended or lines else self.end}{lines}"


class ConfigError(Error):
    """The department config can't be used as it is; `parts` are its faults."""

    joint, end = "; ", ""


class OrderError(Error):
    """No department may order these names, or the choice is left open; nothing was sent."""


class ServerError(Error):
    """The CA's server can't be used: no answer, or none of an ACME server's."""


class AccountError(Error):
    """No ACME account can be had for the department, or its record can't be written."""


class Aborted(Error):
    """The user broke off what was asked at the terminal."""


class DnsError(Error):
    """A record could not be published, confirmed or withdrawn."""


class InstallError(Error):
    """A certificate could not be deployed."""

    joint = "; "


class DiskError(Error):
    """A file of root's can't be read or written, or its path is not root's alone."""

    joint = "; "


class WatchError(Error):
    """Whether a certificate must be replaced early can't be found out, or not be written down."""
