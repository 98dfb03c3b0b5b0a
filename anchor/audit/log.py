"""``audit.target: log``: events as JSON lines in a logger of their own."""

from __future__ import annotations

import json
import logging

from anchor.audit.events import Event


class LogTrail:
    """Sends each event, as one line of JSON, to the logger ``anchor.audit``."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("anchor.audit")
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def record(self, event: Event) -> None:
        """Log the event; what a hostile request had in it is escaped."""
        self._logger.info("%s", self._encode(event.as_dict()))
