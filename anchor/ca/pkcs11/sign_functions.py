"""C_SignInit and C_Sign of a PKCS#11 library, called for every certificate.

PyKCS11 is slower: it copies a signature byte by byte, asks the library for the length first, and
blocks other threads meanwhile; doc/adr/0030 says why.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

# PKCS#11 2.40, pkcs11f.h: the indices of C_SignInit and C_Sign in CK_FUNCTION_LIST.
SIGN_INIT, SIGN = 42, 43

# Bytes in the signature of an RSA key of 16384 bits.
MAX_SIGNATURE = 2048


class _Mechanism(ctypes.Structure):
    _fields_ = (
        ("mechanism", ctypes.c_ulong),
        ("parameter", ctypes.c_void_p),
        ("parameter_length", ctypes.c_ulong),
    )


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68))


class SignFunctions:
    """C_SignInit and C_Sign of a library that is loaded already."""

    def __init__(self, path: Path):
        # PKCS#11 2.40, 2.1: a library need export no function but C_GetFunctionList.
        table = _function_list(ctypes.CDLL(str(path))).contents.functions
        handle = ctypes.c_ulong
        self._sign_init = ctypes.CFUNCTYPE(handle, handle, ctypes.POINTER(_Mechanism), handle)(
            table[SIGN_INIT]
        )
        self._sign = ctypes.CFUNCTYPE(
            handle, handle, ctypes.c_char_p, handle, ctypes.c_char_p, ctypes.POINTER(handle)
        )(table[SIGN])

    def sign(self, session: int, mechanism: int, key: int, data: bytes) -> tuple[int, bytes]:
        """Return the CK_RV of the library, and the signature if that is CKR_OK."""
        result: int = self._sign_init(session, _Mechanism(mechanism, None, 0), key)
        if result:
            return result, b""
        signature = ctypes.create_string_buffer(MAX_SIGNATURE)
        length = ctypes.c_ulong(MAX_SIGNATURE)
        result = self._sign(session, data, len(data), signature, length)
        return result, signature.raw[: length.value] if result == 0 else b""


def has_one_function_list(path: Path) -> bool:
    """True if each caller of C_GetFunctionList gets the same list.

    p11-kit-client.so and p11-kit-proxy.so make a new list for each caller; initialisation, sessions
    and logins belong to one list.
    """
    library = ctypes.CDLL(str(path))
    first, second = _function_list(library), _function_list(library)
    return ctypes.addressof(first.contents) == ctypes.addressof(second.contents)


def _function_list(library: ctypes.CDLL) -> Any:
    functions = ctypes.POINTER(_FunctionList)()
    library.C_GetFunctionList(ctypes.byref(functions))
    return functions
