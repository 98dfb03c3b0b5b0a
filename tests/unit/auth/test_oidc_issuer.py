"""Keys from a running issuer: rotation, faults, clocks, and several processes."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import subprocess
import sys
import threading
import time

import pytest

from anchor.auth.circuit_breaker import SharedSlots
from anchor.auth.loading import load_authenticator
from anchor.auth.oidc.discovery import KeyFetcher, parse_url
from anchor.auth.oidc.key_cache import KeyCache
from anchor.errors import BackendUnavailable, ConfigurationError, NotAuthenticated
from anchor.runtime import process_directory
from tests.support import jwt
from tests.support.clock import Clock
from tests.support.oidc import ask
from tests.support.pki import make_ca
from tests.support.servers.broken import broken_server
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.oidc_issuer import WELL_KNOWN, running_issuer, send, sending
from tests.support.servers.processes import wait_for

OLD, NEW = jwt.make_key(), jwt.make_key(name="new")


@pytest.fixture
def issuer():
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def shared(tmp_path):
    """The directory that the processes of a service share."""
    (tmp_path / "anchor-metrics").mkdir(mode=0o700)
    name = process_directory.find(tmp_path / "config.json").name
    return SharedSlots(tmp_path / "anchor-metrics" / name, 1.0)


@pytest.fixture
def connect(tmp_path, issuer):
    """Makes an authenticator that asks the issuer."""

    def make(shared=None, **options):
        section = {
            "backend": "oidc",
            "issuer": issuer.url,
            "audience": jwt.AUDIENCE,
            "discovery": True,
            "timeout": 2,
            **options,
        }
        return load_authenticator("it", section, tmp_path, shared_slots=shared)

    return make


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(issuer, clock):
    """Makes a cache of the issuer's keys, with a clock that the test sets."""

    def make(shared=None, keep_keys=86400, timeout=2, url=None):
        fetcher = KeyFetcher(issuer.url, url or f"{issuer.url}/keys", None, None, timeout)
        return KeyCache(fetcher, keep_keys, shared, clock)

    return make


def key_ids(cache, wanted=None):
    """The identifiers of the keys, if a token asks for one of them."""
    keys = cache.keys(lambda keys: wanted is None or wanted in [key.key_id for key in keys.keys])
    return [key.key_id for key in keys.keys]


def rotate(issuer, *pairs):
    issuer.keys = [jwt.public(key, kid=kid) for key, kid in pairs]


def test_keys_are_found_by_discovery_and_fetched_once(issuer, connect):
    authenticator = connect()

    assert issuer.seen == []
    for _ in range(3):
        assert ask(authenticator, issuer.token()).username == "web1"
    assert [WELL_KNOWN, "/keys"] == [path for path, _ in issuer.seen]


def test_an_issuer_with_a_path_and_a_slash_is_compared_exactly(issuer, connect):
    realm = f"{issuer.url}/realms/a/"
    document = json.dumps({"issuer": realm, "jwks_uri": f"{issuer.url}/keys"}).encode()
    issuer.answers[f"/realms/a{WELL_KNOWN}"] = sending(document)
    authenticator = connect(issuer=realm)

    assert ask(authenticator, issuer.token(iss=realm)).username == "web1"
    with pytest.raises(NotAuthenticated):
        ask(authenticator, issuer.token(iss=realm[:-1]))


def test_keys_at_a_configured_url_need_no_discovery(issuer, connect):
    authenticator = connect(discovery=False, jwks_url=f"{issuer.url}/keys", issuer="kubernetes")

    assert ask(authenticator, issuer.token(iss="kubernetes")).username == "web1"
    assert ["/keys"] == [path for path, _ in issuer.seen]


def test_a_new_key_is_fetched_when_the_first_token_needs_it(issuer, cache, clock):
    keys = cache()
    assert key_ids(keys) == ["1"]
    rotate(issuer, (OLD, "1"), (NEW, "2"))
    clock.ahead = 61

    assert key_ids(keys, "2") == ["1", "2"]
    assert issuer.fetches == 2


