"""Which challenges are offered, and what the response to one leads to."""

from __future__ import annotations

import base64
import sys
import threading

import pytest

from anchor.acme.challenges import offered
from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.settings import AcmeSettings
from anchor.acme.validation.failures import ChallengeFailed
from anchor.acme.validation.validator import Validator
from anchor.errors import BackendUnavailable, ConfigurationError
from anchor.store.acme_records import AuthorizationStatus, Identifier, OrderStatus
from tests.support.acme import BASE_URL, Client, acme_configuration, add_account, add_order
from tests.support.servers.processes import wait_for

ALL = ("dns-persist-01", "http-01", "dns-01", "tls-alpn-01")
OPTIONS = {"networks": ["10.0.0.0/8"], "issuer_domain_names": ["ca.example"]}
WWW = Identifier("dns", "www.example.com")


def section(*challenges):
    return AcmeSettings(challenges=challenges, **OPTIONS)


def types(settings, identifier):
    return [each.type for each in offered(settings, identifier)]


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (WWW, ["http-01", "dns-01", "tls-alpn-01", "dns-persist-01"]),
        (Identifier("dns", "*.example.com"), ["dns-01", "dns-persist-01"]),
        (Identifier("ip", "10.0.0.7"), ["http-01", "tls-alpn-01"]),
    ],
)
def test_challenges_that_fit_are_offered_and_those_without_a_token_last(identifier, expected):
    assert types(section(*ALL), identifier) == expected


def test_tokens_are_256_random_bits_and_never_the_same():
    tokens = [each.token for _ in range(20) for each in offered(section("http-01"), WWW)]
    assert len(set(tokens)) == 20
    assert all(len(base64.urlsafe_b64decode(f"{token}=")) == 32 for token in tokens)
    assert [each.token for each in offered(section("dns-persist-01"), WWW)] == [""]


@pytest.mark.parametrize(
    ("challenges", "identifier", "right"),
    [
        (
            ["http-01", "tls-alpn-01"],
            Identifier("dns", "*.example.com"),
            "dns-01 or dns-persist-01",
        ),
        (["dns-01"], Identifier("ip", "10.0.0.7"), "http-01 or tls-alpn-01"),
    ],
)
def test_a_name_that_no_challenge_fits_is_rejected(challenges, identifier, right):
    with pytest.raises(AcmeProblem, match=right) as caught:
        offered(section(*challenges), identifier)
    assert caught.value.kind is ProblemType.REJECTED_IDENTIFIER


class Outcomes:
    """Stands in for the validator: names that are bad fail."""

    def __init__(self):
        self.attempts = []
        self.bad = set()
        self.meanwhile = lambda: None

    def validate(self, attempt, _now):
        self.attempts.append(attempt)
        self.meanwhile()
        if attempt.identifier.value in self.bad:
            return ChallengeFailed(ProblemType.CONNECTION, "port 80: no answer in time")
        return None


@pytest.fixture
def acme(serve, document):
    configuration = acme_configuration(document, challenges=list(ALL), open=True, **OPTIONS)
    return serve(configuration, base_url=BASE_URL)


@pytest.fixture
def services(acme):
    return acme.settings.acme["default"]


@pytest.fixture
def outcomes(services):
    outcomes = Outcomes()
    # The service holds these services.
    object.__setattr__(services, "validator", outcomes)
    return outcomes


@pytest.fixture
def client(acme, services):
    client = Client(acme.http)
    account = add_account(acme.settings.database, client.key)
    client.account = f"{client.url}/account/{account.id}"
    client.record = account
    return client


@pytest.fixture
def order(acme, services, client):
    """Stores an order for names, and returns it with its authorizations."""

    def store(*names, of=None, **changes):
        made = add_order(
            acme.settings.database,
            of or client.record,
            *names,
            status=OrderStatus.PENDING,
            challenges=lambda identifier: offered(services.settings, identifier),
            **changes,
        )
        return made, services.orders.authorizations(made.id)

    return store


def respond(client, authorization, challenge_type="http-01", payload=None, **options):
    path = f"/challenge/{authorization.id}/{challenge_type}"
    return client.post(path, {} if payload is None else payload, **options)


def same_account(client):
    """Another client with the same account."""
    other = Client(client.http, client.key)
    other.account = client.account
    return other


def run_in_thread(function, *arguments):
    """Call a function in another thread, as another request would be, and wait for its end."""
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join(30)


