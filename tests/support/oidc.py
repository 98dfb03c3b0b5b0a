"""The backend ``oidc`` with the keys of the tests, and questions to it."""

from __future__ import annotations

import logging

import pytest

from anchor.auth.loading import load_authenticator
from anchor.errors import NotAuthenticated
from tests.support import jwt


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    """A function that makes an authenticator with these keys and options."""
    directory = tmp_path_factory.mktemp("oidc")

    def make(*keys, **options):
        (directory / "keys.json").write_bytes(jwt.key_set(*keys or [jwt.public(jwt.make_key())]))
        section = {
            "backend": "oidc",
            "issuer": jwt.ISSUER,
            "audience": jwt.AUDIENCE,
            "jwks_file": "keys.json",
            **options,
        }
        return load_authenticator("it", section, directory)

    return make


def ask(authenticator, token):
    return authenticator.authenticate("default", "anyone", token)


def reason(authenticator, token, caplog):
    """Why the operator is told that the token was refused."""
    caplog.clear()
    caplog.set_level(logging.INFO, "anchor.auth.oidc")
    with pytest.raises(NotAuthenticated, match=r"^the credentials were not accepted$"):
        ask(authenticator, token)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert token[:20] not in record.message
    assert len(record.message) < 400
    assert record.message.isascii()
    assert record.message.isprintable()
    return record.message.partition("is refused: ")[2]