def test_both_keys_authenticate_during_a_rotation(issuer, connect):
    rotate(issuer, (OLD, "1"), (NEW, "2"))
    authenticator = connect()

    for key, kid in ((OLD, "1"), (NEW, "2")):
        assert ask(authenticator, issuer.token(key, header={"kid": kid})).username == "web1"


def test_a_withdrawn_key_is_gone_when_the_keys_are_no_longer_fresh(issuer, cache, clock):
    issuer.headers = {"Cache_Control": "max-age=600"}
    keys = cache()
    key_ids(keys)
    rotate(issuer, (NEW, "2"))

    clock.ahead = 599
    assert key_ids(keys) == ["1"]
    clock.ahead = 601
    assert key_ids(keys) == ["2"]


@pytest.mark.parametrize(
    ("header", "fresh", "old"),
    [
        ("max-age=0", 299, 301),
        ("no-store", 299, 301),
        ("public, max-age=1000, no-cache", 299, 301),
        ("public, MAX-AGE=7200", 7199, 7201),
        (None, 3599, 3601),
        ("nonsense", 3599, 3601),
        ("max-age=99999999999", 3599, 86401),
        ("max-age=9999999999", 86399, 86401),
    ],
)
def test_keys_are_fresh_for_minutes_at_least_and_for_a_day_at_most(
    issuer, cache, clock, header, fresh, old
):
    issuer.headers = {"Cache_Control": header} if header else {}
    keys = cache()
    key_ids(keys)
    clock.ahead = fresh
    key_ids(keys)
    assert issuer.fetches == 1
    clock.ahead = old
    key_ids(keys)
    assert issuer.fetches == 2


def test_unknown_keys_cause_one_fetch_a_minute(issuer, cache, clock):
    keys = cache()
    for second in range(0, 180, 2):
        clock.ahead = second
        assert key_ids(keys, f"unknown-{second}") == ["1"]

    assert issuer.fetches == 3


def test_a_flood_of_unknown_keys_is_refused_and_good_tokens_are_accepted(issuer, connect):
    authenticator = connect()
    ask(authenticator, issuer.token())
    other = jwt.make_key(name="attacker")

    for number in range(100):
        with pytest.raises(NotAuthenticated):
            ask(authenticator, issuer.token(other, header={"kid": f"unknown-{number}"}))
    assert ask(authenticator, issuer.token())
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "token",
    [
        {"aud": "other"},
        {"exp": 1},
        {"sub": None},
        {"iss": "https://other.example.com"},
        {"header": {"jwk": {}}},
        {"header": {"crit": ["x"]}},
        {"header": {"kid": "unknown"}, "aud": "other"},
    ],
)
def test_a_token_that_its_claims_rule_out_causes_no_fetch_and_no_503(issuer, connect, token):
    issuer.answers["/keys"] = sending(b"", 500)
    authenticator = connect()

    with pytest.raises(NotAuthenticated):
        ask(authenticator, issuer.token(**token))
    assert issuer.seen == []


def test_old_keys_are_used_while_the_issuer_is_away(issuer, cache, clock, caplog):
    keys = cache(keep_keys=10_000)
    key_ids(keys)
    issuer.answers["/keys"] = sending(b"", 503)

    clock.ahead = 3601
    assert key_ids(keys, "1") == ["1"]
    assert "HTTP status 503" in caplog.text
    clock.ahead = 13_599
    assert key_ids(keys, "1") == ["1"]
    clock.ahead = 13_661
    with pytest.raises(BackendUnavailable, match="there are no keys"):
        key_ids(keys, "1")


def test_an_unknown_key_is_unavailable_while_the_issuer_is_away(issuer, cache, clock):
    keys = cache()
    key_ids(keys)
    issuer.answers["/keys"] = sending(b"", 503)
    clock.ahead = 61

    for _ in range(3):
        with pytest.raises(BackendUnavailable, match="could not be fetched again"):
            key_ids(keys, "2")
    assert key_ids(keys, "1") == ["1"]
    assert issuer.fetches == 2


