"""The location of a key in a PKCS#11 token, and the error without access."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from anchor.errors import PIN_REFUSED, SigningError


class Step(Enum):
    """The steps on the way to a key, in their order."""

    MODULE = "module"
    TOKEN = "token"  # noqa: S105  # a hardware token
    PIN = "PIN"
    KEY = "key"


class TokenError(SigningError):
    """A step on the way to the key failed; the message never contains the PIN."""

    def __init__(self, step: Step, message: str):
        self.step = step
        self.exit_status = PIN_REFUSED if step is Step.PIN else 1
        super().__init__(message)


@dataclass(frozen=True)
class KeyLocation:
    """The token that contains a private key, and the key's attributes.

    Attributes:
        slot: the number of the token's slot. One of this, ``token_label`` and ``token_serial`` is
            given.
        token_label: the token's label.
        key_id: the key's CKA_ID; None matches any.
        key_label: the key's CKA_LABEL; None matches any.
        token_serial: the token's serial number.
    """

    slot: int | None
    token_label: str | None
    key_id: bytes | None
    key_label: str | None
    token_serial: str | None = None

    @property
    def token(self) -> str:
        """The token, for messages."""
        if self.token_serial is not None:
            return f"token with the serial number {self.token_serial!r}"
        return f"slot {self.slot}" if self.token_label is None else f"token {self.token_label!r}"

    @property
    def key(self) -> str:
        """The key, for messages."""
        return " and ".join(
            words
            for words, given in (
                (f"the id {(self.key_id or b'').hex()}", self.key_id is not None),
                (f"the label {self.key_label!r}", self.key_label is not None),
            )
            if given
        )
