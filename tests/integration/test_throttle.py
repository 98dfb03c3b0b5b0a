"""After too many failures of a user or an address, the response is a 429."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from anchor.auth import principals
from anchor.auth.ldap_connection import Directory, escape_in_filter
from anchor.auth.loading import load_authenticator
from anchor.auth.throttle import SharedFailures, Throttle
from anchor.errors import (
    AnchorError,
    BackendUnavailable,
    NotAuthenticated,
    TooManyAttempts,
)
from anchor.store.database.failures import Failures
from anchor.store.database.tables import FAILURES
from tests.support.database import make_database
from tests.support.servers.broken import broken_server
from tests.support.servers.slapd import SUFFIX

PEOPLE = f"ou=people,{SUFFIX}"


class Clock:
    """A clock that stands still until a test sets it."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """The clock of the throttle."""
    return Clock()


@pytest.fixture
def failures(clock, tmp_path):
    """Makes the failures of an authentication as one process has them; the counts are shared."""
    database = make_database(tmp_path)
    return lambda name="ldap": SharedFailures(name, Failures(database, clock))


@pytest.fixture
def throttle(failures):
    """A throttle that allows three failures per name and five per address in a minute."""
    return Throttle(3, 5, 60, shared=failures())


def attempt(throttle, address="192.0.2.1", user="alice", *, error=NotAuthenticated):
    """The seconds to wait if the attempt is rejected."""
    with contextlib.suppress(NotAuthenticated, BackendUnavailable):
        try:
            with throttle.attempt(address, user):
                if error is not None:
                    raise error("no")
        except TooManyAttempts as refused:
            return refused.retry_after
    return None


def test_after_too_many_failures_a_client_waits_until_the_window_ends(throttle, clock):
    assert [None] * 3 == [attempt(throttle) for _ in range(3)]
    clock.now += 20.5

    assert 40 == attempt(throttle)
    assert 40 == attempt(throttle, error=None)

    clock.now += 39.5
    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]


def test_failures_that_were_counted_with_a_wrong_clock_lock_nobody_out(throttle, clock):
    clock.now += 1e6
    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]

    clock.now -= 1e6

    assert attempt(throttle, error=None) is None
    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]


def test_a_clock_that_is_a_little_behind_forgets_no_failures(throttle, clock):
    assert [None] * 3 == [attempt(throttle) for _ in range(3)]

    clock.now -= 500

    assert attempt(throttle, error=None) == 560


def test_an_outsider_does_not_lock_a_user_out(throttle):
    for _ in range(9):
        attempt(throttle, "203.0.113.9", "alice")

    assert attempt(throttle, "203.0.113.9", "alice") is not None
    assert attempt(throttle, "192.0.2.1", "alice", error=None) is None


def test_an_address_that_tries_many_names_has_to_wait(throttle):
    assert [None] * 5 == [attempt(throttle, user=f"user{number}") for number in range(5)]

    assert 60 == attempt(throttle, user="another")
    assert attempt(throttle, "192.0.2.2", "another") is None


def test_a_success_resets_the_count_of_its_name_only(throttle):
    for _ in range(2):
        attempt(throttle)
    attempt(throttle, error=None)

    assert [None, None, None, 60] == [attempt(throttle) for _ in range(4)]
    assert 60 == attempt(throttle, user="bob")


def test_an_unavailable_backend_does_not_count_as_a_failure(throttle):
    for _ in range(9):
        assert attempt(throttle, error=BackendUnavailable) is None

    assert attempt(throttle, error=None) is None


def test_attempts_at_the_same_time_count_all(throttle):
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(throttle.attempt("192.0.2.1", "a"))
        # They may all have the right secret, and end soon.
        assert 5 == attempt(throttle, user="a")
    assert attempt(throttle, user="a", error=None) is None


def test_failures_and_attempts_at_the_same_time_add_up(throttle):
    for _ in range(2):
        attempt(throttle, user="a")
    with throttle.attempt("192.0.2.1", "a"):
        assert 5 == attempt(throttle, user="a", error=None)
    attempt(throttle, user="b")
    attempt(throttle, user="b")
    with throttle.attempt("192.0.2.1", "c"):
        assert 5 == attempt(throttle, user="d", error=None)


def test_addresses_of_one_ipv6_network_are_one(throttle):
    for number in range(3):
        attempt(throttle, f"2001:db8::{number + 1}")

    assert 60 == attempt(throttle, "2001:db8::ffff")
    assert attempt(throttle, "2001:db8:0:1::1") is None


def test_the_table_is_bounded(tmp_path, clock):
    database = make_database(tmp_path)
    throttle = Throttle(3, 5, 60, shared=SharedFailures("ldap", Failures(database, clock, size=3)))
    for number in range(12):
        clock.now += 0.01
        attempt(throttle, f"192.0.2.{number}", "x" * 60_000)

    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(FAILURES)).scalar() <= 3


def test_failures_that_no_longer_count_are_deleted(tmp_path, clock):
    database = make_database(tmp_path)
    throttle = Throttle(3, 5, 60, shared=SharedFailures("ldap", Failures(database, clock)))
    for number in range(10):
        attempt(throttle, f"192.0.2.{number}")
    clock.now += 61
    attempt(throttle)

    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(FAILURES)).scalar() == 2


def test_there_is_no_limit_when_the_limits_are_zero(failures):
    throttle = Throttle(0, 0, 60, shared=failures())
    assert [None] * 50 == [attempt(throttle) for _ in range(50)]


def test_processes_count_together(failures):
    first, second = (Throttle(3, 5, 60, shared=failures()) for _ in range(2))

    assert [None, None, None] == [attempt(throttle) for throttle in (first, second, first)]
    assert 60 == attempt(second)
    assert 60 == attempt(first, error=None)


def test_authentications_count_by_themselves(failures):
    one, other = (Throttle(3, 5, 60, shared=failures(name)) for name in ("one", "other"))
    for _ in range(4):
        attempt(one)

    assert attempt(other) is None


def test_guesses_that_processes_make_at_the_same_time_try_no_more_secrets(failures):
    """A process cannot see the attempts of others before they fail; their answers are exact."""
    attempt(Throttle(3, 0, 60, shared=failures()), user="a")
    guesses = [Throttle(3, 0, 60, shared=failures()).attempt("192.0.2.1", "a") for _ in range(9)]
    for guess in guesses:
        guess.__enter__()

    answers = []
    for guess in guesses[:-1]:
        wrong = NotAuthenticated()
        try:
            guess.__exit__(NotAuthenticated, wrong, None)
            answers.append(401)
        except TooManyAttempts:
            answers.append(429)
    with pytest.raises(TooManyAttempts):
        # The right secret, after too many wrong ones.
        guesses[-1].__exit__(None, None, None)

    assert [401] * 2 + [429] * 6 == answers


def test_a_success_writes_nothing(tmp_path, clock):
    database = make_database(tmp_path)
    throttle = Throttle(3, 5, 60, shared=SharedFailures("ldap", Failures(database, clock)))
    attempt(throttle, user="bob")
    with database.read() as connection:
        before = connection.exec_driver_sql("PRAGMA data_version").scalar()
        for _ in range(5):
            assert attempt(throttle, error=None) is None
        assert before == connection.exec_driver_sql("PRAGMA data_version").scalar()


def test_without_the_database_no_credentials_are_checked(tmp_path, clock):
    database = make_database(tmp_path / "missing")
    throttle = Throttle(3, 5, 60, shared=SharedFailures("ldap", Failures(database, clock)))

    with pytest.raises(AnchorError), throttle.attempt("192.0.2.1", "alice"):
        pytest.fail("the credentials are checked")


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([True, False]), st.integers(0, 40)),
        max_size=25,
    )
)
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_sequence_of_attempts_fails_more_often_than_the_limit(tmp_path, events):
    """In every window, from its first failure on, a user fails at most three times."""
    clock = Clock()
    database = make_database(tmp_path, f"{secrets.token_hex(4)}.db")
    throttle = Throttle(3, 0, 60, shared=SharedFailures("ldap", Failures(database, clock)))
    windows = {}
    for user, is_right, seconds in events:
        clock.now += seconds
        failed, since = windows.get(user, (0, clock.now))
        if not failed or since + 60 <= clock.now:
            failed, since = 0, clock.now
        has_to_wait = attempt(throttle, user=user, error=None if is_right else NotAuthenticated)
        assert (has_to_wait is not None) == (failed >= 3)
        if has_to_wait is None:
            windows[user] = (0, clock.now) if is_right else (failed + 1, since)


def test_names_that_are_no_text_count_too(throttle):
    for _ in range(3):
        attempt(throttle, "unknown", "\udcff")
    assert 60 == attempt(throttle, "unknown", "\udcff")


def test_the_service_answers_429_with_retry_after(serve, document, audit):
    document["registration_authority"]["default"] |= {
        "max_failures": 2,
        "failure_window_seconds": 100,
    }
    service = serve(document)
    for _ in range(2):
        service.sign(secret="wrong", status=401)

    answer = service.sign(status=429)

    assert 0 < int(answer.headers["Retry-After"]) <= 100
    assert "too many failed attempts" in answer.text
    event = audit.events()[-1]
    assert ("audit.auth", "failure") == (event["event"], event["outcome"])
    assert ["too many failed attempts, try again later"] == event["reasons"]
    service.http.extra_environ["REMOTE_ADDR"] = "192.0.2.8"
    service.sign(status=200)


def test_authorities_that_ask_one_authentication_count_together(serve, document):
    authority = document["registration_authority"]["default"] | {"max_failures": 2}
    document["authentication"]["another"] = document["authentication"]["static"] | {
        "user": "bob",
    }
    document["registration_authority"] = {
        "one": authority,
        "two": authority | {"failure_window_seconds": 100},
        "many": authority | {"max_failures": 3},
        "any": authority | {"max_failures": 0},
        "another": authority | {"authentication": "another"},
    }
    service = serve(document)
    service.sign(authority="one", secret="wrong", status=401)
    service.sign(authority="any", secret="wrong", status=401)

    assert int(service.sign(authority="one", status=429).headers["Retry-After"]) > 100
    assert int(service.sign(authority="two", status=429).headers["Retry-After"]) <= 100
    service.sign(authority="another", secret="wrong", status=401)
    service.sign(authority="many", secret="wrong", status=401)
    service.sign(authority="many", status=429)
    # A success at one authority resets the count for all.
    service.sign(authority="any", status=200)
    service.sign(authority="one", status=200)


def test_a_window_ends_for_each_authority_by_itself(clock, failures):
    shared = failures()
    short, long = (Throttle(2, 0, window, shared=shared) for window in (10, 100))
    for throttle in (short, long):
        attempt(throttle)
    clock.now += 11

    assert [None, None, 10] == [attempt(short) for _ in range(3)]
    assert 89 == attempt(long)


SPELLINGS = [
    *("alice", "ALICE", "Alice", "aLiCe", " alice", "alice ", "\talice\n"),
    *("\uff41\uff4c\uff49\uff43\uff45", "\U0001d4d0\U0001d4db\U0001d4d8\U0001d4d2\U0001d4d4"),
    *("al\u00adice", "al\u200bice", "a\u200dlice", "alice\ufe0f", "\ufeffalice", "al\x00ice"),
    *("\u24d0lice", "al\u0131ce", "al\u0130ce", "al\u2170ce", "al\u0131\u0301ce", "AL\u00ccCE"),
    *("alic\u00e9", "alice\u0301", "\u00c0lice", "a\u0142ice", "a\u1806lice"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_all_spellings_of_a_name_are_one_user(throttle, spelling):
    for _ in range(3):
        attempt(throttle, user=spelling)

    assert [60] * len(SPELLINGS) == [attempt(throttle, user=other) for other in SPELLINGS]
    assert attempt(throttle, user="bob") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stra\u00dfe", "STRASSE"),
        ("\u1e9e", "ss"),
        ("\u03c3", "\u03c2"),
        ("\u0390", "\u1fd3"),
        ("\u30a2\u30ab\u30ac", "\u3042\u304b\u304c"),
        ("\uff71", "\u30a2"),
        ("Bj\u00f8rn", "bjorn"),
        ("\u00c6on", "aeon"),
        ("\u212b", "a"),
        ("\ufb01n", "FIN"),
        ("a \u00a0\u3000b", "A B"),
        ("\u01c5", "d\u017e"),
    ],
)
def test_what_directories_compare_as_equal_counts_as_one(one, other):
    assert principals.counting_key(one) == principals.counting_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("alice", "alice2"), ("a b", "ab"), ("a@b", "a@c"), ("web-1", "web1"), ("\u0437", "3")],
)
def test_other_names_count_separately(one, other):
    assert principals.counting_key(one) != principals.counting_key(other)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M", "Zs", "Cf"]), max_size=20))
def test_case_and_normal_form_make_no_difference(name):
    key = principals.counting_key(name)
    assert key == principals.counting_key(key)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert key == principals.counting_key(unicodedata.normalize(form, name))
    assert key == principals.counting_key(name.casefold())
    assert key == principals.counting_key(name.upper().lower()) or "\u0131" in name


def wrong(service, user, **options):
    return service.sign(user=user, secret="wrong", **options).status_int


def directory_service(serve, document, options, failures=2):
    document["authentication"]["static"] = options
    document["registration_authority"]["default"] |= {"max_failures": failures}
    return serve(document)


BY_DN = {"service_dn": None, "service_secret": None, "user_dn": f"uid={{user}},{PEOPLE}"}


@pytest.mark.parametrize("lookup", [{}, BY_DN], ids=["service account", "DN template"])
def test_one_user_of_a_directory_has_one_count(slapd, serve, document, lookup):
    service = directory_service(serve, document, slapd.options(**lookup))
    assert [401, 401] == [wrong(service, user) for user in ("alice", "ALICE")]

    assert [429] * 4 == [wrong(service, user) for user in ("Alice", "a\uff2cice", "alice", "aLICE")]
    service.sign(user="alice", secret="alice-secret", status=429)
    service.sign(user="bob", secret="bob-secret", status=200)


MAIL = "(|(uid={user})(mail={user})(cn={user}))"


def test_all_names_that_the_filter_matches_have_one_count(slapd, serve, document):
    service = directory_service(serve, document, slapd.options(filter=MAIL))
    assert 401 == wrong(service, "alice")
    assert 401 == wrong(service, "alice@example.com")

    for user in ("alice", "alice@example.com", "ALICE@Example.COM"):
        service.sign(user=user, secret="alice-secret", status=429)
    service.sign(user="bob@example.com", secret="bob-secret", status=200)


def test_a_success_with_another_name_of_the_user_resets_the_count(slapd, serve, document):
    service = directory_service(serve, document, slapd.options(filter=MAIL))
    assert 401 == wrong(service, "alice")
    service.sign(user="alice@example.com", secret="alice-secret", status=200)
    # One more failure with the first name, for which the directory may find no user later.
    assert 401 == wrong(service, "alice@example.com")
    service.sign(user="alice@example.com", secret="alice-secret", status=200)


def test_all_spellings_that_the_directory_accepts_count_together(slapd):
    """Try every character that a directory could treat as equal to one in the name, or ignore."""
    directory = slapd_directory(slapd)
    variants = set()
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        bare = "".join(c for c in folded if c.isascii())
        if bare and bare in "alice":
            variants.add("alice".replace(bare, character))
        if unicodedata.category(character) in {"Cc", "Cf", "Zs", "Zl", "Zp"} or number in range(
            0x300, 0x370
        ):
            variants |= {f"al{character}ice", f"alice{character}", f"{character}alice"}

    def ask(connection):
        assert connection.bind(f"cn=anchor,ou=services,{SUFFIX}", "service-secret")
        return [
            variant
            for variant in sorted(variants)
            if connection.search(PEOPLE, f"(uid={escape_in_filter(variant)})", ("uid",))
        ]

    found = directory.with_connection(ask)

    assert {"alice", "Alice", "\uff41lice"} <= set(found)
    assert {principals.counting_key("alice")} == {
        principals.counting_key(variant) for variant in found
    }


def slapd_directory(slapd):
    return Directory(("localhost",), slapd.port, None, False, 10, 10)


def test_names_with_a_domain_count_as_the_user(tmp_path):
    options = {
        "backend": "ldap",
        "host": "localhost",
        "base": "dc=example,dc=com",
        "domain": "ad.example.com",
    }
    authenticator = load_authenticator("ad", options, tmp_path)
    forms = ("alice", "alice@ad.example.com", "AD\\alice", "AD/alice", "AD\\alice@x")
    assert {"alice"} == {authenticator.principal(form) for form in forms}


def test_another_user_name_does_not_reset_the_count_of_tokens(serve, document):
    def behave(connection, _stop):
        connection.recv(65536)
        body = json.dumps({"error": {"code": 401}})
        head = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())

    with broken_server(behave) as port:
        options = {"backend": "keystone", "url": f"http://127.0.0.1:{port}"}
        service = directory_service(serve, document, options, failures=3)
        statuses = [wrong(service, f"user{number}") for number in range(5)]

    assert [401, 401, 401, 429, 429] == statuses


def test_an_attempt_that_has_ended_counts_no_names(throttle):
    with contextlib.suppress(BackendUnavailable), throttle.attempt("192.0.2.1", "a") as late:
        late.count_for("cn=a")
        late.count_for("CN=A")
        raise BackendUnavailable("no answer")

    late.count_for("cn=b")

    for _ in range(3):
        attempt(throttle, user="c")
    assert attempt(throttle, "192.0.2.1", "cn=b", error=None) is None


def test_canonical_names_and_sent_names_count_separately(throttle):
    def fail(user, name):
        with contextlib.suppress(NotAuthenticated), throttle.attempt("192.0.2.1", user) as pending:
            pending.count_for(name)
            raise NotAuthenticated

    for number in range(3):
        fail(f"alias{number}", "cn=alice")
    with pytest.raises(TooManyAttempts):
        fail("alias3", "cn=alice")
    assert attempt(throttle, user="cn=alice") is None