def test_an_issuer_that_comes_back_is_asked_again_after_seconds(issuer, cache, clock):
    answer = sending(b"", 503)
    issuer.answers["/keys"] = answer
    keys = cache()
    for ahead, fetches in ((0, 1), (9, 1), (11, 2)):
        clock.ahead = ahead
        with pytest.raises(BackendUnavailable) as away:
            key_ids(keys)
        assert (away.value.retry_after, issuer.fetches) == (10, fetches)
    del issuer.answers["/keys"]
    clock.ahead = 22

    assert key_ids(keys) == ["1"]


def test_a_clock_that_was_set_back_makes_old_keys_no_younger(issuer, cache, clock):
    keys = cache()
    clock.ahead = 100_000
    key_ids(keys)
    clock.ahead = 0

    assert key_ids(keys) == ["1"]
    assert issuer.fetches == 2


def slowly(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def redirect(handler):
    send(handler, b"", 302, Location=f"http://localhost:{handler.server.server_port}/elsewhere")


GOOD_KEYS = jwt.key_set(jwt.public(OLD))
KEY_FAULTS = {
    "not found": (sending(GOOD_KEYS, 404), "HTTP status 404"),
    "an error": (sending(b"", 500), "HTTP status 500"),
    "no content": (sending(b"", 204), "HTTP status 204"),
    "a redirect": (redirect, "HTTP status 302"),
    "HTML": (sending(b"<html>Log in"), "it is not JSON"),
    "nothing": (sending(b""), "it is not JSON"),
    "half of it": (sending(GOOD_KEYS[:-3]), "it is not JSON"),
    "no keys": (sending(b'{"keys": []}'), "no usable key"),
    "keys for encryption": (sending(jwt.key_set(jwt.public(OLD, use="enc"))), "no usable key"),
    "a private key": (sending(jwt.key_set(OLD.as_dict(private=True))), "a secret key"),
    "2 MB": (sending(GOOD_KEYS + b" " * 2_000_000), "larger than the limit"),
    "a gzip bomb": (
        sending(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"),
        "larger than the limit",
    ),
    "not gzip": (sending(GOOD_KEYS, Content_Encoding="gzip"), "gzip"),
    "slow": (slowly, "time"),
}


@pytest.mark.parametrize("fault", KEY_FAULTS)
def test_an_issuer_with_a_fault_is_away(issuer, connect, caplog, fault):
    issuer.answers["/keys"], expected = KEY_FAULTS[fault]
    authenticator = connect(timeout=0.5 if fault == "slow" else 5)

    start = time.monotonic()
    with pytest.raises(BackendUnavailable, match="there are no keys"):
        ask(authenticator, issuer.token())
    assert time.monotonic() - start < 8
    assert expected in caplog.text
    assert "/elsewhere" not in [path for path, _ in issuer.seen]


def document_of(issuer, **changes):
    return {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", **changes}


DOCUMENT_FAULTS = {
    "another issuer": ({"issuer": "https://evil.example.com"}, "its issuer is"),
    "a slash more": ({"issuer": "{url}/"}, "its issuer is"),
    "no issuer": ({"issuer": None}, "its issuer is None"),
    "no keys": ({"jwks_uri": None}, "its 'jwks_uri' is missing"),
    "a list of keys": ({"jwks_uri": ["{url}/keys"]}, "its 'jwks_uri' is missing"),
    "http elsewhere": ({"jwks_uri": "http://192.0.2.1/keys"}, "should be an https URL"),
    "a file": ({"jwks_uri": "file:///etc/passwd"}, "should be a URL"),
    "credentials": ({"jwks_uri": "https://a:b@localhost/keys"}, "credentials"),
    "no host": ({"jwks_uri": "https:///keys"}, "should be a URL"),
    "a bad port": ({"jwks_uri": "https://localhost:99999/keys"}, "should be a URL"),
    "control characters": ({"jwks_uri": "https://localhost/\r\nX: y"}, "should be a URL"),
}


@pytest.mark.parametrize("fault", DOCUMENT_FAULTS)
def test_a_discovery_document_with_a_fault_is_not_used(issuer, connect, caplog, fault):
    changes, expected = DOCUMENT_FAULTS[fault]
    issuer.document = {
        name: value.format(url=issuer.url) if isinstance(value, str) else value
        for name, value in changes.items()
    }

    with pytest.raises(BackendUnavailable):
        ask(connect(), issuer.token())
    assert expected in caplog.text
    assert issuer.fetches == 0


@pytest.mark.parametrize("body", [b"[]", b"<html>", b'{"issuer": "a", "issuer": "b"}', b"\xff"])
def test_a_discovery_document_that_is_no_object_is_not_used(issuer, connect, body):
    issuer.answers[WELL_KNOWN] = sending(body)

    with pytest.raises(BackendUnavailable):
        ask(connect(), issuer.token())


@pytest.mark.parametrize("behaviour", ["silent", "closing", "garbage", "trickling"])
def test_a_server_that_is_no_issuer_is_away_in_time(tmp_path, behaviour):
    with broken_server(behaviour) as port:
        url = f"http://localhost:{port}"
        section = {"backend": "oidc", "issuer": url, "audience": jwt.AUDIENCE, "timeout": 0.3}
        authenticator = load_authenticator("it", {**section, "discovery": True}, tmp_path)
        start = time.monotonic()
        with pytest.raises(BackendUnavailable):
            ask(authenticator, jwt.make_token(iss=url))
        assert time.monotonic() - start < 5


def test_an_issuer_that_is_down_does_not_stop_the_start(tmp_path):
    section = {"backend": "oidc", "issuer": "http://localhost:1", "audience": jwt.AUDIENCE}
    authenticator = load_authenticator("it", {**section, "discovery": True}, tmp_path)

    with pytest.raises(BackendUnavailable, match="'it' is not available"):
        ask(authenticator, jwt.make_token(iss="http://localhost:1"))


@pytest.fixture
def tls(tmp_path):
    """A CA, and an issuer with a certificate of it."""
    ca = make_ca(tmp_path)
    with running_issuer(*make_server_certificate(tmp_path, ca, "localhost")) as issuer:
        yield ca, issuer


def test_an_issuer_with_a_private_ca_is_verified(tls, connect):
    ca, issuer = tls

    trusted = connect(issuer=issuer.url, ca_file=str(ca.cert_path))
    assert ask(trusted, issuer.token()).username == "web1"
    with pytest.raises(BackendUnavailable):
        ask(connect(issuer=issuer.url), issuer.token())


def test_a_certificate_for_another_name_is_not_accepted(tmp_path, connect):
    ca = make_ca(tmp_path)
    with running_issuer(*make_server_certificate(tmp_path, ca, "other.example.com")) as issuer:
        with pytest.raises(BackendUnavailable):
            ask(connect(issuer=issuer.url, ca_file=str(ca.cert_path)), issuer.token())
        assert issuer.seen == []


def test_an_issuer_with_tls_cannot_name_keys_without_it(tls, issuer, connect, caplog):
    ca, secure = tls
    secure.document = {"jwks_uri": f"{issuer.url}/keys"}

    with pytest.raises(BackendUnavailable):
        ask(connect(issuer=secure.url, ca_file=str(ca.cert_path)), secure.token())
    assert issuer.seen == []
    assert "should be an https URL, as the issuer's" in caplog.text


def test_a_ca_file_that_loses_its_certificates_is_reported(tls, connect, tmp_path, caplog):
    ca, issuer = tls
    copy = tmp_path / "copy.pem"
    copy.write_bytes(ca.cert_path.read_bytes())
    authenticator = connect(issuer=issuer.url, ca_file="copy.pem")
    copy.write_text("")

    with pytest.raises(BackendUnavailable):
        ask(authenticator, issuer.token())
    assert "cannot be fetched" in caplog.text


BEARER = "the-secret-of-the-service-account"


@pytest.fixture
def bearer_file(tmp_path):
    path = tmp_path / "bearer"
    path.write_text(f"{BEARER}\n")
    return path


def test_the_bearer_token_is_read_again_and_sent_to_the_issuer(
    issuer, connect, bearer_file, shared
):
    authenticator = connect(bearer_file=str(bearer_file))
    bearer_file.write_text("a newer one".replace(" ", "-"))

    ask(authenticator, issuer.token())

    assert ["Bearer a-newer-one"] * 2 == [header for _, header in issuer.seen]


def test_the_bearer_token_is_not_sent_to_another_server(issuer, connect, bearer_file):
    with running_issuer() as other:
        issuer.document = {"jwks_uri": f"{other.url}/keys"}
        assert ask(connect(bearer_file=str(bearer_file)), issuer.token()).username == "web1"

        assert [f"Bearer {BEARER}"] == [header for _, header in issuer.seen]
        assert [None] == [header for _, header in other.seen]


def test_the_bearer_token_is_sent_to_the_configured_url_of_the_keys(issuer, connect, bearer_file):
    authenticator = connect(
        discovery=False,
        jwks_url=f"{issuer.url}/keys",
        issuer="https://kubernetes.default.svc",
        bearer_file=str(bearer_file),
    )
    ask(authenticator, issuer.token(iss="https://kubernetes.default.svc"))

    assert [("/keys", f"Bearer {BEARER}")] == issuer.seen


@pytest.mark.parametrize(
    "contents", [b"", b"two words", b"a\r\nX-Evil: b", b"\xff\xfe", b"a" * 20000]
)
def test_a_bearer_file_without_one_token_is_never_sent(
    issuer, connect, bearer_file, contents, caplog
):
    bearer_file.write_bytes(contents)

    with pytest.raises(BackendUnavailable):
        ask(connect(bearer_file=str(bearer_file)), issuer.token())
    assert "does not contain one token" in caplog.text
    assert issuer.seen == []


def test_a_bearer_file_that_is_gone_is_reported(issuer, connect, bearer_file, caplog):
    authenticator = connect(bearer_file=str(bearer_file))
    bearer_file.unlink()

    with pytest.raises(BackendUnavailable):
        ask(authenticator, issuer.token())
    assert "bearer cannot be read: No such file" in caplog.text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"ca_file": "missing.pem"}, "ca_file: .*missing.pem is no file of CA .*: No such file"),
        ({"ca_file": "empty.pem"}, "ca_file: .*empty.pem is no file of CA certificates: not PEM"),
        ({"bearer_file": "missing"}, "bearer_file: .*missing cannot be read"),
        ({"discovery": False}, "exactly one of"),
        ({"jwks_url": "https://issuer.example.com/keys"}, "exactly one of"),
        ({"discovery": False, "jwks_url": 7}, "jwks_url: should be a URL"),
    ],
)
def test_a_wrong_way_to_the_keys_is_an_error_of_the_configuration(
    connect, tmp_path, options, problem
):
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigurationError, match=problem):
        connect(**options)


