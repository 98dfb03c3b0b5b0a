"""A form that is read at once says what the library's parser says it does."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anchor.errors import MalformedSubmission
from anchor.web import forms, plain_form
from tests.test_hostile_forms import CRLF, multipart, part

BOUNDARY = "frontier"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
FIELDS = {"user": b"alice", "secret": b"s3cret", "encoding": b"pem", "csr": b"-----BEGIN"}


def as_the_library_reads(body, boundary=BOUNDARY):
    return list(forms._multipart_fields(body, boundary))


def form(**fields):
    return multipart(*(part(name.encode(), value) for name, value in fields.items()))


def test_what_curl_sends_is_read_at_once():
    assert list(FIELDS.items()) == plain_form.read(CONTENT_TYPE, form(**FIELDS))


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        'multipart/form-data; boundary="frontier"',
        "Multipart/Form-Data; boundary=frontier",
        "multipart/form-data; boundary=frontier; charset=utf-8",
        "multipart/form-data; boundary=other",
        f"multipart/form-data; boundary={'-' * 71}",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=frontier",
    ],
)
def test_another_content_type_is_left_to_the_library(content_type):
    assert plain_form.read(content_type, form(**FIELDS)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        multipart(),
        form(**FIELDS)[:-4],
        b"preamble" + CRLF + form(**FIELDS),
        form(**FIELDS) + b"epilogue",
        form(**FIELDS).replace(CRLF, b"\n"),
        form(**FIELDS).replace(b"form-data", b"attachment"),
        form(**FIELDS).replace(b'"user"', b"user"),
        form(**FIELDS).replace(b'"user"', b'"us er"'),
        multipart(part(b"csr", b"x", b"Content-Type: text/plain")),
        multipart(*[part(b"user", b"x")] * (plain_form.MAX_FIELDS + 1)),
        form(user=b"a--frontier"),
        form(user=CRLF + b"--frontier"),
    ],
)
def test_what_is_not_plain_is_left_to_the_library(body):
    assert plain_form.read(CONTENT_TYPE, body) is None


PIECES = st.sampled_from(
    [
        b"--frontier",
        b"--",
        b"-",
        CRLF,
        b"\n",
        b"\r",
        b'Content-Disposition: form-data; name="user"',
        b'Content-Disposition: form-data; name="csr"',
        b'Content-Disposition: form-data; name=""',
        b'; filename="x"',
        b"Content-Type: text/plain",
        b"alice",
        b'"',
        b" ",
        b"\0",
        b"\xff",
    ]
)
PLAIN = st.lists(
    st.tuples(st.sampled_from(["user", "secret", "csr", "x"]), st.binary(max_size=50)), max_size=9
).map(lambda fields: multipart(*(part(name.encode(), value) for name, value in fields)))


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.one_of(st.lists(PIECES, max_size=30).map(b"".join), PLAIN))
@example(form(user=CRLF, secret=CRLF * 2, csr=b""))
@example(form(user=b'"' + CRLF * 2 + b"alice"))
def test_both_say_the_same(body):
    read = plain_form.read(CONTENT_TYPE, body)
    if read is None:
        return
    assert read == as_the_library_reads(body)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    boundary=st.text("-a0", min_size=1, max_size=6),
    value=st.text("-a0\r\n", max_size=40).map(str.encode),
)
def test_both_say_the_same_whatever_the_boundary(boundary, value):
    body = multipart(part(b"user", value), part(b"csr", b"x"), boundary=boundary.encode())
    read = plain_form.read(f"multipart/form-data; boundary={boundary}", body)
    if read is None:
        return
    try:
        assert read == as_the_library_reads(body, boundary)
    except MalformedSubmission:
        pytest.fail(f"the library refuses what was read: {body!r}")
