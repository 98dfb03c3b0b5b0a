"""What judging a request costs, in CPU: little, whatever is in the request or the policy."""

from __future__ import annotations

import contextlib

import pytest
from cryptography import x509

from anchor import errors
from tests.pace import allowed, least_seconds
from tests.pki import make_csr, subject
from tests.policies import approve, configured

MILLISECOND = 0.001

LARGE = {
    "standards_compliance": {},
    "whitelist_names": {
        "names": [
            *(f"h{n}-%.example.com" for n in range(4000)),
            *(f"n{n}.%.%.example.com" for n in range(2000)),
            *(f"www{n}.example.com" for n in range(2000)),
            *(f"10.{n // 256}.{n % 256}.0/24" for n in range(2000)),
        ],
        "allow_cn_id": True,
        "allow_dns_id": True,
        "allow_ip_id": True,
    },
    "blacklist_names": {"domains": [f".d{n}.evil.example" for n in range(10_000)]},
    "alternative_names_ip": {
        "allowed_domains": [f".d{n}.example.com" for n in range(10_000)] + [".example.com"],
        "allowed_networks": [f"10.{n // 256}.{n % 256}.0/24" for n in range(10_000)],
    },
    "common_name": {"allowed_domains": [".example.com"]},
    "server_group": {"group_prefixes": {f"g{n}": f"h{n}" for n in range(1000)}},
    "extensions": {"allowed_extensions": ["subjectAltName"]},
    "public_key": {"allowed_keys": {"EC": 0}},
}


@pytest.fixture(scope="module")
def large_policy():
    return configured(LARGE, {"enforce_alternative_names_present": {}, "normalize_names": {}})


def cost(a_policy, csr, *groups):
    def judge():
        with contextlib.suppress(errors.RequestError):
            approve(a_policy, csr, *groups)

    return least_seconds(judge)


def test_a_hundred_names_against_ten_thousand_patterns(large_policy):
    groups = [f"g{n}" for n in range(100)]
    names = [f"h{n}-x.example.com" for n in range(98)]
    csr = make_csr("h1-x.example.com", *names, "www1.example.com", "10.1.2.3")

    assert approve(large_policy, csr, *groups)
    assert cost(large_policy, csr, *groups) < allowed(30 * MILLISECOND)


def dns(text):
    return x509.DNSName(text)


@pytest.mark.parametrize(
    "csr",
    [
        make_csr("x", *(dns(f"{n:x}") for n in range(10_000))),
        make_csr("x", *(dns("a") for _ in range(10_000))),
        make_csr("x", *(dns(f"h{n}-x.evil.example") for n in range(990))),
        make_csr("x", *(dns(f"xn--{n}-kva.example.com") for n in range(990))),
        make_csr("x", dns("." * 45_000)),
        make_csr("x", dns("a." * 22_500)),
        make_csr("x", dns("*." * 22_500)),
        make_csr("x", x509.RFC822Name("a" * 45_000 + "@a.example")),
        make_csr("x", x509.UniformResourceIdentifier("http://" + "[" * 45_000)),
        make_csr("x", x509.UniformResourceIdentifier("a:" * 22_500)),
        make_csr("x", *(x509.DirectoryName(subject("a" * 32)) for _ in range(700))),
        make_csr(
            "x",
            extensions=[
                x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.{n}") for n in range(9000)])
            ],
        ),
        make_csr(
            "x",
            extensions=[
                x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.{n}"), b"")
                for n in range(4000)
            ],
        ),
    ],
    ids=range(13),
)
def test_refusing_costs_less_than_a_tenth_of_a_second(large_policy, csr):
    assert cost(large_policy, csr) < allowed(100 * MILLISECOND)
