"""A PKCS#11 library that this process has loaded, and the login to its tokens.

A PKCS#11 library keeps its state per process: whether it is initialised, and the logins.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from anchor.ca.pkcs11.key_location import KeyLocation, Step, TokenError
from anchor.ca.pkcs11.pin_refusals import LockedRefusals, PinRefusals
from anchor.ca.pkcs11.sign_functions import SignFunctions, has_one_function_list

LOG = logging.getLogger(__name__)

# Seconds to wait for other threads, and for logins of other processes.
LOCK_SECONDS = 10


class Module:
    """A PKCS#11 library that this process has loaded.

    Attributes:
        pykcs11: the Python module PyKCS11.
        library: the loaded library (``PyKCS11Lib``).
        sign_functions: C_SignInit and C_Sign of the library; None if PyKCS11 has to call them.
        pins: the PIN of each slot that the process is logged in to.
    """

    def __init__(self, path: Path, pykcs11: ModuleType):
        self.pykcs11 = pykcs11
        self._locks: dict[int, threading.Lock] = {}
        self._times_finalised = 0
        self.pins: dict[int, str] = {}
        self._refusals = PinRefusals()
        if not path.is_file():
            raise TokenError(Step.MODULE, f"there is no file {path}")
        try:
            self.library: Any = pykcs11.PyKCS11Lib().load(str(path))
        except pykcs11.PyKCS11Error as error:
            raise TokenError(
                Step.MODULE, f"{path} cannot be loaded as a PKCS#11 module: {error}"
            ) from error
        # Sessions of PyKCS11 are not valid in another function list (doc/adr/0033).
        self.sign_functions = SignFunctions(path) if has_one_function_list(path) else None

    @property
    def epoch(self) -> tuple[int, int]:
        """The process id and a count; handles from another epoch are not valid any more."""
        return os.getpid(), self._times_finalised

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads out of the library, since not every library is thread-safe.

        Raises:
            TokenError: another thread has used it for LOCK_SECONDS.
        """
        # One lock per process: a lock that is held during a fork stays locked in the child.
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(timeout=LOCK_SECONDS):
            raise TokenError(Step.MODULE, f"the module has been busy for {LOCK_SECONDS} seconds")
        try:
            yield
        finally:
            lock.release()

    def initialise(self) -> None:
        """Initialise the library in this process if it is not initialised yet.

        Raises:
            TokenError: C_Initialize failed.
        """
        # PKCS#11 2.40, 2.6: a forked child has to call C_Initialize.
        result = self.library.lib.C_Initialize()
        if result not in (
            self.pykcs11.CKR_OK,
            self.pykcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED,
        ):
            raise TokenError(
                Step.MODULE,
                f"the module cannot be initialised: {self.pykcs11.PyKCS11Error(result)}",
            )

    def sign(self, session: Any, mechanism: int, key: Any, data: bytes) -> bytes:
        """Sign data in a session that is logged in; raise PyKCS11Error on failure."""
        if self.sign_functions is None:
            return bytes(session.sign(key, data, self.pykcs11.Mechanism(mechanism)))
        result, signature = self.sign_functions.sign(
            session.session.value(), mechanism, key.value(), data
        )
        if result != self.pykcs11.CKR_OK:
            raise self.pykcs11.PyKCS11Error(result)
        return signature

    def finalise(self) -> None:
        """Finalise the library, so that the next use initialises it and lists its tokens again."""
        self._times_finalised += 1
        self.pins.clear()
        self.library.lib.C_Finalize()

    def log_in(self, location: KeyLocation, pin: str, flags: int = 0) -> Any:
        """Open a session with a token and log in.

        Args:
            location: the token.
            pin: the PIN of the token's user.
            flags: flags of C_OpenSession, such as CKF_RW_SESSION.

        Raises:
            TokenError: there is no such token, or it refuses the PIN.
        """
        slot = self._slot(location)
        try:
            with self._refusals.login_lock(LOCK_SECONDS) as refusals:
                return self._log_in(location, slot, pin, flags, refusals)
        except TimeoutError:
            raise TokenError(
                Step.TOKEN,
                f"other processes have been logging in to the {location.token} for {LOCK_SECONDS} "
                "seconds",
            ) from None

    def _log_in(
        self, location: KeyLocation, slot: int, pin: str, flags: int, refusals: LockedRefusals
    ) -> Any:
        pykcs11 = self.pykcs11
        info = self.library.getTokenInfo(slot)
        # A slot can contain another token later, so the slot number does not identify it.
        token = "\0".join((info.manufacturerID, info.model, info.serialNumber, info.label))
        if refusals.refused_before(token, pin):
            raise TokenError(
                Step.PIN,
                f"the {location.token} has refused the PIN, which is not tried again: correct it, "
                "and restart the service",
            )
        self._require_attempts_left(location, info.flags)
        session = self.library.openSession(slot, flags)
        try:
            session.login(pin)
            self.pins[slot] = pin
        except pykcs11.PyKCS11Error as error:
            if error.value == pykcs11.CKR_USER_ALREADY_LOGGED_IN:
                # For another key of this token: the whole process is logged in, not one session.
                if self.pins.get(slot, pin) == pin:
                    return session
                session.closeSession()
                raise TokenError(
                    Step.PIN, f"the {location.token} is logged in to with another PIN"
                ) from error
            if self._is_refusal(error, slot, info.flags):
                refusals.add(token, pin)
                session.closeSession()
                raise TokenError(
                    Step.PIN, f"the {location.token} refuses the PIN: {error}"
                ) from error
            session.closeSession()
            raise
        return session

    def _require_attempts_left(self, location: KeyLocation, flags: int) -> None:
        """Raise TokenError if the PIN is locked, or the next wrong PIN locks it."""
        pykcs11 = self.pykcs11
        if flags & pykcs11.CKF_USER_PIN_LOCKED:
            raise TokenError(
                Step.PIN,
                f"the PIN of the {location.token} is locked (CKF_USER_PIN_LOCKED), so no login was "
                "tried: have the security officer unlock it",
            )
        if flags & pykcs11.CKF_USER_PIN_FINAL_TRY:
            raise TokenError(
                Step.PIN,
                f"the {location.token} has one attempt left before it locks itself "
                "(CKF_USER_PIN_FINAL_TRY), so no login was tried: log in with the token's own "
                "tools, which sets the attempts back",
            )
        if flags & pykcs11.CKF_USER_PIN_COUNT_LOW:
            LOG.warning(
                "the %s was given a wrong PIN since its last login (CKF_USER_PIN_COUNT_LOW)",
                location.token,
            )

    def _is_refusal(self, error: Any, slot: int, flags_before: int) -> bool:
        """True if the error, or the token's count of attempts, means a wrong PIN."""
        pykcs11 = self.pykcs11
        if error.value in (
            pykcs11.CKR_PIN_INCORRECT,
            pykcs11.CKR_PIN_INVALID,
            pykcs11.CKR_PIN_LEN_RANGE,
            pykcs11.CKR_PIN_LOCKED,
            pykcs11.CKR_PIN_EXPIRED,
        ):
            return True
        attempt_flags = (
            pykcs11.CKF_USER_PIN_COUNT_LOW
            | pykcs11.CKF_USER_PIN_FINAL_TRY
            | pykcs11.CKF_USER_PIN_LOCKED
        )
        try:
            flags: int = self.library.getTokenInfo(slot).flags
        except pykcs11.PyKCS11Error:
            return False
        return bool(flags & attempt_flags & ~flags_before)

    def _slot(self, location: KeyLocation) -> int:
        pykcs11, library = self.pykcs11, self.library
        slots: list[int] = list(library.getSlotList(tokenPresent=True))
        if location.slot is not None:
            if location.slot not in slots:
                raise TokenError(
                    Step.TOKEN, f"there is no token in slot {location.slot}, but in {slots}"
                )
            return location.slot
        by_serial = location.token_serial is not None
        names: dict[int, str] = {}
        for slot in slots:
            try:
                info = library.getTokenInfo(slot)
            except pykcs11.PyKCS11Error:
                # This token is being removed.
                continue
            names[slot] = (info.serialNumber if by_serial else info.label).rstrip(" \0")
        expected = location.token_serial if by_serial else location.token_label
        matches = [slot for slot, name in names.items() if name == expected]
        if len(matches) != 1:
            verb = "have the serial number" if by_serial else "are labelled"
            raise TokenError(
                Step.TOKEN,
                f"{len(matches) or 'no'} tokens {verb} {expected!r}; there are "
                f"{sorted(name for name in names.values() if name)}",
            )
        return matches[0]


@functools.cache
def module_at(path: Path) -> Module:
    """The library at a path; a process loads each path once.

    Raises:
        ModuleNotFoundError: PyKCS11 is not installed.
        TokenError: the library cannot be loaded.
    """
    import PyKCS11  # noqa: PLC0415  # only the extra anchor[pkcs11] installs it

    module = Module(path, PyKCS11)
    _loaded.add(module)
    return module


_loaded: weakref.WeakSet[Module] = weakref.WeakSet()


def log_out() -> None:
    """End all logins of this process, so that each PIN in a new configuration is verified.

    Raises:
        TokenError: another thread uses a library.
    """
    for module in list(_loaded):
        with module.locked():
            module.finalise()
