"""Several authentications of one authority: the kind of a credential selects one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.auth.authenticator import Authenticator
from anchor.auth.credentials import kind_of, new_token_id
from anchor.auth.methods import AuthenticationMethod, AuthenticationMethods
from anchor.auth.results import AuthDetails, CredentialKind
from anchor.auth.throttle import SharedFailures, Throttle
from anchor.errors import ConfigurationError, NotAuthenticated
from anchor.store.database.failures import Failures

PASSWORD, TOKEN, JWT = CredentialKind.PASSWORD, CredentialKind.TOKEN, CredentialKind.JWT

# {"alg":"none"} . {} . nothing
SMALLEST_JWT = "eyJhbGciOiJub25lIn0.e30."


def methods(**kinds):
    """The methods of an authority, from names and kinds."""

    def method(name, kind):
        authenticator = Authenticator(
            name, lambda _authority, user, *_: AuthDetails(user), None, credential=kind
        )
        throttle = Throttle(10, 100, 300, shared=SharedFailures(name, Failures(None)))
        return AuthenticationMethod(authenticator, throttle)

    return AuthenticationMethods(method(name, kind) for name, kind in kinds.items())


def test_each_kind_of_credential_selects_its_authentication():
    three = methods(people=PASSWORD, machines=TOKEN, jobs=JWT)

    def selected(user, secret, **how):
        return three.select(user, secret, **how).authenticator.name

    assert selected("alice", "s3cret") == "people"
    assert selected(new_token_id(), "s3cret") == "machines"
    assert selected("alice", SMALLEST_JWT) == "jobs"
    assert selected("", SMALLEST_JWT, bearer=True) == "jobs"
    assert selected("", "any-bearer-token", bearer=True) == "jobs"
    # The identifier counts more: its owner may have chosen any secret.
    assert selected(new_token_id(), SMALLEST_JWT) == "machines"


def test_a_kind_without_an_authentication_is_not_tried_elsewhere():
    two = methods(people=PASSWORD, machines=TOKEN)

    with pytest.raises(NotAuthenticated):
        two.select("alice", SMALLEST_JWT)
    with pytest.raises(NotAuthenticated):
        two.select("", "s3cret", bearer=True)


def test_a_single_authentication_gets_a_secret_of_any_shape():
    one = methods(people=PASSWORD)

    assert one.select("alice", SMALLEST_JWT).authenticator.name == "people"
    assert one.select(new_token_id(), "s3cret").authenticator.name == "people"
    with pytest.raises(NotAuthenticated):
        one.select("", "s3cret", bearer=True)


def test_two_authentications_of_one_kind_are_an_error_that_names_both():
    with pytest.raises(ConfigurationError, match="'people' and 'staff' both accept a password"):
        methods(people=PASSWORD, machines=TOKEN, staff=PASSWORD)


@pytest.mark.parametrize(
    ("kinds", "schemes"),
    [
        ({"a": PASSWORD}, ("Basic",)),
        ({"a": TOKEN}, ("Basic",)),
        ({"a": JWT}, ("Bearer",)),
        ({"a": JWT, "b": TOKEN}, ("Basic", "Bearer")),
    ],
)
def test_the_schemes_are_those_of_the_kinds(kinds, schemes):
    assert methods(**kinds).schemes == schemes


@pytest.mark.parametrize(
    ("user", "secret", "kind"),
    [
        ("tk_abcdefghij234567", "x", TOKEN),
        ("tk_abcdefghij23456", "x", PASSWORD),
        ("tk_smith", "x", PASSWORD),
        ("", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", JWT),
        # With a space or a line break after the brace.
        ("", "eyAiYWxnIjoiUlMyNTYifQ.e30.c2ln", JWT),
        ("", "ewogImFsZyI6IlJTMjU2In0.e30.c2ln", JWT),
        ("", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0", PASSWORD),
        ("", "key.board.is-a-password", PASSWORD),
        ("", "ey.is.ey.a.ey.password", PASSWORD),
        ("", "gAAAAABm_fernet_token_of_keystone", PASSWORD),
        ("", "", PASSWORD),
    ],
)
def test_the_shape_tells_the_kind(user, secret, kind):
    assert kind_of(user, secret) is kind


LIKE_JWTS = [
    "{}\n",
    "\r\n{}",
    " {} ",
    '"{}"',
    "Bearer {}",
    "{}=",
    "{}\0",
    "{}.extra.parts",
    "{}\u00e9",
    "{0}\n{0}",
]


@pytest.mark.parametrize("damage", LIKE_JWTS)
def test_a_damaged_jwt_is_never_passed_on_as_a_password(damage):
    two = methods(people=PASSWORD, jobs=JWT)
    damaged = damage.format("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln")

    assert two.select("alice", damaged).authenticator.name == "jobs"


@pytest.mark.parametrize("damage", ["{}\n", " {}", "{}\t"])
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_the_secret_of_a_miswritten_token_is_never_passed_on_as_a_password(damage, change):
    two = methods(people=PASSWORD, machines=TOKEN)
    miswritten = damage.format(change("tk_abcdefghij234567"))

    assert two.select(miswritten, "s3cret").authenticator.name == "machines"


def test_the_shape_of_a_long_secret_is_known_at_once():
    for text in ("ey", ".ey", "." + "ey" * 9, "ey" * 9 + "."):
        started = time.process_time()
        kind_of("", (text * 16384)[:16384])
        assert time.process_time() - started < 0.1


@given(st.text(), st.text())
def test_every_text_has_a_kind(user, secret):
    assert kind_of(user, secret) in CredentialKind


def test_identifiers_of_tokens_are_all_different_and_look_like_tokens():
    identifiers = {new_token_id() for _ in range(1000)}

    assert len(identifiers) == 1000
    assert {kind_of(identifier, "") for identifier in identifiers} == {TOKEN}
