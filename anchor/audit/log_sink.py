"""``audit.target: log``: events as JSON lines in the logger ``anchor.audit``."""

from __future__ import annotations

import json
import logging

from anchor.audit.delivery import Delivery
from anchor.audit.events import Event
from anchor.audit.reliable_handlers import require_reliable_handlers
from anchor.errors import AuditError
from anchor.logs import AUDIT

# In ASCII, with escapes for control characters.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class LogSink:
    """Logs each event as one line of JSON in the logger ``anchor.audit``."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(AUDIT)
        self._delivery = Delivery(self._logger)

    def check(self) -> None:
        """Require a configuration of logging that loses no events.

        Raises:
            ConfigurationError: it would lose events.
        """
        require_reliable_handlers(self._logger)

    def record(self, event: Event) -> None:
        """Log the event, with escapes for control characters and non-ASCII.

        Raises:
            AuditError: the event was not written.
        """
        if not self._logger.isEnabledFor(logging.INFO):
            raise AuditError(f"the logger {self._logger.name!r} is switched off or above INFO")
        line = _encode(event.as_dict())
        # Not Logger.info(), which ignores the errors of handlers.
        record = self._logger.makeRecord(
            self._logger.name, logging.INFO, __file__, 0, line, (), None
        )
        self._delivery.deliver(record)
