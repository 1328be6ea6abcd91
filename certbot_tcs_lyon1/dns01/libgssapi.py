"""The seven calls of the system's Kerberos library (MIT's) that TSIG needs: RFC 2744, by ctypes.

Why not python-gssapi: PyPI has no wheel of it for Linux, so `pip install` wants a compiler and
libkrb5-dev; certbot's snap and a venv don't see the distribution's package; and it turns each
fault into another class in each version. The C interface has not changed since RFC 2744 (2000),
and `gss_acquire_cred_from` is there since MIT 1.11 (2012). The library itself is on every system
that has ssh or curl. So there is nothing to install, and nothing more to maintain than this file.

No pointer leaves this module: bytes go in and come out. What the library allocates is freed by it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from typing import Any, Optional

#: MIT's; Heimdal's has another name, and other error numbers.
LIBRARY = "libgssapi_krb5.so.2"

#: Flags of RFC 2744: mutual authentication, replay detection, integrity. Without sequence
#: detection, which python-gssapi asks for by default: a lost reply would spoil the context.
_FLAGS = 2 | 4 | 32
_COMPLETE, _CONTINUE_NEEDED = 0, 1
_INITIATE = 1

#: Kerberos 5, 1.2.840.113554.1.2.2, without SPNEGO around it: BIND and Samba take it so, and what
#: bodgit/tsig sends to Windows is the same.
_MECHANISM = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"
_PRINCIPAL = _MECHANISM + b"\x01"
_SERVICE = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"  # service@host


class GssError(Exception):
    """A call failed: `major` (RFC 2744 §3.9.1) and `minor`, Kerberos' own number, which tells.

    `text` is the library's; it may name principals and servers, never a key.
    """

    def __init__(self, major: int, minor: int, text: str) -> None:
        super().__init__(f"{text} ({major}/{minor})")
        self.major, self.minor, self.text = major, minor, text


class BadMic(GssError):
    """The signature is not the other side's of this data."""


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
    """A buffer for the library to read, and what must live as long as it."""
    kept = ctypes.create_string_buffer(data, len(data))
    return _Buffer(len(data), ctypes.cast(kept, c_void_p)), kept


class Library:
    """The library, loaded.

    :raises OSError: there is none
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

    def call(self, name: str, *arguments: Any) -> int:
        """Call `gss_…`: its major status, which is no error.

        :raises GssError: it is one
        """
        minor = c_uint32()
        major = int(self._calls[name](byref(minor), *arguments))
        if major >> 16:  # a calling or a routine error (RFC 2744 §3.9.1)
            text = self._text(minor.value, 2) if minor.value else self._text(major, 1)
            kind = BadMic if major >> 16 & 0xFF in (6, 9) else GssError
            raise kind(major, minor.value, text)
        return major

    def _text(self, status: int, kind: int) -> str:
        out, minor, more = _Buffer(), c_uint32(), c_uint32()
        mechanism = _oid(_MECHANISM)
        display = self._calls["gss_display_status"]
        if display(byref(minor), status, kind, mechanism, byref(more), byref(out)):
            return f"error {status}"
        return self.take(out).decode("utf-8", "replace")

    def take(self, buffer: Any) -> bytes:
        """The bytes of a buffer that the library filled; it is freed."""
        data = ctypes.string_at(buffer.value, buffer.length) if buffer.value else b""
        self._calls["gss_release_buffer"](byref(c_uint32()), byref(buffer))
        return data

    def import_name(self, text: str, kind: bytes) -> c_void_p:
        name = c_void_p()
        source, _kept = _buffer(text.encode())
        self.call("gss_import_name", byref(source), _oid(kind), byref(name))
        return name


class Credentials:
    """A ticket-granting ticket of `principal`, in the memory of this process.

    :param keytab: the file's path
    :param cache: its name in memory, of this process alone
    :raises GssError: no ticket; the KDC is asked here, and may be silent for 27 s
    """

    def __init__(self, library: Library, principal: str, keytab: str, cache: str) -> None:
        self.library = library
        self.handle = c_void_p()
        store: Mapping[str, str] = {"client_keytab": f"FILE:{keytab}", "ccache": f"MEMORY:{cache}"}
        pairs = (_Pair * len(store))(*(_Pair(k.encode(), v.encode()) for k, v in store.items()))
        mechanism = _Oid(len(_MECHANISM), _MECHANISM)
        name = library.import_name(principal, _PRINCIPAL)
        try:
            library.call(
                "gss_acquire_cred_from",
                *(name, 0, byref(_OidSet(1, ctypes.pointer(mechanism))), _INITIATE),
                *(byref(_Pairs(len(store), pairs)), byref(self.handle), None, None),
            )
        finally:
            library.call("gss_release_name", byref(name))

    def __del__(self) -> None:
        if self.handle:
            self.library.call("gss_release_cred", byref(self.handle))


class Context:
    """The initiator's side of a security context with `DNS/host`; to be stepped until complete."""

    def __init__(self, credentials: Credentials, host: str) -> None:
        self._credentials = credentials
        self._library = credentials.library
        self._handle = c_void_p()
        self._target = self._library.import_name(f"DNS@{host}", _SERVICE)
        self.complete = False
        self.lifetime = 0

    def step(self, token: Optional[bytes] = None) -> bytes:
        """Take the other side's token, and return the next one for it; b"" if there is none.

        :raises GssError: no ticket for the service, or a token that isn't the service's
        """
        source, _kept = _buffer(token or b"")
        out, lifetime = _Buffer(), c_uint32()
        major = self._library.call(
            "gss_init_sec_context",
            *(self._credentials.handle, byref(self._handle), self._target, _oid(_MECHANISM)),
            *(_FLAGS, 0, None, byref(source) if token else None, None, byref(out), None),
            byref(lifetime),
        )
        self.complete = not major & _CONTINUE_NEEDED
        self.lifetime = lifetime.value
        return self._library.take(out)

    def sign(self, data: bytes) -> bytes:
        """Return the MIC of the data."""
        source, _kept = _buffer(data)
        out = _Buffer()
        self._library.call("gss_get_mic", self._handle, 0, byref(source), byref(out))
        return self._library.take(out)

    def verify(self, data: bytes, mic: bytes) -> None:
        """Raise `BadMic` unless it is the service's MIC of the data."""
        source, _kept = _buffer(data)
        signature, _kept_too = _buffer(mic)
        self._library.call("gss_verify_mic", self._handle, byref(source), byref(signature), None)

    def __del__(self) -> None:
        if self._handle:
            self._library.call("gss_delete_sec_context", byref(self._handle), None)
        if self._target:
            self._library.call("gss_release_name", byref(self._target))
