"""HTTP bodies that only hostile or broken clients send."""

from __future__ import annotations

import time

import pytest
import webtest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.pki import make_csr
from tests.support.properties import examples
from tests.unit.X509.test_hostile_requests import BASIC

CRLF = b"\r\n"


def part(name, value, *headers):
    disposition = b'Content-Disposition: form-data; name="%s"' % name
    return CRLF.join([disposition, *headers, b"", value])


def multipart(*parts, boundary=b"frontier", end=b"--"):
    body = b"".join(b"--" + boundary + CRLF + part + CRLF for part in parts)
    return body + b"--" + boundary + end + CRLF


def fields(**changed):
    wanted = {"user": b"alice", "secret": b"s3cret", "encoding": b"pem", "csr": make_csr()}
    return [part(name.encode(), value) for name, value in (wanted | changed).items()]


def post(service, body, content_type="multipart/form-data; boundary=frontier", path="", **headers):
    return service.http.post(
        f"/v1/sign/default{path}",
        body,
        headers={"Content-Type": content_type, **headers},
        status="*",
    )


def ask(service, body, **environ):
    """Send a request with exactly this WSGI environment, which webtest would correct."""
    request = webtest.TestRequest.blank("/v1/sign/default", method="POST", body=body)
    request.environ.update(environ)
    return request.get_response(service.http.app)


def test_the_unmodified_form_is_accepted(service):
    assert post(service, multipart(*fields())).status_int == 200


IGNORED = {
    "a field of another name": multipart(*fields(), part(b"ca", b"TRUE")),
    "a charset of NUL": multipart(
        *fields(), part(b"x", b"y", b"Content-Type: text/plain; charset=a\0b")
    ),
    "an unknown charset": multipart(
        *fields(), part(b"x", b"y", b'Content-Type: text/plain; charset="nonsense"')
    ),
    "another charset": multipart(
        *fields(user=b""), part(b"x", b"y", b"Content-Type: text/plain; charset=utf-16")
    ).replace(
        b'name="user"\r\n\r\n', b'name="user"\r\nContent-Type: a/b; charset=utf-16\r\n\r\nalice'
    ),
    # RFC 2046 5.1.1: an epilogue is ignored.
    "something after the end": multipart(*fields()) + multipart(part(b"user", b"mallory")),
}


@pytest.mark.parametrize("what", IGNORED)
def test_irrelevant_parts_of_a_form_are_ignored(service, audit, what):
    assert post(service, IGNORED[what]).status_int == 200
    assert [{"alice"}] == [{event["user"] for event in audit.events()}]


REFUSED = {
    "a part twice": (multipart(*fields(), part(b"user", b"bob")), "'user' is given twice"),
    "a csr twice": (multipart(*fields(), part(b"csr", make_csr())), "'csr' is given twice"),
    "an empty csr": (multipart(*fields(csr=b"")), "the field 'csr' is empty"),
    "a blank csr": (multipart(*fields(csr=b" \r\n\t ")), "the field 'csr' is empty"),
    "another encoding": (multipart(*fields(encoding=b"PEM\0")), "not one of pem, der"),
    "a long encoding": (multipart(*fields(encoding=b"p" * 17)), "longer than 16"),
    "a long user": (multipart(*fields(user=b"a" * 257)), "longer than 256"),
    "a long secret": (multipart(*fields(secret=b"a" * 16385)), "longer than 16384"),
    "a user in latin-1": (multipart(*fields(user=b"Andr\xe9")), "is not UTF-8"),
    "17 parts": (multipart(*[part(b"x", b"")] * 17), "malformed"),
    "a part without a name": (
        multipart(b"Content-Disposition: form-data\r\n\r\nx", *fields()),
        "malformed",
    ),
    "a part without headers": (multipart(b"\r\nx", *fields()), "malformed"),
    "a nested multipart": (
        multipart(
            part(b"csr", multipart(*fields()), b"Content-Type: multipart/mixed; boundary=frontier")
        ),
        "'csr' is given twice",
    ),
    "a header of 5000 octets": (
        multipart(part(b"user", b"alice", b"X-Long: " + b"a" * 5000)),
        "malformed",
    ),
    "nine headers": (multipart(part(b"user", b"alice", *[b"X-Many: 1"] * 9)), "malformed"),
    "a part's length that lies": (
        multipart(part(b"user", b"alice", b"Content-Length: 999999")),
        "malformed",
    ),
    "no end": (multipart(*fields(), end=b""), "malformed"),
    "nothing but the end": (b"--frontier--\r\n", "credentials"),
    "line feeds only": (multipart(*fields()).replace(CRLF, b"\n"), "malformed"),
    "no boundary in it": (b"x" * 1000, "malformed"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_malformed_multipart_form_is_rejected_in_one_sentence(service, what):
    body, words = REFUSED[what]

    answer = post(service, body)

    assert answer.status_int in {400, 401}, answer.text
    assert words in answer.text
    assert len(answer.text.splitlines()) == 1
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary=" + "b" * 900,
        "multipart/form-data; boundary=" + "b" * 5000,
        'multipart/form-data; boundary="a\nb"',
        "multipart/form-data; boundary=\u00e9",
        "multipart/form-data" + '; a="' * 20000,
    ],
)
def test_a_malformed_boundary_is_rejected_quickly(service, content_type):
    start = time.process_time()
    answer = post(service, multipart(*fields()), content_type)

    assert answer.status_int == 400
    # The aim is 10 ms; this limit only detects a quadratic parser.
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json", "multipart/mixed; boundary=frontier"]
)
def test_other_media_types_are_rejected_by_name(service, content_type):
    answer = post(service, multipart(*fields()), content_type)

    assert (415, True) == (answer.status_int, "application/cmc" in answer.text)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("100000000", "larger than"),
        ("999", "is shorter than its Content-Length"),
        ("-1", "not a number"),
        ("\u0661", "not a number"),
        ("1e3", "not a number"),
        ("9" * 100, "not a number"),
    ],
)
def test_a_wrong_content_length_is_rejected(service, length, words):
    answer = ask(
        service,
        b"user=alice",
        CONTENT_LENGTH=length,
        CONTENT_TYPE="application/x-www-form-urlencoded",
    )

    assert answer.status_int in {400, 413}
    assert words in answer.text