def test_neither_token_is_in_a_log_an_error_or_a_repr(issuer, connect, bearer_file, caplog):
    caplog.set_level(logging.DEBUG)
    issuer.answers["/keys"] = lambda handler: send(
        handler, handler.headers["Authorization"].encode(), 500
    )
    authenticator = connect(bearer_file=str(bearer_file))
    token = issuer.token()

    with pytest.raises(BackendUnavailable) as away:
        ask(authenticator, token)
    for secret in (BEARER, token, token.rpartition(".")[2]):
        assert secret not in caplog.text
        assert secret not in repr(away.value)


def test_the_passwords_of_netrc_are_not_sent(issuer, connect, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine localhost login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    ask(connect(), issuer.token())

    assert [None, None] == [header for _, header in issuer.seen]


def test_a_proxy_in_the_environment_is_used(issuer, connect, monkeypatch):
    elsewhere = "http://localhost:1/keys"
    issuer.answers[elsewhere] = sending(jwt.key_set(*issuer.keys))
    monkeypatch.setenv("http_proxy", issuer.url)
    authenticator = connect(discovery=False, jwks_url=elsewhere)

    assert ask(authenticator, issuer.token()).username == "web1"
    assert [elsewhere] == [path for path, _ in issuer.seen]


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com",
        "http://192.0.2.1",
        "ftp://localhost",
        "https://",
        "https://a:b@issuer.example.com",
        "https://issuer.example.com?a=b",
        "https://issuer.example.com#a",
        "https://issuer.example.com:0",
        "https://issuer.example.com:x",
        "https://[::1",
        "https://issuer .example.com",
        "issuer.example.com",
    ],
)
def test_keys_are_fetched_from_https_urls_only(connect, url):
    with pytest.raises(ConfigurationError, match=r"should (be|have)"):
        connect(issuer=url)
    with pytest.raises(ConfigurationError, match=r"jwks_url: should (be|have)"):
        connect(jwks_url=url, discovery=False)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1", "http://[::1]:80/a"])
