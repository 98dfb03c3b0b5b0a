"""Sessions with a key in a PKCS#11 token, one per process, reopened after a failure.

A session, a login and a key's handle are not valid in a forked process, nor after the token was
removed.  So a process opens a session when it first signs, and opens another one when that fails.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anchor.ca.pkcs11.key_location import KeyLocation, Step, TokenError
from anchor.ca.pkcs11.module import Module

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds before each further attempt.  SoftHSM does not see a token while another process writes
# to it.  A login writes to it, and forked workers log in at the same time.
PAUSES = (0.0, 0.05, 0.2)


@dataclass(frozen=True)
class KeySession:
    """A session that is logged in, and the handle of the key in it."""

    epoch: tuple[int, int]
    session: Any
    handle: Any


@dataclass
class TokenKey:
    """A private key in a token."""

    module: Module
    location: KeyLocation
    pin: str = field(repr=False)
    _session: KeySession | None = field(default=None, repr=False)

    def sign(self, mechanism: int, data: bytes) -> bytes:
        """Sign data with a mechanism such as CKM_ECDSA.

        Raises:
            TokenError: the token or the key is not available.
        """
        return self._with_key(
            lambda opened: self.module.sign(opened.session, mechanism, opened.handle, data)
        )

    def attribute(self, name: int) -> Any:
        """Return an attribute of the key, such as CKA_KEY_TYPE; raise as :meth:`sign` does."""
        return self._with_key(
            lambda opened: opened.session.getAttributeValue(opened.handle, [name])[0]
        )

    def _with_key(self, action: Callable[[KeySession], T]) -> T:
        """Call a function with an open session; on failure, retry with a new session."""
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
                        "the key in the %s is looked for again: %s", self.location.token, error
                    )
                # The token may have been removed, or other code may have finalised the library, so
                # initialise it again.  Its other keys notice the new epoch.
                time.sleep(pause)
                self.module.finalise()
            try:
                return action(self._open())
            except pykcs11_error as error:
                self._close()
                raise TokenError(
                    Step.KEY,
                    f"the {self.location.token} does not serve {self.location.key}: {error}",
                ) from error

    def _open(self) -> KeySession:
        if self._session is None or self._session.epoch != self.module.epoch:
            self.module.initialise()
            try:
                session = self.module.log_in(self.location, self.pin)
                self._session = KeySession(self.module.epoch, session, self._find_key(session))
            except self.module.pykcs11.PyKCS11Error as error:
                raise TokenError(
                    Step.TOKEN, f"the {self.location.token} cannot be used: {error}"
                ) from error
        return self._session

    def _close(self) -> None:
        """Close the session if it is still valid, and forget it."""
        opened, self._session = self._session, None
        if opened is not None and opened.epoch == self.module.epoch:
            try:
                opened.session.closeSession()
            except self.module.pykcs11.PyKCS11Error:
                return

    def _find_key(self, session: Any) -> Any:
        pykcs11 = self.module.pykcs11
        template = [(pykcs11.CKA_CLASS, pykcs11.CKO_PRIVATE_KEY)]
        if self.location.key_id is not None:
            template.append((pykcs11.CKA_ID, self.location.key_id))
        if self.location.key_label is not None:
            template.append((pykcs11.CKA_LABEL, self.location.key_label))
        handles = session.findObjects(template)
        if len(handles) != 1:
            session.closeSession()
            raise TokenError(
                Step.KEY,
                f"{len(handles) or 'no'} private keys in the {self.location.token} have "
                f"{self.location.key}",
            )
        return handles[0]
