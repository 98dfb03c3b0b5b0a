"""dns-01, dns-persist-01 and CAA: which records permit a certificate."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.acme.problems import ProblemType
from anchor.acme.validation import caa, dns_01, dns_persist_01
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.issue_values import parse_issue_value
from anchor.acme.validation.resolver import Resolver
from anchor.acme.validation.time_limit import TimeLimit
from anchor.jose.compact import encode_base64url
from tests.support.acme import URL
from tests.support.servers.dns_stub import DnsStub, zone

NAME = "www.example.com"
ISSUERS = ("ca.example", "pki.example")
ACCOUNT = f"{URL}/account/a1"
NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
SECONDS = int(NOW.timestamp())


@pytest.fixture
def look_up():
    """Runs a function with a resolver that answers from records."""

    def run(records, function):
        answer = records if callable(records) else zone(records)
        with DnsStub(answer) as stub:
            function(Resolver([stub.address], TimeLimit(5)))
        return [(name, kind) for name, kind, _ in stub.queries]

    return run


def texts(name, *values):
    return {(name, "TXT"): [f'"{value}"' for value in values]}


# dns-01


def test_the_digest_in_any_of_several_records_is_accepted(look_up, attempt):
    response = attempt(NAME, "dns-01")
    digest = encode_base64url(response.digest)
    records = texts(f"_acme-challenge.{NAME}", "other", digest, "v=spf1 -all")
    look_up(records, lambda resolver: dns_01.validate(response, resolver))


def test_the_record_of_a_wildcard_is_at_its_base(look_up, attempt):
    response = attempt("*.example.com", "dns-01")
    records = texts("_acme-challenge.example.com", encode_base64url(response.digest))
    look_up(records, lambda resolver: dns_01.validate(response, resolver))


@pytest.mark.parametrize("change", [str.lower, lambda text: f"{text}=", lambda text: text[:-1]])
def test_another_text_is_refused_and_not_repeated(look_up, attempt, change):
    response = attempt(NAME, "dns-01")
    value = change(encode_base64url(response.digest))
    records = texts(f"_acme-challenge.{NAME}", value)
    with pytest.raises(ChallengeFailed, match="1 TXT records with other contents") as caught:
        look_up(records, lambda resolver: dns_01.validate(response, resolver))
    assert caught.value.kind is ProblemType.INCORRECT_RESPONSE
    assert value not in str(caught.value)


def test_a_missing_record_is_a_problem_of_the_dns(look_up, attempt):
    with pytest.raises(ChallengeFailed, match="NXDOMAIN") as caught:
        look_up({}, lambda resolver: dns_01.validate(attempt(NAME, "dns-01"), resolver))
    assert caught.value.kind is ProblemType.DNS


# dns-persist-01


def persist(look_up, response, *values):
    records = texts(f"_validation-persist.{response.identifier.base}", *values)
    look_up(records, lambda resolver: dns_persist_01.validate(response, ISSUERS, resolver, NOW))


@pytest.mark.parametrize(
    "value",
    [
        f"ca.example; accounturi={ACCOUNT}",
        f"PKI.Example;AccountURI={ACCOUNT}",
        f"  ca.example  ;  accounturi = {ACCOUNT} ; unknown=1",
        f"ca.example; accounturi={ACCOUNT}; policy=WildCard",
        f"ca.example; accounturi={ACCOUNT}; policy=other",
        f"ca.example; accounturi={ACCOUNT}; persistUntil={SECONDS}",
        f"ca.example; accounturi={ACCOUNT}; persistUntil={SECONDS + 1}",
    ],
)
def test_a_record_for_the_account_is_accepted(look_up, attempt, value):
    persist(look_up, attempt(NAME, "dns-persist-01"), "v=spf1 -all", value)


@pytest.mark.parametrize(
    "value",
    [
        "ca.example",
        f"; accounturi={ACCOUNT}",
        f"other.example; accounturi={ACCOUNT}",
        f"ca.example; accounturi={ACCOUNT}2",
        f"ca.example; accounturi={ACCOUNT.upper()}",
        f"ca.example accounturi={ACCOUNT}",
        f"ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}",
        f"ca.example; accounturi={ACCOUNT}; accounturi=https://other.example/1",
        f"ca.example; accounturi={ACCOUNT}; persistUntil={SECONDS - 1}",
        f"ca.example; accounturi={ACCOUNT}; persistUntil=",
        f"ca.example; accounturi={ACCOUNT}; persistUntil=-1",
        f"ca.example; accounturi={ACCOUNT}; persistUntil=2e9",
        f"ca.example; accounturi={ACCOUNT}; persistUntil={'9' * 30}",
        f"ca.example;; accounturi={ACCOUNT}",
    ],
)
def test_another_record_is_refused(look_up, attempt, value):
    with pytest.raises(ChallengeFailed, match=r"should have a TXT record 'ca\.example; "):
        persist(look_up, attempt(NAME, "dns-persist-01"), value)


def test_a_wildcard_needs_the_policy(look_up, attempt):
    response = attempt("*.example.com", "dns-persist-01")
    persist(look_up, response, f"ca.example; accounturi={ACCOUNT}; policy=wildcard")
    with pytest.raises(ChallengeFailed, match="policy=wildcard"):
        persist(look_up, response, f"ca.example; accounturi={ACCOUNT}; policy=wild")


# CAA


def permit(look_up, response, records):
    return look_up(records, lambda resolver: caa.require_permitted(response, ISSUERS, resolver))


def caa_records(*values, name=NAME):
    return {(name, "CAA"): list(values)}


@pytest.mark.parametrize(
    "records",
    [
        {},
        caa_records('0 issue "ca.example"'),
        caa_records('0 issue "other.example"', '0 issue "pki.example"'),
        caa_records('128 issue "ca.example"'),
        caa_records('0 ISSUE "CA.example"'),
        caa_records('0 iodef "mailto:a@example.com"'),
        caa_records('0 issuewild ";"'),
        caa_records('0 contactemail "a@example.com"'),
        caa_records(f'0 issue "ca.example; accounturi={ACCOUNT}"'),
        caa_records('0 issue "ca.example; validationmethods=dns-01,http-01"'),
        caa_records('0 issue "ca.example; unknown=1"'),
        # The records of the name itself hide those of its parents.
        caa_records('0 issue "ca.example"') | caa_records('0 issue ";"', name="example.com"),
    ],
    ids=str,
)
def test_these_records_permit_a_certificate(look_up, attempt, records):
    permit(look_up, attempt(NAME), records)


@pytest.mark.parametrize(
    "records",
    [
        caa_records('0 issue ";"'),
        caa_records('0 issue ""'),
        caa_records('0 issue "other.example"'),
        caa_records('0 issue "ca.example.other.example"'),
        caa_records('0 issue "www.ca.example"'),
        caa_records('0 issue "ca.example; accounturi=https://other.example/1"'),
        caa_records(f'0 issue "ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}"'),
        caa_records('0 issue "ca.example; validationmethods=dns-01"'),
        caa_records('0 issue "ca.example; validationmethods="'),
        caa_records('0 issue "ca.example; %%"'),
        caa_records('0 issue "ca.example"', '128 unknown "x"'),
        caa_records('128 contactemail "a@example.com"'),
        caa_records('0 issue ";"', name="example.com"),
        caa_records('0 issue ";"', name="com"),
    ],
    ids=str,
)
def test_these_records_refuse_a_certificate(look_up, attempt, records):
    with pytest.raises(ChallengeFailed) as caught:
        permit(look_up, attempt(NAME), records)
    assert caught.value.kind is ProblemType.CAA


@pytest.mark.parametrize(
    ("values", "permitted"),
    [
        (['0 issue "ca.example"'], True),
        (['0 issue ";"', '0 issuewild "ca.example"'], True),
        (['0 issue "ca.example"', '0 issuewild ";"'], False),
        (['0 issue "ca.example"', '0 issuewild "other.example"'], False),
        (['0 issue ";"'], False),
    ],
)
def test_wildcards_have_records_of_their_own(look_up, attempt, values, permitted):
    response = attempt("*.example.com", "dns-01")
    records = caa_records(*values, name="example.com")
    if permitted:
        permit(look_up, response, records)
    else:
        with pytest.raises(ChallengeFailed):
            permit(look_up, response, records)


def test_the_parents_of_a_name_are_asked_up_to_the_top(look_up, attempt):
    asked = permit(look_up, attempt("a.b.example.com"), {})
    assert asked == [
        (name, "CAA") for name in ("a.b.example.com", "b.example.com", "example.com", "com")
    ]


def test_a_parent_that_cannot_be_looked_up_refuses_the_certificate(look_up, attempt):
    def answer(name, _kind):
        return "SERVFAIL" if name == "example.com" else []

    with pytest.raises(ChallengeFailed, match="SERVFAIL") as caught:
        permit(look_up, attempt(NAME), answer)
    assert caught.value.kind is ProblemType.CAA


@given(st.binary(max_size=80) | st.text("a.;= \t%-z", max_size=40).map(str.encode))
def test_a_value_is_parsed_or_refused(octets):
    try:
        value = parse_issue_value(octets)
    except ValueError:
        return
    assert value.issuer == value.issuer.strip().lower()
    assert all(tag == tag.lower() and ";" not in text for tag, text in value.parameters.items())
