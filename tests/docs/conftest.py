"""Fixtures for these tests."""

from tests.support.client import machine
from tests.support.credentials import accepted, three_ways_in
from tests.support.servers.anchor import server
from tests.support.servers.certmonger import certmonger
from tests.support.servers.chromium import browser, browser_process
from tests.support.servers.fresh_debian import debian
from tests.support.servers.https_anchor import https_anchor, private_tls
from tests.support.servers.postgresql import postgresql_server, postgresql_url
from tests.support.servers.softhsm import softhsm
from tests.support.site import site
