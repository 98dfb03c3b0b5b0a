"""The record of loads that the processes of a service share."""

from __future__ import annotations

import logging
import os
import re
import time

import pytest

from anchor.runtime import load_record
from anchor.runtime.load_record import REMIND_SECONDS, LoadRecord
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def _each_request_looks(monkeypatch):
    monkeypatch.setattr(load_record, "LOOK_SECONDS", 0)


@pytest.fixture
def records(tmp_path):
    """The records of two processes."""
    return LoadRecord(tmp_path), LoadRecord(tmp_path)


def test_another_process_knows_of_a_failure_until_a_load_succeeds(records):
    serving, starting = records
    serving.succeeded()
    assert serving.failed_since() is None

    starting.failed()
    first = serving.failed_since()
    starting.failed()

    assert first is not None
    assert first == serving.failed_since()
    starting.succeeded()
    assert serving.failed_since() is None
    assert serving.loaded_at().timestamp() == pytest.approx(time.time(), abs=60)


def test_a_first_start_that_fails_is_no_failed_reload(records):
    serving, starting = records

    starting.failed()

    assert serving.failed_since() is None
    assert serving.loaded_at() is None


def test_requests_keep_the_files_from_being_deleted_as_unused(records, tmp_path):
    serving, starting = records
    serving.succeeded()
    eleven_days_ago = time.time() - 11 * 86400
    os.utime(tmp_path / "loaded", (eleven_days_ago, eleven_days_ago))

    serving.remind()

    # systemd-tmpfiles looks at this time too.
    assert (tmp_path / "loaded").stat().st_atime == pytest.approx(time.time(), abs=60)
    assert serving.loaded_at().timestamp() == pytest.approx(eleven_days_ago)
    starting.failed()
    assert serving.failed_since() is not None


def test_one_line_is_logged_in_each_interval(records, tmp_path, caplog):
    for record in records:
        record.remind()
    records[0].succeeded()
    records[1].failed()
    for _ in range(3):
        for record in records:
            record.remind()
    assert 1 == len(caplog.records)
    assert "see the errors with `anchor check`" in caplog.text
    assert logging.ERROR == caplog.records[0].levelno
    page = (ROOT / "doc/source/howto/reload.rst").read_text()
    for words in re.split(r"\S+T\S+Z", caplog.records[0].getMessage()):
        assert words in page

    before = time.time() - REMIND_SECONDS - 1
    os.utime(tmp_path / "load-failed-logged", (before, before))
    for record in records:
        record.remind()
    assert 2 == len(caplog.records)

    records[1].succeeded()
    records[0].remind()
    assert 2 == len(caplog.records)


def test_a_process_looks_at_the_files_seldom(records, monkeypatch, caplog):
    serving, starting = records
    monkeypatch.setattr(load_record, "LOOK_SECONDS", 3600)
    serving.succeeded()
    serving.remind()
    starting.failed()

    serving.remind()

    assert [] == caplog.records


def test_without_a_directory_a_process_knows_its_own_loads():
    record = LoadRecord()
    record.failed()
    record.succeeded()
    record.remind()

    assert record.failed_since() is None
    assert record.loaded_at() is not None


def test_a_directory_that_is_gone_stops_nothing(tmp_path):
    record = LoadRecord(tmp_path / "gone")
    record.succeeded()
    record.failed()
    record.remind()

    assert record.failed_since() is None
    assert record.loaded_at() is not None
