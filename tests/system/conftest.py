"""Fixtures for these tests."""

from tests.support.load import say
from tests.support.servers.anchor import server
from tests.support.servers.compose import compose
from tests.support.servers.container import engine, image, run_container
from tests.support.servers.debian_packages import debian_packages
from tests.support.servers.fresh_debian import debian
from tests.support.servers.nginx_site import nginx_site
from tests.support.servers.postgresql import postgresql_server, postgresql_url
from tests.support.servers.softhsm import softhsm
