"""Delivery of audit records to logging handlers, with an error if that fails.

``logging`` does not tell its caller about failures: a handler that cannot write prints the error on
standard error.  But a request has to fail if its audit record is not written.  So this module calls
each handler itself and catches its errors.  A handler *promises to write* if its errors can be
caught in this way (doc/adr/0054).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import SysLogHandler
from weakref import WeakSet

from anchor.audit.reliable_handlers import broken_promise, describe, handlers_of
from anchor.audit.syslog import send
from anchor.errors import AuditError
from anchor.logs.lines import Lines, is_deleted

LOG = logging.getLogger(__name__)


class Delivery:
    """Delivers records to all handlers of a logger."""

    def __init__(self, logger: logging.Logger):
        self._logger = logger
        # Handlers whose stream may end with an unfinished line.
        self._torn: WeakSet[logging.Handler] = WeakSet()

    def deliver(self, record: logging.LogRecord) -> None:
        """Deliver the record to the handlers.

        Raises:
            AuditError: no handler that promises to write took it, or one of these failed.
        """
        name = self._logger.name
        accepted = self._logger.filter(record)
        if not accepted:
            raise AuditError(f"a filter of the logger {name!r} rejected the audit event")
        # Since Python 3.12 a filter may return another record.
        record = accepted if isinstance(accepted, logging.LogRecord) else record
        written = False
        failed: list[tuple[logging.Handler, Exception]] = []
        for handler in handlers_of(self._logger):
            if record.levelno < handler.level:
                continue
            if broken_promise(handler) is not None:
                _offer(handler, record)
                continue
            try:
                written = self._write(handler, record) or written
            except Exception as error:  # noqa: BLE001  # any error means that it did not write
                failed.append((handler, error))
        if failed:
            reasons = "; ".join(f"{describe(handler)}: {_text(error)}" for handler, error in failed)
            raise AuditError(f"the audit event could not be written: {reasons}") from failed[0][1]
        if not written:
            raise AuditError(
                f"no handler of the logger {name!r} that can promise to write took the audit event"
            )

    def _write(self, handler: logging.Handler, record: logging.LogRecord) -> bool:
        """True if the handler wrote the record, False if its filters rejected it.

        Raises:
            Exception: the handler could not write.
        """
        if isinstance(handler, Lines):
            accepted = handler.filter(record)
            if accepted:
                handler.deliver(accepted if isinstance(accepted, logging.LogRecord) else record)
            return bool(accepted)
        with _locked(handler):
            if isinstance(handler, SysLogHandler):
                return send(handler, record, handle)
            try:
                return self._write_to_stream(handler, record)
            except Exception:
                self._torn.add(handler)
                _reopen(handler)
                raise

    def _write_to_stream(self, handler: logging.Handler, record: logging.LogRecord) -> bool:
        _close_deleted(handler)
        stream = getattr(handler, "stream", None)
        if handler in self._torn and stream is not None:
            stream.write("\n")
        accepted = handle(handler, record)
        if accepted and isinstance(handler, logging.FileHandler) and handler.stream is None:
            raise OSError(errno.EBADF, "the handler is closed")
        self._torn.discard(handler)
        return accepted


def _offer(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Give the record to a handler that does not promise to write it."""
    try:
        handler.handle(record)
    except Exception as error:  # noqa: BLE001  # its failure must not fail the request
        LOG.warning("%s failed on an audit event: %s", describe(handler), type(error).__name__)


def _reopen(handler: logging.Handler) -> None:
    """Make a file handler open its file again if a failed rotation has closed it."""
    if isinstance(handler, logging.FileHandler) and getattr(handler.stream, "closed", False):
        handler.stream = None  # as FileHandler itself does


def _close_deleted(handler: logging.Handler) -> None:
    """Make a file handler open its file again if the file was deleted."""
    if not isinstance(handler, logging.FileHandler) or handler.stream is None:
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):
        if is_deleted(handler.stream.fileno()):
            stream, handler.stream = handler.stream, None  # as FileHandler itself does
            stream.close()


def handle(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Call ``handler.handle``, and raise the error that the handler would have suppressed."""
    errors: list[BaseException] = []

    def trap(_record: logging.LogRecord) -> None:
        errors.append(sys.exception() or RuntimeError("the handler reports an error"))

    attributes = vars(handler)
    original = attributes.get("handleError")
    attributes["handleError"] = trap
    try:
        accepted = bool(handler.handle(record))
    finally:
        if original is None:
            del attributes["handleError"]
        else:
            attributes["handleError"] = original
    if errors:
        raise errors[0]
    return accepted


@contextmanager
def _locked(handler: logging.Handler) -> Iterator[None]:
    """Hold the handler's lock, so that handle() catches no errors of other threads."""
    handler.acquire()
    try:
        yield
    finally:
        handler.release()


def _text(error: Exception) -> str:
    """The error without its message, which may quote the event."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