def test_http_is_allowed_on_this_machine(url):
    assert parse_url(url).scheme == "http"


def test_loading_offline_neither_fetches_nor_reads(issuer, tmp_path):
    for source in ({"discovery": True}, {"jwks_file": "missing"}):
        section = {"backend": "oidc", "issuer": issuer.url, "audience": "a", **source}
        authenticator = load_authenticator("it", section, tmp_path, offline=True)
        with pytest.raises(BackendUnavailable):
            ask(authenticator, issuer.token())
    assert issuer.seen == []


# Processes


def test_another_cache_of_the_service_uses_the_keys_of_the_first(issuer, cache, shared):
    first, second = cache(shared), cache(shared)
    assert key_ids(first) == key_ids(second) == ["1"]
    assert issuer.fetches == 1

    for keys in (first, second):
        assert key_ids(keys, "unknown") == ["1"]
    assert issuer.fetches == 1


def test_a_key_that_one_process_fetched_is_known_to_all(issuer, cache, clock, shared):
    first, second = cache(shared), cache(shared)
    key_ids(first)
    key_ids(second)
    rotate(issuer, (NEW, "2"))
    clock.ahead = 61

    assert key_ids(first, "2") == ["2"]
    assert key_ids(second, "2") == ["2"]
    assert issuer.fetches == 2


