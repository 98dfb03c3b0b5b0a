"""Logging handlers that promise to write audit records, and checks that one is configured."""

from __future__ import annotations

import fcntl
import functools
import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from logging import handlers
from pathlib import Path

from anchor.errors import ConfigurationError
from anchor.logs import Lines

_METHODS = ("handle", "emit", "flush", "acquire")
_PROMISING: tuple[type[logging.Handler], ...] = (
    Lines,
    logging.StreamHandler,
    logging.FileHandler,
    handlers.WatchedFileHandler,
    handlers.RotatingFileHandler,
    handlers.TimedRotatingFileHandler,
    handlers.SysLogHandler,
)
PROMISE = "promises_to_write"
"""The attribute of a third-party handler class that raises, or calls ``handleError``, whenever it
cannot write a record."""


def handlers_of(logger: logging.Logger) -> tuple[logging.Handler, ...]:
    """The handlers that get the logger's records, as in ``Logger.callHandlers``."""
    collected: list[logging.Handler] = []
    current: logging.Logger | None = logger
    while current is not None:
        collected += current.handlers
        current = current.parent if current.propagate else None
    return tuple(collected)


def describe(handler: logging.Handler) -> str:
    """The handler and its name in ``config.py``, for messages."""
    return f"the handler {handler.name or type(handler).__name__!r}"


def broken_promise(handler: logging.Handler) -> str | None:
    """The reason why a handler cannot promise to write records, or None."""
    if getattr(handler, "lock", None) is None:
        return "has no lock"
    if not (getattr(type(handler), PROMISE, False) is True or _reports_errors(handler)):
        return "does not tell whether it wrote a record"
    if isinstance(handler, logging.FileHandler) and not handler.mode.startswith("a"):
        return f"overwrites its file: its mode is {handler.mode!r}, and should be 'a'"
    return None


def _reports_errors(handler: logging.Handler) -> bool:
    """True if the handler's methods are those of a class that reports its errors."""
    return vars(handler).keys().isdisjoint(_METHODS) and _inherits_methods(type(handler))  # type: ignore[arg-type]  # a type is hashable


@functools.cache
def _inherits_methods(cls: type[logging.Handler]) -> bool:
    return any(
        issubclass(cls, promising)
        and all(getattr(cls, method) is getattr(promising, method) for method in _METHODS)
        for promising in _PROMISING
    )


def require_reliable_handlers(logger: logging.Logger) -> None:
    """Require a configuration of the logger that loses no audit events.

    Raises:
        ConfigurationError: it would lose events.
    """
    reason = _logger_problem(logger)
    if reason is None:
        reasons = {each: _promise_problem(each) for each in handlers_of(logger)}
        if any(why is None for why in reasons.values()):
            reason = _writing_problem(logger)
        elif reasons:
            reason = "; ".join(f"{describe(each)} {why}" for each, why in reasons.items())
        else:
            reason = "it has no handler, and passes nothing on to one"
    if reason is not None:
        raise ConfigurationError.about(
            "",
            f"the logger {logger.name!r} would lose audit events: {reason}. It needs the level "
            "INFO and a handler such as anchor.logs.Lines",
        )


def _logger_problem(logger: logging.Logger) -> str | None:
    if logger.manager.disable >= logging.INFO:
        return "logging.disable() switches them off"
    if logger.disabled:
        return "it is disabled (disable_existing_loggers does that to loggers that are not named)"
    if not logger.isEnabledFor(logging.INFO):
        return f"its level is {logging.getLevelName(logger.getEffectiveLevel())}"
    if _filtered(logger, _probe(logger)) is None:
        return "one of its filters rejects them"
    return None


def _promise_problem(handler: logging.Handler) -> str | None:
    """The reason why a handler is not sure to write events, or None."""
    if handler.level > logging.INFO:
        return f"has the level {logging.getLevelName(handler.level)}"
    return broken_promise(handler)


