"""Requests as text in any encoding, with any line ends and surrounding text."""

from __future__ import annotations

import base64
import json
import re

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from anchor.cli import main
from anchor.errors import UnreadableRequest
from anchor.X509 import csr_reader, pem
from anchor.X509.csr_reader import detect_encoding, read_csr
from tests.support import der
from tests.support.pki import make_csr, shared_key
from tests.unit.X509.test_hostile_requests import VECTORS, post_bare
from tests.vectors import make

DER = der.request(make.ED)
BASE64 = base64.b64encode(DER).decode()

# The encodings in which programs write text.
ENCODINGS = {
    "utf-8": lambda text: text.encode("utf-8"),
    "utf-8 with mark": lambda text: text.encode("utf-8-sig"),
    "utf-16 with mark": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-16-be with mark": lambda text: ("\ufeff" + text).encode("utf-16-be"),
    "utf-32 with mark": lambda text: text.encode("utf-32"),
}
# Without a BOM, UTF-16 is recognised by the NUL bytes of the first characters.
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40).filter(
    lambda text: "-----BEGIN " not in text
)
BEFORE = AROUND.map(lambda text: f"Request: {text}\n")
NEWLINES = st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n", "\n\t  ", " "])
LABELS = st.sampled_from(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])


def block(label="CERTIFICATE REQUEST", newline="\n", width=64, body=BASE64):
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    return newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


@given(
    before=BEFORE,
    after=AROUND,
    newline=NEWLINES,
    label=LABELS,
    width=st.integers(1, 2000),
    encoding=st.sampled_from(sorted(ENCODINGS)),
)
def test_the_block_is_read_with_any_text_around_it(before, after, newline, label, width, encoding):
    text = before + block(label, newline, width) + after
    octets = ENCODINGS[encoding](text)

    assert "pem" == detect_encoding(octets)
    assert DER == read_csr(octets, "pem").submitted.der


@given(first=LABELS, second=st.sampled_from(["PRIVATE KEY", "CERTIFICATE", "X", "EC PRIVATE KEY"]))
def test_a_second_block_is_rejected_by_name(first, second):
    text = block(first) + "\n" + block(second, body=base64.b64encode(b"s3cret" * 9).decode())

    for encode in ENCODINGS.values():
        with pytest.raises(UnreadableRequest) as refusal:
            read_csr(encode(text), "pem")
        assert f"({first}, {second})" in str(refusal.value)
        assert "czNjcmV0" not in str(refusal.value)


def test_a_private_key_beside_a_request_is_not_echoed(service):
    key = shared_key("ec-p256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    words = re.findall(rb"[A-Za-z0-9+/]{16,}", key)
    assert words

    for text in (key + block().encode(), block().encode() + b"\n" + key, key):
        answer = post_bare(service, text)

        assert 400 == answer.status_int
        assert "PRIVATE KEY" in answer.text
        assert [] == [word for word in words if word in answer.body]


@pytest.mark.parametrize(
    ("octets", "encoding", "words"),
    [
        (DER, "pem", "the request is in DER, not in PEM: send it with the encoding der"),
        (block().encode(), "der", "request is in PEM, not in DER: send it with the encoding pem"),
        (block().encode("utf-16"), "der", "the request is in PEM, not in DER"),
        (("\n" + block()).encode(), "der", "the request is in PEM, not in DER"),
        (b"/tmp/request.csr", "pem", "the request contains no PEM block"),
        (b"MI", "pem", "the request contains no PEM block"),
        (BASE64.encode(), "pem", "the request is base64 without the BEGIN and END lines of PEM"),
        (
            block().encode()[36:-34],
            "pem",
            "base64 without the BEGIN and END lines of PEM: add them",
        ),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "pem", "the PEM block has no END line"),
        (block(label="certificate request").encode(), "pem", "the PEM block is malformed"),
        (block(body="A:B").encode(), "pem", "the PEM block has headers inside"),
        (block(body=BASE64[:-1] + "\u00e9").encode(), "pem", "is not valid base64"),
        (block().encode("utf-16")[:-1], "pem", "the text looks like UTF-16, but is not valid"),
        (block().encode("utf-16-be")[:-1], "pem", "the text looks like UTF-16-BE"),
    ],
)
def test_the_response_says_why_a_text_is_rejected(service, octets, encoding, words):
    fields = {"user": "alice", "secret": "s3cret", "encoding": encoding}
    answer = service.http.post(
        "/v1/sign/default", fields, upload_files=[("csr", "x", octets)], status=400
    )

    assert words in answer.text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("plus_signs", [1, 2, 3, 4, 8])
