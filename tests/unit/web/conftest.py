"""Fixtures for these tests."""

from tests.support.servers.anchor import server
