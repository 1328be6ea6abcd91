"""Whether a CRL lists a certificate, and whether the CRL is valid for it (RFC 5280 §5, §6.3.3).

It is valid if the certificate's issuer has signed it, it is current, and the certificate is in its
scope. Delta CRLs, and CRLs with an unknown critical extension, are not used. The code needs
cryptography 3.3.2 or later.
"""

from __future__ import annotations

import base64
import datetime
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID, SignatureAlgorithmOID

from certbot_tcs_lyon1 import lineage
from certbot_tcs_lyon1.errors import WatchError
from certbot_tcs_lyon1.watch import der

#: The tolerance for a clock that is behind that of the CA.
_SKEW = datetime.timedelta(minutes=5)

#: The critical extensions that are supported, of a CRL and of its entries.
_KNOWN = (ExtensionOID.ISSUING_DISTRIBUTION_POINT, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
_KNOWN_OF_ENTRY = (
    CRLEntryExtensionOID.CRL_REASON,
    CRLEntryExtensionOID.INVALIDITY_DATE,
    CRLEntryExtensionOID.CERTIFICATE_ISSUER,
)


@dataclass(frozen=True)
class Revocation:
    """An entry of a CRL.

    :ivar date: UTC
    :ivar reason: as RFC 5280 §5.3.1 writes it; "" if unspecified or unknown
    """

    date: datetime.datetime
    reason: str

    @property
    def is_final(self) -> bool:
        """Whether the revocation can't be lifted again."""
        return self.reason not in ("certificateHold", "removeFromCRL")


@dataclass(frozen=True)
class Point:
    """A CRL distribution point of a certificate.

    :ivar names: all its names
    :ivar urls: those for http and https
    :ivar is_partial: its CRL is for some reasons of revocation only
    """

    names: frozenset[x509.GeneralName]
    urls: tuple[str, ...]
    is_partial: bool


def points(certificate: x509.Certificate) -> list[Point]:
    """Return a certificate's distribution points whose CRLs its own issuer signs.

    :raises WatchError: its extensions can't be read
    """
    try:
        found = extension(certificate, x509.CRLDistributionPoints) or ()
    except (ValueError, x509.DuplicateExtension) as error:
        raise WatchError(f"its extensions can't be read: {error}") from None
    return [
        Point(frozenset(point.full_name), tuple(_urls(point)), point.reasons is not None)
        for point in found
        if point.full_name and not point.crl_issuer
    ]


def extension(thing: Any, kind: Any) -> Any:
    """Return an extension of a certificate or CRL; None if it has none of this class.

    :raises ValueError: they can't be read
    :raises cryptography.x509.DuplicateExtension: likewise
    """
    try:
        return thing.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _urls(point: Any) -> Iterator[str]:
    for name in point.full_name:
        is_url = isinstance(name, x509.UniformResourceIdentifier)
        if is_url and name.value.lower().startswith(("http://", "https://")):
            yield name.value


def issuers(certificate: x509.Certificate, chain: bytes) -> list[x509.Certificate]:
    """Return the certificates of a chain (PEM) whose subject is the certificate's issuer.

    :raises WatchError: there is none, or the chain can't be read
    """
    try:
        found = [one for one in _certificates(chain) if one.subject == certificate.issuer]
    except ValueError as error:
        raise WatchError(f"the chain can't be read: {error}") from None
    if not found:
        raise WatchError("its issuer is not in its chain")
    return found


@functools.lru_cache(maxsize=8)  # the chains of a machine are few, its certificates many
def _certificates(chain: bytes) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(pem) for pem in lineage.certificates(chain)]


