"""What the claims of a token must say, and what becomes of them."""

from __future__ import annotations

import datetime
import hashlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.auth.oidc.claims import ValidityRules, find_claim
from anchor.auth.oidc.named_claims import SegmentPattern
from anchor.auth.oidc.requirements import Requirements, TextPattern
from anchor.auth.oidc.tokens import TokenRefused
from anchor.errors import ConfigurationError
from tests.support import jwt
from tests.support.oidc import ask, backend, reason
from tests.support.properties import examples

__all__ = ["backend"]

NOW = 1_800_000_000
KUBERNETES = {
    "kubernetes.io": {
        "namespace": "shop",
        "serviceaccount": {"name": "web", "uid": "1-2"},
        "pod": {"name": "web-7f"},
    }
}


def test_claims_become_the_identity(backend):
    authenticator = backend(
        username_claim="preferred_username",
        groups_claim="/realm/roles",
        claims={"namespace": "/kubernetes.io/namespace", "pod": "/kubernetes.io/pod/name"},
        single_use=True,
    )
    token = jwt.make_token(
        sub="id-7", preferred_username="alice", realm={"roles": ["a", "b", "a"]}, **KUBERNETES
    )

    identity = ask(authenticator, token)

    assert ("alice", ("a", "b"), "id-7") == (
        identity.username,
        identity.groups,
        identity.user_id,
    )
    assert {"namespace": "shop", "pod": "web-7f"} == identity.claims
    expected = hashlib.sha256(f"{jwt.ISSUER}\0a-token".encode()).hexdigest()
    assert expected == identity.single_use.key
    left = identity.single_use.expires - datetime.datetime.now(datetime.UTC)
    assert 620 < left.total_seconds() <= 631


# GitHub's tokens have an empty "head_ref", except those of pull requests.
@pytest.mark.parametrize("empty", [{}, {"head_ref": ""}, {"head_ref": None}])
def test_a_named_claim_may_be_missing_or_empty(backend, empty):
    part = {"claim": "head_ref", "pattern": "feature/{}"}
    authenticator = backend(claims={"head": "head_ref", "feature": part, "ref": "ref"})

    assert {"ref": "main"} == ask(authenticator, jwt.make_token(ref="main", **empty)).claims


def test_the_user_and_other_tokens_are_told_apart_by_their_jti(backend):
    authenticator = backend(single_use=True)

    keys = [ask(authenticator, jwt.make_token(jti=jti)).single_use.key for jti in "aab"]

    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    ("pattern", "value", "captured"),
    [
        ("example/{}", "example/web", "web"),
        ("example/{}", "example/web/x", None),
        ("example/{}", "example/", None),
        ("example/{}", "other/web", None),
        ("*/{}", "example/web", "web"),
        ("{}/*", "example/web", "example"),
        ("{}", "web", "web"),
        ("{}", "a:b", None),
        ("spiffe://example.com/ns/{}/sa/*", "spiffe://example.com/ns/shop/sa/web", "shop"),
        ("spiffe://example.com/ns/*/sa/{}", "spiffe://example.com/ns/shop/sa/web", "web"),
        ("spiffe://example.com/ns/{}/sa/*", "spiffe://example.com:ns/shop/sa/web", None),
        ("spiffe://example.com/ns/{}/sa/*", "spiffe://evil.com/ns/shop/sa/web", None),
        ("spiffe://example.com/ns/{}/sa/*", "spiffe://example.com/ns/a/sa/ns/shop/sa/web", None),
        ("repo:example/{}:ref:refs/heads/main", "repo:example/web:ref:refs/heads/main", "web"),
        ("repo:example/{}:ref:refs/heads/main", "repo:example/web:ref:refs/heads/dev", None),
        ("team-*/{}", "team-a/web", "web"),
        ("team-*/{}", "team/web", None),
    ],
)
def test_a_part_of_a_claim_is_one_whole_segment(pattern, value, captured):
    assert captured == SegmentPattern.parse(pattern).capture(value)


