"""Fixtures for the integration tests."""

from tests.support.client import daemon, machine
from tests.support.servers.anchor import server
from tests.support.servers.broken import black_hole
from tests.support.servers.certmonger import certmonger
from tests.support.servers.chromium import browser, browser_process
from tests.support.servers.https_anchor import https_anchor, private_tls
from tests.support.servers.keystone import keystone
from tests.support.servers.nginx import nginx_anchor
from tests.support.servers.p11_kit import p11_kit
from tests.support.servers.postgresql import postgresql_server, postgresql_url
from tests.support.servers.rabbitmq import broker
from tests.support.servers.samba import samba
from tests.support.servers.slapd import slapd
from tests.support.servers.softhsm import logins, softhsm
from tests.support.servers.workers import workers
