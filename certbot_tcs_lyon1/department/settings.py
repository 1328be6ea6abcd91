"""What the department config says: frozen data without I/O, which all wings import."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from typing import Optional, Union

from certbot_tcs_lyon1.errors import ConfigError

#: Every HMAC algorithm of dnspython, lower case, and the name of its constant in `dns.tsig`.
ALGORITHMS = {
    "hmac-md5": "HMAC_MD5",
    "hmac-md5.sig-alg.reg.int": "HMAC_MD5",
    "hmac-sha1": "HMAC_SHA1",
    "hmac-sha224": "HMAC_SHA224",
    "hmac-sha256": "HMAC_SHA256",
    "hmac-sha256-128": "HMAC_SHA256_128",
    "hmac-sha384": "HMAC_SHA384",
    "hmac-sha384-192": "HMAC_SHA384_192",
    "hmac-sha512": "HMAC_SHA512",
    "hmac-sha512-256": "HMAC_SHA512_256",
}
#: Of a TSIG key for which none is written.
DEFAULT_ALGORITHM = "hmac-sha256"


def is_under(name: str, top: str) -> bool:
    """Whether `name` is `top` or below it, by labels; both are A-labels in lower case, without a
    last dot, and "" is the root."""
    return not top or f".{name}".endswith(f".{top}")


def without_wildcard(name: str) -> str:
    """The name that a wildcard stands below, which the CA validates (RFC 8555 §7.1.3)."""
    return name[2:] if name.startswith("*.") else name


def is_address(text: str) -> bool:
    """Whether it is an IP address, v4 or v6, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Endpoint:
    """A name server: DNS name or address (IPv6 without brackets), and port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return the endpoint as the department config writes it, without the usual port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


@dataclass(frozen=True)
class TsigKey:
    """A TSIG key: its name without the last dot, a name of `ALGORITHMS`, the secret in base64."""

    name: str
    algorithm: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Keytab:
    """A Kerberos account, NAME@REALM, and the bytes of the keytab that holds its keys."""

    name: str
    data: bytes = field(repr=False)


#: What signs the updates: a TSIG key, or an account's Kerberos tickets (GSS-TSIG, RFC 3645).
SigningKey = Union[TsigKey, Keytab]


@dataclass(frozen=True)
class Department:
    """One `[department NAME]`, completed from `[tcs]`.

    `issuance_timeout` is in seconds; `eab_hmac_key` is base64url without padding; `domains` are
    A-labels in lower case, without a last dot; `replace_issued_before` is UTC.
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
    """One `[dns]` or `[dns NAME]`: who takes the updates for names at or under `base`.

    `base` is "" for `[dns]`; `servers` are in order of preference; `ttl` and
    `propagation_seconds` are in seconds; `section` is the header as written, for messages;
    `config` is the path of the department config.
    """

    base: str
    servers: tuple[Endpoint, ...]
    key: SigningKey
    zone: Optional[str]
    ttl: int = 60
    check_servers: tuple[Endpoint, ...] = ()
    propagation_seconds: int = 120
    section: str = "dns"
    config: str = ""


#: The protocols whose STARTTLS is spoken.
STARTTLS = ("smtp", "imap", "pop3", "ldap", "ftp", "postgres")


@dataclass(frozen=True)
class Service:
    """Where a certificate is served: host, port, and a protocol of `STARTTLS` or None for TLS."""

    host: str
    port: int
    starttls: Optional[str] = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Target:
    """One `[install NAME]`: where the lineage `certificate` goes; all paths are absolute.

    `mode` is the file mode's bits; `test` and `reload` are commands, as lists of words.
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


#: What changes when a file does: device, inode, size in bytes, mtime and ctime in nanoseconds.
Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Settings:
    """A whole department config; `warnings` are what works and should be mended.

    `files` are those that it was read from, each with its stamp; None for one that was not there.
    """

    path: str
    departments: tuple[Department, ...]
    dns: tuple[DnsServer, ...]
    targets: tuple[Target, ...]
    warnings: tuple[ConfigError, ...]
    files: tuple[tuple[str, Optional[Stamp]], ...] = field(default=(), repr=False, compare=False)
    revocation_check: bool = True

    def dns_server_for(self, name: str) -> Optional[DnsServer]:
        """Return the section for `name` (A-labels): the longest match on labels, `[dns]`, None."""
        bare = name.lower().rstrip(".")
        matches = [found for found in self.dns if is_under(bare, found.base)]
        return max(matches, key=lambda found: len(found.base), default=None)
