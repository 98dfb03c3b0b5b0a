"""How many challenges of one account are validated at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.shared_state import SharedState
from anchor.runtime import process_directory

# In seconds. Validations of machines that answer take less, and clients may start several.
_WAIT, _PAUSE = 0.1, 0.01
# The positions of locks in a file have 63 bits.
_HASH_BYTES = 6


class AccountSlots:
    """Limits the validations of each account, in all processes of the service.

    A slot is a lock in a file that all accounts share, at a position that the hash of the account
    gives; so nothing has to be stored for an account (doc/adr/0043).

    Args:
        limit: how many validations an account has at once.
        shared_slots: where the processes share the file; without it only processes that are forked
            later share it.
    """

    def __init__(self, limit: int, shared_slots: SharedSlots | None = None):
        self._limit = limit
        path = shared_slots.file("acme challenges of an account") if shared_slots else None
        self._state = SharedState(path, 1, process_directory.make)

    @contextmanager
    def hold(self, account: str) -> Iterator[None]:
        """Let the block validate a challenge of an account.

        Args:
            account: the URL of the account.

        Raises:
            AcmeProblem: too many of its challenges are being validated.
        """
        slot = self._take(account)
        try:
            yield
        finally:
            self._state.free_slot(slot)

    def _take(self, account: str) -> int:
        digest = hashlib.sha256(account.encode()).digest()
        first = int.from_bytes(digest[:_HASH_BYTES]) * self._limit
        end = time.monotonic() + _WAIT
        while True:
            with self._state.locked():
                slot = self._state.take_slot(self._limit, first)
            if slot is not None:
                return slot
            if time.monotonic() >= end:
                raise AcmeProblem(
                    ProblemType.RATE_LIMITED,
                    f"the account has {self._limit} challenges that are being validated, which is "
                    "the limit: send the same request again later",
                    retry_after=1,
                )
            time.sleep(_PAUSE)
