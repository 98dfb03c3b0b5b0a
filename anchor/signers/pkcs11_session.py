"""A key in a PKCS#11 token: found once per process, and found again when it was lost.

What a module remembers of a program, it remembers of a process.  A session, a log-in and a key's
handle are of no use in a process that was forked, nor after the token was taken out, so they are
made when a process first signs, and made again when they fail.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from anchor.errors import SigningError
from anchor.signers.pkcs11_calls import Signing

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# How long a thread waits for others to be done with a module.
LOCK_SECONDS = 10

# Before a lost key is looked for again, in seconds.  SoftHSM does not see a token while another
# process writes to it, as it does at a log-in, and forked workers log in all at once.
PAUSES = (0.0, 0.05, 0.2)


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
        super().__init__(message)


@dataclass(frozen=True)
class KeyPlace:
    """Where a private key is.

    Attributes:
        slot: the number of the token's slot; or
        token_label: the token's label.
        key_id: the key's CKA_ID, if it has to have a certain one.
        key_label: likewise its CKA_LABEL.
    """

    slot: int | None
    token_label: str | None
    key_id: bytes | None
    key_label: str | None

    @property
    def token(self) -> str:
        """The token, for people."""
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
        signing: the module's calls that make a signature.
        pins: by slot, what the process is logged in with.
    """

    def __init__(self, path: Path, pykcs11: ModuleType):
        self.pykcs11 = pykcs11
        self._locks: dict[int, threading.Lock] = {}
        self._times_finalised = 0
        self.pins: dict[int, str] = {}
        if not path.is_file():
            raise TokenError(Step.MODULE, f"there is no file {path}")
        try:
            self.library: Any = pykcs11.PyKCS11Lib().load(str(path))
        except pykcs11.PyKCS11Error as error:
            raise TokenError(
                Step.MODULE, f"{path} cannot be loaded as a PKCS#11 module: {error}"
            ) from error
        self.signing = Signing(path)

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
        pykcs11 = self.pykcs11
        slot = self._slot(place)
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
            session.closeSession()
            if error.value in (
                pykcs11.CKR_PIN_INCORRECT,
                pykcs11.CKR_PIN_INVALID,
                pykcs11.CKR_PIN_LEN_RANGE,
                pykcs11.CKR_PIN_LOCKED,
                pykcs11.CKR_PIN_EXPIRED,
            ):
                raise TokenError(Step.PIN, f"the {place.token} refuses the PIN: {error}") from error
            raise
        return session

    def _slot(self, place: KeyPlace) -> int:
        pykcs11, library = self.pykcs11, self.library
        slots: list[int] = list(library.getSlotList(tokenPresent=True))
        if place.token_label is None:
            if place.slot not in slots:
                raise TokenError(
                    Step.TOKEN, f"there is no token in slot {place.slot}, but in {slots}"
                )
            return place.slot
        labels: dict[int, str] = {}
        for slot in slots:
            try:
                labels[slot] = library.getTokenInfo(slot).label.rstrip(" \0")
            except pykcs11.PyKCS11Error:
                # One that is being taken out is not the one that is wanted.
                continue
        found = [slot for slot, label in labels.items() if label == place.token_label]
        if len(found) != 1:
            raise TokenError(
                Step.TOKEN,
                f"{len(found) or 'no'} tokens are labelled {place.token_label!r}; there are "
                f"{sorted(label for label in labels.values() if label)}",
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


@dataclass(frozen=True)
class Opened:
    """A session that is logged in, and the key's handle in it."""

    epoch: tuple[int, int]
    session: Any
    handle: Any


@dataclass
class TokenKey:
    """A private key in a token."""

    module: Module
    place: KeyPlace
    pin: str = field(repr=False)
    _opened: Opened | None = field(default=None, repr=False)
    _refused: bool = False

    def sign(self, mechanism: int, octets: bytes) -> bytes:
        """What the token makes of the octets.

        Raises:
            TokenError: the token, or the key in it, cannot be had now.
        """

        def sign(opened: Opened) -> bytes:
            answer, signature = self.module.signing.sign(
                opened.session.session.value(), mechanism, opened.handle.value(), octets
            )
            if answer != self.module.pykcs11.CKR_OK:
                raise self.module.pykcs11.PyKCS11Error(answer)
            return signature

        return self._with_key(sign)

    def attribute(self, name: int) -> Any:
        """An attribute of the key, such as CKA_KEY_TYPE; raises as :meth:`sign` does."""
        return self._with_key(
            lambda opened: opened.session.getAttributeValue(opened.handle, [name])[0]
        )

    def _with_key(self, action: Callable[[Opened], T]) -> T:
        """Do something with the key, again if it has to be found again."""
        pykcs11_error = self.module.pykcs11.PyKCS11Error
        with self.module.locked():
            for pause in PAUSES:
                try:
                    return action(self._open())
                except (TokenError, pykcs11_error) as error:
                    self._close()
                    if isinstance(error, TokenError) and error.step is Step.PIN:
                        raise
                    LOG.warning(
                        "the key in the %s is looked for again: %s", self.place.token, error
                    )
                # The token may have been away, or the module finalised by somebody: begin at the
                # beginning.  Other keys of this module notice by the epoch.
                time.sleep(pause)
                self.module.finalise()
            try:
                return action(self._open())
            except pykcs11_error as error:
                self._close()
                raise TokenError(
                    Step.KEY, f"the {self.place.token} does not serve {self.place.key}: {error}"
                ) from error

    def _open(self) -> Opened:
        if self._opened is None or self._opened.epoch != self.module.epoch:
            if self._refused:
                raise TokenError(
                    Step.PIN,
                    f"the {self.place.token} has refused the PIN, which is not tried again: mend "
                    "it, and reload",
                )
            self.module.initialise()
            try:
                session = self.module.log_in(self.place, self.pin)
                self._opened = Opened(self.module.epoch, session, self._find(session))
            except TokenError as error:
                # Tokens lock themselves after a few refusals.
                self._refused = error.step is Step.PIN
                raise
            except self.module.pykcs11.PyKCS11Error as error:
                raise TokenError(
                    Step.TOKEN, f"the {self.place.token} cannot be used: {error}"
                ) from error
        return self._opened

    def _close(self) -> None:
        """Forget the session; if it is still one, the token need not keep it either."""
        opened, self._opened = self._opened, None
        if opened is not None and opened.epoch == self.module.epoch:
            try:
                opened.session.closeSession()
            except self.module.pykcs11.PyKCS11Error:
                return

    def _find(self, session: Any) -> Any:
        pykcs11 = self.module.pykcs11
        template = [(pykcs11.CKA_CLASS, pykcs11.CKO_PRIVATE_KEY)]
        if self.place.key_id is not None:
            template.append((pykcs11.CKA_ID, self.place.key_id))
        if self.place.key_label is not None:
            template.append((pykcs11.CKA_LABEL, self.place.key_label))
        found = session.findObjects(template)
        if len(found) != 1:
            session.closeSession()
            raise TokenError(
                Step.KEY,
                f"{len(found) or 'no'} private keys in the {self.place.token} have "
                f"{self.place.key}",
            )
        return found[0]