@pytest.mark.parametrize("damage", [b"", b"[1]\n{}", b"\xff", b"[1, 2]\n{}"])
def test_a_damaged_file_of_the_processes_is_fetched_again(issuer, cache, shared, damage, caplog):
    key_ids(cache(shared))
    [path] = shared.directory.glob("*.jwks")
    path.write_bytes(damage)

    with pytest.raises(BackendUnavailable):
        key_ids(cache(shared))
    assert "cannot be read" in caplog.text
    other = cache(shared)
    other._clock.ahead = 61
    assert key_ids(other) == ["1"]


def test_keys_that_cannot_be_shared_serve_their_process(issuer, cache, shared, caplog):
    keys = cache(shared)
    keys._path.mkdir(parents=True)

    assert key_ids(keys) == ["1"]
    assert "the processes cannot share keys" in caplog.text


def test_the_files_of_the_processes_are_private(issuer, cache, shared):
    key_ids(cache(shared))

    files = list(shared.directory.iterdir())
    assert len(files) == 2
    assert {0o600} == {path.stat().st_mode & 0o777 for path in files}


def test_issuers_and_settings_do_not_share_keys(issuer, cache, shared):
    key_ids(cache(shared))
    issuer.answers["/others"] = sending(jwt.key_set(jwt.public(NEW, kid="2")))

    assert key_ids(cache(shared, url=f"{issuer.url}/others")) == ["2"]
    assert key_ids(cache(shared)) == ["1"]
    assert [path for path, _ in issuer.seen] == ["/keys", "/others"]


