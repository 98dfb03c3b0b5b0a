"""Fixtures for all tests: a clean environment, and a service in this process."""

from __future__ import annotations

import os
import shutil

from tests.support import environment, properties
from tests.support.plugin_offers import plugins
from tests.support.service import audit, audit_log, ca, document, serve, service

environment.enter()


def pytest_unconfigure():
    shutil.rmtree(os.environ["HOME"], ignore_errors=True)
