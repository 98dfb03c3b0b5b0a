"""Tokens as an authentication backend, on a SQLite database."""

from __future__ import annotations

import datetime
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.credentials import is_token_id, kind_of, new_token_id
from anchor.auth.results import CredentialKind
from anchor.auth.token import TokenAuthentication, hash_secret, new_secret
from anchor.errors import DatabaseUnavailable, NotAuthenticated
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.support.database import make_database
from tests.support.properties import examples
from tests.support.tokens import HOUR, add_token, make_token

SECOND = datetime.timedelta(seconds=1)


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    yield made
    made.close()


@pytest.fixture
def backend(database):
    return TokenAuthentication(Tokens(database))


def test_a_token_gives_its_holder_with_groups_and_names(database, backend):
    token = add_token(database, requester="wéb1", groups=("web", "prod"), names=("a.example.com",))

    identity = backend.authenticate(**token, authority="default")

    assert (identity.username, identity.groups) == ("wéb1", ("web", "prod"))
    assert (identity.allowed_names, identity.token_id) == (("a.example.com",), token["user"])


def test_a_token_without_names_allows_any_and_one_with_no_name_allows_none(database, backend):
    for names in (None, ()):
        identity = backend.authenticate(**add_token(database, names=names), authority="default")
        assert identity.allowed_names == names


def refused(backend, user, secret, authority="default"):
    with pytest.raises(NotAuthenticated) as caught:
        backend.authenticate(user, secret, authority)
    return str(caught.value)


def test_every_refusal_has_the_same_text(database, backend):
    now = utc_now().replace(microsecond=0)
    good, other = add_token(database), add_token(database)
    expired = add_token(database, created=now - 2 * HOUR, expires=now - SECOND)
    used = add_token(database, uses=2, used=2)
    revoked = add_token(database)
    assert Tokens(database).revoke(revoked["user"])

    texts = {
        refused(backend, new_token_id(), good["secret"]),
        refused(backend, good["user"], other["secret"]),
        refused(backend, good["user"], ""),
        refused(backend, good["user"], f"{good['secret']}="),
        refused(backend, good["user"], f" {good['secret']}"),
        refused(backend, good["user"].upper(), good["secret"]),
        refused(backend, **good, authority="another"),
        refused(backend, **good, authority="Default"),
        *(refused(backend, **each) for each in (expired, used, revoked)),
    }

    assert texts == {"the credentials were not accepted"}
    assert backend.authenticate(**good, authority="default").username == "web1"


@pytest.mark.parametrize(("after", "works"), [(-SECOND, True), (0 * SECOND, False), (HOUR, False)])
def test_a_token_ends_at_the_second_that_it_says(database, after, works):
    now = utc_now().replace(microsecond=0)
    token = add_token(database, created=now, expires=now + HOUR)
    backend = TokenAuthentication(Tokens(database, lambda: now + HOUR + after))

    if works:
        assert backend.authenticate(**token, authority="default")
    else:
        refused(backend, **token)


def test_a_token_without_an_end_works_in_a_century(database):
    token = add_token(database, expires=None)
    backend = TokenAuthentication(Tokens(database, lambda: utc_now() + 876_000 * HOUR))

    assert backend.authenticate(**token, authority="default")


class NoTokens:
    """A store that fails the test if it is asked for anything but an identifier."""

    def find(self, token_id):
        assert is_token_id(token_id)

    def now(self):
        return utc_now()


TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
HOSTILE_ID = (
    TEXT | st.builds("tk_{}".format, TEXT) | st.builds("{}\n".format, st.just("tk_" + "a" * 16))
)


@given(user=HOSTILE_ID, secret=TEXT | st.just("x" * 100_000))
@settings(max_examples=examples(200), deadline=None)
def test_no_hostile_id_reaches_the_database(user, secret):
    refused(TokenAuthentication(NoTokens()), user, secret)


@given(secret=TEXT)
@settings(max_examples=examples(50), deadline=None)
def test_no_other_secret_is_accepted(secret):
    right = new_secret()
    token = make_token(right)
    store = NoTokens()
    store.find = lambda _id: token

    if secret != right:
        refused(TokenAuthentication(store), token.id, secret)


@pytest.mark.parametrize("secret", ["", "short", "x" * 42, "x" * 44, "ü" * 43, "x" * 42 + "\n"])
def test_a_secret_of_another_form_is_refused_even_if_its_hash_is_stored(database, backend, secret):
    token = make_token(secret or "empty")
    Tokens(database).add(token)

    refused(backend, token.id, secret)


def test_secrets_are_43_characters_of_base64url_and_never_repeat():
    secrets = {new_secret() for _ in range(200)}

    assert len(secrets) == 200
    alphabet = set(string.ascii_letters + string.digits + "-_")
    assert {len(secret) for secret in secrets} == {43}
    assert set("".join(secrets)) <= alphabet


def test_an_id_is_recognised_as_one():
    assert kind_of(new_token_id(), "anything") is CredentialKind.TOKEN


def test_neither_the_secret_nor_its_hash_is_shown(database):
    secret = new_secret()
    token = make_token(secret)

    assert secret not in repr(token) and hash_secret(secret) not in repr(token)


def test_a_database_that_is_away_is_no_refusal(tmp_path):
    database = make_database(tmp_path)
    token = add_token(database)
    database.close()
    (tmp_path / "anchor.db").rename(tmp_path / "moved.db")

    with pytest.raises(DatabaseUnavailable):
        TokenAuthentication(Tokens(database)).authenticate(**token, authority="default")


def test_no_secret_looks_like_an_option_of_a_command(monkeypatch):
    contents = iter([b"\xf8" + bytes(31), b"\xfb" * 32, b"\x01" * 32])
    monkeypatch.setattr("secrets.token_bytes", lambda _size: next(contents))

    assert "AQEB" == new_secret()[:4]
