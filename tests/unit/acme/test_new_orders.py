"""A new order, and what a client sees of it (RFC 8555 section 7.4)."""

from __future__ import annotations

import pytest

from anchor.acme.identifiers import MAX_IDENTIFIERS
from tests.support.acme import BASE_URL, URL
from tests.support.acme_orders import (
    ERROR,
    acme_with,
    add_client,
    assert_problem,
    download,
    finalize,
    identifiers,
    new_order,
    obtain,
)
from tests.support.pki import names_of

PROFILES = {
    "day": {"description": "a day"},
    "short": {"description": "two hours", "valid_hours": 2},
}


@pytest.fixture
def acme(serve, document, clock):
    return serve(acme_with(document, profiles=PROFILES), base_url=BASE_URL, clock=clock)


def test_an_order_is_ready_at_once_and_its_authorizations_are_valid(client):
    answer = new_order(client, "www.example.com", "*.example.com", "10.0.0.1")

    order = answer.json
    number = answer.headers["Location"].removeprefix(f"{URL}/order/")
    assert len(number) == 25
    assert {key: order[key] for key in order.keys() - {"expires", "authorizations"}} == {
        "status": "ready",
        "identifiers": [
            {"type": "dns", "value": "www.example.com"},
            {"type": "dns", "value": "*.example.com"},
            {"type": "ip", "value": "10.0.0.1"},
        ],
        "finalize": f"{URL}/order/{number}/finalize",
        "profile": "day",
    }
    authorizations = [client.post(url, None).json for url in order["authorizations"]]
    assert authorizations == [
        {
            "status": "valid",
            "expires": order["expires"],
            "identifier": {"type": "dns", "value": "www.example.com"},
            "challenges": [],
        },
        {
            "status": "valid",
            "expires": order["expires"],
            "identifier": {"type": "dns", "value": "example.com"},
            "challenges": [],
            "wildcard": True,
        },
        {
            "status": "valid",
            "expires": order["expires"],
            "identifier": {"type": "ip", "value": "10.0.0.1"},
            "challenges": [],
        },
    ]
    assert client.post(answer.headers["Location"], None).json == order


def test_the_members_that_caddy_sends_without_a_value_are_ignored(client):
    members = {
        "status": "",
        "expires": "0001-01-01T00:00:00Z",
        "notBefore": None,
        "authorizations": None,
        "finalize": "",
        "certificate": "",
        "error": 7,
        "unheard-of": [],
    }

    names = {"identifiers": identifiers("www.example.com")}
    order = client.post("/new-order", names | members, status=201).json

    assert (order["status"], order["expires"][:2]) == ("ready", "20")


MALFORMED = [
    ({}, "a list of at least one"),
    ({"identifiers": None}, "a list of at least one"),
    ({"identifiers": []}, "a list of at least one"),
    ({"identifiers": {}}, "a list of at least one"),
    ({"identifiers": "www.example.com"}, "a list of at least one"),
    ({"identifiers": ["www.example.com"]}, "should be an object"),
    ({"identifiers": [{"type": "dns"}]}, "should be an object with the strings"),
    ({"identifiers": [{"value": "www.example.com"}]}, "should be an object with the strings"),
    ({"identifiers": [{"type": "dns", "value": None}]}, "should be an object with the strings"),
    ({"identifiers": [{"type": ["dns"], "value": "a.example.com"}]}, "with the strings"),
    (
        {"identifiers": [{"type": "dns", "value": f"{n}.a"} for n in range(MAX_IDENTIFIERS + 1)]},
        "may have 100",
    ),
    ({"notBefore": "2026-01-01T00:00:00Z"}, "choose one of the directory's profiles"),
    ({"notAfter": "2026-01-01T00:00:00Z"}, "choose one of the directory's profiles"),
    ({"notAfter": ""}, "choose one of the directory's profiles"),
    ({"profile": 7}, "'profile' should be a string"),
    ({"replaces": ["x"]}, "'replaces' should be a string"),
    ({"replaces": "x"}, "'replaces' is malformed"),
]


@pytest.mark.parametrize(("members", "words"), MALFORMED)
def test_an_order_of_another_form_is_malformed(client, members, words):
    is_about_names = not members or "identifiers" in members
    complete = members if is_about_names else {"identifiers": identifiers("a.example.com")}

    answer = client.post("/new-order", complete | members)

    assert_problem(answer, "malformed", 400, words)


