"""What can go wrong in the lab, in one family."""


class LabError(Exception):
    """The lab could not do what it was asked for; the message says why."""


class MissingProgram(LabError):
    """A program is not installed; the message names its Debian package."""


class PortTaken(LabError):
    """Somebody else has the port that a server was given: try again with another one."""
