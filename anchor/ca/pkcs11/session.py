"""A key in a PKCS#11 token: found once per process, and found again when it was lost.

A session, a log-in and a key's handle are of no use in a process that was forked, nor after the
token was taken out, so they are made when a process first signs, and made again when they fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anchor.ca.pkcs11.module import KeyPlace, Module, Step, TokenError

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# Before a lost key is looked for again, in seconds.  SoftHSM does not see a token while another
# process writes to it, as it does at a log-in, and forked workers log in all at once.
PAUSES = (0.0, 0.05, 0.2)


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

    def sign(self, mechanism: int, octets: bytes) -> bytes:
        """What the token makes of the octets.

        Raises:
            TokenError: the token, or the key in it, cannot be had now.
        """

        return self._with_key(
            lambda opened: self.module.sign(opened.session, mechanism, opened.handle, octets)
        )

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
            self.module.initialise()
            try:
                session = self.module.log_in(self.place, self.pin)
                self._opened = Opened(self.module.epoch, session, self._find(session))
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
