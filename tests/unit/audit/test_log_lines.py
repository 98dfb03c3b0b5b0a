"""The handler for audit lines: complete lines, written at once, and no errors for callers."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys

import pytest

from anchor import logs
from anchor.audit.events import SIGNING, Event
from anchor.audit.log_sink import LogSink
from anchor.errors import AuditError
from anchor.timestamps import utc_now


@pytest.fixture
def lines(tmp_path):
    """A logger with the handler, and the file that it appends to."""
    path = tmp_path / "audit.log"
    handler = logs.Lines(str(path))
    logger = logging.Logger("audit")
    logger.addHandler(handler)
    yield logger, handler, path
    handler.close()


def test_a_message_is_written_immediately_as_a_line(lines):
    logger, _, path = lines
    logger.info("first of %d", 2)
    assert path.read_text() == "first of 2\n"
    logger.info('{"second": "100 %s"}')
    assert path.read_text() == 'first of 2\n{"second": "100 %s"}\n'


def test_existing_lines_are_kept_and_private(tmp_path):
    path = tmp_path / "audit.log"
    for message in ("before", "after"):
        handler = logs.Lines(str(path))
        handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, message, None, None))
        handler.close()

    assert path.read_text() == "before\nafter\n"
    assert path.stat().st_mode & 0o007 == 0


def test_a_line_is_complete_after_partial_writes(lines, monkeypatch):
    logger, _, path = lines
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, octets: write(file, octets[:7]))
    logger.info("a message of some length")
    assert path.read_text() == "a message of some length\n"


def test_without_a_file_lines_go_to_standard_error(capfd):
    handler = logs.Lines()
    handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, "event", None, None))
    handler.close()
    handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, "another", None, None))
    assert capfd.readouterr().err == "event\nanother\n"


def test_a_formatter_and_filters_are_applied(lines):
    logger, handler, path = lines
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    logger.info("event")
    logger.info("secret")
    assert path.read_text() == "INFO event\n"


def test_a_filter_can_replace_the_record(lines):
    """Filters can replace records from Python 3.12 on."""
    logger, handler, path = lines
    other = logging.LogRecord("audit", logging.INFO, "", 0, "another", None, None)
    handler.addFilter(lambda _: other)
    logger.info("event")
    assert path.read_text() == ("event\n" if sys.version_info < (3, 12) else "another\n")


def test_surrogates_are_escaped(lines):
    logger, _, path = lines
    logger.info("name \udcff")
    assert path.read_text() == "name \\udcff\n"


def test_a_full_disk_is_reported_on_standard_error_only(capfd):
    handler = logs.Lines("/dev/full")
    handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, "event", None, None))
    handler.close()
    assert "No space left on device" in capfd.readouterr().err


def test_a_line_after_a_truncated_one_starts_on_a_new_line(lines, monkeypatch):
    _, handler, path = lines
    write, left = os.write, [5]

    def fill_up(file, octets):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(file, octets[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fill_up)
        for message in ("a long message", "another"):
            with pytest.raises(OSError, match="No space"):
                handler.write(message)
    handler.write("afterwards")
    handler.write("last")

    assert path.read_text() == "a lon\nafterwards\nlast\n"


def test_a_file_can_be_opened_with_the_first_line(tmp_path):
    path = tmp_path / "audit.log"
    handler = logs.Lines(str(path), delay=True)
    assert not path.exists()
    handler.write("first")
    handler.close()
    assert path.read_text() == "first\n"


def test_messages_after_close_go_to_standard_error(lines, capfd):
    logger, handler, path = lines
    handler.close()
    logger.info("late")
    assert path.read_text() == ""
    assert capfd.readouterr().err == "late\n"


EVENT = Event(SIGNING, utc_now(), "default", "alice", "192.0.2.1", "4711")


@pytest.fixture
def audit_to():
    """The audit logger with only this handler."""
    logger = logging.getLogger("anchor.audit")
    handlers, propagate, level = logger.handlers[:], logger.propagate, logger.level

    def to(handler):
        logger.handlers[:], logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
        return logger

    yield to
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)
    logger.filters.clear()


def users(text):
    return [json.loads(line)["user"] for line in text.splitlines()]


def test_an_event_without_other_handlers_creates_no_log_record(audit_to, tmp_path, monkeypatch):
    logger = audit_to(logs.Lines(str(tmp_path / "audit.log")))
    monkeypatch.setattr(logger, "handle", lambda _: pytest.fail("there is a record"))
    LogSink().record(EVENT)
    LogSink().record(EVENT._replace(user="bob"))
    assert users((tmp_path / "audit.log").read_text()) == ["alice", "bob"]


def only_bob(record):
    return '"user":"bob"' in record.getMessage()


@pytest.mark.parametrize("whose", ["logger", "handler"])
def test_filters_apply_to_events_and_a_filtered_event_fails(audit_to, tmp_path, whose):
    handler = logs.Lines(str(tmp_path / "audit.log"))
    logger = audit_to(handler)
    {"logger": logger, "handler": handler}[whose].addFilter(only_bob)
    with pytest.raises(AuditError):
        LogSink().record(EVENT)
    LogSink().record(EVENT._replace(user="bob"))
    assert users((tmp_path / "audit.log").read_text()) == ["bob"]


def test_a_formatter_is_applied_to_events(audit_to, tmp_path):
    handler = logs.Lines(str(tmp_path / "audit.log"))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    audit_to(handler)
    LogSink().record(EVENT)
    assert (tmp_path / "audit.log").read_text().startswith('INFO {"time":')


def test_every_handler_gets_the_event(audit_to, tmp_path):
    logger = audit_to(logs.Lines(str(tmp_path / "audit.log")))
    logger.addHandler(logs.Lines(str(tmp_path / "another.log")))
    LogSink().record(EVENT)
    assert users((tmp_path / "audit.log").read_text()) == ["alice"]
    assert users((tmp_path / "another.log").read_text()) == ["alice"]


def test_handlers_of_parent_loggers_get_the_event_too(audit_to, tmp_path, caplog):
    audit_to(logs.Lines(str(tmp_path / "audit.log"))).propagate = True
    LogSink().record(EVENT)
    assert users((tmp_path / "audit.log").read_text()) == ["alice"]
    assert users(caplog.messages[-1]) == ["alice"]
