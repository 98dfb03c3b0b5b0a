"""A request that was read before is known by its octets, all of them."""

from __future__ import annotations

import pytest

from anchor import requests
from anchor.errors import UnreadableRequest
from tests.pki import make_csr


def changed(pem, position):
    return (
        pem[:position]
        + (b"B" if pem[position : position + 1] == b"A" else b"A")
        + pem[position + 1 :]
    )


def test_the_same_octets_are_the_same_value():
    pem = make_csr("www.example.com")

    assert requests.read(pem, "pem") is requests.read(bytes(bytearray(pem)), "pem")


def test_octets_that_differ_in_their_signature_prove_nothing():
    pem = make_csr("www.example.com")
    assert requests.read(pem, "pem").submitted.proves_possession

    forged = changed(pem, pem.index(b"\n-----END") - 12)

    assert not requests.read(forged, "pem").submitted.proves_possession


def test_an_encoding_is_part_of_what_was_submitted():
    pem = make_csr("www.example.com")
    der = requests.read(pem, "pem").submitted.der

    assert requests.read(der, "der").submitted.der == der
    for octets, encoding in ((pem, "der"), (der, "pem")):
        with pytest.raises(UnreadableRequest):
            requests.read(octets, encoding)


def test_what_is_refused_is_refused_again():
    for _ in range(3):
        with pytest.raises(UnreadableRequest, match="no PEM block"):
            requests.read(b"nothing", "pem")


def test_large_requests_are_not_kept():
    pem = make_csr("www.example.com", *(f"host{number}.example.com" for number in range(300)))
    assert len(pem) > requests.REMEMBERED_OCTETS

    assert requests.read(pem, "pem") is not requests.read(pem, "pem")
