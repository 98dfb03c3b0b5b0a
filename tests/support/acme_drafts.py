"""Signed ACME requests of which a test changes any part, before or after they are signed."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field

import pytest

from tests.support import jwt
from tests.support.acme import BASE_URL, Client, acme_configuration, add_account
from tests.support.pki import make_ca
from tests.support.service import Service, small_configuration

JOSE_JSON = "application/jose+json"
PROBLEM = "application/problem+json"
TYPE = "urn:ietf:params:acme:error:"


@dataclass
class Draft:
    """A request, by default a POST-as-GET of an account to its own URL.

    Attributes:
        key: the private key.
        url: the URL that it is sent to.
        header: the members of the protected header; None for a member leaves it out.
        payload: the payload.
        algorithm: the algorithm of the signature; by default that of the header.
        raw_header: the header as bytes, in place of its members.
    """

    key: object
    url: str
    header: dict
    payload: bytes = b""
    algorithm: str = "ES256"
    raw_header: bytes | None = None
    content_type: str = JOSE_JSON
    members: dict = field(default_factory=dict)

    def sign(self):
        """The members of the flattened JWS, with those of ``members`` in their place."""
        header = {name: value for name, value in self.header.items() if value is not None}
        octets = json.dumps(header).encode() if self.raw_header is None else self.raw_header
        text = jwt.sign_raw(octets, self.payload, self.key, self.algorithm)
        return dict(zip(("protected", "payload", "signature"), text.split("."), strict=True))

    @property
    def body(self):
        changed = self.sign() | self.members
        return json.dumps({name: each for name, each in changed.items() if each is not None})


class World:
    """A service with two directories that are open to all, and an account at the first.

    Attributes:
        service: the service.
        client: a client with an account.
        foreign: the URL of an account of the same key at the other directory.
    """

    def __init__(self, path):
        document = small_configuration(make_ca(path))
        acme_configuration(document, open=True)
        authorities = document["registration_authority"]
        authorities["second"] = authorities["default"]
        self.service = Service(path, document, base_url=BASE_URL)
        self.client = Client(self.service.http)
        self.client.register()
        other = add_account(self.service.settings.database, self.client.key, authority="second")
        self.foreign = f"{BASE_URL}/acme/second/account/{other.id}"

    def draft(self, url=None, **changes):
        """A good request, with changes of its header."""
        client = self.client
        url = url or client.account
        header = {"alg": "ES256", "nonce": client.nonce(), "url": url, "kid": client.account}
        return Draft(client.key, url, header | changes)

    def new_account(self, key=None, **changes):
        """A good request for an account."""
        key = key or self.client.key
        draft = self.draft(f"{self.client.url}/new-account", kid=None, jwk=jwt.public(key, None))
        draft.key = key
        draft.payload = b"{}"
        draft.header |= changes
        return draft

    def send(self, draft, body=None):
        body = draft.body if body is None else body
        return self.client.send(draft.url, body, content_type=draft.content_type)


@pytest.fixture(scope="module")
def lazy_world(tmp_path_factory):
    """The world of a module, which is made in its first test: a service needs the audit's log."""
    made = functools.cache(lambda: World(tmp_path_factory.mktemp("acme")))
    yield made
    made().service.settings.database.close()


@pytest.fixture
def world(lazy_world):
    return lazy_world()


def assert_problem(answer, status, kind, detail=""):
    """The answer is a problem document, with a nonce and the link to the directory."""
    assert (answer.status_int, answer.content_type) == (status, PROBLEM), answer.text
    document = answer.json
    assert (document["type"], document["status"]) == (TYPE + kind, status), document
    assert detail in document["detail"], document
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert any('/directory>;rel="index"' in link for link in answer.headers.getall("Link"))
    if answer.request.method == "POST":
        assert len(jwt.unb64(answer.headers["Replay-Nonce"])) >= 16
        assert answer.headers["Cache-Control"] == "no-store"
    return document
