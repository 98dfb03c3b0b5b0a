"""Clients learn when to renew (RFC 9773): the server spreads them over the fleet."""

from __future__ import annotations

import datetime
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.renewal_windows import renewal_window
from anchor.acme.replacements import check_replaces
from anchor.store.acme_records import Identifier, OrderStatus
from anchor.store.bans import Ban
from anchor.timestamps import utc_now
from tests.support.acme import (
    BASE_URL,
    acme_configuration,
    add_account,
    add_order,
    certificate_id,
    issue_for,
)
from tests.support.pki import make_csr, make_key

SECOND, MINUTE = datetime.timedelta(seconds=1), datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
MOMENT = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
WWW = Identifier("dns", "www.example.com")


@pytest.fixture
def acme(serve, document):
    return serve(acme_configuration(document), base_url=BASE_URL)


@pytest.fixture
def services(acme):
    return acme.settings.acme["default"]


@pytest.fixture
def account(acme):
    return add_account(acme.settings.database)


@pytest.fixture
def issued(services, account):
    return issue_for(services, account)


def ask(acme, identifier, status=200):
    return acme.http.get(f"/acme/default/renewal-info/{identifier}", status=status)


@given(
    st.integers(0, 1 << 31),
    st.integers(60, 10 * 366 * 86400),
    st.integers(1, (1 << 159) - 1),
)
def test_a_window_is_in_the_second_half_of_the_life_and_ends_before_five_sixths(
    since, seconds, serial
):
    begin = datetime.datetime.fromtimestamp(since, datetime.UTC)
    life = seconds * SECOND
    window = renewal_window(begin, begin + life, f"{serial:x}")
    assert begin + life / 2 - SECOND < window.start
    assert window.end <= begin + life * 5 / 6
    assert SECOND < window.end - window.start <= max(life / 12, 2 * SECOND)
    assert window.start.microsecond == window.end.microsecond == 0
    assert window == renewal_window(begin, begin + life, f"{serial:x}")


def test_the_windows_of_a_fleet_are_spread_evenly():
    tenths = [0] * 10
    for _ in range(5000):
        window = renewal_window(MOMENT, MOMENT + 24 * HOUR, secrets.token_hex(20))
        tenths[int((window.start - MOMENT - 12 * HOUR) / (4 * HOUR) * 10)] += 1
    # Five standard deviations are 106.
    assert all(abs(count - 500) < 110 for count in tenths), tenths


def test_a_client_learns_its_window_without_an_account(acme, issued):
    answer = ask(acme, certificate_id(issued.certificate))
    window = answer.json["suggestedWindow"]
    start, end = (datetime.datetime.fromisoformat(window[key]) for key in ("start", "end"))
    assert issued.not_before + 12 * HOUR < start < end < issued.not_after - 4 * HOUR
    assert answer.json.keys() == {"suggestedWindow"}
    assert answer.content_type == "application/json"
    assert "Replay-Nonce" not in answer.headers
    assert f'<{BASE_URL}/acme/default/directory>;rel="index"' in answer.headers.getall("Link")


def test_head_has_the_headers_of_get(acme, issued):
    identifier = certificate_id(issued.certificate)
    head = acme.http.head(f"/acme/default/renewal-info/{identifier}")
    assert head.headers["Retry-After"] == ask(acme, identifier).headers["Retry-After"]


@pytest.mark.parametrize(
    ("hours", "retry_after"), [(0.5, "75"), (0.1, "60"), (24, "3602"), (2000, "21600")]
)
def test_clients_ask_again_sooner_for_shorter_lives(serve, document, hours, retry_after):
    document["signing_ca"]["local"]["valid_hours"] = hours
    document["signing_ca"]["local"]["min_valid_hours"] = hours
    acme = serve(acme_configuration(document), base_url=BASE_URL)
    account = add_account(acme.settings.database)
    issued = issue_for(acme.settings.acme["default"], account)
    answer = ask(acme, certificate_id(issued.certificate))
    assert abs(int(answer.headers["Retry-After"]) - int(retry_after)) <= 3


def test_a_certificate_of_another_protocol_has_a_window_too(acme):
    certificate = acme.issue(make_csr())
    assert ask(acme, certificate_id(certificate)).json["suggestedWindow"]


def test_a_certificate_of_another_authority_is_unknown(serve, document):
    acme_configuration(document)
    authorities = document["registration_authority"]
    authorities["other"] = dict(authorities["default"])
    acme = serve(document, base_url=BASE_URL)
    issued = issue_for(acme.settings.acme["default"], add_account(acme.settings.database))
    identifier = certificate_id(issued.certificate)
    answer = acme.http.get(f"/acme/other/renewal-info/{identifier}", status=404)
    assert answer.json["type"] == "urn:ietf:params:acme:error:malformed"


