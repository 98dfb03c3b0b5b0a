"""The options of ``anchor request`` that replace a ``client.json``."""

from __future__ import annotations

import getpass
import os
import sys

import pytest

from anchor.cli import main
from tests.support.credentials import JWT, TOKEN_SECRET, private, token_file


@pytest.fixture
def rejection(tmp_path, monkeypatch, capsys):
    """Runs ``anchor request`` in an empty directory; returns its exit code and its message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANCHOR_CLIENT_CONF", str(tmp_path / "no-client.json"))

    def run(*arguments):
        try:
            code = main.main(["request", "www.example.com", "--state", "state", *arguments])
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        assert "" == captured.out
        assert "Traceback" not in captured.err
        return code, captured.err

    return run


URL = ("--url", "https://anchor.example.com")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (URL, "--url needs one of --token-file, --jwt-file and --user"),
        ((*URL, "--token-file", "a", "--jwt-file", "b"), "not allowed with argument --token-file"),
        ((*URL, "--jwt-file", "a", "--user", "b"), "not allowed with argument --jwt-file"),
        ((*URL, "--user", "a", "--token-file", "b"), "not allowed with argument --user"),
        ((*URL, "--config", "client.json"), "not allowed with argument --url"),
        ((*URL, "--secret-file", "a"), "--url needs one of"),
        ((*URL, "--token-file", "a", "--secret-file", "b"), "--secret-file needs --user"),
        (("--url", "https://a\n"), "--url: is empty, or not printable"),
        ((*URL, "--user", ""), "--user: is empty, or not printable"),
        ((*URL, "--token-file", ""), "--token-file: is empty, or not printable"),
        ((*URL, "--user", "alice"), "--user needs --secret-file"),
        *(
            ((option, "x"), f"{option} needs --url; without it, client.json has the settings")
            for option in (
                *("--token-file", "--jwt-file", "--user"),
                *("--secret-file", "--ca-file", "--issuer-ca-file"),
            )
        ),
        (("--allow-http",), "--allow-http needs --url"),
    ],
)
def test_options_that_do_not_fit_each_other_exit_with_2(rejection, arguments, reason):
    code, message = rejection(*arguments)

    assert 2 == code
    assert reason in message


def test_a_password_is_not_asked_for_without_a_standard_input(rejection, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)

    code, message = rejection(*URL, "--user", "alice")

    assert 2 == code
    assert "--user needs --secret-file" in message


def test_the_end_of_the_input_is_no_password(rejection, monkeypatch):
    def ends(_prompt):
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", ends)

    code, message = rejection(*URL, "--user", "alice")

    assert 1 == code
    assert "the secret that was typed in is empty" in message


def test_a_missing_client_json_is_reported_with_what_replaces_it(rejection, monkeypatch, tmp_path):
    monkeypatch.delenv("ANCHOR_CLIENT_CONF")
    monkeypatch.setenv("HOME", str(tmp_path))

    code, message = rejection()

    assert 1 == code
    assert "there is no client.json in " in message
    assert "--url replaces it" in message


@pytest.mark.parametrize("option", ["--url", "--token-file", "--ca-file", "--user"])
def test_a_word_that_is_not_utf_8_is_rejected(rejection, option):
    """The state is JSON, which has no such text."""
    code, message = rejection(option, os.fsdecode(b"caf\xe9"))

    assert 2 == code
    assert f"argument {option}: is empty, or not printable UTF-8 text" in message


def test_all_problems_are_reported_with_the_names_of_the_options(rejection, tmp_path):
    (tmp_path / "token").write_text("{}")
    (tmp_path / "token").chmod(0o646)
    (tmp_path / "cas.pem").write_text("no certificate")

    code, message = rejection(
        *("--url", "http://anchor.example.com", "--token-file", "token"),
        *("--issuer-ca-file", "cas.pem"),
    )

    assert 1 == code
    assert "--url: is plain http" in message
    assert "(--allow-http on the command line)" in message
    assert f"--token-file: {tmp_path}/token has mode 0646: neither its group nor" in message
    assert f"--issuer-ca-file: {tmp_path}/cas.pem holds no certificates in PEM" in message


@pytest.mark.parametrize(
    "url",
    [
        *("anchor.example.com", "ftp://anchor.example.com", "https://", "https:///v1/sign/x"),
        *("https://user@anchor.example.com", "https://anchor.example.com/?a=b"),
    ],
)
def test_a_url_of_no_service_is_rejected(rejection, tmp_path, url):
    token_file(tmp_path / "token")

    code, message = rejection("--url", url, "--token-file", "token")

    assert 1 == code
    assert "--url: should be a URL" in message


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "../a", "ü"])
def test_an_authority_with_a_hostile_name_is_rejected(rejection, tmp_path, name):
    token_file(tmp_path / "token")

    code, message = rejection(*URL, "--token-file", "token", f"--authority={name}")

    assert 1 == code
    assert "--authority: " in message


@pytest.mark.parametrize("option", ["--token-file", "--jwt-file"])
@pytest.mark.parametrize("extra", ["!", "\x00", "\n\n{}"])
def test_a_damaged_file_is_reported_without_its_contents(rejection, tmp_path, option, extra):
    contents = {"--token-file": f'{{"secret": "{TOKEN_SECRET}"}}', "--jwt-file": JWT}[option]
    private(tmp_path / "file", contents + extra)

    code, message = rejection(*URL, option, "file")

    assert 1 == code
    assert f"anchor: {option}: {tmp_path}/file " in message
    assert TOKEN_SECRET not in message
    assert JWT not in message


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("x" * 16385, "the secret is longer than 16384 characters"),
        ("x" * 65537, "is larger than 65536 bytes"),
        (b"caf\xe9", "is not UTF-8 text"),
    ],
    ids=["empty", "line break", "too long", "too large", "Latin-1"],
)
def test_a_password_that_cannot_be_sent_is_reported(rejection, tmp_path, contents, reason):
    private(tmp_path / "secret", contents)

    code, message = rejection(*URL, "--user", "alice", "--secret-file", "secret")

    assert 1 == code
    assert "--secret-file: " in message
    assert reason in message


def test_nothing_is_tracked_after_an_error(rejection, tmp_path):
    rejection(*URL, "--token-file", "no-file")

    assert [] == list(tmp_path.rglob("*.json"))