def test_a_form_that_was_not_percent_encoded_is_refused_with_the_remedy(
    service, plus_signs, newline
):
    # Four fewer characters are valid base64 again, of a request that ends too early.
    body = BASE64.replace("+", "A")
    for at in range(100, 100 + 10 * plus_signs, 10):
        body = f"{body[:at]}+{body[at + 1 :]}"
    text = block(newline=newline, body=body)

    answer = service.http.post(
        "/v1/sign/default",
        f"user=alice&secret=s3cret&encoding=pem&csr={text}\n",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        status=400,
    )

    assert "spaces where '+' belongs: percent-encode the value of the field" in answer.text


@pytest.mark.parametrize(
    "text",
    [
        block(body=BASE64[:-8]),
        block(newline=" ", body=BASE64[:-8]),
        block(newline="\n  ", body=BASE64[:-8]),
        block(newline=" \n", body=BASE64[:-8]),
        block(body=f"{BASE64[:10]} +{BASE64[12:-8]}"),
        block(body=f"{BASE64[:10]} {BASE64[10:-8]}").replace("\n", "\n\n", 2),
    ],
)
def test_other_spaces_in_a_damaged_request_are_no_lost_plus_signs(text):
    with pytest.raises(UnreadableRequest) as refusal:
        read_csr(text.encode(), "pem")
    assert "percent-encode" not in str(refusal.value)


@given(octets=st.binary(max_size=300))
def test_any_bytes_are_rejected_or_have_an_encoding(octets):
    for encoding in csr_reader.ENCODINGS:
        with pytest.raises(UnreadableRequest):
            read_csr(octets, encoding)
    assert detect_encoding(octets) in csr_reader.ENCODINGS
    assert pem.contains_block(octets) in {True, False}


TEXTS = [
    "text-before.pem",
    "text-that-begins-with-a-zero.pem",
    "certutil.pem",
    "cr.pem",
    "blanks.pem",
    "utf-16.pem",
    "utf-16-be.pem",
    "byte-order-mark.pem",
    "cmc.pem",
    "cmc.der",
    "challenge-password.der",
]


@pytest.mark.parametrize("file", TEXTS)
def test_the_commands_accept_the_same_files_as_the_service(service, tmp_path, capsys, file):
    path, config = VECTORS / file, str(service.path / "config.json")
    fingerprint = read_csr(path.read_bytes(), path.suffix[1:]).key_fingerprint
    cases = {"config": config, "cases": [{"name": "a", "csr_file": str(path), "expect": "signed"}]}
    (tmp_path / "cases.json").write_text(json.dumps(cases))

    assert 200 == post_bare(service, path.read_bytes()).status_int
    assert 0 == main.main(["explain", "--config", config, str(path)])
    assert 0 == main.main(["test-policy", str(tmp_path / "cases.json")])
    assert 0 == main.main(["ban", "key", str(path), "--config", config])
    assert f"key {fingerprint} is banned" in capsys.readouterr().out


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_keys_and_certificates_are_banned_by_text_in_any_encoding(
    service, tmp_path, capsys, encoding, mark
):
    key = shared_key("ec-p384")
    public = key.public_key().public_bytes(Encoding.PEM, der.PublicFormat.SubjectPublicKeyInfo)
    certificate = service.sign(make_csr(key=key), status=200).text
    for text in (public.decode(), "Certificate:\n" + certificate):
        (tmp_path / "file").write_bytes((mark + text).encode(encoding))

        assert 0 == main.main(
            ["ban", "key", str(tmp_path / "file"), "--config", str(service.path / "config.json")]
        )
        assert "is banned since" in capsys.readouterr().out


def test_the_ban_command_says_why_a_file_is_rejected(service, tmp_path, capsys):
    (tmp_path / "two.pem").write_text(block() + "\n" + block("PRIVATE KEY"))
    config = str(service.path / "config.json")

    assert 1 == main.main(["ban", "key", str(tmp_path / "two.pem"), "--config", config])
    captured = capsys.readouterr()
    assert (
        "more than one PEM block (CERTIFICATE REQUEST, PRIVATE KEY)" in captured.err + captured.out
    )
    assert BASE64[:30] not in captured.err + captured.out


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("before", ["Запрос\r\n", "要求\n", "é\n", "ĀĀ-\n"])
def test_utf16_without_a_bom_is_read_after_text_in_any_script(encoding, before):
    octets = (before + block()).encode(encoding)

    assert "pem" == detect_encoding(octets)
    assert DER == read_csr(octets, "pem").submitted.der