def test_an_order_needs_a_payload(client):
    assert_problem(client.post("/new-order", None), "malformed", 400, "the payload is empty")


NAMES = [
    ("dns", "", "an empty label"),
    ("dns", "a..example.com", "an empty label"),
    ("dns", ".example.com", "an empty label"),
    ("dns", "www.example.com.", "ends with a dot"),
    ("dns", "*", "a wildcard that is not its whole left-most label"),
    ("dns", "w*.example.com", "a wildcard that is not its whole left-most label"),
    ("dns", "www.*.example.com", "a wildcard that is not its whole left-most label"),
    ("dns", "*.*.example.com", "a wildcard that is not its whole left-most label"),
    ("dns", "-a.example.com", "begins or ends with a hyphen: '-a'"),
    ("dns", "www.a-.example.com", "begins or ends with a hyphen: 'a-'"),
    ("dns", "a_b.example.com", "has the character '_': a DNS name has letters, digits, hyphens"),
    ("dns", "www.example.com\n", r"has the character '\n'"),
    ("dns", "a b.example.com", "has the character ' '"),
    ("dns", "https://www.example.com", "no scheme, port or path"),
    ("dns", "www.example.com:8443", "no scheme, port or path"),
    ("dns", "[::1]", "has the character '['"),
    ("dns", "m\xfcnchen.example.com", "punycode"),
    ("dns", "\u212aelvin.example.com", "punycode"),
    ("dns", "xn--a.example.com", "punycode"),
    ("dns", "a" * 64 + ".example.com", "longer than 63"),
    ("dns", "a." * 126 + "com", "longer than 253"),
    ("dns", "10.0.0.1", "its type should be ip"),
    ("dns", "::1", "its type should be ip"),
    ("dns", "10.0.0.256", "is an address, or looks like one"),
    ("dns", "0x7f000001", "is an address, or looks like one"),
    ("ip", "www.example.com", "no IPv4 or IPv6 address"),
    ("ip", "10.0.0.256", "no IPv4 or IPv6 address"),
    ("ip", "10.0.0.0/8", "no IPv4 or IPv6 address"),
    ("ip", "010.0.0.1", "no IPv4 or IPv6 address"),
    ("ip", "fe80::1%eth0", "has a zone"),
    ("ip", "::ffff:10.0.0.1", "write 10.0.0.1"),
]


@pytest.mark.parametrize(("kind", "value", "words"), NAMES)
def test_a_name_that_no_certificate_can_have_is_malformed(client, kind, value, words):
    names = [*identifiers("www.example.com"), {"type": kind, "value": value}]

    answer = client.post("/new-order", {"identifiers": names})

    assert_problem(answer, "malformed", 400, words)
    [problem] = answer.json["subproblems"]
    assert problem["identifier"] == {"type": kind, "value": value}
    assert problem["type"] == f"{ERROR}malformed"
    assert words in problem["detail"]


def test_other_types_of_identifiers_are_not_supported(client):
    names = [{"type": "email", "value": "a@example.com"}, {"type": "DNS", "value": "a.example.com"}]

    answer = client.post("/new-order", {"identifiers": names})

    assert_problem(answer, "unsupportedIdentifier", 400, "should be one of dns, ip")
    assert [each["identifier"] for each in answer.json["subproblems"]] == names


def test_identifiers_that_are_wrong_in_different_ways_have_a_subproblem_each(client):
    names = [{"type": "email", "value": "a@example.com"}, {"type": "dns", "value": "a..b"}]

    answer = client.post("/new-order", {"identifiers": names})

    assert_problem(answer, "malformed", 400)
    assert [each["type"].removeprefix(ERROR) for each in answer.json["subproblems"]] == [
        "unsupportedIdentifier",
        "malformed",
    ]


@pytest.mark.parametrize(
    ("names", "canonical"),
    [
        (["WWW.Example.COM"], ["www.example.com"]),
        (["a.example.com", "A.example.com", "a.example.com"], ["a.example.com"]),
        (["*.Example.com", "example.com"], ["*.example.com", "example.com"]),
        (["2001:DB8:0::0001", "2001:db8::1"], ["2001:db8::1"]),
        (["xn--mnchen-3ya.example.com"], ["xn--mnchen-3ya.example.com"]),
        (["host"], ["host"]),
    ],
)
def test_identifiers_are_compared_and_shown_in_canonical_form(client, names, canonical):
    order = new_order(client, *names).json

    assert [each["value"] for each in order["identifiers"]] == canonical
    assert len(order["authorizations"]) == len(canonical)
    assert finalize(client, order).json["status"] == "valid"


