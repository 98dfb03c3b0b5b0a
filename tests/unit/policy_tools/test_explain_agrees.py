"""``anchor explain`` and the service agree on every request."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from anchor.auth.results import AuthDetails
from anchor.authorities import load_authorities
from anchor.policy_tools import explain
from anchor.policy_tools.explain import FAILED, REFUSED, SIGNED, UNREADABLE, Requester
from anchor.policy_tools.sample_csrs import KEYS, CsrFactory, Description
from tests.support.pki import make_csr
from tests.support.properties import examples

STATUSES = {SIGNED: 200, REFUSED: 400, UNREADABLE: 400, FAILED: 500}
ASKER = Requester(AuthDetails("alice"), ip_address("192.0.2.7"))
DER = x509.load_pem_x509_csr(
    make_csr(
        "www.example.com",
        "www.example.org",
        "192.0.2.1",
        extensions=[x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])],
    )
).public_bytes(Encoding.DER)


@pytest.fixture
def agree(serve, document):
    """Sends the request to both and compares the results."""
    document["registration_authority"]["default"] |= {
        "validators": {"standards_compliance": {}, "source_cidrs": {"cidrs": ["192.0.2.0/24"]}},
        "fixups": {"enforce_alternative_names_present": {}},
    }
    del document["signing_ca"]["local"]["output_path"]
    service = serve(document)
    offline = load_authorities(service.path / "config.json", offline=True).authorities["default"]

    def ask(octets, encoding):
        answer = service.http.post(
            "/v1/sign/default",
            {"user": "alice", "secret": "s3cret", "encoding": encoding},
            upload_files=[("csr", "request.csr", octets)],
            status="*",
        )
        explanation = explain.explain(offline, octets, ASKER)
        json.dumps(explain.as_json(explanation))
        assert STATUSES[explanation.outcome] == answer.status_int, explanation
        if answer.status_int == 400:
            assert f"{explain.rejection_reason(explanation)}\n" == answer.text
        return explanation

    return ask


names = st.text(max_size=70) | st.from_regex(r"[a-z*-]{1,8}(\.[a-z0-9*_-]{0,8}){0,3}\n?")
ascii_names = names.filter(str.isascii)
descriptions = st.builds(
    Description,
    common_name=names.filter(lambda name: 1 <= len(name.encode("utf-8", "replace")) <= 64),
    dns_names=st.lists(ascii_names, max_size=3).map(tuple),
    ip_addresses=st.lists(st.ip_addresses().map(str), max_size=2).map(tuple),
    emails=st.lists(st.just("alice@example.com"), max_size=1).map(tuple),
    key=st.sampled_from([kind for kind in KEYS if not kind.startswith("rsa")]),
    key_usage=st.lists(
        st.sampled_from(["digitalSignature", "keyAgreement", "keyEncipherment", "keyCertSign"]),
        unique=True,
    ).map(tuple),
    ca=st.booleans(),
)
often = hypothesis_settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MAKER = CsrFactory()


@pytest.mark.slow
@often
@given(descriptions)
def test_explain_agrees_with_the_service_about_well_formed_requests(agree, description):
    agree(MAKER.make(description), "pem")


@often
@given(st.integers(2, len(DER) - 1), st.integers(0, 255))
def test_explain_agrees_with_the_service_about_damaged_requests(agree, position, octet):
    agree(DER[:position] + bytes([octet]) + DER[position + 1 :], "der")


@often
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8")))
def test_explain_agrees_with_the_service_about_any_bytes(agree, octets):
    if octets.strip() and not octets.startswith(b"\x30"):
        assert UNREADABLE == agree(octets, "pem").outcome