@settings(max_examples=examples(500), deadline=None)
@given(
    st.from_regex(r"\A([ab*]{1,2}[/:]){0,3}\{\}([/:][ab*]{1,2}){0,3}\Z"),
    st.text("ab/:", max_size=12),
)
def test_a_captured_part_has_no_separators_and_the_pattern_around_it(pattern, value):
    if "**" in pattern:
        with pytest.raises(ValueError, match="cannot be counted"):
            SegmentPattern.parse(pattern)
        return
    captured = SegmentPattern.parse(pattern).capture(value)

    expected = re.fullmatch(as_regex(pattern).replace(r"\{\}", "([^/:]+)"), value)
    assert captured == (expected and expected[1])


def test_parts_of_claims_are_named_and_others_are_left_out(backend):
    claims = {
        "project": {"claim": "repository", "pattern": "example/{}"},
        "namespace": {"claim": "sub", "pattern": "system:serviceaccount:{}:*"},
    }
    token = jwt.make_token(repository="other/web", sub="system:serviceaccount:shop:web")

    assert {"namespace": "shop"} == ask(backend(claims=claims), token).claims


OPTIONS = {
    "groups_claim": "groups",
    "claims": {"project": "project"},
    "require": {"ref": "main"},
    "single_use": True,
}
GOOD = {"groups": ["a"], "project": "p", "ref": "main"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"iss": None}, "'iss' is None"),
        ({"iss": jwt.ISSUER + "/"}, "'iss' is 'https://issuer.example.com/'"),
        ({"iss": jwt.ISSUER.upper()}, "'iss'"),
        ({"iss": [jwt.ISSUER]}, "'iss'"),
        ({"aud": None}, "'aud'"),
        ({"aud": "other"}, "'aud' 'other' is not in 'audience'"),
        ({"aud": jwt.AUDIENCE + "."}, "is not in 'audience'"),
        ({"aud": []}, "is not in 'audience'"),
        ({"aud": [jwt.AUDIENCE, 7]}, "neither a string nor a list"),
        ({"aud": {jwt.AUDIENCE: 1}}, "neither a string nor a list"),
        ({"aud": [[jwt.AUDIENCE]]}, "neither a string nor a list"),
        ({"exp": None}, "no claim 'exp'"),
        ({"exp": str(2**33)}, "'exp' is not a number"),
        ({"exp": True}, "'exp' is not a number"),
        ({"exp": -1}, "'exp' is not a time"),
        ({"exp": 10**400}, "'exp' is not a time"),
        ({"exp": 1e300}, "'exp' is not a time"),
        ({"exp": NOW - 10**9}, "it expired"),
        ({"iat": "now"}, "'iat' is not a number"),
        ({"nbf": False}, "'nbf' is not a number"),
        ({"sub": None}, "no claim 'sub'"),
        ({"sub": 7}, "'sub' is not a text"),
        ({"sub": ["web1"]}, "'sub' is not a text"),
        ({"sub": ""}, "1 to 512 characters"),
        ({"sub": "a" * 513}, "1 to 512 characters"),
        ({"sub": "web1\n"}, "cannot be printed"),
        ({"sub": "web1\u202e"}, "cannot be printed"),
        ({"sub": "web1\ud800"}, "cannot be printed"),
        ({"sub": " web1"}, "spaces at an end"),
        ({"jti": None}, "no claim 'jti'"),
        ({"jti": 7}, "'jti' is not a text"),
        ({"groups": None}, "which 'groups_claim' names"),
        ({"groups": None, "hasgroups": True}, "too many groups"),
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "too many groups"),
        ({"groups": None, "_claim_names": {"other": "src1"}}, "which 'groups_claim' names"),
        ({"groups": ["a", 7]}, "'groups' is not a text"),
        ({"groups": ["a", ""]}, "1 to 512 characters"),
        ({"groups": {"a": 1}}, "'groups' is not a text"),
        ({"groups": [str(number) for number in range(501)]}, "more than 500 groups"),
        ({"project": 7}, "'project' is not a text"),
        ({"project": "a\0b"}, "cannot be printed"),
        ({"ref": None}, "'ref' is None, which 'require' does not allow"),
        ({"ref": "Main"}, "'ref' is 'Main', which 'require' does not allow"),
        ({"ref": "x" * 3000}, "xxx..."),
    ],
)
def test_other_claims_are_refused_for_their_reason(backend, caplog, changes, expected):
    authenticator = backend(**OPTIONS)
    assert ask(authenticator, jwt.make_token(**GOOD)).groups == ("a",)

    assert expected in reason(authenticator, jwt.make_token(**GOOD | changes), caplog)


