"""A connection to PostgreSQL that does not wait forever.

The server's own limits do not help if it is stopped or its machine hangs, and TCP reports no error
as long as the machine acknowledges packets.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from math import inf
from typing import Any, TypeVar

import psycopg

_Result = TypeVar("_Result")
_Waiting = Generator[Any, Any, _Result]

# The server's message arrives first if the server itself stops a statement.
_GRACE_SECONDS = 0.5


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes itself if the server does not respond in time.

    Attributes:
        limit: how many seconds the response to a statement may take. A second later at the latest,
            the statement is cancelled or the connection is closed.
    """

    limit: float = 60
    _is_limited = True

    def lift_limit(self) -> None:
        """Let the statements take any time until the transaction ends."""
        self._is_limited = False

    def commit(self) -> None:
        """Commit the transaction; the limit applies to the next one again."""
        try:
            super().commit()
        finally:
            self._is_limited = True

    def rollback(self) -> None:
        """Roll the transaction back; the limit applies to the next one again."""
        try:
            super().rollback()
        finally:
            self._is_limited = True

    def wait(self, gen: _Waiting[_Result], *args: Any, **options: Any) -> _Result:
        """Wait for the server's response; psycopg calls this for each statement."""
        return super().wait(self._until_deadline(gen), *args, **options)

    def _until_deadline(self, gen: _Waiting[_Result]) -> _Waiting[_Result]:
        # psycopg resumes the generator ten times a second, also if nothing arrives.
        deadline = time.monotonic() + _GRACE_SECONDS + (self.limit if self._is_limited else inf)
        cancelled = False
        try:
            event = next(gen)
            while True:
                ready = yield event
                if time.monotonic() > deadline:
                    if cancelled or not self._cancel():
                        self.pgconn.finish()
                        raise psycopg.OperationalError("the server does not respond")
                    cancelled, deadline = True, time.monotonic() + _GRACE_SECONDS
                event = gen.send(ready)
        except StopIteration as stop:
            result: _Result = stop.value
            return result

    def _cancel(self) -> bool:
        """Cancel the statement, such as a commit that waits for a replica.

        PostgreSQL's ``statement_timeout`` does not apply to a commit, and the server would go on to
        wait after the connection has been closed.
        """
        if not psycopg.capabilities.has_cancel_safe():
            # The function of older libraries waits without a limit.
            return False
        try:
            self.cancel_safe(timeout=_GRACE_SECONDS)
        except psycopg.Error:
            return False
        return True
