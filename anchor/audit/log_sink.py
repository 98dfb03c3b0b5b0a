"""``audit.target: log``: events as JSON lines in a logger of their own."""

from __future__ import annotations

import json
import logging

from anchor.audit import promises
from anchor.audit.delivery import Delivery
from anchor.audit.events import Event
from anchor.errors import AuditError
from anchor.logs import AUDIT


class LogSink:
    """Sends each event, as one line of JSON, to the logger ``anchor.audit``."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(AUDIT)
        self._delivery = Delivery(self._logger)

    def check(self) -> None:
        """Require that events are written, as logging is configured now.

        Raises:
            ConfigurationError: they would be lost.
        """
        promises.require(self._logger)

    def record(self, event: Event) -> None:
        """Log the event; what a hostile request had in it is escaped.

        Raises:
            AuditError: it was not written.
        """
        if not self._logger.isEnabledFor(logging.INFO):
            raise AuditError(f"the logger {self._logger.name!r} is switched off or above INFO")
        # ASCII, without control characters.
        line = json.dumps(event.as_dict(), separators=(",", ":"))
        # Not Logger.info(), which swallows the errors of handlers.
        record = self._logger.makeRecord(
            self._logger.name, logging.INFO, __file__, 0, line, (), None
        )
        self._delivery.deliver(record)
