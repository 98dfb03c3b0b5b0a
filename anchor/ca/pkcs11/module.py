"""A PKCS#11 library as a process has it loaded, and the log-in to its tokens.

What a module remembers of a program, it remembers of a process: that it was initialised, and who is
logged in to which token.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from anchor.ca.pkcs11.calls import Signing, has_one_function_list
from anchor.ca.pkcs11.pin_refusals import PinRefusals, Turn
from anchor.errors import PIN_REFUSED, SigningError

LOG = logging.getLogger(__name__)

# How long a thread waits for others to be done with a module.
LOCK_SECONDS = 10


class Step(Enum):
    """What has to succeed, one after the other, before a key can sign."""

    MODULE = "module"
    TOKEN = "token"  # noqa: S105  # of the other kind
    PIN = "PIN"
    KEY = "key"


class TokenError(SigningError):
    """A step on the way to the key failed; the text never has the PIN in it."""

    def __init__(self, step: Step, message: str):
        self.step = step
        self.exit_status = PIN_REFUSED if step is Step.PIN else 1
        super().__init__(message)


@dataclass(frozen=True)
class KeyPlace:
    """Where a private key is.

    Attributes:
        slot: the number of the token's slot; or
        token_label: the token's label.
        key_id: the key's CKA_ID, if it has to have a certain one.
        key_label: likewise its CKA_LABEL.
        token_serial: the token's serial number, in the place of its slot or its label.
    """

    slot: int | None
    token_label: str | None
    key_id: bytes | None
    key_label: str | None
    token_serial: str | None = None

    @property
    def token(self) -> str:
        """The token, for people."""
        if self.token_serial is not None:
            return f"token with the serial number {self.token_serial!r}"
        return f"slot {self.slot}" if self.token_label is None else f"token {self.token_label!r}"

    @property
    def key(self) -> str:
        """The key, for people."""
        return " and ".join(
            words
            for words, given in (
                (f"the id {(self.key_id or b'').hex()}", self.key_id is not None),
                (f"the label {self.key_label!r}", self.key_label is not None),
            )
            if given
        )


class Module:
    """A PKCS#11 library as this process has it loaded.

    Attributes:
        pykcs11: the Python module PyKCS11.
        epoch: changes whenever the handles that the library gave out have become meaningless.
        signing: its calls that make a signature; None if PyKCS11 has to make them.
        pins: by slot, what the process is logged in with.
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
        # Sessions of PyKCS11 mean nothing to another function list (doc/adr/0033).
        self.signing = Signing(path) if has_one_function_list(path) else None

    @property
    def epoch(self) -> tuple[int, int]:
        """The process, and how often it has had the library finalised."""
        return os.getpid(), self._times_finalised

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have the library to oneself: sessions do one thing at a time, and some modules too.

        Raises:
            TokenError: another thread does not come back from it.
        """
        # A lock that some thread of the parent held at the fork would stay locked in the child.
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(timeout=LOCK_SECONDS):
            raise TokenError(Step.MODULE, f"the module has been busy for {LOCK_SECONDS} seconds")
        try:
            yield
        finally:
            lock.release()

    def initialise(self) -> None:
        """Make the library ready in this process, which changes nothing if it is.

        Raises:
            TokenError: it refuses.
        """
        # PKCS#11 2.40, 2.6: a forked child has to call C_Initialize for itself.
        answer = self.library.lib.C_Initialize()
        if answer not in (
            self.pykcs11.CKR_OK,
            self.pykcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED,
        ):
            raise TokenError(
                Step.MODULE,
                f"the module cannot be initialised: {self.pykcs11.PyKCS11Error(answer)}",
            )

    def sign(self, session: Any, mechanism: int, key: Any, data: bytes) -> bytes:
        """Sign with a key, in a session that is logged in; raises PyKCS11Error."""
        if self.signing is None:
            return bytes(session.sign(key, data, self.pykcs11.Mechanism(mechanism)))
        answer, signature = self.signing.sign(session.session.value(), mechanism, key.value(), data)
        if answer != self.pykcs11.CKR_OK:
            raise self.pykcs11.PyKCS11Error(answer)
        return signature

    def finalise(self) -> None:
        """Have the library forget everything, and look at its tokens anew when it is used again."""
        self._times_finalised += 1
        self.pins.clear()
        self.library.lib.C_Finalize()

    def log_in(self, place: KeyPlace, pin: str, flags: int = 0) -> Any:
        """A session with a token, logged in to.

        Args:
            place: which token.
            pin: its user's PIN.
            flags: such as CKF_RW_SESSION.

        Raises:
            TokenError: there is no such token, or it refuses the PIN.
        """
        slot = self._slot(place)
        try:
            with self._refusals.turn(LOCK_SECONDS) as turn:
                return self._log_in(place, slot, pin, flags, turn)
        except TimeoutError:
            raise TokenError(
                Step.TOKEN,
                f"other processes have been logging in to the {place.token} for {LOCK_SECONDS} "
                "seconds",
            ) from None

    def _log_in(self, place: KeyPlace, slot: int, pin: str, flags: int, turn: Turn) -> Any:
        pykcs11 = self.pykcs11
        info = self.library.getTokenInfo(slot)
        # Which token it is; a slot can have another one tomorrow.
        token = "\0".join((info.manufacturerID, info.model, info.serialNumber, info.label))
        if turn.refused_before(token, pin):
            raise TokenError(
                Step.PIN,
                f"the {place.token} has refused the PIN, which is not tried again: correct it, and "
                "restart the service",
            )
        self._require_attempts_left(place, info.flags)
        session = self.library.openSession(slot, flags)
        try:
            session.login(pin)
            self.pins[slot] = pin
        except pykcs11.PyKCS11Error as error:
            if error.value == pykcs11.CKR_USER_ALREADY_LOGGED_IN:
                # By another key of this token: a log-in is a process's, not a session's.
                if self.pins.get(slot, pin) == pin:
                    return session
                session.closeSession()
                raise TokenError(
                    Step.PIN, f"the {place.token} is logged in to with another PIN"
                ) from error
            if self._is_refusal(error, slot, info.flags):
                turn.add(token, pin)
                session.closeSession()
                raise TokenError(Step.PIN, f"the {place.token} refuses the PIN: {error}") from error
            session.closeSession()
            raise
        return session

    def _require_attempts_left(self, place: KeyPlace, flags: int) -> None:
        """Raise TokenError if a wrong PIN would lock the token, or did so."""
        pykcs11 = self.pykcs11
        if flags & pykcs11.CKF_USER_PIN_LOCKED:
            raise TokenError(
                Step.PIN,
                f"the PIN of the {place.token} is locked (CKF_USER_PIN_LOCKED), so no login was "
                "tried: have the security officer unlock it",
            )
        if flags & pykcs11.CKF_USER_PIN_FINAL_TRY:
            raise TokenError(
                Step.PIN,
                f"the {place.token} has one attempt left before it locks itself "
                "(CKF_USER_PIN_FINAL_TRY), so no login was tried: log in with the token's own "
                "tools, which sets the attempts back",
            )
        if flags & pykcs11.CKF_USER_PIN_COUNT_LOW:
            LOG.warning(
                "the %s was given a wrong PIN since its last login (CKF_USER_PIN_COUNT_LOW)",
                place.token,
            )

    def _is_refusal(self, error: Any, slot: int, flags_before: int) -> bool:
        """True if the PIN is why the login failed: by the code, or by what the token counts."""
        pykcs11 = self.pykcs11
        if error.value in (
            pykcs11.CKR_PIN_INCORRECT,
            pykcs11.CKR_PIN_INVALID,
            pykcs11.CKR_PIN_LEN_RANGE,
            pykcs11.CKR_PIN_LOCKED,
            pykcs11.CKR_PIN_EXPIRED,
        ):
            return True
        counts = (
            pykcs11.CKF_USER_PIN_COUNT_LOW
            | pykcs11.CKF_USER_PIN_FINAL_TRY
            | pykcs11.CKF_USER_PIN_LOCKED
        )
        try:
            flags: int = self.library.getTokenInfo(slot).flags
        except pykcs11.PyKCS11Error:
            return False
        return bool(flags & counts & ~flags_before)

    def _slot(self, place: KeyPlace) -> int:
        pykcs11, library = self.pykcs11, self.library
        slots: list[int] = list(library.getSlotList(tokenPresent=True))
        if place.slot is not None:
            if place.slot not in slots:
                raise TokenError(
                    Step.TOKEN, f"there is no token in slot {place.slot}, but in {slots}"
                )
            return place.slot
        by_serial = place.token_serial is not None
        names: dict[int, str] = {}
        for slot in slots:
            try:
                info = library.getTokenInfo(slot)
            except pykcs11.PyKCS11Error:
                # One that is being taken out is not the one that is wanted.
                continue
            names[slot] = (info.serialNumber if by_serial else info.label).rstrip(" \0")
        wanted = place.token_serial if by_serial else place.token_label
        found = [slot for slot, name in names.items() if name == wanted]
        if len(found) != 1:
            verb = "have the serial number" if by_serial else "are labelled"
            raise TokenError(
                Step.TOKEN,
                f"{len(found) or 'no'} tokens {verb} {wanted!r}; there are "
                f"{sorted(name for name in names.values() if name)}",
            )
        return found[0]


@functools.cache
def module_at(path: Path) -> Module:
    """The library at a path, of which a process has no more than one, whoever asks.

    Raises:
        ModuleNotFoundError: PyKCS11 is not installed.
        TokenError: it cannot be loaded.
    """
    import PyKCS11  # noqa: PLC0415  # an extra: it is there only where an HSM is used

    return Module(path, PyKCS11)
