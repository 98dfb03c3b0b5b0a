"""No line of a log is longer than 4096 bytes, and no audit event is cut."""

from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor import logs
from anchor.logs import bounds, formatters
from tests.support.pki import make_csr

# Mostly characters that take several bytes in UTF-8 or in JSON.
LONG = st.builds(
    lambda text, times, more: text * times + more,
    st.text(min_size=1, max_size=20),
    st.integers(1, 3000),
    st.text(max_size=5),
)


def raised(text):
    try:
        raise ValueError(text)
    except ValueError as error:
        return (type(error), error, error.__traceback__)


def written(formatter, message, trace=None, logger="anchor.web.problems"):
    """The lines that a file handler writes."""
    record = logging.LogRecord(logger, logging.INFO, "", 0, "%s", (message,), trace)
    text = formatter.format(record) + "\n"
    return text.encode("utf-8", "backslashreplace").splitlines(keepends=True)


@pytest.mark.slow
@given(message=LONG, trace=st.none() | LONG)
def test_every_line_is_bounded_and_keeps_its_beginning(message, trace):
    trace = trace and raised(trace)
    text = written(logs.Text(), message, trace)
    [line] = written(logs.JSON(), message, trace)

    assert all(len(line) <= 4096 for line in text)
    assert len(line) <= 4096
    assert len(text) <= bounds.TRACE_LINES + 2
    fields = json.loads(line)
    assert fields["logger"] == "anchor.web.problems"
    assert fields["message"][:100] == message[:100]
    assert ("exception" in fields) == (trace is not None)


@given(LONG)
def test_only_long_messages_are_cut_and_marked(message):
    [line] = written(logs.JSON(), message)
    cut = json.loads(line)["message"]

    if bounds.in_json(message) < 3800:
        assert cut == message
    else:
        assert cut == message or "characters cut" in cut
        assert len(line) > 3900
    assert (b"characters cut" in written(logs.Text(), message)[0]) == (
        bounds.in_utf8(message.translate(formatters._CONTROLS)) > 4095 - len(PREFIX)
    )


PREFIX = "2026-01-02 03:04:05,678 INFO anchor.web.problems: "


@given(LONG, st.integers(60, 5000), st.booleans())
def test_a_text_is_cut_to_the_available_size(text, room, keep_end):
    for size in (bounds.in_utf8, bounds.in_json):
        cut = bounds.fit(text, room, size, keep_end=keep_end)
        assert size(cut) <= room
        assert cut == text or "characters cut" in cut
        if size(text) <= room:
            assert cut == text


def test_a_long_trace_keeps_its_beginning_and_its_end():
    trace = raised("\n".join(f"line {number}" for number in range(5000)))

    text = written(logs.Text(), "failed", trace)
    [line] = written(logs.JSON(), "failed", trace)

    assert len(text) <= bounds.TRACE_LINES + 2
    assert b"lines cut" in b"".join(text)
    assert text[-1] == b"line 4999\n"
    exception = json.loads(line)["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("line 4999")


def test_control_characters_in_a_trace_are_escaped():
    assert b"\x1b" not in b"".join(written(logs.Text(), "failed", raised("\x1b[2J")))


@pytest.mark.parametrize("formatter", [logs.Text(), logs.JSON()], ids=["text", "json"])
def test_an_audit_event_is_never_cut(formatter):
    event = json.dumps({"names": [f"DNS:{number}.example.com" for number in range(1000)]})

    [line] = written(formatter, event, logger="anchor.audit")

    assert event in line.decode() or event in json.loads(line)["message"]


@pytest.fixture
def refused(serve, document):
    """A request with many names, all of which two validators reject."""
    document["registration_authority"]["default"]["validators"] = {
        "common_name": {"allowed_domains": [".example.org"]},
        "alternative_names": {"allowed_domains": [".example.org"]},
    }
    service = serve(document)
    names = [f"{'x' * 50}{number}.example.com" for number in range(600)]
    return service, names, lambda: service.sign(make_csr(names[0], *names), status=400)


def test_a_refusal_with_many_names_makes_a_short_line_and_a_complete_event(refused, audit, caplog):
    _, names, refuse = refused
    caplog.set_level(logging.INFO)

    refuse()

    [line] = [each for each in caplog.records if each.name == "anchor.web.problems"]
    assert len(line.getMessage()) < 2048
    event = audit.events()[-1]
    assert event["requested"]["names"] == [f"DNS:{name}" for name in names]
    assert all(len(reason) <= bounds.REASON_CHARACTERS for reason in event["reasons"])
    assert all(len(failure["reason"]) <= bounds.REASON_CHARACTERS for failure in event["failures"])
    assert event["user"] == "alice"


def test_the_longest_user_name_is_recorded_in_full(service, audit):
    service.sign(user="m" * 256, secret="wrong", status=401)

    assert audit.events()[-1]["user"] == "m" * 256


def test_the_log_formatters_do_not_cut_events(service, audit_log):
    logger = logging.getLogger("anchor.audit")
    kept = io.StringIO()
    handler = logging.StreamHandler(kept)
    handler.setFormatter(logs.JSON())
    logger.addHandler(handler)
    names = [f"{'x' * 50}{number}.example.com" for number in range(600)]

    service.issue(make_csr(names[0], *names))

    event = json.loads(json.loads(kept.getvalue().splitlines()[-1])["message"])
    assert event["names"] == [f"DNS:{name}" for name in names]
    assert len(event["fingerprint"]) == 64
