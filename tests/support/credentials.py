"""Credentials of each kind, and a service that accepts them."""

from __future__ import annotations

import io
import json
from urllib.parse import parse_qs

import pytest

TOKEN_ID = "tk_abcdefghij234567"
TOKEN_SECRET = "c2VjcmV0LW9mLWEtdG9rZW4tb2YtYW5jaG9yLTEyMzQ"
TOKEN = {"id": TOKEN_ID, "secret": TOKEN_SECRET}

# Three base64url parts: {"alg":"ES256"}, {"sub":"web1"}, and no real signature.
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ3ZWIxIn0.bm8tcmVhbC1zaWduYXR1cmU"
OTHER_JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ3ZWIyIn0.YW5vdGhlci1zaWduYXR1cmU"

# The backends read the accepted pairs of user and secret from a file, which a test may change.
BACKENDS = """
import json
from pathlib import Path
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.errors import NotAuthenticated

class Tokens:
    credential = CredentialKind.TOKEN
    waits = False

    def __init__(self, accepted: str):
        self._accepted = Path(accepted)

    def authenticate(self, user: str, secret: str) -> AuthDetails:
        if [user, secret] not in json.loads(self._accepted.read_text()):
            raise NotAuthenticated()
        return AuthDetails("web1")

class Jwts(Tokens):
    credential = CredentialKind.JWT
"""
ENTRY_POINTS = (
    "[anchor.authentication]\n"
    "stand_in_for_tokens = trouble:Tokens\n"
    "stand_in_for_jwts = trouble:Jwts\n"
)


@pytest.fixture
def accepted(tmp_path):
    """The file with the pairs of user and secret that the stand-ins accept."""
    path = tmp_path / "accepted.json"
    path.write_text(json.dumps([[TOKEN_ID, TOKEN_SECRET], ["", JWT]]))
    return path


@pytest.fixture
def three_ways_in(document, plugins, accepted):
    """A configuration with three authorities: ``tokens``, ``jwts``, ``default`` for passwords."""
    plugins(BACKENDS, ENTRY_POINTS)
    for kind in ("tokens", "jwts"):
        section = {"backend": f"stand_in_for_{kind}", "accepted": str(accepted)}
        document["authentication"][kind] = section
        authority = document["registration_authority"]["default"] | {"authentication": kind}
        document["registration_authority"][kind] = authority
    return document


def private(path, contents):
    """Write a file that only its owner can read."""
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    path.chmod(0o600)
    return path


def token_file(path, **more):
    """A file with what ``anchor token create --json`` prints."""
    return private(path, json.dumps(TOKEN | more) + "\n")


class Recorder:
    """A WSGI application that keeps each form, and passes it on to another application."""

    def __init__(self, application):
        self.application = application
        self.forms = []

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            fields = parse_qs(body.decode(), keep_blank_values=True, strict_parsing=True)
            self.forms.append({name: value for name, [value] in fields.items()})
            environ["wsgi.input"] = io.BytesIO(body)
        return self.application(environ, start_response)

    @property
    def credentials(self):
        """The user and the secret of each form."""
        return [(form["user"], form["secret"]) for form in self.forms]
