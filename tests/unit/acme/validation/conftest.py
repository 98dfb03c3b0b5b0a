"""Responses to challenges, and connections that need no DNS."""

from __future__ import annotations

import socket

import pytest

from anchor.acme.settings import AcmeSettings
from anchor.acme.validation.attempt import Attempt
from anchor.store.acme_records import Identifier
from tests.support.acme import URL, make_key, public_jwk
from tests.support.challenge_certificates import challenge_context

TOKEN = "DGyRejmCefe7v4NfDGDKfA"


class DirectConnector:
    """Connects to one server, whatever the host, or to one for a port."""

    def __init__(self, address):
        self._address = address
        self.by_port = {}
        self.asked = []

    def connect(self, host, port):
        self.asked.append((str(host), port))
        return socket.create_connection(self.by_port.get(port, self._address), timeout=5)


@pytest.fixture
def connector():
    """Makes a connector for a server."""
    return lambda server: DirectConnector(server.address)


@pytest.fixture
def settings():
    return AcmeSettings(
        challenges=["http-01", "dns-01", "tls-alpn-01", "dns-persist-01"],
        networks=["10.0.0.0/8"],
        issuer_domain_names=["ca.example", "pki.example"],
    )


@pytest.fixture
def attempt():
    """Makes a response to a challenge."""

    def make(name="www.example.com", kind="http-01", identifier_type="dns", account="a1"):
        return Attempt(
            type=kind,
            identifier=Identifier(identifier_type, name),
            token=TOKEN,
            key=public_jwk(make_key()),
            account_url=f"{URL}/account/{account}",
        )

    return make


@pytest.fixture
def tls_context(tmp_path):
    """Makes the context of a TLS server with a certificate of a challenge."""
    return lambda **options: challenge_context(tmp_path, **options)
