"""Log lines that say which request they are about, as text or as JSON.

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

# What a request said may be in a message: it must not begin a line of its own, nor command a
# terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")}


class Text(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO anchor.app [request id]: message``, and the trace below it.

    No line is longer than 4096 bytes, but for audit events, which are never cut.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(about)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and those of the trace."""
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

    ``exception`` holds the trace, if there is one.  Message and trace are cut so that no line is
    longer than 4096 bytes.  An audit event, which is JSON already, is in ``message`` as text and is
    never cut; give it to :class:`anchor.logs.Lines` instead.
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
    """The same with a shorter message and trace; of a trace the middle is what matters least."""
    message, trace = str(line["message"]), line.get("exception")
    room = bounds.LINE_BYTES - 1 - len(json.dumps({**line, "message": ""}))
    if trace is not None:
        room += bounds.in_json(trace)
        # The trace gets what the message leaves, and half of the room at least.
        of_trace = max(room // 2, room - bounds.in_json(message))
        cut = bounds.fit(trace, of_trace, bounds.in_json, keep_end=True)
        line = {**line, "exception": cut}
        room -= bounds.in_json(cut)
    return {**line, "message": bounds.fit(message, room, bounds.in_json)}