def _writing_problem(logger: logging.Logger) -> str | None:
    """The first problem of the handlers that have to write events, or None."""
    accepted = False
    for handler in handlers_of(logger):
        if _promise_problem(handler) is not None:
            continue
        # A filter may change the record, or return another one.
        logged = _filtered(logger, _probe(logger))
        record = logged and _filtered(handler, logged)
        if record is None:
            continue
        accepted = True
        for problem in _problems(handler, record):
            return f"{describe(handler)} {problem}"
    return None if accepted else "the filters of its handlers reject them"


def _filtered(
    filterer: logging.Logger | logging.Handler, record: logging.LogRecord
) -> logging.LogRecord | None:
    """The record after the filters; None if one of them rejects it."""
    try:
        result = filterer.filter(record)
    except Exception:  # noqa: BLE001  # a filter may raise anything
        return None
    # Since Python 3.12 a filter may return another record.
    return result if isinstance(result, logging.LogRecord) else record if result else None


def _problems(handler: logging.Handler, record: logging.LogRecord) -> Iterator[str]:
    if isinstance(handler, Lines):
        if handler.filename is not None:
            yield from _not_writable(Path(handler.filename))
    elif isinstance(handler, logging.FileHandler):
        yield from _not_writable(Path(handler.baseFilename))
        yield from _bad_encoding(handler)
    elif isinstance(handler, logging.StreamHandler):
        yield from _not_a_stream(handler.stream)
    elif isinstance(handler, handlers.SysLogHandler):
        yield from _not_listening(handler)
    try:
        text = handler.format(record)
    except Exception as error:  # noqa: BLE001  # a formatter may raise anything
        yield f"has a formatter that fails: {type(error).__name__}"
        return
    # Formatters may wrap the JSON in text, escape it within JSON, or parse and rewrite it.
    if not all(value in text for value in _PROBE.values()):
        yield "has a formatter that leaves out the message, or a part of it"


def _not_writable(path: Path) -> Iterator[str]:
    if path.is_char_device() and path.stat().st_rdev == Path(os.devnull).stat().st_rdev:
        yield f"writes to {path}, which keeps nothing"
        return
    try:
        if path.is_file():
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        elif path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            yield f"cannot write to {path}"
    except OSError as error:
        yield f"cannot write to {path}: {error.strerror}"


def _bad_encoding(handler: logging.FileHandler) -> Iterator[str]:
    try:
        io.TextIOWrapper(io.BytesIO(), handler.encoding, handler.errors)
    except (LookupError, TypeError, ValueError) as error:
        yield f"cannot encode text: {error}"


def _not_listening(handler: handlers.SysLogHandler) -> Iterator[str]:
    """The reason why no process receives records at a Unix socket.

    The constructor of a handler does not check this, except for TCP.  UDP cannot be checked.
    """
    address = handler.address
    if not isinstance(address, str):
        return
    reasons = set()
    types = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    for socket_type in types if handler.socktype is None else (handler.socktype,):
        with socket.socket(socket.AF_UNIX, socket_type) as connection:
            try:
                connection.connect(address)
            except OSError as error:
                reasons.add(error.strerror or str(error))
            else:
                return
    yield f"cannot connect to {address}: {', '.join(sorted(reasons))}"


def _not_a_stream(stream: object) -> Iterator[str]:
    if stream is None or getattr(stream, "closed", False):
        yield "has no open stream"
        return
    try:
        stream.write("")  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001  # any object may be given as a stream
        yield f"has a stream that takes no text: {type(error).__name__}"
        return
    try:
        descriptor = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        # Not a file of the operating system.
        return
    try:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError:
        yield "has a stream that is closed"
        return
    if mode == os.O_RDONLY:
        yield "has a stream that is open for reading only"


_PROBE = {"user": "probe" * 400, "request_id": "0123456789abcdef", "fingerprint": "0f" * 32}


def _probe(logger: logging.Logger) -> logging.LogRecord:
    """A record like those of events."""
    return logging.LogRecord(logger.name, logging.INFO, __file__, 0, json.dumps(_PROBE), None, None)