@pytest.mark.parametrize(("identifier", "status"), [("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE", 404)])
def test_an_unknown_certificate_is_not_found(acme, identifier, status):
    assert ask(acme, identifier, status).content_type == "application/problem+json"


@pytest.mark.parametrize("identifier", ["x", "x.y.z", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.h2VDIQ", "%00."])
def test_a_malformed_identifier_is_an_error_of_the_client(acme, identifier):
    answer = ask(acme, identifier, 400)
    assert answer.json["type"] == "urn:ietf:params:acme:error:malformed"


@pytest.mark.parametrize("kind", ["certificate", "key"])
def test_after_a_revocation_the_window_has_passed_and_is_wide(acme, services, issued, kind):
    record = services.authority.inventory.find(issued.fingerprint)
    value = record.fingerprint if kind == "certificate" else record.key
    services.bans.add(Ban(kind=kind, value=value, since=utc_now()))
    identifier = certificate_id(issued.certificate)
    answer = ask(acme, identifier).json
    window = answer["suggestedWindow"]
    start, end = (datetime.datetime.fromisoformat(window[key]) for key in ("start", "end"))
    assert start + MINUTE < end < utc_now()
    assert answer["explanationURL"] == f"{BASE_URL}/acme/default/explanation/{identifier}"


def test_an_order_may_replace_a_certificate_of_its_account(services, account, issued):
    check_replaces(services, account, [WWW], certificate_id(issued.certificate))


def refusal(services, account, identifiers, identifier):
    with pytest.raises(AcmeProblem) as refused:
        check_replaces(services, account, identifiers, identifier)
    return refused.value


def test_an_order_replaces_no_certificate_of_another_account(acme, services, issued):
    other = add_account(acme.settings.database)
    problem = refusal(services, other, [WWW], certificate_id(issued.certificate))
    # Clients leave the member out after this type only.
    assert problem.kind is ProblemType.ALREADY_REPLACED
    unknown = refusal(services, other, [WWW], "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
    assert str(problem) == str(unknown)


def test_an_order_has_to_have_a_name_of_the_certificate_that_it_replaces(services, account):
    identifier = certificate_id(
        issue_for(services, account, "a.example.com", "192.0.2.1", "2001:db8::1").certificate
    )
    problem = refusal(services, account, [WWW], identifier)
    assert problem.kind is ProblemType.ALREADY_REPLACED
    assert "DNS:a.example.com, IP:192.0.2.1, IP:2001:db8::1" in str(problem)
    for shared in (
        Identifier("dns", "a.example.com"),
        Identifier("ip", "192.0.2.1"),
        Identifier("ip", "2001:db8::1"),
    ):
        check_replaces(services, account, [WWW, shared], identifier)


def test_a_malformed_replaces_is_named(services, account):
    problem = refusal(services, account, [WWW], "x")
    assert problem.kind is ProblemType.MALFORMED
    assert str(problem).startswith("'replaces' is malformed: ")


@pytest.mark.parametrize("status", ["pending", "ready", "valid"])
def test_a_certificate_is_replaced_once(acme, services, account, issued, status):
    identifier = certificate_id(issued.certificate)
    database = acme.settings.database
    add_order(database, account, replaces=identifier, status=OrderStatus(status))
    problem = refusal(services, account, [WWW], identifier)
    assert problem.kind is ProblemType.ALREADY_REPLACED
    assert problem.as_json()["status"] == 409


@pytest.mark.parametrize(
    "changes",
    [
        {"status": OrderStatus.INVALID},
        {"status": OrderStatus.PENDING, "expires": utc_now() - MINUTE},
        {"status": OrderStatus.READY, "expires": utc_now() - MINUTE},
        # It was never finalized, as no process does it.
        {"status": OrderStatus.PROCESSING},
    ],
)
def test_an_order_that_has_failed_frees_the_certificate(acme, services, account, issued, changes):
    identifier = certificate_id(issued.certificate)
    add_order(acme.settings.database, account, replaces=identifier, **changes)
    check_replaces(services, account, [WWW], identifier)


def test_an_order_in_progress_keeps_the_certificate_until_its_process_was_killed(
    services, account, issued, acme
):
    identifier = certificate_id(issued.certificate)
    order = add_order(acme.settings.database, account, replaces=identifier)
    complete, services.orders.complete = services.orders.complete, lambda *_: None
    issue_for(services, account, order=order, key=make_key())
    services.orders.complete = complete
    assert refusal(services, account, [WWW], identifier).kind is ProblemType.ALREADY_REPLACED
    services.orders._clock = lambda: utc_now() + 3 * MINUTE
    check_replaces(services, account, [WWW], identifier)
