"""Calls of GSS-API (RFC 2744) in the system's Kerberos library (MIT's), by ctypes.

Why not python-gssapi: PyPI has no wheel of it for Linux, so `pip install` needs a compiler and
libkrb5-dev; certbot's snap and a venv don't see the distribution's package; and its versions raise
different classes for the same error. The C interface has not changed since RFC 2744 (2000), and
`gss_acquire_cred_from` exists since MIT 1.11 (2012). Every system with ssh or curl has the library,
so nothing has to be installed.

No pointer leaves this module: it takes and returns bytes, and frees what the library allocates.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import Any, Optional

#: MIT's library; Heimdal's has another name and other error numbers.
LIBRARY = "libgssapi_krb5.so.2"

#: Flags (RFC 2744 §5.19): mutual authentication, replay detection, integrity. Not sequence
#: detection, which python-gssapi requests by default: a lost reply would make the context unusable.
_FLAGS = 2 | 4 | 32
_INITIATE = 1

#: The mechanism Kerberos 5 (OID 1.2.840.113554.1.2.2), without SPNEGO: BIND and Samba accept it,
#: and bodgit/tsig sends the same to Windows.
_MECHANISM = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"
_PRINCIPAL = _MECHANISM + b"\x01"
_SERVICE = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"  # service@host


class GssError(Exception):
    """A call has failed.

    :ivar major: the GSS status code (RFC 2744 §3.9.1)
    :ivar minor: the error number of Kerberos, which says why
    :ivar text: the library's message, which may name principals and servers, but no key
    """

    def __init__(self, major: int, minor: int, text: str) -> None:
        super().__init__(f"{text} ({major}/{minor})")
        self.major, self.minor, self.text = major, minor, text


class BadMic(GssError):
    """The MIC is not the peer's for this data (GSS_S_BAD_SIG), or malformed (DEFECTIVE_TOKEN)."""


class _Buffer(ctypes.Structure):
    _fields_ = (("length", c_size_t), ("value", c_void_p))


class _Oid(ctypes.Structure):
    _fields_ = (("length", c_uint32), ("elements", c_char_p))


class _OidSet(ctypes.Structure):
    _fields_ = (("count", c_size_t), ("elements", POINTER(_Oid)))


class _Pair(ctypes.Structure):
    _fields_ = (("key", c_char_p), ("value", c_char_p))


class _Pairs(ctypes.Structure):
    _fields_ = (("count", c_uint32), ("elements", POINTER(_Pair)))


_Minor = POINTER(c_uint32)
_Handle = POINTER(c_void_p)
_Bytes = POINTER(_Buffer)
_OidPointer = POINTER(_Oid)
_SIGNATURES = {
    "gss_import_name": (_Bytes, _OidPointer, _Handle),
    "gss_acquire_cred_from": (
        *(c_void_p, c_uint32, POINTER(_OidSet), c_int, POINTER(_Pairs)),
        *(_Handle, c_void_p, c_void_p),
    ),
    "gss_init_sec_context": (
        *(c_void_p, _Handle, c_void_p, _OidPointer, c_uint32, c_uint32, c_void_p),
        *(_Bytes, c_void_p, _Bytes, c_void_p, POINTER(c_uint32)),
    ),
    "gss_get_mic": (c_void_p, c_uint32, _Bytes, _Bytes),
    "gss_verify_mic": (c_void_p, _Bytes, _Bytes, c_void_p),
    "gss_display_status": (c_uint32, c_int, c_void_p, POINTER(c_uint32), _Bytes),
    "gss_release_buffer": (_Bytes,),
    "gss_release_name": (_Handle,),
    "gss_release_cred": (_Handle,),
    "gss_delete_sec_context": (_Handle, _Bytes),
}


def _oid(value: bytes) -> Any:
    return byref(_Oid(len(value), value))


def _buffer(data: bytes) -> tuple[Any, Any]:
    """Return a buffer for the library to read, and the object that owns its memory, which the
    caller has to keep until the call has returned.
    """
    kept = ctypes.create_string_buffer(data, len(data))
    return _Buffer(len(data), ctypes.cast(kept, c_void_p)), kept


