"""A service with ACME and a client of it; modules that need another policy have their own."""

from __future__ import annotations

import pytest

from tests.support.acme import BASE_URL
from tests.support.acme_orders import Clock, acme_with, add_client


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def acme(serve, document, clock):
    return serve(acme_with(document), base_url=BASE_URL, clock=clock)


@pytest.fixture
def client(acme):
    return add_client(acme)
