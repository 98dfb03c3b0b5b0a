"""``anchor check`` reads the database for tokens that never expire, and changes nothing in it."""

from __future__ import annotations

import json

import pytest

from anchor.cli.main import main
from anchor.store.database.tokens import Tokens
from tests.support.database import make_database
from tests.support.tokens import add_token, token_configuration


@pytest.fixture
def advice(tmp_path, document, capsys, monkeypatch):
    """The advice on tokens, as printed."""
    monkeypatch.delenv("PECAN_CONFIG", raising=False)

    token_configuration(document)

    def advice():
        config = tmp_path / "config.json"
        config.write_text(json.dumps(document))
        capsys.readouterr()
        assert main(["check", "--config", str(config), "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)["advice"]
        return [each for each in found if each["identifier"] == "tokens-without-end"]

    return advice


@pytest.fixture
def database(tmp_path):
    made = make_database(tmp_path)
    yield made
    made.close()


def test_usable_tokens_without_an_end_are_counted(advice, database):
    add_token(database)
    add_token(database, expires=None, used=1)
    revoked = add_token(database, expires=None)
    Tokens(database).revoke(revoked["user"])
    assert advice() == []

    add_token(database, expires=None)
    [found] = advice()
    assert (found["level"], found["path"]) == ("warning", "authentication.tokens")
    assert found["message"].startswith("1 usable token in the database never expires")

    add_token(database, expires=None)
    assert advice()[0]["message"].startswith("2 usable tokens in the database never expire,")


def test_without_a_token_authentication_the_database_is_not_read(advice, database, document):
    add_token(database, expires=None)
    document["authentication"] = {"tokens": {"backend": "static", "user": "a", "secret": "b"}}

    assert advice() == []


def test_without_a_database_none_is_made(advice, tmp_path):
    assert advice() == []
    assert not (tmp_path / "anchor.db").exists()


@pytest.mark.parametrize("version", ["0001", "garbage"])
def test_a_database_of_another_version_is_not_migrated(advice, database, version):
    add_token(database, expires=None)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
        connection.exec_driver_sql("DROP TABLE tokens")

    assert advice() == []


def test_a_server_that_is_away_gives_no_advice_on_tokens(advice, document):
    url = "postgresql://anchor@127.0.0.1:1/anchor"
    document["database"] = {"url": url, "connect_timeout_seconds": 2}

    assert advice() == []
