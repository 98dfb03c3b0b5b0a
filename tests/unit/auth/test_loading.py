"""Plug-ins that cannot authenticate anybody are errors in their section of the configuration."""

from __future__ import annotations

import pytest

from anchor.auth.loading import load_authenticator
from anchor.errors import ConfigurationError

SOURCE = """
from anchor.plugin_api import AuthDetails, BackendUnavailable


class Broken:
    def __init__(self, error: str):
        raise {"key": KeyError, "file": FileNotFoundError, "exit": SystemExit}[error]("s3cret")

    def authenticate(self, user, secret):
        pass


class WithoutMethod:
    pass


class OtherCredential:
    credential = "JWT"

    def authenticate(self, user, secret):
        pass


class PlainText:
    credential = "password"

    def authenticate(self, user, secret):
        return AuthDetails(user)


def other_arguments(user, secret):
    pass


def unreachable(ra_name, user, secret):
    raise BackendUnavailable
"""
ENTRY_POINTS = """
[anchor.authentication]
broken = trouble:Broken
without_method = trouble:WithoutMethod
other_credential = trouble:OtherCredential
plain_text = trouble:PlainText
other_arguments = trouble:other_arguments
unreachable = trouble:unreachable
"""


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"backend": "broken", "error": "key"}, "the authentication backend failed: KeyError"),
        (
            {"backend": "broken", "error": "file"},
            "the authentication backend failed: FileNotFoundError",
        ),
        ({"backend": "broken", "error": "exit"}, "the authentication backend failed: SystemExit"),
        ({"backend": "without_method"}, "the class has no method authenticate(user, secret)"),
        (
            {"backend": "other_credential"},
            "the class has the credential 'JWT', and should have a CredentialKind",
        ),
        *(
            (
                {"backend": "other_arguments", **options},
                "the function does not take the arguments ra_name, user, secret and conf",
            )
            for options in ({}, {"url": "https://example.com"})
        ),
    ],
)
def test_a_plugin_that_cannot_authenticate_prevents_the_start(plugins, tmp_path, section, message):
    plugins(SOURCE, ENTRY_POINTS)

    with pytest.raises(ConfigurationError) as raised:
        load_authenticator("it", section, tmp_path)

    assert message == str(raised.value)


def test_a_module_that_exits_prevents_the_start(plugins, tmp_path):
    plugins("raise SystemExit(3)", ENTRY_POINTS)

    with pytest.raises(ConfigurationError, match="cannot be loaded: SystemExit: 3"):
        load_authenticator("it", {"backend": "broken", "error": "key"}, tmp_path)


def test_a_backend_that_is_unavailable_needs_no_text(plugins, serve, document):
    plugins(SOURCE, ENTRY_POINTS)
    document["authentication"]["static"] = {"backend": "unreachable"}

    assert serve(document).sign(status=503).headers["Retry-After"] == "30"


def test_the_kind_of_a_credential_may_be_plain_text(plugins, serve, document):
    plugins(SOURCE, ENTRY_POINTS)
    document["authentication"]["static"] = {"backend": "plain_text"}

    assert serve(document).issue()
