"""Name constraints: Anchor and OpenSSL accept the same names."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anchor.X509.name_constraints import names_in, violations
from tests.support.pki import DAY, ca_certificate, now, shared_key
from tests.support.properties import examples
from tests.support.servers.processes import program
from tests.unit.X509.test_name_constraints import (
    CASES,
    DNS,
    EXAMPLE,
    MAIL,
    URI,
    address,
    csr,
    directory,
    network,
)


def openssl_accepts(directory_, request, ca):
    """True if OpenSSL accepts a certificate for the request, made without the checks of Anchor."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(ca.subject)
        .public_key(request.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
    )
    for extension in request.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    leaf = builder.sign(shared_key(), hashes.SHA256())
    paths = directory_ / "ca.pem", directory_ / "leaf.pem"
    for path, certificate in zip(paths, (ca, leaf), strict=True):
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
    done = subprocess.run(
        [program("openssl", "openssl"), "verify", "-CAfile", *paths],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


BASES = st.sampled_from(
    [
        DNS("example.com"),
        DNS("b.example.com"),
        DNS("org"),
        MAIL("example.com"),
        MAIL(".example.com"),
        MAIL("a@example.com"),
        URI("example.com"),
        URI(".example.com"),
        network("192.0.2.0/25"),
        network("2001:db8::/32"),
        directory(EXAMPLE),
    ]
)


NAMES = st.sampled_from(
    [
        DNS("example.com"),
        DNS("a.b.example.com"),
        DNS("xb.example.com"),
        DNS("example.org"),
        DNS("*.example.com"),
        MAIL("a@example.com"),
        MAIL("a@b.example.com"),
        MAIL("b@example.com"),
        URI("https://example.com/"),
        URI("https://a.example.com:8443/x"),
        URI("urn:a"),
        address("192.0.2.1"),
        address("192.0.2.200"),
        address("2001:db8::1"),
        directory(EXAMPLE, (NameOID.COMMON_NAME, "x")),
    ]
)


@hypothesis_settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(BASES, max_size=3, unique=True),
    st.lists(BASES, max_size=2, unique=True),
    st.lists(NAMES, max_size=3, unique=True),
    st.sampled_from(["a.example.com", "a.example.org", "Alice"]),
    st.sampled_from([None, "Example", "Other"]),
)
def test_openssl_accepts_every_accepted_name(
    tmp_path, permitted, excluded, names, common_name, organisation
):
    if not permitted and not excluded:
        return
    ca = ca_certificate("Constrained", permitted or None, excluded or None)
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints).value
    request = csr(common_name, *names, organisation=organisation)

    if not list(violations(names_in(request), [constraints])):
        assert openssl_accepts(tmp_path, request, ca)


@pytest.mark.parametrize(
    ("permitted", "excluded", "request_", "accepted"), CASES.values(), ids=CASES
)
def test_openssl_agrees_with_the_cases(tmp_path, permitted, excluded, request_, accepted):
    ca = ca_certificate("Constrained", permitted or None, excluded or None)

    assert accepted == openssl_accepts(tmp_path, request_, ca)
