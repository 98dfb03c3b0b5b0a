"""Forms whose parts have a Content-Transfer-Encoding, as Python's email package writes them."""

from __future__ import annotations

import base64
import email.encoders
import email.mime.application
import email.mime.multipart
import email.mime.nonmultipart
import email.parser
import email.policy
import quopri

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anchor.errors import MalformedSubmission
from anchor.web import forms, transfer_encoding
from tests.support.pki import make_csr
from tests.support.properties import examples
from tests.unit.web.test_hostile_forms import fields, multipart, part, post
from tests.unit.X509.test_hostile_requests import VECTORS

CREDENTIALS = {"user": "alice", "secret": "s3cret", "encoding": "pem"}
ENCODERS = {
    "base64": email.encoders.encode_base64,
    "quoted-printable": email.encoders.encode_quopri,
    "7or8bit": email.encoders.encode_7or8bit,
}


def as_ansible_writes_it(texts, files, encoder=email.encoders.encode_base64):
    """The Content-Type and the body that Ansible's prepare_multipart returns."""
    message = email.mime.multipart.MIMEMultipart("form-data")
    for name, value in sorted({**texts, **files}.items()):
        if name in files:
            one = email.mime.application.MIMEApplication(value, _encoder=encoder)
            del one["Content-Type"]
            one.add_header("Content-Type", "application/octet-stream")
        else:
            one = email.mime.nonmultipart.MIMENonMultipart("text", "plain")
            one.set_payload(value.encode())
        one.add_header("Content-Disposition", "form-data")
        del one["MIME-Version"]
        one.set_param("name", name, header="Content-Disposition")
        if name in files:
            one.set_param("filename", "www.example.com.csr", header="Content-Disposition")
        message.attach(one)
    head, _, body = message.as_bytes(policy=email.policy.HTTP).partition(b"\r\n\r\n")
    return email.parser.BytesHeaderParser().parsebytes(head)["content-type"], body


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_form_from_ansible_is_read(service, encoder):
    content_type, body = as_ansible_writes_it(CREDENTIALS, {"csr": make_csr()}, ENCODERS[encoder])
    assert b"Content-Transfer-Encoding" in body

    answer = post(service, body, content_type)

    assert 200 == answer.status_int, answer.text


@pytest.mark.parametrize("file", ["challenge-password.der", "cmc.der", "cmc.pem", "utf-16.pem"])
def test_a_file_in_base64_is_read_byte_for_byte(service, file):
    credentials = CREDENTIALS | {"encoding": file[-3:]}
    contents = (VECTORS / file).read_bytes()

    answer = post(service, *as_ansible_writes_it(credentials, {"csr": contents})[::-1])

    assert 200 == answer.status_int, answer.text


def encoded(encoding, value):
    match encoding.lower():
        case "base64":
            return base64.encodebytes(value)
        case "quoted-printable":
            return quopri.encodestring(value)
    return value


@pytest.mark.parametrize(
    "encoding", ["base64", "BASE64", "quoted-printable", "7bit", "8bit", "Binary", " base64 "]
)
def test_every_field_can_have_any_supported_encoding(service, encoding):
    header = b"Content-Transfer-Encoding: " + encoding.encode()
    values = {"user": b"alice", "secret": b"s3cret", "encoding": b"pem", "csr": make_csr()}
    body = multipart(
        *(
            part(name.encode(), encoded(encoding.strip(), value), header)
            for name, value in values.items()
        )
    )

    assert 200 == post(service, body).status_int


REFUSED = {
    "unknown": (b"x-uuencode", b"x", "the transfer encoding 'x-uuencode' is not one of base64,"),
    "empty": (b"", b"x", "the transfer encoding '' is not one of"),
    "escaped": (b"\xc3\xa9" * 50, b"x", r"the transfer encoding '\xe9\xe9"),
    "no base64": (b"base64", b"????", "a part of the form is not valid base64"),
    "no padding": (b"base64", b"AAA", "a part of the form is not valid base64"),
    "more after the padding": (b"base64", b"AA==AAAA", "a part of the form is not valid base64"),
    "no quoted-printable": (b"quoted-printable", b"a=ZZ", "is not valid quoted-printable"),
    "an equals sign": (b"quoted-printable", b"a=b", "is not valid quoted-printable"),
    "twice": (
        b"7bit\r\nContent-Transfer-Encoding: base64",
        b"AAAA",
        "a part of the form has two transfer encodings",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_unknown_or_broken_encoding_is_rejected(service, what):
    header, value, words = REFUSED[what]
    csr = part(b"csr", value, b"Content-Transfer-Encoding: " + header)

    answer = post(service, multipart(*fields()[:-1], csr))

    assert (400, True) == (answer.status_int, words in answer.text), answer.text
    assert answer.text.isascii()
    assert "s3cret" not in answer.text


@pytest.mark.parametrize(
    ("name", "limit"), [("user", forms.MAX_USER), ("secret", forms.MAX_SECRET), ("encoding", 16)]
)
def test_limits_apply_to_the_decoded_value(service, name, limit):
    header = b"Content-Transfer-Encoding: base64"
    others = {key: value for key, value in CREDENTIALS.items() if key != name}
    for size, is_too_long in ((limit, False), (limit + 1, True)):
        odd = part(name.encode(), base64.b64encode(b"x" * size), header)
        parts = [part(key.encode(), value.encode()) for key, value in others.items()]

        answer = post(service, multipart(*parts, part(b"csr", make_csr()), odd))

        assert answer.status_int in {400, 401}
        assert is_too_long == (f"the field '{name}' is longer than {limit} bytes" in answer.text)


def test_a_body_is_limited_in_any_encoding(service):
    value = base64.b64encode(bytes(60_000))
    csr = part(b"csr", value, b"Content-Transfer-Encoding: base64")

    assert 413 == post(service, multipart(*fields()[:-1], csr)).status_int


def test_der_in_base64_is_read_as_der(service):
    der = x509.load_pem_x509_csr(make_csr()).public_bytes(Encoding.DER)
    header = b"Content-Transfer-Encoding: base64"
    csr = part(b"csr", base64.b64encode(der), header)

    answer = post(service, multipart(*fields(encoding=b"der")[:-1], csr))

    assert 200 == answer.status_int


ANYTHING = settings(
    max_examples=examples(300),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@ANYTHING
@given(contents=st.binary(max_size=300), encoding=st.sampled_from(["base64", "quoted-printable"]))
def test_decoding_reverses_encoding(contents, encoding):
    headers = [("Content-Transfer-Encoding", encoding)]
    if encoding == "quoted-printable":
        # Without newlines, which quoted-printable does not preserve.
        contents = contents.translate(None, b"\r\n")

    assert contents == transfer_encoding.decode(headers, encoded(encoding, contents))


@ANYTHING
@given(contents=st.binary(max_size=100), encoding=st.sampled_from(["base64", "quoted-printable"]))
def test_any_contents_are_decoded_or_rejected(contents, encoding):
    try:
        decoded = transfer_encoding.decode([("Content-Transfer-Encoding", encoding)], contents)
    except MalformedSubmission:
        return
    assert len(decoded) <= len(contents)
