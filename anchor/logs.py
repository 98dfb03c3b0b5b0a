"""Log lines that say which request they are about, as text or as JSON.

``config.py`` names the formatter: ``{"()": "anchor.logs.Text"}`` or ``{"()": "anchor.logs.JSON"}``.
For the audit there is a handler as well: ``{"class": "anchor.logs.Lines"}``.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
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
    ``message`` as text; give it to :class:`Lines` instead.
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


class Lines(logging.Handler):
    """Each message as it is, written at once, with the end of its line.

    The system appends a line whole, so processes that share a file need no lock and mix no lines,
    and it costs a third of what ``logging.StreamHandler`` takes.

    Args:
        filename: the file to append to; without it standard error.
    """

    def __init__(self, filename: str | None = None):
        super().__init__()
        self._file = STANDARD_ERROR if filename is None else _appended_to(filename)

    def handle(self, record: logging.LogRecord) -> bool:
        """Write what no filter objects to."""
        kept = self.filter(record)
        if kept:
            # From Python 3.12 on a filter may answer another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message, or what the formatter makes of it if there is one."""
        try:
            self.write(self.format(record) if self.formatter else record.getMessage())
        except Exception:  # noqa: BLE001  # logging's rule: it never fails who logs
            self.handleError(record)

    def write(self, line: str) -> None:
        """Write a line as it is; raises OSError if it cannot be written."""
        octets = f"{line}\n".encode("utf-8", "backslashreplace")
        while octets:
            octets = octets[os.write(self._file, octets) :]

    def close(self) -> None:
        """Close the file; standard error belongs to others."""
        if self._file != STANDARD_ERROR:
            os.close(self._file)
            # What is still logged goes where it is seen.
            self._file = STANDARD_ERROR
        super().close()


STANDARD_ERROR = 2


def sole_writer(logger: logging.Logger) -> Lines | None:
    """The handler that writes all that a logger is given, as it is, if there is no other to ask."""
    if len(logger.handlers) != 1 or logger.propagate or logger.filters:
        return None
    handler = logger.handlers[0]
    if type(handler) is not Lines or handler.formatter or handler.filters or handler.level:
        return None
    return handler


def _appended_to(filename: str) -> int:
    return os.open(filename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