class Crl:
    """A parsed CRL.

    :param data: DER or PEM
    :ivar this_update: when the CA issued it (UTC)
    :ivar next_update: when the CA issues the next one at the latest (UTC); None if it doesn't say
    :raises WatchError: it is no CRL
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._der = _without_pem(data)
            self._crl = x509.load_der_x509_crl(self._der)
            self.this_update: datetime.datetime = _utc(self._crl, "last_update")
            self.next_update: Optional[datetime.datetime] = _utc(self._crl, "next_update")
        except (ValueError, TypeError) as error:
            raise WatchError(f"it is no CRL ({error})") from None

    def verify(self, candidates: Sequence[x509.Certificate], now: datetime.datetime) -> None:
        """Check signature, time and critical extensions.

        :param candidates: certificates that may be the issuer
        :param now: UTC
        :raises WatchError: it is not valid for certificates of this issuer
        """
        try:
            if not any(self._is_signed_by(candidate) for candidate in candidates):
                raise WatchError("it is not signed by the certificate's issuer")
            for extension in self._crl.extensions:
                if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
                    raise WatchError("it is a delta CRL")
                if extension.critical and extension.oid not in _KNOWN:
                    raise WatchError(f"its extension {extension.oid.dotted_string} is unknown")
        except (ValueError, x509.DuplicateExtension) as error:
            raise WatchError(f"its extensions can't be read ({error})") from None
        if self.this_update > now + _SKEW:
            raise WatchError(f"it is of the future ({self.this_update})")
        if self.next_update is None or self.next_update < now:
            raise WatchError(f"it is out of date (next update {self.next_update})")

    def _is_signed_by(self, candidate: x509.Certificate) -> bool:
        if self._crl.issuer != candidate.subject:
            return False
        usage = extension(candidate, x509.KeyUsage)
        if usage is not None and not usage.crl_sign:
            return False
        try:
            return self._has_signature_of(candidate.public_key())
        except (InvalidSignature, UnsupportedAlgorithm, TypeError):
            return False

    def _has_signature_of(self, key: Any) -> bool:
        algorithm, sent = self._crl.signature_algorithm_oid, self._crl.signature
        is_rsa = isinstance(key, rsa.RSAPublicKey) and algorithm != SignatureAlgorithmOID.RSASSA_PSS
        if not is_rsa and not isinstance(key, ec.EllipticCurvePublicKey):
            return bool(self._crl.is_signature_valid(key))
        known = self._crl.signature_hash_algorithm
        if known is None:  # not an algorithm for this kind of key
            return False
        how = (padding.PKCS1v15(), known) if is_rsa else (ec.ECDSA(known),)
        key.verify(sent, der.signed_part(self._der), *how)
        return True

    def find(self, certificate: x509.Certificate, point: Point) -> Optional[Revocation]:
        """Return the certificate's entry; None if it has none.

        :raises WatchError: the certificate is not in its scope, or the entry can't be understood
        """
        scope = extension(self._crl, x509.IssuingDistributionPoint)
        _check_scope(scope, point)
        if der.integer(certificate.serial_number) not in self._serials:
            return None
        if scope is not None and scope.indirect_crl:
            entry = self._find_indirect(certificate)
        else:
            entry = self._crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        return None if entry is None else _revocation(entry)

    @functools.cached_property
    def _serials(self) -> frozenset[bytes]:
        """Of all entries; not read before `verify`, since a forged CRL may have 64 MiB of them."""
        try:
            return der.serials(self._der)
        except (ValueError, IndexError):
            raise WatchError("its entries can't be read") from None

    @property
    def is_partial(self) -> bool:
        """Whether it is for some reasons of revocation only."""
        scope = extension(self._crl, x509.IssuingDistributionPoint)
        return scope is not None and scope.only_some_reasons is not None

    def _find_indirect(self, certificate: x509.Certificate) -> Any:
        """Return the certificate's entry in an indirect CRL.

        An entry without the extension Certificate Issuer has the issuer of the entry before it (RFC
        5280 §5.3.3).
        """
        issuer: Optional[x509.Name] = self._crl.issuer
        for entry in self._crl:
            for extension in _entry_extensions(entry):
                if extension.oid == CRLEntryExtensionOID.CERTIFICATE_ISSUER:
                    names = extension.value.get_values_for_type(x509.DirectoryName)
                    issuer = names[0] if names else None
            if entry.serial_number == certificate.serial_number and issuer == certificate.issuer:
                return entry
        return None


def _check_scope(scope: Any, point: Point) -> None:
    if scope is None:
        return
    if scope.only_contains_ca_certs or scope.only_contains_attribute_certs:
        raise WatchError("it is for other kinds of certificate")
    if scope.relative_name is not None:
        raise WatchError("it names its distribution point in a way that is not understood")
    if scope.full_name is not None and not point.names.intersection(scope.full_name):
        raise WatchError("it is the CRL of another distribution point")


def _revocation(entry: Any) -> Revocation:
    reason = ""
    for extension in _entry_extensions(entry):
        if extension.critical and extension.oid not in _KNOWN_OF_ENTRY:
            raise WatchError(f"an entry's extension {extension.oid.dotted_string} is unknown")
        if extension.oid == CRLEntryExtensionOID.CRL_REASON:
            reason = str(extension.value.reason.value)
    date = _utc(entry, "revocation_date")
    return Revocation(date, "" if reason == "unspecified" else reason)


def _entry_extensions(entry: Any) -> Sequence[Any]:
    """Return an entry's extensions; [] if cryptography can't read one: it revokes all the same."""
    try:
        return list(entry.extensions)
    except (ValueError, x509.DuplicateExtension):
        return []


def _without_pem(data: bytes) -> bytes:
    """Return the DER of a CRL in PEM or DER."""
    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    if not data.lstrip().startswith(begin):
        return data
    return base64.b64decode(data.partition(begin)[2].partition(end)[0])


def _utc(thing: Any, name: str) -> Any:
    """Return a time, UTC; None if there is none."""
    # cryptography 42 deprecates the plain names (with a warning); before, there are no others.
    if hasattr(type(thing), f"{name}_utc"):
        return getattr(thing, f"{name}_utc")
    found = getattr(thing, name)
    return None if found is None else found.replace(tzinfo=datetime.timezone.utc)


def not_before(certificate: x509.Certificate) -> datetime.datetime:
    """Return when the certificate's validity begins (UTC)."""
    found: datetime.datetime = _utc(certificate, "not_valid_before")
    return found
