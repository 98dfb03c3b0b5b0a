"""Fixtures for all tests: a clean environment, and a service in this process."""

from __future__ import annotations

import gc
import os
import shutil
import sys

import pytest

from tests.support import environment, properties
from tests.support.plugin_offers import plugins
from tests.support.service import audit, audit_log, ca, document, serve, service

environment.enter()
# No test runs in uwsgi: each service that is loaded would search for the module everywhere.
sys.modules["uwsgi"] = None


@pytest.fixture
def real_databases(monkeypatch):
    """New databases are made as in production."""
    from anchor.store.database import sqlite
    from tests.support import quick_databases

    monkeypatch.setattr(sqlite, "create_file", quick_databases.create_file)
    monkeypatch.setattr(sqlite, "make_engine", quick_databases.make_engine)
    monkeypatch.setattr(sqlite.Connections, "_connect", quick_databases.connect)


def pytest_itemcollected(item):
    # A property's hundred examples run the same lines as its first, and tests with fixed examples
    # cover them.  Measuring takes half of the time.
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("no_cover")


def pytest_collection_finish():
    # Not imported above: a worker of pytest-xdist measures coverage from the collection on.
    from tests.support import quick_databases

    quick_databases.enter()
    # The collected tests live until the end: the garbage collector need not look at them again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    shutil.rmtree(os.environ["HOME"], ignore_errors=True)
