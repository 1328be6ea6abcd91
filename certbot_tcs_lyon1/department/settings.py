"""The content of the department config: frozen data without I/O, which all wings import."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from typing import Optional, Union

from certbot_tcs_lyon1.errors import ConfigError

#: The HMAC algorithms of dnspython.
ALGORITHMS = (
    "hmac-md5",
    "hmac-sha1",
    *(f"hmac-sha{size}" for size in ("224", "256", "256-128", "384", "384-192", "512", "512-256")),
)
#: The algorithm of a TSIG key without `key_algorithm`.
DEFAULT_ALGORITHM = "hmac-sha256"


def is_under(name: str, top: str) -> bool:
    """Return whether `name` is `top` or below it, by labels.

    Both are A-labels in lower case without a final dot; "" is the root.
    """
    return not top or f".{name}".endswith(f".{top}")


def without_wildcard(name: str) -> str:
    """Return the name without `*.`, which the CA validates for a wildcard (RFC 8555 §7.1.3)."""
    return name.removeprefix("*.")


def is_address(text: str) -> bool:
    """Return whether the text is an IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Endpoint:
    """A name server: its name or address (IPv6 without brackets), and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as the department config has it, without port 53."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


@dataclass(frozen=True)
class TsigKey:
    """A TSIG key (RFC 8945).

    :ivar name: without the final dot
    :ivar algorithm: one of `ALGORITHMS`
    :ivar secret: base64
    """

    name: str
    algorithm: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Keytab:
    """A Kerberos account whose tickets sign updates (RFC 3645).

    :ivar name: NAME@REALM
    :ivar data: the content of the keytab with its keys
    """

    name: str
    data: bytes = field(repr=False)


#: What signs updates: a TSIG key, or the Kerberos tickets of an account (GSS-TSIG, RFC 3645).
SigningKey = Union[TsigKey, Keytab]


@dataclass(frozen=True)
class Department:
    """A `[department NAME]`, with the values of `[tcs]` where it has none.

    :ivar issuance_timeout: seconds
    :ivar eab_hmac_key: base64url without padding
    :ivar domains: A-labels in lower case, without a final dot
    :ivar replace_issued_before: UTC
    """

    name: str
    server: str
    email: Optional[str]
    agree_tos: bool
    issuance_timeout: Optional[int]
    dry_run_server: Optional[str]
    eab_kid: str
    eab_hmac_key: str = field(repr=False)
    domains: tuple[str, ...]
    replace_issued_before: Optional[datetime.datetime] = None


@dataclass(frozen=True)
class DnsServer:
    """A `[dns]` or `[dns NAME]`: the servers that take updates for the names at or below `base`.

    :ivar base: NAME, "" for `[dns]`
    :ivar servers: in the order in which they are tried
    :ivar zone: None if it is to be looked up
    :ivar ttl: seconds
    :ivar check_servers: polled instead of the zone's name servers
    :ivar propagation_seconds: the most that publishing and propagation may take
    :ivar section: the header as written
    :ivar department_config: its path
    """

    base: str
    servers: tuple[Endpoint, ...]
    key: SigningKey
    zone: Optional[str]
    ttl: int = 60
    check_servers: tuple[Endpoint, ...] = ()
    propagation_seconds: int = 120
    section: str = "dns"
    department_config: str = ""


#: The protocols with a STARTTLS command that are supported.
STARTTLS = ("smtp", "imap", "pop3", "ldap", "ftp", "postgres")


@dataclass(frozen=True)
class Service:
    """Where a certificate is served.

    :ivar starttls: a protocol of `STARTTLS`; None for TLS from the start
    """

    host: str
    port: int
    starttls: Optional[str] = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


#: The keys of an `[install]` section that name a file to be written: those with the private key,
#: and all.
WITH_KEY = ("privkey", "combined", "pkcs12")
WRITTEN = ("fullchain", "cert", "chain", *WITH_KEY)


@dataclass(frozen=True)
class Target:
    """An `[install NAME]`: which files of which lineage go where. All paths are absolute.

    :ivar certificate: the name of the lineage
    :ivar mode: the mode's bits
    :ivar test: a command, as a list of words; so is `reload`
    """

    name: str
    certificate: str
    fullchain: Optional[str]
    cert: Optional[str]
    chain: Optional[str]
    privkey: Optional[str]
    combined: Optional[str]
    pkcs12: Optional[str]
    pkcs12_password_file: Optional[str]
    owner: Optional[str]
    group: Optional[str]
    mode: Optional[int]
    test: Optional[tuple[str, ...]]
    reload: Optional[tuple[str, ...]]
    serves: tuple[Service, ...] = ()

    @property
    def paths(self) -> dict[str, str]:
        """The paths of the files to be written, by their key of `WRITTEN`."""
        named = {kind: getattr(self, kind) for kind in WRITTEN}
        return {kind: path for kind, path in named.items() if path is not None}


#: Changes when a file does: device, inode, size in bytes, mtime and ctime in nanoseconds.
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Settings:
    """A whole department config.

    :ivar warnings: about what works and should be corrected
    :ivar files: the files that it was read from, each with its stamp; None for a missing one
    """

    path: str
    departments: tuple[Department, ...]
    dns: tuple[DnsServer, ...]
    targets: tuple[Target, ...]
    warnings: tuple[ConfigError, ...]
    files: tuple[tuple[str, Optional[Stamp]], ...] = field(default=(), repr=False, compare=False)
    revocation_check: bool = True

    def dns_server_for(self, name: str) -> Optional[DnsServer]:
        """Return the section for a name: the longest match on labels, else `[dns]`, else None.

        :param name: A-labels
        """
        bare = name.lower().rstrip(".")
        matches = [found for found in self.dns if is_under(bare, found.base)]
        return max(matches, key=lambda found: len(found.base), default=None)