def test_a_content_length_that_is_too_short_truncates_the_body(service):
    body = multipart(*fields())
    answer = ask(
        service,
        body,
        CONTENT_LENGTH=str(len(body) - 100),
        CONTENT_TYPE="multipart/form-data; boundary=frontier",
    )

    assert (400, True) == (answer.status_int, "malformed" in answer.text)


def test_credentials_in_a_query_string_are_ignored(service, caplog):
    body = b"encoding=pem&csr=x"
    answer = post(
        service, body, "application/x-www-form-urlencoded", "?user=alice&secret=s3cret&csr=y"
    )

    assert answer.status_int == 401
    assert "s3cret" not in answer.text + caplog.text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 401, "credentials"),
        (b"&" * 15, 401, "credentials"),
        (b"&" * 1000, 400, "too many fields"),
        (b"user=a&user=b&secret=c", 400, "'user' is given twice"),
        (b"user=a&secret=&encoding=pem&csr=x", 401, "credentials"),
        (b"user=a&secret=%00&encoding=pem&csr=x", 401, "credentials"),
        (b"user=%ff&secret=a&encoding=pem&csr=x", 400, "is not UTF-8"),
        (b"us%65r=a&secret=s3cret&csr=x", 400, "'encoding' is missing"),
        (b"user=a;secret=b", 401, "credentials"),
        (b"%", 401, "credentials"),
    ],
)
def test_a_malformed_urlencoded_form_is_rejected(service, body, status, words):
    answer = post(service, body, "application/x-www-form-urlencoded")

    assert (status, True) == (answer.status_int, words in answer.text)


def test_a_urlencoded_form_can_contain_any_text(serve, document):
    document["authentication"]["static"] |= {"user": "Andr\u00e9", "secret": "p\u00e4ss w\u00f6rd"}

    answer = serve(document).sign(user="Andr\u00e9", secret="p\u00e4ss w\u00f6rd")

    assert answer.status_int == 200


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic ", "Basic !!!", "Basic YQ==", "Bearer x", "Basic \u00e9", "Basic " + "A" * 9],
)
def test_a_malformed_authorization_header_is_rejected(service, authorization):
    answer = post(
        service, b"x", "application/pkcs10", Authorization=authorization.encode().decode("latin-1")
    )

    assert answer.status_int in {400, 401}


def test_credentials_in_both_form_and_header_are_rejected(service):
    answer = post(service, multipart(*fields()), Authorization=BASIC)

    assert (400, True) == (answer.status_int, "both in the form and in the header" in answer.text)


BURST = settings(
    max_examples=examples(300),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FRAGMENTS = st.sampled_from(
    [
        *(b"--frontier", b"--frontier--", CRLF, b"\n", b"\r", b"\0", b"--", b";", b'"', b"\xff"),
        *(b"Content-Disposition: form-data; name=", b'"user"', b'"csr"', b"; filename=", b"a\\"),
        *(b"Content-Type: text/plain; charset=", b"utf-8", b"\xc3", b"Content-Length: 5", b"="),
        *fields(),
    ]
)


@BURST
@given(body=st.lists(FRAGMENTS | st.binary(max_size=20), max_size=30).map(b"".join))
def test_no_multipart_body_causes_a_server_error(service, body):
    assert post(service, b"--frontier\r\n" + body).status_int < 500


@BURST
@given(
    body=st.lists(
        st.sampled_from(
            [b"user=alice", b"secret=s3cret", b"encoding=der", b"csr=", b"&", b"%", b"%00", b"="]
        )
        | st.binary(max_size=10),
        max_size=20,
    ).map(b"".join)
)
def test_no_urlencoded_body_causes_a_server_error(service, body):
    assert post(service, body, "application/x-www-form-urlencoded").status_int < 500


@BURST
@given(content_type=st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_content_type_causes_a_server_error(service, content_type):
    answer = ask(service, b"x", CONTENT_TYPE=content_type, HTTP_AUTHORIZATION=content_type)

    assert answer.status_int < 500
