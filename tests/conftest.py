"""Fixtures for all tests: a clean environment, and a service in this process."""

from __future__ import annotations

import gc
import os
import shutil

from tests.support import environment, properties
from tests.support.plugin_offers import plugins
from tests.support.service import audit, audit_log, ca, document, serve, service

environment.enter()


def pytest_collection_finish():
    # The collected tests live until the end: the garbage collector need not look at them again.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    shutil.rmtree(os.environ["HOME"], ignore_errors=True)
