"""Users in a file get certificates, as long as they are in it."""

from __future__ import annotations

import base64
import threading

import pytest

from anchor.auth.secret_hashes import SecretHash
from anchor.cli import main
from tests.support.pki import make_csr
from tests.support.users import SECRET, user_line, write_users


@pytest.fixture
def path(tmp_path):
    """The users file, with one user."""
    return write_users(tmp_path / "users.jsonl", user_line("alice", groups=["staff"]))


@pytest.fixture
def users(serve, document, path):
    """A service with a users file."""
    document["authentication"]["static"] = {"backend": "static", "users_file": path.name}
    return serve(document)


@pytest.fixture
def command(path, capsys):
    """Runs ``anchor user``; returns what it prints."""

    def command(*words):
        assert main.main(["user", *words, "--file", str(path)]) == 0
        return capsys.readouterr().out.strip()

    return command


def test_a_user_gets_certificates_from_the_addition_to_the_removal(users, command, audit):
    assert users.sign(user="web1", secret=SECRET).status_int == 401

    secret = command("add", "web1", "--group", "web")
    assert users.issue(user="web1", secret=secret)
    assert users.sign(user="web1", secret=SECRET).status_int == 401

    command("remove", "web1")
    assert users.sign(user="web1", secret=secret).status_int == 401
    assert users.issue(secret=SECRET), "others are not affected"
    assert SECRET not in str(audit.events())
    assert secret not in str(audit.events())


def test_http_basic_reaches_the_users_too(users):
    credentials = base64.b64encode(f"alice:{SECRET}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/pkcs10"}

    assert users.http.post("/v1/sign/default", make_csr(), headers=headers, status=200)


def test_a_broken_file_is_a_503_until_it_is_corrected(users, path, caplog):
    write_users(path, user_line("alice"), '{"user": "bob", "secret": "plain-text-secret"}')

    for _ in range(2):
        answer = users.sign(secret=SECRET)
        assert answer.status_int == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "users.jsonl" not in answer.text
        assert "bob" not in answer.text
    assert "line 2: secret: is not a hash" in caplog.text
    assert caplog.text.count("until it is corrected") == 1

    path.unlink()
    assert users.sign(secret=SECRET).status_int == 503

    write_users(path, user_line("alice"))
    assert users.issue(secret=SECRET)
    assert "plain-text-secret" not in caplog.text
    assert SECRET not in caplog.text


def test_a_broken_file_counts_no_failures(users, path):
    contents = path.read_bytes()
    path.write_text("{")
    for _ in range(12):
        assert users.sign(secret=SECRET).status_int == 503

    path.write_bytes(contents)
    assert users.issue(secret=SECRET)


def test_wrong_secrets_are_limited_under_all_spellings_of_a_name(users):
    answers = [
        users.sign(user=user, secret="wrong").status_int
        for user in ("alice", "ALICE", "àlice", " alice") * 3
    ]

    assert answers == [401] * 10 + [429] * 2
    assert users.sign(secret=SECRET).status_int == 429


def test_a_flood_of_secrets_leaves_requests_to_others_free(serve, document, path, monkeypatch):
    started, finish = threading.Event(), threading.Event()

    def slow(_self, _secret):
        started.set()
        return not finish.wait(10)

    monkeypatch.setattr(SecretHash, "matches", slow)
    document["authentication"] |= {
        "users": {"backend": "static", "users_file": path.name, "max_waiting": 1}
    }
    document["registration_authority"]["users"] = {
        "authentication": "users",
        "signing_ca": "local",
        "validators": {},
    }
    service = serve(document)
    first = threading.Thread(target=service.sign, kwargs={"authority": "users"})
    first.start()
    try:
        assert started.wait(10)
        assert service.sign(authority="users").status_int == 503
        assert service.issue()
    finally:
        finish.set()
        first.join()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of 'user' and 'users_file' is needed"),
        ({"secret": "x"}, "one of 'user' and 'users_file' is needed"),
        ({"user": "a", "users_file": "users.jsonl"}, ".user: excludes 'users_file'"),
        ({"secret": "a", "users_file": "users.jsonl"}, ".secret: excludes 'users_file'"),
        ({"groups": ["a"], "users_file": "users.jsonl"}, ".groups: excludes 'users_file'"),
        ({"users_file": "missing.jsonl"}, "missing.jsonl cannot be read: No such file"),
        ({"users_file": "broken.jsonl"}, "broken.jsonl, line 1: is not JSON"),
        ({"users_file": "open.jsonl"}, "open.jsonl has mode 0644"),
    ],
)
def test_a_mistaken_configuration_is_reported_at_the_start(serve, document, path, options, message):
    write_users(path.with_name("broken.jsonl"), "{", "}")
    write_users(path.with_name("open.jsonl"), user_line("a"), mode=0o644)
    document["authentication"]["static"] = {"backend": "static", **options}

    with pytest.raises(Exception, match=message) as raised:
        serve(document)

    assert "authentication.static" in str(raised.value)


def test_the_configuration_is_explained_without_the_users_file(serve, document, tmp_path, capsys):
    document["authentication"]["static"] = {"backend": "static", "users_file": "elsewhere.jsonl"}
    with pytest.raises(Exception, match="cannot be read"):
        serve(document)
    (tmp_path / "request.pem").write_bytes(make_csr())

    words = ["explain", str(tmp_path / "request.pem"), "--config", str(tmp_path / "config.json")]

    assert main.main(words) == 0
