"""Turning Kerberos' error numbers and TKEY's error codes into a cause and a remedy.

The texts of the library are not used if the number is known: they differ between an MIT KDC and
Active Directory, and mislead ("No credentials cache found" for every fault of a keytab). Each row
was seen on a real KDC; those of Active Directory on Samba's.
"""

from __future__ import annotations

import dns.tsig

from certbot_tcs_lyon1.department.settings import Keytab
from certbot_tcs_lyon1.dns01.libgssapi import GssError
from certbot_tcs_lyon1.dns01.records import Refused
from certbot_tcs_lyon1.report import foreign

#: The first error number of Kerberos (krb5.h: ERROR_TABLE_BASE_krb5), as an unsigned 32-bit number.
_BASE = 2529638912

_SERVICE_UNKNOWN = 7
_ADMIN = "the administrator of the directory (Active Directory, Kerberos)"
_CLOCK = "set this machine's clock (timedatectl), or have the KDC's set"
_EXPORT = f"have the keytab exported again by {_ADMIN}; with ktpass, each export makes the last old"
_EXTEND = f"ask {_ADMIN} to enable or extend the account"

#: By error number less `_BASE`: cause and remedy, with {account} and {realm} as placeholders.
ROWS = {
    1: ("the account {account} has expired", _EXTEND),
    6: (
        "the KDC of {realm} knows no account {account}",
        "check `principal` (upper and lower case count; in Active Directory a service's name such "
        f"as HTTP/host is no account), or ask {_ADMIN}",
    ),
    14: (
        "the KDC has no encryption type in common with the keytab",
        f"ask {_ADMIN} to allow AES for the account, and to export the keytab with AES keys",
    ),
    18: ("the account {account} is disabled, locked or expired", _EXTEND),
    23: (
        "the password of {account} has expired",
        f"ask {_ADMIN} for a new one that does not expire, and for a new keytab",
    ),
    24: ("the keytab's key is not the account's: its password was changed since", _EXPORT),
    31: ("the keytab's key is not the account's: its password was changed since", _EXPORT),
    32: ("the ticket has expired already: the clocks of this machine and the KDC differ", _CLOCK),
    37: ("the clocks of this machine and of the KDC differ by more than 300 s", _CLOCK),
    136: (
        "/etc/krb5.conf, or the file that KRB5_CONFIG names, has a fault",
        "correct it; Active Directory needs none",
    ),
    148: ("the clocks of this machine and of the KDC differ by more than 300 s", _CLOCK),
    154: (
        "no KDC is known for the realm {realm}",
        "check the realm in `principal` and this machine's resolver (Active Directory: the SRV "
        "record _kerberos._udp.{realm}), or name the KDC in /etc/krb5.conf",
    ),
    156: (
        "no KDC of the realm {realm} answers (a silent one is asked for half a minute)",
        "have port 88, UDP and TCP, opened from here to it, or correct it in /etc/krb5.conf",
    ),
    181: (
        "the keytab holds no key of an encryption type that {account} has and this machine takes",
        f"ask {_ADMIN} to export the keytab again with AES keys",
    ),
    195: ("the keytab holds no key of {account} that the library can use", _EXPORT),
    210: (
        "the account has no key of the keytab's encryption types",
        f"ask {_ADMIN} to export the keytab again with AES keys",
    ),
}
#: EAGAIN, MIT's error number when the name of a KDC does not resolve.
_NO_ADDRESS = 11


def is_unknown_service(error: GssError) -> bool:
    """Return whether the KDC knows no service of that name, so that another name may be tried."""
    return error.minor == _BASE + _SERVICE_UNKNOWN


def of_negotiation(error: GssError, host: str, keytab: Keytab) -> Refused:
    """Return the error for a context that can't be established: no ticket for the service
    `DNS/host`, or the server's token is not valid.
    """
    service = f"DNS/{host}"
    if is_unknown_service(error):
        return Refused(
            f"Kerberos knows no service {foreign(service)}",
            "name the server in `server` by its own name: not by its address, an alias or the "
            "domain's name; a BIND needs that principal in its keytab",
        )
    return of_error(error, service, keytab)


def of_no_name() -> Refused:
    """Return the error for a server whose name is unknown: given by its address, and no SOA."""
    return Refused(
        "Kerberos needs the server's name, and the server gives none (no SOA)",
        "write its name, not its address, in `server`",
    )


def of_error(error: GssError, account: str, keytab: Keytab) -> Refused:
    """Return the error for an account that gets no ticket, or a service whose ticket fails.

    :param account: the account, or the service
    """
    number = 156 if error.minor == _NO_ADDRESS else error.minor - _BASE
    if number not in ROWS:
        return Refused(f"Kerberos says: {foreign(error.text)}", f"ask {_ADMIN}")
    names = {"account": foreign(account), "realm": foreign(keytab.name.rpartition("@")[2])}
    cause, remedy = (part.format(**names) for part in ROWS[number])
    return Refused(cause, remedy)


def of_tkey_reply(error: Exception, host: str) -> Refused:
    """Return the error for a TKEY reply that can't be parsed or verified.

    :param host: the server's name for Kerberos
    """
    if isinstance(error, dns.tsig.BadTime):
        return Refused(
            "the clocks of this machine and of the name server differ by more than 300 s",
            "set the one that is wrong (timedatectl)",
        )
    return of_tkey_code(type(error).__name__, host)


def of_tkey_code(code: str, host: str) -> Refused:
    """Return the error for an error code in the reply to a TKEY query.

    :param code: its name, such as "BADKEY" or "REFUSED"
    :param host: the server's name for Kerberos
    """
    if code == "BADKEY":
        return Refused(
            f"the server rejects the ticket for DNS/{foreign(host)} (BADKEY): it has another key, "
            "or this is another server",
            "name in `server` the controller itself; BIND: have its keytab (tkey-gssapi-keytab) "
            "exported again",
        )
    return Refused(
        f"the server does not negotiate Kerberos signatures (it answers {code} to TKEY)",
        "a BIND needs tkey-gssapi-keytab, Knot and PowerDNS take TSIG keys; check `server`, or use "
        "key_file in place of keytab",
    )
