"""The section ``database``, and what messages show of it."""

from __future__ import annotations

import pytest

from anchor.cli import database_copy
from anchor.errors import ConfigurationError
from anchor.store.database.postgresql import connection_string
from anchor.store.database.settings import locate_database

HOST = "db.example.com/anchor"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://anchor:hidden@{HOST}", f"postgresql://anchor:***@{HOST}"),
        (f"postgresql://{HOST}?password=hidden", f"postgresql://{HOST}?password=..."),
        (f"postgresql://{HOST}?sslpassword=hidden", f"postgresql://{HOST}?sslpassword=..."),
        (
            "postgresql://anchor@/anchor?host=a:1&host=b:2&password=hidden",
            "postgresql://anchor@/anchor?host=a%3A1&host=b%3A2&password=...",
        ),
    ],
)
def test_no_message_shows_a_secret_of_the_url(tmp_path, url, shown):
    location = locate_database({"url": url}, tmp_path)

    assert str(location) == shown
    assert "hidden" not in connection_string(location)
    section = database_copy._section(location, None)
    assert "hidden" not in section["url"]
    assert ("password_file" in section) == ("sslpassword" not in url)


def test_a_url_without_secrets_is_shown_as_it_is(tmp_path):
    url = f"postgresql://anchor@{HOST}?sslmode=verify-full"
    location = locate_database({"url": url}, tmp_path)

    assert str(location) == url
    assert database_copy._section(location, None) == {"url": url}


@pytest.mark.parametrize("url", [f"postgresql://a:b@{HOST}", f"postgresql://{HOST}?password=b"])
def test_a_password_in_the_url_and_in_a_file_is_an_error(tmp_path, url):
    file = tmp_path / "password"
    file.write_text("b")
    file.chmod(0o600)

    with pytest.raises(ConfigurationError, match="the URL contains a password too"):
        locate_database({"url": url, "password_file": str(file)}, tmp_path)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("sslmod=verify-full", 'invalid connection option "sslmod"'),
        ("passwrod=hidden", 'invalid connection option "passwrod"'),
        ("sslmode=verify_full", "sslmode should be one of disable, allow, "),
        ("sslmode=require&sslmode=hidden", "sslmode should be one of disable, allow, "),
        ("target_session_attrs=writable", "target_session_attrs should be one of any, "),
        ("host=a:1&host=b:2&port=5", "Can't mix 'multihost' formats"),
    ],
)
def test_wrong_parameters_are_errors_and_no_reason_to_wait_for_the_server(
    tmp_path, parameters, problem
):
    with pytest.raises(ConfigurationError, match=problem) as raised:
        locate_database({"url": f"postgresql://anchor@/anchor?{parameters}"}, tmp_path)

    assert "hidden" not in str(raised.value)


def test_the_parameters_of_a_pair_of_servers_are_valid(tmp_path):
    hosts = "host=db1.example.com:5432&host=db2.example.com:5432"
    url = f"postgresql://anchor@/anchor?{hosts}&sslmode=verify-full&target_session_attrs=primary"

    assert str(locate_database({"url": url}, tmp_path)).endswith("target_session_attrs=primary")