class Library:
    """The loaded library.

    :raises OSError: it is not installed
    :raises AttributeError: it is older than MIT 1.11
    """

    def __init__(self) -> None:
        loaded = ctypes.CDLL(LIBRARY)
        self._calls = {}
        for name, arguments in _SIGNATURES.items():
            function = loaded[name]
            function.argtypes = (_Minor, *arguments)
            function.restype = c_uint32
            self._calls[name] = function

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library.

        :param name: of the function, `gss_…`
        :param arguments: those after `minor_status`
        :raises GssError: the status is an error
        """
        minor = c_uint32()
        major = int(self._calls[name](byref(minor), *arguments))
        if major >> 16:  # a calling or a routine error (RFC 2744 §3.9.1)
            text = self._text(minor.value, 2) if minor.value else self._text(major, 1)
            kind = BadMic if major >> 16 & 0xFF in (6, 9) else GssError
            raise kind(major, minor.value, text)

    def _text(self, status: int, kind: int) -> str:
        out, minor, more = _Buffer(), c_uint32(), c_uint32()
        mechanism = _oid(_MECHANISM)
        display = self._calls["gss_display_status"]
        display(byref(minor), status, kind, mechanism, byref(more), byref(out))
        return self.take(out).decode("utf-8", "replace")

    def take(self, buffer: Any) -> bytes:
        """Return the bytes of a buffer that the library has filled, and free it."""
        data = ctypes.string_at(buffer.value, buffer.length) if buffer.value else b""
        self._calls["gss_release_buffer"](byref(c_uint32()), byref(buffer))
        return data


class _Object:
    """An object of the library, which is released with this one.

    :param release: the function that releases it, and its arguments after the handle
    """

    def __init__(self, library: Library, *release: Any) -> None:
        self.library = library
        self.handle = c_void_p()
        self._release = release

    def __del__(self) -> None:
        if self.handle:
            release, *more = self._release
            self.library.call(release, byref(self.handle), *more)


class _Name(_Object):
    """The name of a principal or a service; `kind` is the OID of its type."""

    def __init__(self, library: Library, text: str, kind: bytes) -> None:
        super().__init__(library, "gss_release_name")
        source, _kept = _buffer(text.encode())
        library.call("gss_import_name", byref(source), _oid(kind), byref(self.handle))


class Credentials(_Object):
    """A ticket-granting ticket of `principal`, kept in the memory of this process.

    It is requested from the KDC at once, which takes up to 27 s if the KDC does not answer.

    :param keytab: the path of the keytab
    :param cache: the name of the credentials cache in memory
    :raises GssError: there is no ticket
    """

    def __init__(self, library: Library, principal: str, keytab: str, cache: str) -> None:
        super().__init__(library, "gss_release_cred")
        store = {"client_keytab": f"FILE:{keytab}", "ccache": f"MEMORY:{cache}"}
        pairs = (_Pair * len(store))(*(_Pair(k.encode(), v.encode()) for k, v in store.items()))
        mechanism = _Oid(len(_MECHANISM), _MECHANISM)
        name = _Name(library, principal, _PRINCIPAL)
        library.call(
            "gss_acquire_cred_from",
            *(name.handle, 0, byref(_OidSet(1, ctypes.pointer(mechanism))), _INITIATE),
            *(byref(_Pairs(len(store), pairs)), byref(self.handle), None, None),
        )


class Context(_Object):
    """The initiator's side of a security context with the service `DNS/host`.

    The second step completes it.

    :ivar lifetime: seconds until it expires, at the last step
    """

    def __init__(self, credentials: Credentials, host: str) -> None:
        super().__init__(credentials.library, "gss_delete_sec_context", None)
        self._credentials = credentials
        self._target = _Name(self.library, f"DNS@{host}", _SERVICE)
        self.lifetime = 0

    def step(self, token: Optional[bytes] = None) -> bytes:
        """Process a token of the service, and return the next one for it; b"" if there is none.

        :param token: None at the first step
        :raises GssError: no ticket for the service, or the token is not valid
        """
        source, _kept = _buffer(token or b"")
        out, lifetime = _Buffer(), c_uint32()
        self.library.call(
            "gss_init_sec_context",
            *(self._credentials.handle, byref(self.handle), self._target.handle, _oid(_MECHANISM)),
            *(_FLAGS, 0, None, byref(source) if token else None, None, byref(out), None),
            byref(lifetime),
        )
        self.lifetime = lifetime.value
        return self.library.take(out)

    def sign(self, data: bytes) -> bytes:
        """Return the MIC of the data.

        :raises GssError: the context has expired
        """
        source, _kept = _buffer(data)
        out = _Buffer()
        self.library.call("gss_get_mic", self.handle, 0, byref(source), byref(out))
        return self.library.take(out)

    def verify(self, data: bytes, mic: bytes) -> None:
        """Check that `mic` is the service's MIC of the data.

        :raises BadMic: it is not
        :raises GssError: it can't be checked, since the context has expired
        """
        source, _kept = _buffer(data)
        signature, _kept_too = _buffer(mic)
        self.library.call("gss_verify_mic", self.handle, byref(source), byref(signature), None)
