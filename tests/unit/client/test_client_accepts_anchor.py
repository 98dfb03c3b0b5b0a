"""The client accepts what the service issues, whichever fixups are configured."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.client import acceptance
from tests.support.pki import hash_for, make_csr, now, shared_key, subject


def with_subject(common_name, *attributes):
    builder = x509.CertificateSigningRequestBuilder(subject(common_name, *attributes))
    return builder.sign(shared_key(), hash_for(shared_key())).public_bytes(Encoding.PEM)


REQUESTS = {
    "other letters": make_csr("bücher.example.com"),
    "other letters and punycode": make_csr("BÜCHER.example.com", "xn--bcher-kva.example.com"),
    "punycode": make_csr("XN--BCHER-KVA.example.com."),
    "a wildcard": make_csr("*.example.com"),
    "a server's title": make_csr("Example Server A", "a.example.com"),
    "a Kubernetes node": make_csr("system:node:worker-1", "a.example.com"),
    "an address": make_csr("192.0.2.1"),
    "a long IPv6 address": make_csr("2001:DB8:0::1"),
    "no subject": make_csr(None, "a.example.com", "A.example.com."),
    "an organisation": with_subject("a.example.com", (NameOID.ORGANIZATION_NAME, "Asked")),
    "a mailbox and a user": with_subject(
        "a.example.com", (NameOID.EMAIL_ADDRESS, "root@example.com"), (NameOID.USER_ID, "root")
    ),
}
NAMES = {"enforce_alternative_names_present": {}}
FIXUPS = {
    "none": {},
    "names are copied": NAMES,
    "names are normalised": NAMES | {"normalize_names": {}},
    "common names are dropped": NAMES | {"normalize_names": {}, "drop_common_name": {}},
    "attributes are set": {
        "subject_attributes": {"fixed": {"O": "Set", "OU": ["One", "Two"], "C": "DE"}}
    },
    "attributes are kept": {
        "subject_attributes": {"keep": {"O": ["%"], "emailAddress": ["%"], "UID": ["%"]}}
    },
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("fixups", FIXUPS)
def test_a_certificate_from_the_service_is_accepted(serve, document, ca, request_, fixups):
    document["registration_authority"]["default"]["fixups"] = FIXUPS[fixups]
    csr = REQUESTS[request_]

    certificate = serve(document).issue(csr)

    acceptance.check(certificate, [ca.certificate], x509.load_pem_x509_csr(csr), now())
