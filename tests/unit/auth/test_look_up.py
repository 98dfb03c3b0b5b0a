"""A requester is looked up again without a secret, by the backends that can."""

from __future__ import annotations

import threading

import pytest

from anchor.auth.authenticator import Authenticator
from anchor.auth.circuit_breaker import CircuitBreaker
from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.auth.token import TokenAuthentication
from anchor.errors import BackendUnavailable, NotAuthenticated, PluginError, RequesterGone
from anchor.store.database.tokens import Tokens
from tests.support.database import make_database
from tests.support.tokens import HOUR, make_token
from tests.support.users import user_line, write_users


def authenticator(look_up, breaker=None):
    """An authenticator whose backend has this method."""
    return Authenticator(
        "corp",
        lambda *_: AuthDetails("alice"),
        breaker,
        look_up=lambda _authority, recorded: look_up(recorded),
    )


def look_up(backend, recorded):
    return backend.look_up("default", recorded)


# The user of a configuration, and of a file.


def test_the_configured_user_has_the_groups_of_the_configuration(tmp_path):
    options = {"backend": "static", "user": "alice", "secret": "s3cret", "groups": ["web"]}
    backend = load_authenticator("static", options, tmp_path)

    assert look_up(backend, AuthDetails("alice", ["web", "prod"])).groups == ("web",)
    for name in ("bob", "ALICE", ""):
        with pytest.raises(RequesterGone, match="not known any more"):
            look_up(backend, AuthDetails(name))


def test_a_user_in_a_file_is_looked_up_in_the_file_as_it_is_now(tmp_path):
    path = write_users(tmp_path / "users.jsonl", user_line("web1", groups=["web"]))
    backend = load_authenticator("static", {"backend": "static", "users_file": str(path)}, tmp_path)
    assert look_up(backend, AuthDetails("web1")) == AuthDetails("web1", ["web"])

    write_users(path, user_line("web1", groups=["db"], names=["db1.example.com"]))
    assert look_up(backend, AuthDetails("web1", ["web"])) == AuthDetails(
        "web1", ["db"], allowed_names=["db1.example.com"]
    )

    write_users(path, user_line("web2"))
    with pytest.raises(RequesterGone, match="not known any more"):
        look_up(backend, AuthDetails("web1", ["web"]))

    write_users(path, "{")
    with pytest.raises(BackendUnavailable, match=r"users\.jsonl, line 1"):
        look_up(backend, AuthDetails("web2"))
    path.unlink()
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        look_up(backend, AuthDetails("web2"))


# Tokens.


@pytest.fixture
def tokens(tmp_path):
    database = make_database(tmp_path)
    yield Tokens(database)
    database.close()


@pytest.mark.parametrize(
    "values",
    [{}, {"used": 1}, {"created": make_token().created - 9 * HOUR}, {"expires": None}],
    ids=["usable", "used up", "expired", "without an end"],
)
def test_a_token_that_was_not_revoked_has_its_holder_groups_and_names(tokens, values):
    token = make_token(groups=("web",), names=("web1.example.com",), **values)
    tokens.add(token)

    found = TokenAuthentication(tokens).look_up(
        AuthDetails("web1", ["web", "prod"], token_id=token.id), "default"
    )

    assert (found.username, found.groups) == ("web1", ("web",))
    assert (found.allowed_names, found.token_id) == (("web1.example.com",), token.id)


def test_a_token_that_is_revoked_deleted_or_of_another_authority_is_gone(tokens):
    backend = TokenAuthentication(tokens)
    revoked, other, missing = make_token(), make_token(authority="other"), make_token()
    tokens.add(revoked)
    tokens.add(other)
    tokens.revoke(revoked.id)

    for token, reason in ((revoked, "was revoked"), (other, "not exist"), (missing, "not exist")):
        with pytest.raises(RequesterGone, match=reason):
            backend.look_up(AuthDetails("web1", token_id=token.id), "default")
    with pytest.raises(RequesterGone, match="not exist"):
        backend.look_up(AuthDetails("web1"), "default")


# What every backend may do.


def test_a_backend_without_the_method_cannot_tell(tmp_path):
    class WithoutLookUp:
        def authenticate(self, user, secret):
            return AuthDetails(user)

    assert look_up(Authenticator("corp", WithoutLookUp().authenticate, None), "any") is None


@pytest.mark.parametrize("answer", [True, "alice", ("web",), object()])
def test_a_wrong_answer_is_the_backends_fault(answer):
    with pytest.raises(PluginError, match="did not answer AuthDetails"):
        look_up(authenticator(lambda _: answer), AuthDetails("alice"))


def test_an_unexpected_exception_is_the_backends_fault():
    def fail(_recorded):
        raise KeyError("alice")

    with pytest.raises(PluginError, match="'corp' failed"):
        look_up(authenticator(fail), AuthDetails("alice"))


@pytest.mark.parametrize(
    ("recorded", "current"),
    [
        (AuthDetails("alice"), AuthDetails("bob")),
        (AuthDetails("alice"), AuthDetails("Alice")),
        (AuthDetails("alice", user_id="1"), AuthDetails("alice", user_id="2")),
    ],
)
def test_another_user_with_the_name_or_the_identifier_is_not_the_requester(recorded, current):
    with pytest.raises(NotAuthenticated, match="another name or identifier"):
        look_up(authenticator(lambda _: current), recorded)


@pytest.mark.parametrize("ids", [(None, None), ("1", None), (None, "1"), ("1", "1")])
def test_an_identifier_that_only_one_of_both_has_makes_no_difference(ids):
    recorded, current = (AuthDetails("alice", user_id=each) for each in ids)

    assert look_up(authenticator(lambda _: current), recorded) == current


# The circuit breaker.


def test_look_ups_and_authentications_wait_for_the_backend_together():
    asked, answered = threading.Event(), threading.Event()

    def hang(recorded):
        asked.set()
        answered.wait(30)
        return recorded

    backend = authenticator(hang, CircuitBreaker(1))
    first = threading.Thread(target=look_up, args=(backend, AuthDetails("alice")))
    first.start()
    asked.wait(30)
    try:
        with pytest.raises(BackendUnavailable, match="too many requests are waiting"):
            look_up(backend, AuthDetails("alice"))
        with pytest.raises(BackendUnavailable, match="too many requests are waiting"):
            backend.authenticate("default", "alice", "s3cret")
    finally:
        answered.set()
        first.join()
    assert look_up(backend, AuthDetails("alice")) == AuthDetails("alice")


def test_a_look_up_that_hangs_opens_the_circuit_for_authentications():
    now = [1000.0]

    def hang(_recorded):
        now[0] += 6
        raise BackendUnavailable("no answer")

    backend = authenticator(hang, CircuitBreaker(None, lambda: now[0], lambda _: None))
    with pytest.raises(BackendUnavailable, match="'corp' is not available: no answer"):
        look_up(backend, AuthDetails("alice"))

    with pytest.raises(BackendUnavailable, match="left alone for a while"):
        backend.authenticate("default", "alice", "s3cret")
    now[0] += 60
    assert backend.authenticate("default", "alice", "s3cret") == AuthDetails("alice")


def test_a_requester_who_is_gone_says_nothing_about_the_backend():
    now = [1000.0]

    def refuse(_recorded):
        now[0] += 6
        raise RequesterGone()

    backend = authenticator(refuse, CircuitBreaker(None, lambda: now[0], lambda _: None))
    for _ in range(2):
        with pytest.raises(RequesterGone):
            look_up(backend, AuthDetails("alice"))
