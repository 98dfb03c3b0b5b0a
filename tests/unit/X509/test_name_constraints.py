"""A CA with name constraints issues no certificate that relying parties reject."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.errors import ConfigurationError
from anchor.X509.name_constraints import names_in, violations
from anchor.X509.signing_request import X509Csr
from tests.support.pace import assert_cpu_below
from tests.support.pki import ca_certificate, key_pem, make_csr, shared_key, subject

DNS, MAIL, URI = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier


def network(text):
    return x509.IPAddress(ipaddress.ip_network(text))


def address(text):
    return x509.IPAddress(ipaddress.ip_address(text))


def directory(*pairs):
    return x509.DirectoryName(x509.Name([x509.NameAttribute(*pair) for pair in pairs]))


def csr(common_name, *names, organisation=None):
    more = [(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(oid, value) for oid, value in more] + [*subject(common_name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), common_name is None)
    return X509Csr.from_pem(
        builder.sign(shared_key("ec-p384"), hashes.SHA256()).public_bytes(Encoding.PEM)
    )


EXAMPLE = (NameOID.ORGANIZATION_NAME, "Example")
# permitted, excluded, the request, and whether a relying party accepts it
CASES = {
    "inside": ([DNS("example.com")], [], csr("x", DNS("www.example.com")), True),
    "the base itself": ([DNS("example.com")], [], csr("x", DNS("Example.com")), True),
    "beside it": ([DNS("example.com")], [], csr("x", DNS("www.badexample.com")), False),
    "a wildcard inside": ([DNS("example.com")], [], csr("x", DNS("*.example.com")), True),
    "a wildcard above": ([DNS("example.com")], [], csr("x", DNS("*.com")), False),
    "one of two": (
        [DNS("example.com")],
        [],
        csr("x", DNS("www.example.com"), DNS("www.example.org")),
        False,
    ),
    "excluded": ([], [DNS("example.com")], csr("x", DNS("a.b.example.com")), False),
    "not excluded": ([], [DNS("example.com")], csr("x", DNS("example.org")), True),
    "excluded inside what is permitted": (
        [DNS("example.com")],
        [DNS("secret.example.com")],
        csr("x", DNS("a.secret.example.com")),
        False,
    ),
    "another kind is free": ([DNS("example.com")], [], csr("x", address("192.0.2.1")), True),
    "an address inside": ([network("192.0.2.0/24")], [], csr("x", address("192.0.2.9")), True),
    "an address outside": ([network("192.0.2.0/24")], [], csr("x", address("192.0.3.9")), False),
    "of another version": ([network("192.0.2.0/24")], [], csr("x", address("2001:db8::1")), False),
    "an excluded address": ([], [network("::/0")], csr("x", address("2001:db8::1")), False),
    "a mailbox at the host": ([MAIL("example.com")], [], csr("x", MAIL("a@example.com")), True),
    "below the host": ([MAIL("example.com")], [], csr("x", MAIL("a@b.example.com")), False),
    "below the domain": ([MAIL(".example.com")], [], csr("x", MAIL("a@b.example.com")), True),
    "the mailbox": ([MAIL("a@example.com")], [], csr("x", MAIL("a@example.com")), True),
    "another mailbox": ([MAIL("a@example.com")], [], csr("x", MAIL("b@example.com")), False),
    "a URI of the host": ([URI("example.com")], [], csr("x", URI("https://example.com/a")), True),
    "a URI below": ([URI("example.com")], [], csr("x", URI("https://b.example.com/a")), False),
    "a URI in the domain": (
        [URI(".example.com")],
        [],
        csr("x", URI("spiffe://a.example.com/b")),
        True,
    ),
    "a URI without a host": ([URI("example.com")], [], csr("x", URI("urn:a:b")), False),
    "a directory name": ([directory(EXAMPLE)], [], csr("x", organisation="EXAMPLE"), True),
    "another directory name": ([directory(EXAMPLE)], [], csr("x", organisation="Other"), False),
    "none of it": ([directory(EXAMPLE)], [], csr("x"), False),
    "an excluded directory name": (
        [],
        [directory(EXAMPLE)],
        csr("x", organisation="Example"),
        False,
    ),
    "a common name inside": ([DNS("example.com")], [], csr("www.example.com"), True),
    "a common name outside": ([DNS("example.com")], [], csr("www.example.org"), False),
    "beside a DNS name": ([DNS("example.com")], [], csr("a.b.org", DNS("a.example.com")), True),
    "a dot at the end": ([DNS("example.com")], [], csr("x", DNS("www.example.com.")), False),
    "a URI with a dot at the end of the host": (
        [URI(".example.com")],
        [],
        csr("x", URI("https://a.example.com./b")),
        False,
    ),
    "no host name": ([DNS("example.com")], [], csr("Example Server A"), True),
}


@pytest.mark.parametrize(
    ("permitted", "excluded", "request_", "accepted"), CASES.values(), ids=CASES
)
def test_names_compare_as_relying_parties_compare_them(permitted, excluded, request_, accepted):
    ca = ca_certificate("Constrained", permitted or None, excluded or None)
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints).value

    assert accepted == (not list(violations(names_in(request_), [constraints])))


@pytest.mark.parametrize(
    ("excluded", "name"),
    [
        (DNS("example.com"), DNS("a.example.com.")),
        (URI(".example.com"), URI("https://a.example.com./b")),
    ],
)
def test_a_dot_at_the_end_hides_no_excluded_name(excluded, name):
    """OpenSSL accepts such a name; other relying parties may not."""
    constraints = x509.NameConstraints(None, [excluded])

    assert list(violations(names_in(csr("x", name)), [constraints]))


@pytest.mark.parametrize(
    "uri", ["https://./a", "https://[2001:db8::1]/a", "https://192.0.2.1/", "urn:a"]
)
def test_a_uri_without_a_host_to_compare_is_rejected_by_any_constraint_of_uris(uri):
    for permitted, excluded in (([URI("example.com")], None), (None, [URI("example.org")])):
        constraints = x509.NameConstraints(permitted, excluded)

        assert list(violations(names_in(csr("x", URI(uri))), [constraints]))


MANY = {
    "DNS names": lambda n: (DNS(f"d{n}.example.com"), DNS(f"www.h{n}.example.org")),
    "URIs": lambda n: (URI(f".d{n}.example.com"), URI(f"https://h{n}.example.org/")),
    "mail addresses": lambda n: (MAIL(f".d{n}.example.com"), MAIL(f"a@h{n}.example.org")),
    "addresses": lambda n: (
        network(f"10.{n % 256}.0.0/16"),
        address(f"192.0.{n // 256}.{n % 256}"),
    ),
    "directory names": lambda n: tuple(
        directory((NameOID.ORGANIZATION_NAME, f"{kind}{n}")) for kind in "ab"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", MANY.values(), ids=MANY)
def test_a_thousand_names_and_many_constraints_cost_less_than_a_tenth_of_a_second(make):
    request = csr(None, *(make(n)[1] for n in range(1000)))
    constraints = x509.NameConstraints(None, [make(n)[0] for n in range(80)])

    assert not list(violations(names_in(request), [constraints]))

    def compare():
        return list(violations(names_in(request), [constraints]))

    assert_cpu_below(0.1, compare)


# ---- the service


@pytest.fixture
def constrained(tmp_path, serve, document):
    """Makes a service whose CA, or the CA above it, has name constraints."""

    def make(permitted, *, in_chain=False, **authority):
        root = ca_certificate("Root", permitted if in_chain else None)
        ca = ca_certificate("Issuing", None if in_chain else permitted, issuer=root)
        for name, contents in (
            ("ca.pem", ca.public_bytes(Encoding.PEM)),
            ("root.pem", root.public_bytes(Encoding.PEM)),
            ("ca.key", key_pem(shared_key())),
        ):
            (tmp_path / name).write_bytes(contents)
        (tmp_path / "ca.key").chmod(0o400)
        document["signing_ca"]["local"] |= {
            "cert_path": "ca.pem",
            "chain_path": "root.pem",
            "key_path": "ca.key",
        }
        document["registration_authority"]["default"] |= authority
        return serve(document)

    return make


@pytest.mark.parametrize("in_chain", [False, True])
def test_the_service_rejects_names_outside_the_constraints(constrained, in_chain):
    service = constrained(
        [DNS("example.com"), network("192.0.2.0/24")],
        in_chain=in_chain,
        fixups={"enforce_alternative_names_present": {}},
    )
    key = shared_key("ec-p384")

    service.issue(make_csr("www.example.com", "a.example.com", "192.0.2.7", key=key))
    for names in (["www.example.org"], ["x", "www.example.org"], ["x.example.com", "192.0.3.1"]):
        refused = service.sign(make_csr(*names, key=key), status=400)
        assert "name_constraints: " in refused.text
        assert names[-1] in refused.text
        assert "is not within " in refused.text


def test_a_fixup_can_make_a_subject_satisfy_the_constraints(constrained):
    service = constrained(
        [directory(EXAMPLE)], fixups={"subject_attributes": {"fixed": {"O": "Example"}}}
    )

    certificate = service.issue(make_csr("www.example.com", key=shared_key("ec-p384")))

    assert "CN=www.example.com,O=Example" == certificate.subject.rfc4514_string()


@pytest.mark.parametrize("path_lengths", [(None, 0), (0, None), (1, None), (None, None), (2, 1)])
def test_intermediates_are_signed_only_if_the_path_length_allows(
    tmp_path, serve, document, path_lengths
):
    root_length, ca_length = path_lengths
    has_room = ca_length != 0 and (root_length is None or root_length > 1)
    root = ca_certificate("Root", path_length=root_length)
    ca = ca_certificate("Issuing", issuer=root, path_length=ca_length)
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (tmp_path / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    document["signing_ca"]["local"] |= {"cert_path": "ca.pem", "chain_path": "root.pem"}
    (tmp_path / "ca.key").write_bytes(key_pem(shared_key()))
    (tmp_path / "ca.key").chmod(0o400)
    document["signing_ca"]["local"]["key_path"] = "ca.key"
    document["registration_authority"]["default"]["validators"] = {
        "ca_status": {"ca_requested": True}
    }

    if not has_room:
        with pytest.raises(ConfigurationError, match="leaves no room for an intermediate"):
            serve(document)
        return
    constraints = (x509.BasicConstraints(True, 0), True)
    serve(document).issue(make_csr("Next", key=shared_key("ec-p384"), extensions=[constraints]))