def test_a_valid_challenge_makes_the_authorization_valid_and_the_order_ready(
    services, client, order, outcomes
):
    made, [authorization] = order("www.example.com")
    answer = respond(client, authorization, status=200)
    assert answer.json["status"] == "valid"
    assert answer.json["type"] == "http-01"
    assert answer.json["url"] == f"{client.url}/challenge/{authorization.id}/http-01"
    assert answer.json["validated"].endswith("Z")
    assert "error" not in answer.json
    assert f'<{client.url}/authorization/{authorization.id}>;rel="up"' in answer.headers.getall(
        "Link"
    )
    assert services.orders.find(made.id).status is OrderStatus.READY
    [attempt] = outcomes.attempts
    assert answer.json["token"] == attempt.token
    assert attempt.account_url == client.account


def test_an_order_is_ready_after_the_last_of_its_names(services, client, order, outcomes):
    made, authorizations = order("a.example.com", "b.example.com")
    for authorization, status in zip(
        authorizations, (OrderStatus.PENDING, OrderStatus.READY), strict=True
    ):
        respond(client, authorization, status=200)
        assert services.orders.find(made.id).status is status


def test_a_failure_ends_challenge_authorization_and_order(services, client, order, outcomes):
    outcomes.bad.add("b.example.com")
    made, authorizations = order("a.example.com", "b.example.com")
    [failing] = [each for each in authorizations if each.identifier.value == "b.example.com"]
    answer = respond(client, failing, status=200)
    assert answer.json["status"] == "invalid"
    assert answer.json["error"]["type"] == "urn:ietf:params:acme:error:connection"
    assert answer.json["error"]["detail"] == "port 80: no answer in time"
    assert "validated" not in answer.json
    shown = client.post(f"/authorization/{failing.id}", None, status=200).json
    assert shown["status"] == "invalid"
    assert [each["type"] for each in shown["challenges"]] == ["http-01"]
    stored = services.orders.find(made.id)
    assert stored.status is OrderStatus.INVALID
    assert stored.error["subproblems"][0]["identifier"]["value"] == "b.example.com"


def test_another_response_shows_the_result_and_validates_nothing(client, order, outcomes):
    outcomes.bad.add("a.example.com")
    for name in ("a.example.com", "b.example.com"):
        _, [authorization] = order(name)
        first = respond(client, authorization, status=200)
        count = len(outcomes.attempts)
        assert respond(client, authorization, status=200).json == first.json
        assert len(outcomes.attempts) == count


def test_post_as_get_shows_the_challenge_and_validates_nothing(client, order, outcomes):
    _, [authorization] = order("www.example.com")
    answer = client.post(f"/challenge/{authorization.id}/http-01", None, status=200)
    assert answer.json["status"] == "pending"
    assert outcomes.attempts == []


def test_dns_persist_01_says_what_to_write_into_the_record(client, order):
    _, [authorization] = order("www.example.com")
    answer = client.post(f"/challenge/{authorization.id}/dns-persist-01", None, status=200)
    assert answer.json == {
        "type": "dns-persist-01",
        "url": f"{client.url}/challenge/{authorization.id}/dns-persist-01",
        "status": "pending",
        "accounturi": client.account,
        "issuer-domain-names": ["ca.example"],
    }


def test_members_of_the_response_are_ignored(client, order, outcomes):
    _, [authorization] = order("www.example.com")
    respond(client, authorization, payload={"keyAuthorization": "x"}, status=200)


def test_a_challenge_of_another_account_is_not_there(acme, client, order, outcomes):
    _, [authorization] = order("www.example.com", of=add_account(acme.settings.database))
    assert respond(client, authorization).status_int == 404
    assert outcomes.attempts == []


def test_a_type_that_was_not_offered_is_not_there(client, order, outcomes):
    _, [authorization] = order("*.example.com")
    assert respond(client, authorization, "http-01").status_int == 404
    assert respond(client, authorization, "oob-01").status_int == 404


def test_two_responses_at_once_have_one_outcome(services, client, order, outcomes):
    """The first result counts: a machine cannot make a failure good by answering once more."""
    outcomes.bad.add("www.example.com")
    made, [authorization] = order("www.example.com")

    def succeed_first():
        outcomes.meanwhile = lambda: None
        outcomes.bad.clear()
        run_in_thread(respond, client_of_second, authorization)
        outcomes.bad.add("www.example.com")

    client_of_second = same_account(client)
    outcomes.meanwhile = succeed_first
    answer = respond(client, authorization, status=200)
    assert answer.json["status"] == "valid"
    assert services.orders.find(made.id).status is OrderStatus.READY
    assert len(outcomes.attempts) == 2


