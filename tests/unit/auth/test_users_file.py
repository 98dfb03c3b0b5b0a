"""A users file: its format, and what happens when it changes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth import users_file
from anchor.auth.secret_hashes import SecretHash
from anchor.auth.user_lines import MAX_BYTES, format_line, parse_users
from anchor.auth.users_file import UsersFile
from anchor.errors import BackendUnavailable, ConfigurationError, NotAuthenticated
from tests.support.properties import examples
from tests.support.users import SECRET, cheap_hash, user_line, write_users

HASH = cheap_hash()


@pytest.fixture
def path(tmp_path):
    """A file with two users."""
    return write_users(
        tmp_path / "users.jsonl",
        "# web servers",
        user_line("web1", groups=["web"], names=["web1.example.com"]),
        "",
        user_line("web2"),
    )


def refused(users, user, secret=SECRET):
    """Whether the credentials are wrong."""
    try:
        users.authenticate(user, secret)
    except NotAuthenticated:
        return True
    return False


def problems(contents):
    """The problems of a file."""
    with pytest.raises(ConfigurationError) as raised:
        parse_users(contents if isinstance(contents, bytes) else contents.encode())
    assert HASH[30:50] not in str(raised.value)
    return [str(problem) for problem in raised.value.problems]


# The format.


def test_a_user_has_the_groups_and_names_of_the_line(path):
    identity = UsersFile(path).authenticate("web1", SECRET)

    assert identity.username == "web1"
    assert identity.groups == ("web",)
    assert identity.allowed_names == ("web1.example.com",)


def test_a_user_without_names_has_no_limit(path):
    assert UsersFile(path).authenticate("web2", SECRET).allowed_names is None


def test_windows_line_breaks_comments_and_a_missing_last_line_break_are_accepted():
    lines = ["# users", "   # more", "", "  ", user_line("web1"), f" {user_line('web2')} "]

    assert list(parse_users("\r\n".join(lines).encode())) == ["web1", "web2"]


def test_a_file_of_comments_has_no_users():
    assert parse_users(b"# nobody yet\n") == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON: Expecting property name"),
        ('{"user": "web1"', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("web1:secret", "is not JSON"),
        ('{"user": "a", "user": "b", "secret": "$"}', "has a key twice"),
        ('{"secret": "$"}'.replace("$", HASH), "missing option 'user'"),
        ('{"user": "web1"}', "missing option 'secret'"),
        (user_line("web1", name="x"), "unknown option 'name'"),
        (user_line("web1", groups="web"), "groups: should be a valid"),
        (user_line("web1", groups=[1]), "groups.0: should be a valid string"),
        (user_line("web1", groups=[""]), "groups.0: should have 1 to 256 characters"),
        (user_line("web1", groups=["a\nb"]), "control characters"),
        (user_line("web1", groups=["g"] * 257), "groups: "),
        (user_line("web1", names=[]), "names: should have 1 to 1000 names"),
        (user_line("web1", names=None), "names: should be a valid"),
        (user_line("web1", names=["a", " b"]), "names: ' b' is empty, or has a space"),
        (user_line("web1", names=["%.example.com"]), "no pattern"),
        (user_line("web1", names=["10.0.0.0/8"]), "is a range"),
        (user_line("web1", names=["a.example.com"] * 1001), "1 to 1000"),
        (user_line(""), "user: should have 1 to 256 characters"),
        (user_line("x" * 257), "user: should have 1 to 256 characters"),
        (user_line(" web1"), "no spaces at its beginning"),
        (user_line("web1\u0000"), "control characters"),
        (user_line("web\u202e1"), "control characters"),
        (user_line("a:b"), "has a colon"),
        (user_line("e\u0301"), "normalization form C"),
        (user_line("tk_aaaabbbbccccdddd"), "form of a token's identifier"),
        (user_line("web1").replace("web1", "\\ud800"), "Invalid JSON"),
        ('{"user": "web1", "secret": null}', "secret: should be a hash"),
        ('{"user": "web1", "secret": []}', "secret: should be a hash"),
        ('{"user": "web1", "secret": [1]}', "secret: should be a hash"),
        (json.dumps({"user": "web1", "secret": [HASH] * 3}), "at most 2 hashes"),
        (json.dumps({"user": "web1", "secret": SECRET}), "is not a hash in PHC string format"),
    ],
)
def test_a_wrong_line_is_named_with_its_reason_and_without_the_hash(line, message):
    [problem] = problems(f"# users\n{user_line('other')}\n{line}\n")

    assert problem.startswith("line 3: ")
    assert message in problem
    assert SECRET not in problem


def test_bytes_that_are_not_utf_8_are_named_by_their_line():
    assert problems(b"# users\n\xff\n") == ["line 2: is not UTF-8 text"]


def test_a_byte_order_mark_is_refused():
    [problem] = problems(b"\xef\xbb\xbf" + user_line("web1").encode())

    assert "line 1: starts with a byte order mark" in problem


@pytest.mark.parametrize("contents", [b"", b"\n \r\n"])
def test_an_empty_file_is_broken_because_an_editor_may_be_writing_it(contents):
    assert "is empty" in problems(contents)[0]


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed():
    assert problems(b"#" * (MAX_BYTES + 1)) == ["is larger than 4 MiB"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("web1", "line 2: user: 'web1' is on line 1 already"),
        ("WEB1", "line 2: user: 'WEB1' differs from 'web1' on line 1 only in case"),
        ("wéb1", "only in case, accents or spaces"),
    ],
)
def test_a_user_has_one_line_under_any_spelling(other, message):
    [problem] = problems(f"{user_line('web1')}\n{user_line(other)}\n")

    assert message in problem


def test_all_wrong_lines_are_reported_up_to_a_limit():
    assert len(problems("x\ny\n")) == 2
    assert len(problems("x\n" * 1000)) == 50


NAMES = st.text("abcxyz0189-_.@", min_size=1, max_size=8)
LABELS = st.from_regex(r"[a-z][a-z0-9]{0,5}\.example", fullmatch=True)


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.lists(NAMES), st.lists(LABELS, max_size=3)), max_size=6))
def test_what_is_formatted_is_parsed_as_it_was(users):
    lines = [
        format_line(
            {"user": user, "secret": HASH, "groups": groups} | ({"names": names} if names else {})
        )
        for user, (groups, names) in users.items()
    ]
    parsed = parse_users(b"# users\n" + b"".join(lines))

    assert {
        name: (list(user.identity.groups), list(user.identity.allowed_names or ()))
        for name, user in parsed.items()
    } == users


@settings(deadline=None, max_examples=examples(300))
@given(st.data())
def test_a_mutated_file_is_parsed_or_refused_with_a_reason(data):
    contents = bytearray("\n".join([user_line("web1", groups=["web"]), user_line("b")]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(contents) - 1))
        contents[position : position + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3)
        )
        if not contents:
            return
    with contextlib.suppress(ConfigurationError):
        assert len(parse_users(bytes(contents))) <= 3


# The secrets.


def test_a_wrong_secret_is_refused(path):
    users = UsersFile(path)

    assert refused(users, "web1", SECRET + "x")
    assert refused(users, "web1", SECRET.upper())


@pytest.mark.parametrize("name", ["WEB1", "web1 ", "wéb1", "nobody", "", "\ud800"])
def test_names_are_compared_exactly(path, name):
    assert refused(UsersFile(path), name)


def test_an_unknown_user_costs_as_many_hashes_as_a_wrong_secret(path, monkeypatch):
    calls = []
    matches = SecretHash.matches
    monkeypatch.setattr(
        SecretHash, "matches", lambda self, secret: calls.append(self) or matches(self, secret)
    )
    users = UsersFile(path)

    assert refused(users, "web1", "wrong")
    assert len(calls) == 1
    assert refused(users, "nobody", "wrong")
    assert len(calls) == 2
    assert refused(users, "nobody", SECRET), "not even with the secret of the user it compares"
    assert len(calls) == 3


def test_of_a_file_without_users_everyone_is_refused(tmp_path):
    assert refused(UsersFile(write_users(tmp_path / "users.jsonl", "# nobody")), "web1")


def test_both_secrets_of_a_user_are_in_force(tmp_path):
    line = json.dumps({"user": "web1", "secret": [cheap_hash("new-secret"), cheap_hash("old")]})
    users = UsersFile(write_users(tmp_path / "users.jsonl", line))

    assert users.authenticate("web1", "new-secret") == users.authenticate("web1", "old")
    assert refused(users, "web1", "older")


def test_no_more_hashes_are_computed_at_once_than_there_are_processors(path, monkeypatch):
    at_once, most = [], []

    def matches(_self, _secret):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()
        return False

    monkeypatch.setattr(SecretHash, "matches", matches)
    monkeypatch.setattr(users_file.os, "cpu_count", lambda: 2)
    users = UsersFile(path)
    in_threads(8, lambda _number: refused(users, "web1"))

    assert len(most) == 8
    assert max(most) <= 2


# Changes.


def test_a_change_is_in_force_at_once(path):
    users = UsersFile(path)
    assert users.authenticate("web2", SECRET)

    write_users(path, user_line("web1", groups=["db"]), user_line("web3"))

    assert users.authenticate("web1", SECRET).groups == ("db",)
    assert users.authenticate("web3", SECRET)
    assert refused(users, "web2")


def test_a_change_in_place_of_the_same_size_and_time_is_seen(path):
    line = user_line("web1")
    users = UsersFile(write_users(path, line))
    assert users.authenticate("web1", SECRET)
    before = path.stat()

    path.write_text(line.replace("web1", "web9") + "\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert refused(users, "web1")
    assert users.authenticate("web9", SECRET)


def test_a_file_that_did_not_change_for_a_while_is_not_read_again(path, monkeypatch):
    later = time.time_ns() + 3_000_000_000
    users = UsersFile(path, clock=lambda: later)
    monkeypatch.setattr(users_file, "read_users_file", None)

    assert users.authenticate("web1", SECRET)


def test_a_file_that_just_changed_is_read_again_but_not_parsed(path, monkeypatch):
    users = UsersFile(path)
    monkeypatch.setattr(users_file, "parse_users", None)

    assert users.authenticate("web1", SECRET)


BREAK = {
    "a typo": lambda path: write_users(path, user_line("web1"), "{web2"),
    "a file that is missing": lambda path: path.unlink(),
    "a file that others can read": lambda path: path.chmod(0o604),
    "a file that its group can write": lambda path: path.chmod(0o620),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o600)),
    "an empty file": lambda path: path.write_text(""),
    "a file that is too large": lambda path: path.write_bytes(b"#" * (MAX_BYTES + 1)),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_file_authenticates_nobody_until_it_is_corrected(path, how, caplog):
    caplog.set_level(logging.INFO, "anchor.auth")
    users = UsersFile(path)

    BREAK[how](path)
    for _ in range(3):
        with pytest.raises(BackendUnavailable, match=str(path)):
            users.authenticate("web1", SECRET)

    [error] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert str(path) in error.getMessage()

    if path.is_dir():
        path.rmdir()
    write_users(path, user_line("web1"))
    assert users.authenticate("web1", SECRET)
    assert "has changed, and has 1 users now" in caplog.text
    assert SECRET not in caplog.text


def test_a_broken_file_is_parsed_once(path, monkeypatch):
    users = UsersFile(path)
    write_users(path, "{")
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match="line 1"):
            users.authenticate("web1", SECRET)
    monkeypatch.setattr(users_file, "parse_users", None)

    with pytest.raises(BackendUnavailable, match="line 1"):
        users.authenticate("web1", SECRET)


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_file_is_an_error_at_the_start(path, how):
    BREAK[how](path)

    with pytest.raises(ConfigurationError, match=str(path)):
        UsersFile(path)


def open_files():
    return list(Path("/proc/self/fd").iterdir())


def test_no_file_descriptor_is_left_open(path):
    users = UsersFile(path)
    path.unlink()
    path.mkdir()
    before = open_files()
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            users.authenticate("web1", SECRET)

    assert len(open_files()) == len(before)


def in_threads(count, work):
    """Run a function in threads, and raise what it raises."""
    errors = []

    def run(number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_sixteen_threads_see_whole_files_only_while_it_is_replaced(path):
    versions = [
        [user_line("web1", groups=[letter]), user_line("web2", groups=[letter])] for letter in "ab"
    ]
    write_users(path, *versions[0])
    users = UsersFile(path)
    done = threading.Event()

    def replace():
        for number in range(150):
            write_users(path, *versions[number % 2])
        done.set()

    def authenticate(number):
        name = f"web{number % 2 + 1}"
        while not done.is_set():
            assert users.authenticate(name, SECRET).groups[0] in ("a", "b")
            assert refused(users, "web3")

    in_threads(17, lambda number: replace() if number == 16 else authenticate(number))

    assert users.authenticate("web1", SECRET).groups == ("b",)
