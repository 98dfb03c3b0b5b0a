"""Fixtures for these tests."""

from tests.support.servers.workers import workers