@pytest.mark.parametrize("audience", [jwt.AUDIENCE, ["other", jwt.AUDIENCE]])
def test_one_of_several_audiences_is_enough(backend, audience):
    assert ask(backend(audience=["mine", jwt.AUDIENCE]), jwt.make_token(aud=audience))


def test_the_issuers_clock_may_differ_by_the_leeway(backend, caplog):
    now = int(time.time())
    authenticator = backend(leeway=60)

    assert ask(authenticator, jwt.make_token(iat=now + 50, nbf=now + 50))
    assert ask(authenticator, jwt.make_token(exp=now - 50, iat=now - 600))
    early = jwt.make_token(iat=now + 70, nbf=now + 70)
    assert re.search(
        r"its 'iat' is (69|70) seconds in the future", reason(authenticator, early, caplog)
    )
    assert "it expired 6" in reason(authenticator, jwt.make_token(exp=now - 65), caplog)


def test_a_token_that_is_valid_for_too_long_is_refused():
    claims = {"exp": NOW + 7200, "iat": NOW}

    assert ValidityRules(60, 7200).require_valid(claims, NOW) == NOW + 7200
    with pytest.raises(TokenRefused, match="7200 seconds, more than 'max_lifetime' allows"):
        ValidityRules(60, 7199).require_valid(claims, NOW)


@settings(max_examples=examples(500), deadline=None)
@given(
    exp=st.integers(NOW - 10**5, NOW + 10**6) | st.floats(NOW - 100, NOW + 100),
    iat=st.none() | st.integers(NOW - 10**5, NOW + 200),
    nbf=st.none() | st.integers(NOW - 200, NOW + 200),
    leeway=st.integers(0, 60),
    max_lifetime=st.integers(1, 10**6),
)
def test_a_token_is_valid_within_its_times_and_the_leeway_only(exp, iat, nbf, leeway, max_lifetime):
    claims = {"exp": exp, "iat": iat, "nbf": nbf}
    valid = (
        NOW < exp + leeway
        and (iat is None or iat <= NOW + leeway)
        and (nbf is None or nbf <= NOW + leeway)
        and exp - (NOW if iat is None else iat) <= max_lifetime
    )
    try:
        ValidityRules(leeway, max_lifetime).require_valid(claims, NOW)
    except TokenRefused:
        assert not valid
    else:
        assert valid


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("a", {"b": [1, {"c": 2}]}),
        ("/a/b/1/c", 2),
        ("/a/b/2", None),
        ("/a/b/01", None),
        ("/a/b/-", None),
        ("/a/b/0/c", None),
        ("/x~1y", 3),
        ("/m~0n", 4),
        ("/", 5),
        ("https://example.com/groups", 6),
        ("/nothing/at/all", None),
    ],
)
def test_a_reference_is_a_name_or_a_json_pointer(reference, value):
    claims = {"a": {"b": [1, {"c": 2}]}, "x/y": 3, "m~n": 4, "": 5}
    claims["https://example.com/groups"] = 6

    assert value == find_claim(claims, reference)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("main", ["main"], ["Main", "main\n", "", "mains"]),
        (
            "repo:example/*:ref:refs/heads/main",
            ["repo:example/web:ref:refs/heads/main"],
            [
                "repo:example/:ref:refs/heads/main",
                "repo:example/web/x:ref:refs/heads/main",
                "repo:example/web:environment:x:ref:refs/heads/main",
                "repo:example/web:ref:refs/heads/main2",
                "xrepo:example/web:ref:refs/heads/main",
            ],
        ),
        ("system:serviceaccount:*:web", ["system:serviceaccount:a.b:web"], ["a:b:c:web"]),
        ("refs/heads/**", ["refs/heads/a/b:c", "refs/heads/x"], ["refs/heads/", "refs/tags/x"]),
        ("**/x", ["a/x", "a/b/x"], ["/x", "x"]),
        ("*", ["a", "\n"], ["", "a/b", "a:b"]),
        ("a.c", ["a.c"], ["abc"]),
        ("**", ["a/b:c"], [""]),
    ],
)
def test_a_wildcard_stops_at_separators_unless_it_is_doubled(pattern, matching, others):
    parsed = TextPattern.parse(pattern)

    assert [value for value in [*matching, *others] if parsed.matches(value)] == matching