def test_many_responses_for_two_names_at_once_make_the_order_ready(
    services, client, order, outcomes
):
    for _ in range(5):
        made, authorizations = order("a.example.com", "b.example.com")
        barrier = threading.Barrier(2)
        outcomes.meanwhile = barrier.wait
        first, second = authorizations
        thread = threading.Thread(target=respond, args=(same_account(client), first))
        thread.start()
        respond(client, second, status=200)
        thread.join(30)
        assert services.orders.find(made.id).status is OrderStatus.READY


def test_an_error_of_anchor_leaves_the_challenge_pending(services, client, order, outcomes):
    made, [authorization] = order("www.example.com")

    def fail():
        outcomes.meanwhile = lambda: None
        raise RuntimeError("a bug")

    outcomes.meanwhile = fail
    assert respond(client, authorization).status_int == 500
    assert services.orders.find(made.id).status is OrderStatus.PENDING
    assert respond(client, authorization, status=200).json["status"] == "valid"


def test_an_authorization_that_ends_meanwhile_does_not_become_valid(
    services, client, order, outcomes
):
    made, [authorization] = order("www.example.com")
    outcomes.meanwhile = lambda: services.orders.deactivate(authorization, {"detail": "left"})
    respond(client, authorization, status=200)
    stored = services.orders.find_authorization(authorization.id)
    assert stored.status is AuthorizationStatus.DEACTIVATED
    assert services.orders.find(made.id).status is OrderStatus.INVALID


def test_a_response_to_a_deactivated_authorization_is_refused(services, client, order, outcomes):
    _, [authorization] = order("www.example.com")
    services.orders.deactivate(authorization, {"detail": "left"})
    answer = respond(client, authorization, status=400)
    assert "the authorization is deactivated" in answer.json["detail"]
    assert outcomes.attempts == []


def test_a_type_that_is_not_configured_any_more_is_refused(services, client, order, outcomes):
    _, [authorization] = order("www.example.com")
    changed = services.settings.model_copy(update={"challenges": ("dns-01",)})
    object.__setattr__(services, "settings", changed)
    answer = respond(client, authorization, status=400)
    assert "create a new order" in answer.json["detail"]
    assert outcomes.attempts == []


def test_too_many_validations_are_refused_with_the_time_to_wait(
    services, client, order, monkeypatch
):
    made, [authorization] = order("www.example.com")

    def refuse():
        raise BackendUnavailable("too many requests are waiting for the backend", 1)

    monkeypatch.setattr(services.validator._slots, "call", refuse)
    answer = respond(client, authorization, status=429)
    assert answer.json["type"] == "urn:ietf:params:acme:error:rateLimited"
    assert answer.headers["Retry-After"] == "1"
    assert services.orders.find(made.id).status is OrderStatus.PENDING


def test_an_account_with_many_slow_challenges_does_not_starve_another(
    acme, client, order, monkeypatch
):
    go = threading.Event()

    def validate(_self, attempt, _now):
        if attempt.identifier.value.endswith(".slow.example"):
            go.wait(30)

    monkeypatch.setattr(Validator, "_validate", validate)
    _, slow = order(*(f"h{number}.slow.example" for number in range(20)))
    answers = []
    threads = [
        threading.Thread(
            target=lambda each=each: answers.append(respond(same_account(client), each))
        )
        for each in slow
    ]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answers) == 12, what="all challenges but eight to be refused")

    honest = Client(acme.http)
    account = add_account(acme.settings.database, honest.key)
    honest.account = f"{honest.url}/account/{account.id}"
    for number in range(3):
        _, [authorization] = order(f"h{number}.example.com", of=account)
        assert respond(honest, authorization, status=200).json["status"] == "valid"

    for answer in answers:
        assert answer.json["type"] == "urn:ietf:params:acme:error:rateLimited"
        assert answer.headers["Retry-After"] == "1"
    go.set()
    for thread in threads:
        thread.join(30)
    assert sorted(answer.status_int for answer in answers) == [200] * 8 + [429] * 12


def test_without_dnspython_challenges_are_refused_at_the_start(serve, document, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "dns"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("resolver", "validator"):
        monkeypatch.delitem(sys.modules, f"anchor.acme.validation.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "dns", None)
    configuration = acme_configuration(document, challenges=["dns-01"], open=True)
    with pytest.raises(ConfigurationError, match=r"acme\.challenges: .*pip install anchor\[acme\]"):
        serve(configuration, base_url=BASE_URL)


def test_without_challenges_dnspython_is_not_needed(serve, document, monkeypatch):
    monkeypatch.setitem(sys.modules, "anchor.acme.validation.validator", None)
    service = serve(acme_configuration(document), base_url=BASE_URL)
    assert service.settings.acme["default"].validator is None
