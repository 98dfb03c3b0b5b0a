"""A request that was read before is known by its octets, all of them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from anchor import requests
from anchor.controllers import request
from anchor.errors import UnreadableRequest
from anchor.validators.standards import DEFAULT_LABEL
from anchor.X509 import dns
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


@pytest.mark.parametrize("text", ["a" * 254, "." * 45_000, "a." * 22_500, "\u00e9" * 100])
def test_what_cannot_be_a_dns_name_is_not_kept(text):
    dns._objections.cache_clear()

    assert dns.objections(text, DEFAULT_LABEL)
    assert 0 == dns._objections.cache_info().currsize


def test_what_a_client_claims_to_be_its_address_is_not_kept_when_it_is_long():
    request._parsed.cache_clear()
    environ = {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": f"fe80::1%{'a' * 10_000}"}
    environ[request.TRUSTED_PROXIES] = (ip_network("192.0.2.0/24"),)

    assert "192.0.2.1" == request.Request(environ).client_addr
    assert 1 == request._parsed.cache_info().currsize
