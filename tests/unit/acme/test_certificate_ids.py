"""Certificates are identified by their issuer's key and their serial number (RFC 9773)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.acme.certificate_ids import CertificateId

# RFC 9773 section 4.1.
EXAMPLE = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"


def test_the_example_of_the_rfc_is_read_and_written():
    parsed = CertificateId.parse(EXAMPLE)
    assert parsed.key_identifier.hex() == "69885b6b87464041e1b37b847ba0ae2cde01c8d4"
    assert parsed.serial == 0x87654321
    assert str(parsed) == EXAMPLE


@given(st.binary(min_size=1, max_size=32), st.integers(1, (1 << 159) - 1))
def test_an_identifier_is_read_as_it_was_written(key_identifier, serial):
    written = CertificateId(key_identifier, serial)
    assert CertificateId.parse(str(written)) == written


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_a_certificate_has_one_identifier_only(text):
    try:
        parsed = CertificateId.parse(text)
    except ValueError:
        return
    assert str(parsed) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "with a '.' between them"),
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ", "with a '.' between them"),
        (f"{EXAMPLE}.AIdlQyE", "the serial number is not base64url"),
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE=", "the serial number is not base64url"),
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ=.AIdlQyE", "the key identifier is not base64url"),
        (".AIdlQyE", "the key identifier is not base64url"),
        # The leading zero is missing, so that the number is negative.
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.h2VDIQ", "should be a positive number"),
        # A zero too much.
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AAEC", "should be a positive number"),
        ("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AA", "should be a positive number"),
        (f"aYhba4dGQEHhs3uEe6CuLN4ByNQ.{'AQ' * 14}", "should be a positive number"),
        (f"{'A' * 300}.AIdlQyE", "with a '.' between them"),
    ],
)
def test_what_is_no_identifier_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        CertificateId.parse(text)
