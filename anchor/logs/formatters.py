"""Formatters for log lines with the request's id, as text or as JSON.

``config.py`` names the formatter: ``{"()": "anchor.logs.Text"}`` or ``{"()": "anchor.logs.JSON"}``.
"""

from __future__ import annotations

import datetime
import json
import logging
from contextvars import ContextVar

from anchor.logs import bounds

AUDIT = "anchor.audit"
"""The logger of audit events."""

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)

# A message may contain text from a request, which must not start a new line or control a terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")}


class Text(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO anchor.app [request id]: message``, then the traceback.

    No line is longer than 4096 bytes, except audit events, which are never cut.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line and its traceback."""
        text = super().format(record)
        if record.name == AUDIT:
            return text
        lines = text.split("\n")
        if (more := len(lines) - bounds.TRACE_LINES) > 0:
            half = bounds.TRACE_LINES // 2
            lines[half:-half] = [f"[... {more} lines cut ...]"]
        return "\n".join(
            bounds.fit(line.translate(_CONTROLS), bounds.LINE_BYTES - 1) for line in lines
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The first line."""
        request_id = REQUEST_ID.get()
        record.about = f" [{request_id}]" if request_id else ""
        record.message = record.message.translate(_CONTROLS)
        return super().formatMessage(record)


class JSON(logging.Formatter):
    """One object on each line: ``time``, ``level``, ``logger``, ``message`` and ``request_id``.

    ``exception`` contains the traceback, if there is one.  Message and traceback are cut so that no
    line is longer than 4096 bytes.  An audit event is JSON already: here it becomes the text in
    ``message`` and is never cut.  Use :class:`anchor.logs.Lines` for it instead.
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
        text = json.dumps(line)
        if len(text) < bounds.LINE_BYTES or record.name == AUDIT:
            return text
        return json.dumps(_cut(line))


def _cut(line: dict[str, str | None]) -> dict[str, str | None]:
    """The fields with a shorter message and traceback; a traceback is cut in the middle."""
    message, trace = str(line["message"]), line.get("exception")
    room = bounds.LINE_BYTES - 1 - len(json.dumps({**line, "message": ""}))
    if trace is not None:
        room += bounds.in_json(trace)
        # The traceback gets the room that the message leaves, and at least half of all.
        trace_room = max(room // 2, room - bounds.in_json(message))
        cut = bounds.fit(trace, trace_room, bounds.in_json, keep_end=True)
        line = {**line, "exception": cut}
        room -= bounds.in_json(cut)
    return {**line, "message": bounds.fit(message, room, bounds.in_json)}
