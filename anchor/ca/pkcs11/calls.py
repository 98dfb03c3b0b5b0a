"""The one call into a PKCS#11 module that is made for every certificate.

PyKCS11 turns a signature into Python's octets one by one, asks the module for its length first, and
keeps other threads waiting meanwhile; doc/adr/0030 has the figures.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

# PKCS#11 2.40, pkcs11f.h: the places of C_SignInit and C_Sign in CK_FUNCTION_LIST.
SIGN_INIT, SIGN = 42, 43

# Room for the signature of an RSA key of 16384 bits.
LONGEST = 2048


class _Mechanism(ctypes.Structure):
    _fields_ = (
        ("mechanism", ctypes.c_ulong),
        ("parameter", ctypes.c_void_p),
        ("parameter_length", ctypes.c_ulong),
    )


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68))


class Signing:
    """C_SignInit and C_Sign of a module that is loaded already."""

    def __init__(self, path: Path):
        # Not every module exports its other functions by their names.
        table = _function_list(ctypes.CDLL(str(path))).contents.functions
        handle = ctypes.c_ulong
        self._sign_init = ctypes.CFUNCTYPE(handle, handle, ctypes.POINTER(_Mechanism), handle)(
            table[SIGN_INIT]
        )
        self._sign = ctypes.CFUNCTYPE(
            handle, handle, ctypes.c_char_p, handle, ctypes.c_char_p, ctypes.POINTER(handle)
        )(table[SIGN])

    def sign(self, session: int, mechanism: int, key: int, octets: bytes) -> tuple[int, bytes]:
        """The module's return value, and the signature if that is CKR_OK."""
        answer: int = self._sign_init(session, _Mechanism(mechanism, None, 0), key)
        if answer:
            return answer, b""
        signature = ctypes.create_string_buffer(LONGEST)
        length = ctypes.c_ulong(LONGEST)
        answer = self._sign(session, octets, len(octets), signature, length)
        return answer, signature.raw[: length.value] if answer == 0 else b""


def has_one_function_list(path: Path) -> bool:
    """True if each caller of C_GetFunctionList gets the same list.

    p11-kit-client.so and p11-kit-proxy.so make a new list for each caller, with its own
    initialisation, sessions and logins.
    """
    library = ctypes.CDLL(str(path))
    first, second = _function_list(library), _function_list(library)
    return ctypes.addressof(first.contents) == ctypes.addressof(second.contents)


def _function_list(library: ctypes.CDLL) -> Any:
    functions = ctypes.POINTER(_FunctionList)()
    library.C_GetFunctionList(ctypes.byref(functions))
    return functions
