"""Fixtures for the tests of the client."""

from tests.support.client import daemon, machine, secret_only
from tests.support.clock import clock
from tests.support.credentials import accepted, three_ways_in
from tests.support.servers.https_anchor import https_anchor, private_tls
