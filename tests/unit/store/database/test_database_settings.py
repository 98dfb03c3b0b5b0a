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
