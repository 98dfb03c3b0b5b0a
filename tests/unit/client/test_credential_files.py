"""The files with a token or a JWT: what is read, and what is rejected without showing it."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.client.credential_files import MAX_FILE, read_jwt, read_token
from tests.support.credentials import JWT, TOKEN, TOKEN_ID, TOKEN_SECRET, private
from tests.support.properties import examples

READERS = {"token": read_token, "jwt": read_jwt}
GOOD = {"token": json.dumps(TOKEN), "jwt": JWT}

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=256)


@pytest.fixture(params=READERS)
def kind(request):
    return request.param


@pytest.fixture
def rejection(tmp_path):
    """Reads a file with these contents, and returns the message of the error."""

    def read(kind, contents):
        path = private(tmp_path / "file", contents)
        with pytest.raises(ValueError, match="file") as caught:
            READERS[kind](path)
        return str(caught.value)

    return read


def test_a_secret_is_in_no_representation(kind, tmp_path):
    credentials = READERS[kind](private(tmp_path / "file", GOOD[kind]))

    assert credentials.secret
    assert credentials.secret not in repr(credentials)
    assert credentials.secret not in credentials.remedy


@settings(max_examples=examples(100), deadline=None)
@given(user=visible, secret=visible, more=st.dictionaries(st.text(), st.integers()))
def test_every_id_and_secret_is_read_whatever_else_there_is(tmp_path_factory, user, secret, more):
    document = more | {"id": user, "secret": secret}
    path = private(tmp_path_factory.mktemp("token") / "file", json.dumps(document))

    credentials = read_token(path)

    assert (user, secret) == (credentials.user, credentials.secret)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_the_encodings_of_windows_is_read(tmp_path, encoding):
    credentials = read_token(private(tmp_path / "file", json.dumps(TOKEN).encode(encoding)))

    assert (TOKEN_ID, TOKEN_SECRET) == (credentials.user, credentials.secret)


@settings(max_examples=examples(200), deadline=None)
@given(contents=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_other_contents_are_rejected_with_one_line_of_text(tmp_path_factory, contents):
    path = private(tmp_path_factory.mktemp("any") / "file", contents)

    for read in READERS.values():
        with pytest.raises(ValueError, match="file") as caught:
            read(path)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "contents",
    [
        f"{TOKEN_ID} {TOKEN_SECRET}",
        f'"{TOKEN_SECRET}"',
        f'["{TOKEN_ID}", "{TOKEN_SECRET}"]',
        GOOD["token"][:-1],
        GOOD["token"] * 2,
        f'{{"id": "{TOKEN_ID}", "secret": "{TOKEN_SECRET}", "secret": "{TOKEN_SECRET}"}}',
        "[" * 50000,
    ],
)
def test_a_file_without_a_json_object_is_rejected(rejection, contents):
    message = rejection("token", contents)

    assert "is not a JSON object such as `anchor token create --json` prints" in message
    assert TOKEN_SECRET not in message


@pytest.mark.parametrize("name", ["id", "secret"])
@pytest.mark.parametrize(
    "value",
    [None, "", 7, True, ["x"], {"x": "y"}, "a b", "a\n", "a\x00", "ü", "\ud800", "x" * 16385],
)
def test_a_member_that_is_missing_or_wrong_is_named(rejection, name, value):
    message = rejection("token", json.dumps(TOKEN | {name: value}))

    assert f"{name!r} should be a string of 1 to " in message
    assert TOKEN_SECRET not in message


@pytest.mark.parametrize("name", ["id", "secret"])
def test_a_member_that_is_left_out_is_named(rejection, name):
    document = {key: value for key, value in TOKEN.items() if key != name}

    assert f"{name!r} should be a string" in rejection("token", json.dumps(document))


@pytest.mark.parametrize(
    "contents",
    [
        "s3cret",
        GOOD["token"],
        json.dumps({"value": JWT}),
        JWT.rpartition(".")[0],
        f"{JWT}.{JWT}",
        f"{JWT}\n{JWT}",
        f"Bearer {JWT}",
        JWT.replace("I", "\u0131", 1),
        JWT.encode("utf-16"),
    ],
)
def test_a_file_without_exactly_one_jwt_is_rejected(rejection, contents):
    message = rejection("jwt", contents)

    assert "is not a JWT, which has three parts in base64url with dots between them" in message
    assert "s3cret" not in message
    assert JWT not in message


def test_a_jwt_that_the_service_would_reject_for_its_length_is_rejected(rejection):
    assert "more than 16384" in rejection("jwt", JWT + "A" * 16384)


@pytest.mark.parametrize("contents", ["", "\n", " \r\n\t"])
def test_an_empty_file_is_rejected(rejection, kind, contents):
    assert rejection(kind, contents).endswith("is empty")


def test_a_file_that_is_too_large_is_rejected(rejection, kind):
    assert f"is larger than {MAX_FILE} bytes" in rejection(kind, " " * MAX_FILE + GOOD[kind])


def test_a_file_that_does_not_end_is_not_read_to_its_end(kind, tmp_path):
    path = tmp_path / "file"
    path.touch(mode=0o600)
    os.truncate(path, 1 << 40)

    with pytest.raises(ValueError, match="is larger than"):
        READERS[kind](path)


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o664, 0o666])
def test_a_file_that_others_can_write_is_rejected(kind, tmp_path, mode):
    path = private(tmp_path / "file", GOOD[kind])
    path.chmod(mode)

    with pytest.raises(ValueError, match=f"has mode {mode:04o}: neither its group nor others"):
        READERS[kind](path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o444])
def test_a_token_that_others_can_read_causes_a_warning_and_a_jwt_none(kind, tmp_path, mode):
    """Kubernetes gives the JWT of a pod that runs as root the mode 644."""
    path = private(tmp_path / "file", GOOD[kind])
    path.chmod(mode)

    warning = READERS[kind](path).warning

    assert ("other users can read the token" in warning) == (READERS[kind] is read_token)


def test_a_file_of_the_service_group_is_read(kind, tmp_path):
    """Kubernetes gives a projected token mode 640 if the pod has an fsGroup."""
    path = private(tmp_path / "file", GOOD[kind])
    path.chmod(0o640)

    assert READERS[kind](path).secret


@pytest.mark.parametrize(("name", "reason"), [("no-file", "No such file"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named(kind, tmp_path, name, reason):
    with pytest.raises(ValueError, match=f"cannot be read: {reason}"):
        READERS[kind](tmp_path / name)