def test_without_shared_files_each_process_fetches(issuer, cache):
    assert key_ids(cache()) == key_ids(cache()) == ["1"]
    assert issuer.fetches == 2


_ASK = """
import json, sys
from pathlib import Path
from anchor.auth.loading import load_authenticator
from anchor.auth.circuit_breaker import SharedSlots
from anchor.errors import BackendUnavailable, NotAuthenticated
section, directory, tokens = json.load(sys.stdin)
authenticator = load_authenticator(
    "it", section, Path(), shared_slots=SharedSlots(Path(directory), 1.0)
)
answers = []
for token in tokens:
    try:
        answers.append(authenticator.authenticate("default", "x", token).username)
    except (NotAuthenticated, BackendUnavailable) as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""


def in_processes(count, section, shared, tokens):
    """The answers of processes that ask at the same time and are no forks of each other."""
    question = json.dumps([section, str(shared.directory), tokens]).encode()
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(count)
        ]
        for process in processes:
            process.stdin.write(question)
            process.stdin.close()
        return [json.loads(process.stdout.read()) for process in processes]


@pytest.mark.slow
def test_a_flood_at_several_processes_causes_one_fetch(issuer, connect, shared):
    # Warm, so that no process gives up waiting for another on a busy machine.
    ask(connect(shared), issuer.token())
    other = jwt.make_key(name="attacker")
    flood = [issuer.token(other, header={"kid": f"unknown-{n}"}) for n in range(50)]
    section = {
        "backend": "oidc",
        "issuer": issuer.url,
        "audience": jwt.AUDIENCE,
        "discovery": True,
        "timeout": 2,
    }

    answers = in_processes(4, section, shared, [issuer.token(), *flood, issuer.token()])

    assert [["web1", *["NotAuthenticated"] * 50, "web1"]] * 4 == answers
    assert issuer.fetches == 1


@pytest.mark.slow
def test_many_requests_at_the_start_cause_one_fetch(issuer, connect):
    authenticator = connect()

    def late(handler):
        time.sleep(0.3)
        send(handler, jwt.key_set(*issuer.keys))

    issuer.answers["/keys"] = late
    names = []
    threads = [
        threading.Thread(target=lambda: names.append(ask(authenticator, issuer.token()).username))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert names == ["web1"] * 8
    assert issuer.fetches == 1


@pytest.mark.slow
def test_known_keys_are_not_held_up_by_an_issuer_that_hangs(issuer, cache, clock):
    keys = cache(timeout=2)
    key_ids(keys)
    hang = threading.Event()
    issuer.answers["/keys"] = lambda _: hang.wait(20)
    clock.ahead = 3601
    first = threading.Thread(target=lambda: key_ids(keys, "1"))
    first.start()
    wait_for(lambda: issuer.fetches == 2, what="the fetch")
    try:
        assert key_ids(keys, "1") == ["1"]
        assert first.is_alive()
        first.join(20)
        assert not first.is_alive()
    finally:
        hang.set()


@pytest.mark.slow
def test_without_keys_a_second_request_waits_less_than_the_first(issuer, cache):
    keys = cache(timeout=10)
    hang = threading.Event()
    issuer.answers["/keys"] = lambda _: hang.wait(20)

    def ask_first():
        with contextlib.suppress(BackendUnavailable):
            key_ids(keys)

    first = threading.Thread(target=ask_first)
    first.start()
    wait_for(lambda: issuer.fetches == 1, what="the fetch")
    try:
        start = time.monotonic()
        with pytest.raises(BackendUnavailable):
            key_ids(keys)
        assert time.monotonic() - start > 1.5
        assert first.is_alive()
    finally:
        hang.set()
        first.join(20)


@pytest.mark.slow
def test_a_fork_neither_waits_for_a_lock_nor_loses_the_keys(issuer, connect, shared):
    """As uwsgi does: load first, then fork the workers."""
    import os

    for slots in (None, shared):
        authenticator = connect(slots)
        ask(authenticator, issuer.token())
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                status = int(ask(authenticator, issuer.token()).username != "web1")
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