def test_an_order_may_have_a_hundred_names(client):
    names = [f"{number}.example.com" for number in range(MAX_IDENTIFIERS)]

    order = new_order(client, *names).json

    assert [each["value"] for each in order["identifiers"]] == names
    shown = [client.post(url, None).json["identifier"] for url in order["authorizations"][:3]]
    assert shown == order["identifiers"][:3]


def validity(certificate):
    return (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds()


@pytest.mark.parametrize(("profile", "hours"), [("short", 2), ("day", 24)])
def test_a_profile_decides_how_long_the_certificate_is_valid(client, profile, hours):
    order = new_order(client, "www.example.com", profile=profile).json
    assert order["profile"] == profile

    finalized = finalize(client, order).json

    assert finalized["profile"] == profile
    [certificate, _] = download(client, finalized)
    assert hours * 3600 <= validity(certificate) < hours * 3600 + 600


def test_an_unknown_profile_is_refused_with_the_names_of_the_others(client):
    answer = new_order(client, "www.example.com", profile="long", status=400)

    assert_problem(answer, "invalidProfile", 400, "should be one of day, short")


def test_a_directory_without_profiles_has_none_to_choose(serve, document):
    client = add_client(serve(acme_with(document), base_url=BASE_URL))

    assert "profile" not in new_order(client, "www.example.com").json
    answer = new_order(client, "www.example.com", profile="day", status=400)
    assert_problem(answer, "invalidProfile", 400, "has no profiles")


def test_a_profile_that_the_configuration_has_no_more_is_refused_at_finalize(serve, document):
    configuration = acme_with(document, profiles=PROFILES)
    client = add_client(serve(configuration, base_url=BASE_URL))
    order = new_order(client, "www.example.com", profile="short").json
    del configuration["registration_authority"]["default"]["acme"]["profiles"]["short"]

    client.http = serve(configuration, base_url=BASE_URL).http

    answer = finalize(client, order, status=400)
    assert_problem(answer, "invalidProfile", 400, "should be one of day")
    assert client.post(order["finalize"].removesuffix("/finalize"), None).json["status"] == "ready"


def test_an_order_that_was_not_finalized_in_time_is_invalid(client, clock):
    answer = new_order(client, "www.example.com")
    clock.advance(hours=24, seconds=1)
    client.nonces.clear()

    order = client.post(answer.headers["Location"], None).json

    assert order["status"] == "invalid"
    assert order["error"]["detail"].startswith("the order has expired at 20")
    assert "certificate" not in order
    assert client.post(order["authorizations"][0], None).json["status"] == "expired"
    refused = finalize(client, order, status=403)
    assert_problem(refused, "orderNotReady", 403, "the order is invalid, and should be ready")


@pytest.mark.parametrize("resource", ["order", "finalize", "authorization", "certificate"])
def test_the_resources_of_another_account_do_not_exist(acme, client, resource):
    answer = new_order(client, "www.example.com")
    order = answer.json
    final = finalize(client, order).json
    urls = {
        "order": answer.headers["Location"],
        "finalize": order["finalize"],
        "authorization": order["authorizations"][0],
        "certificate": final["certificate"],
    }
    other = add_client(acme)

    url = urls[resource]
    refused = other.post(url, {"csr": "AA"} if resource == "finalize" else None)

    assert_problem(refused, "malformed", 404, "the account has no such")
    unknown = other.post(f"{URL}/{resource.replace('finalize', 'order')}/{'a' * 25}", None)
    assert (unknown.status_int, unknown.json["type"]) == (404, refused.json["type"])


@pytest.mark.parametrize("resource", ["order", "authorization", "certificate", "orders"])
def test_a_resource_that_can_only_be_read_takes_no_payload(client, resource):
    answer = new_order(client, "www.example.com")
    final = finalize(client, answer.json).json
    urls = {
        "order": answer.headers["Location"],
        "authorization": final["authorizations"][0],
        "certificate": final["certificate"],
        "orders": f"{client.account}/orders",
    }

    assert_problem(client.post(urls[resource], {}), "malformed", 400, "should be empty")


def test_a_certificate_for_an_order_is_a_leaf_for_exactly_its_names(client):
    certificate = obtain(client, "b.example.com", "a.example.com")

    assert sorted(names_of(certificate)) == ["a.example.com", "b.example.com"]
