"""Log lines that say which request they are about, as text or as JSON.

``config.py`` names the formatter: ``{"()": "anchor.logs.Text"}`` or ``{"()": "anchor.logs.JSON"}``.
"""

from __future__ import annotations

import datetime
import json
import logging
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# What a request said may be in a message: it must not begin a line of its own, nor command a
# terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")}


class Text(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO anchor.app [request id]: message``, and the trace below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The first line."""
        request_id = REQUEST_ID.get()
        record.about = f" [{request_id}]" if request_id else ""
        record.message = record.message.translate(_CONTROLS)
        return super().formatMessage(record)


class JSON(logging.Formatter):
    """One object on each line: ``time``, ``level``, ``logger``, ``message`` and ``request_id``.

    ``exception`` holds the trace, if there is one.  An audit event, which is JSON already, is in
    ``message`` as text; give it to a handler with a bare formatter instead.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
