"""Zones, keys and rights, as data; and the lab's default ones."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.files import write_private

PARENT = "univ-lyon1.test"
CHILD = "labo.univ-lyon1.test"


@dataclass(frozen=True)
class Key:
    """A TSIG key; the secret is base64."""

    name: str
    algorithm: str
    secret: str = field(repr=False)

    def text(self) -> str:
        """The key as `tsig-keygen` prints it."""
        return (
            f'key "{self.name}" {{\n\talgorithm {self.algorithm};\n\tsecret "{self.secret}";\n}};\n'
        )


@dataclass(frozen=True)
class Zone:
    """A zone: name, initial contents in master file format, lines of BIND's update-policy."""

    name: str
    text: str
    policy: tuple[str, ...] = ()


def new_key(name: str, algorithm: str = "hmac-sha256") -> Key:
    """A key with a random secret of 32 bytes."""
    return Key(name, algorithm, base64.b64encode(secrets.token_bytes(32)).decode("ascii"))


def write_key_file(path: Path, key: Key) -> Path:
    """Write `key` as `tsig-keygen NAME > path` with a umask of 077 would."""
    return write_private(path, key.text())


def zone_text(origin: str, name_servers: Mapping[str, str], more: str = "") -> str:
    """Contents for a zone: SOA, `name_servers` ({label: address}), A for itself and www.

    `more` is further master file text, relative to the zone: `alias CNAME www`.
    """
    lines = [
        f"$ORIGIN {origin}.",
        "$TTL 300",
        f"@ SOA {next(iter(name_servers))} hostmaster 1 3600 600 86400 60",
        *(f"@ NS {label}" for label in name_servers),
        *_addresses(name_servers),
        "@ A 127.0.0.1",
        "www A 127.0.0.1",
    ]
    return "\n".join(lines) + "\n" + more.rstrip("\n") + "\n"


def delegation(label: str, name_servers: Mapping[str, str]) -> str:
    """What a parent zone says of its child `label`: NS records and glue."""
    inside = {f"{name}.{label}": address for name, address in name_servers.items()}
    lines = [*(f"{label} NS {name}" for name in inside), *_addresses(inside)]
    return "\n".join(lines) + "\n"


def _addresses(name_servers: Mapping[str, str]) -> Sequence[str]:
    return [
        f"{label} {'AAAA' if ':' in address else 'A'} {address}"
        for label, address in name_servers.items()
    ]


def default_zones(key: Key, admin: Key, name_servers: Mapping[str, str]) -> tuple[Zone, ...]:
    """`univ-lyon1.test`, and `labo.univ-lyon1.test` delegated from it to the same name servers.

    `key` may write any TXT in the child, and in the parent only that of one challenge; `admin` may
    all.
    """
    everything = f"grant {admin.name} zonesub ANY;"
    return (
        Zone(
            PARENT,
            zone_text(PARENT, name_servers, delegation("labo", name_servers)),
            (f"grant {key.name} name _acme-challenge.www.{PARENT}. TXT;", everything),
        ),
        Zone(
            CHILD,
            zone_text(CHILD, name_servers),
            (f"grant {key.name} subdomain {CHILD}. TXT;", everything),
        ),
    )
