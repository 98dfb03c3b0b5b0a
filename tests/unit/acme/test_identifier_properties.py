"""Whatever a client sends as identifiers or as a CSR, the answer says what is wrong with it."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from anchor.acme import finalize
from anchor.acme.identifiers import parse_identifiers
from anchor.acme.problems import AcmeProblem
from anchor.errors import RequestError
from anchor.jose.compact import decode_base64url, encode_base64url
from anchor.store.acme_records import Identifier, Order, OrderStatus
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.acme_orders import csr_text
from tests.support.pki import make_csr

LABELS = st.text("aA0-*_.\u212a\xfcxn%", max_size=8)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.lists(LABELS, max_size=4).map(".".join),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
)
KINDS = st.one_of(st.sampled_from(["dns", "ip", "DNS", "email"]), st.text(max_size=3))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
IDENTIFIER = st.fixed_dictionaries({"type": KINDS | JSON, "value": TEXTS | JSON})


def outcome(function, *arguments):
    """What a function returns, and the problem that it raises."""
    try:
        return function(*arguments), None
    except AcmeProblem as problem:
        return None, problem


@given(st.one_of(JSON, st.lists(st.one_of(IDENTIFIER, JSON), max_size=5)))
def test_identifiers_are_canonical_or_a_problem_says_what_is_wrong(value):
    identifiers, problem = outcome(parse_identifiers, value)

    if problem is not None:
        assert problem.kind.status == 400
        assert json.dumps(problem.as_json())
        return
    assert len(set(identifiers)) == len(identifiers) > 0
    again = [{"type": each.type, "value": each.value} for each in identifiers]
    assert parse_identifiers(again) == identifiers
    for each in identifiers:
        assert each.type in ("dns", "ip")
        assert each.value.isascii()
        assert each.value == each.value.lower()
        if each.type == "dns":
            # A certificate can have it.
            assert x509.DNSName(each.value).value == each.value


def order_for(*identifiers):
    now = utc_now()
    return Order(
        id="a",
        account_id="b",
        status=OrderStatus.READY,
        expires=now,
        identifiers=identifiers,
        created=now,
    )


NAMES = st.lists(
    st.sampled_from(["a.example.com", "*.example.com", "b.example.com", "10.0.0.1", "::1"]),
    unique=True,
    max_size=4,
)


@given(NAMES, NAMES, st.none() | st.sampled_from(["a.example.com", "B.example.com", "10.0.0.1"]))
def test_a_csr_has_the_names_of_the_order_or_is_refused(wanted, requested, common_name):
    identifiers = [
        Identifier("ip" if name[-1] == "1" else "dns", name) for name in wanted or ["x.example.com"]
    ]
    csr = X509Csr.from_pem(make_csr(common_name, *requested))
    names = {*requested, *([common_name.lower()] if common_name else [])}
    is_same = names == {each.value for each in identifiers}

    _, problem = outcome(finalize._require_names, csr, order_for(*identifiers))

    assert is_same == (problem is None)
    assert is_same or "exactly the names of the order" in str(problem)


DER = decode_base64url(csr_text("www.example.com", common_name="www.example.com"))


@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), max_size=4))
def test_a_csr_with_other_bytes_is_read_or_refused(changes):
    der = bytearray(DER)
    for position, octet in changes:
        der[position] = octet

    try:
        csr = finalize._read_csr(encode_base64url(bytes(der)))
    except RequestError:
        return

    assert csr.submitted.der == bytes(der)


@pytest.mark.parametrize("length", range(0, len(DER), 40))
def test_a_csr_that_is_cut_off_is_refused(length):
    with pytest.raises(AcmeProblem):
        finalize._read_csr(encode_base64url(DER[:length]))