def as_regex(pattern):
    return "".join(
        {"**": "(?s:.+)", "*": "[^/:]+"}.get(piece) or re.escape(piece)
        for piece in re.split(r"(\*+)", pattern)
        if piece
    )


@settings(max_examples=examples(1000), deadline=None)
@given(st.from_regex(r"\A([ab/:]|\*[ab/:]|\*\*[ab/:]){0,5}\Z"), st.text("ab/:\n", max_size=9))
def test_patterns_match_as_the_regular_expression_would(pattern, value):
    expected = re.fullmatch(as_regex(pattern), value) is not None

    assert TextPattern.parse(pattern).matches(value) is expected


@pytest.mark.parametrize("pattern", ["*a" * 250, "**a" * 150, "*" + "/*" * 250])
def test_no_pattern_takes_long(pattern):
    start = time.process_time()
    assert not TextPattern.parse(pattern).matches("a" * 511 + "b")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("required", "found", "met"),
    [
        (True, True, True),
        (True, 1, False),
        (True, "true", False),
        (1, True, False),
        (1, 1.0, True),
        ("1", 1, False),
        (("a", "b"), "b", True),
        (("a", "b"), "c", False),
        ("a", ["c", "a"], True),
        ("a", [], False),
        (("a", "b"), ["c", ["a"]], False),
        ("a*", ["xyz", "abc"], True),
        ("a", {"a": 1}, False),
        ("None", None, False),
    ],
)
def test_a_claim_has_to_have_a_required_value(required, found, met):
    requirements = Requirements.parse({"claim": required})
    claims = {"claim": found}

    if met:
        requirements.require_met(claims)
    else:
        with pytest.raises(TokenRefused, match="'claim'"):
            requirements.require_met(claims)


def test_all_required_claims_have_to_agree(backend, caplog):
    authenticator = backend(
        require={"/kubernetes.io/namespace": ["shop", "web-*"], "email_verified": True}
    )

    assert ask(authenticator, jwt.make_token(email_verified=True, **KUBERNETES))
    assert "'email_verified' is None" in reason(authenticator, jwt.make_token(**KUBERNETES), caplog)
    assert "'/kubernetes.io/namespace' is None" in reason(
        authenticator, jwt.make_token(email_verified=True), caplog
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"issuer": ""}, "issuer: "),
        ({"audience": ""}, "audience"),
        ({"audience": []}, "audience"),
        ({"algorithms": []}, "algorithms"),
        ({"username_claim": ""}, "username_claim: should be a claim"),
        ({"username_claim": "/a~b"}, "username_claim: is not a JSON Pointer"),
        ({"claims": {"no-dash": "a"}}, "claims"),
        ({"claims": {"a": ""}}, "claims"),
        ({"claims": {"a": {"claim": "sub"}}}, "claims.a"),
        ({"claims": {"a": {"claim": "sub", "pattern": "x"}}}, "'x' should have '{}' once"),
        ({"claims": {"a": {"claim": "sub", "pattern": "a{}"}}}, "as a whole segment"),
        ({"claims": {"a": {"claim": "sub", "pattern": "{}/{}"}}}, "should have '{}' once"),
        ({"claims": {"a": {"claim": "sub", "pattern": "{}/**"}}}, "segments cannot be counted"),
        ({"require": {"ref": []}}, "require"),
        ({"require": {"ref": ""}}, "require"),
        ({"require": {"ref": None}}, "require"),
        ({"require": {"ref": {"a": 1}}}, "require"),
        ({"require": {"ref": "a***"}}, "require: 'a\\*\\*\\*' has more than two asterisks"),
        ({"leeway": 61}, "leeway"),
        ({"max_lifetime": 0}, "max_lifetime"),
        ({"jwks_file": "missing.json"}, "jwks_file: .*missing.json cannot be read"),
        ({"discovery": True}, "exactly one of 'jwks_file', 'jwks_url' and 'discovery' is needed"),
        ({"ca_file": "keys.json"}, "ca_file: is of no use with 'jwks_file'"),
        ({"bearer_file": "keys.json"}, "bearer_file: is of no use with 'jwks_file'"),
        ({"shared_slots": None}, "unknown option 'shared_slots'"),
        ({"clock": 1}, "unknown option 'clock'"),
    ],
)
def test_a_wrong_option_is_an_error_of_the_configuration(backend, options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        backend(**options)
