"""``audit.target: log``: events as lines of JSON in a separate logger."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.audit.events import SIGNING, Event
from anchor.audit.log_sink import LogSink
from anchor.timestamps import utc_now


def test_an_event_is_an_ordinary_log_record(caplog):
    """The record has every attribute that formatters and filters can use."""
    caplog.set_level(logging.INFO, "anchor.audit")
    event = Event(SIGNING, utc_now(), "default", "alice", "192.0.2.1", "4711")
    before = time.time()

    LogSink().record(event)
    logging.getLogger("anchor.audit").info("another")

    ours, another = caplog.records
    assert vars(ours).keys() == vars(another).keys()
    assert before <= ours.created <= another.created
    assert ours.relativeCreated == pytest.approx(another.relativeCreated, abs=1000)
    for name in ("name", "levelname", "levelno", "process", "thread", "threadName"):
        assert getattr(ours, name) == getattr(another, name), name
    assert json.loads(ours.getMessage())["user"] == "alice"
    assert LogSink().record(event) is None
    assert caplog.records[-1].created > ours.created


def test_a_record_names_the_thread_that_created_it(caplog):
    caplog.set_level(logging.INFO, "anchor.audit")
    trail = LogSink()
    event = Event(SIGNING, utc_now(), "default", "alice", "192.0.2.1", "4711")
    thread = threading.Thread(target=trail.record, args=[event], name="another")
    thread.start()
    thread.join()

    assert ["another"] == [record.threadName for record in caplog.records]


WORDS = st.text(max_size=10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(WORDS, WORDS | st.integers() | st.none() | st.lists(WORDS), max_size=4))
def test_a_line_is_json_in_printable_ascii(audit_log, fields):
    audit_log.seek(0)
    audit_log.truncate()
    event = Event(SIGNING, utc_now(), "default", "alice", "192.0.2.1", "4711", details=fields)

    LogSink().record(event)

    [line] = audit_log.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == json.loads(json.dumps(event.as_dict()))
