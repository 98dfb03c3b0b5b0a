"""``anchor explain --acme`` says why an order is in its state, in the words of the service."""

from __future__ import annotations

import dataclasses
import datetime
import json

import pytest
from sqlalchemy import delete, update

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.services import new_id
from anchor.cli import main
from anchor.store.acme_records import (
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Identifier,
    Order,
    OrderStatus,
)
from anchor.store.bans import Ban
from anchor.store.database.tables import TOKENS
from anchor.store.database.tokens import Tokens
from anchor.timestamps import timestamp, utc_now
from tests.support.acme import (
    BASE_URL,
    DAY,
    URL,
    Client,
    acme_configuration,
    add_account,
    add_binding_token,
    add_order,
    issue_for,
)
from tests.support.acme_orders import csr_text

NOW = utc_now().replace(microsecond=0)


@pytest.fixture
def acme(serve, document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {
        "whitelist_names": {"names": ["%.example.com"], "allow_dns_id": True}
    }
    return serve(acme_configuration(document), base_url=BASE_URL)


@pytest.fixture
def database(acme):
    return acme.settings.database


@pytest.fixture
def explain(acme, capsys):
    """Runs the command; returns its exit code, its output and its errors."""

    def run(*arguments):
        code = main.main(["explain", *arguments, "--config", str(acme.path / "config.json")])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def explained(explain):
    """The exit code, and the explanation as JSON."""

    def run(order_id, *arguments):
        code, output, errors = explain("--acme", order_id, "--json", *arguments)
        assert errors == ""
        return code, json.loads(output)

    return run


def test_an_order_that_is_ready_can_be_finalized(database, explain, explained):
    order = add_order(database, add_account(database, user_agent="lego/4"), "www.example.com")
    code, document = explained(order.id)
    assert (code, document["status"]) == (0, "ready")
    assert document["conclusion"] == f"The client can finalize it until {timestamp(order.expires)}."
    assert document["failures"] == []
    assert document["limits"]["uncertified"] == 1

    code, output, _ = explain("--acme", order.id)
    lines = output.splitlines()
    assert code == 0
    assert lines[0] == "default: ordered by machines"
    assert "  client              lego/4" in lines
    assert "  valid       www.example.com  no challenge was needed" in lines
    assert any(line.split() == ["ok", "whitelist_names"] for line in lines)
    assert lines[-1] == f"ready: {document['conclusion']}"


@pytest.mark.parametrize("form", ["{id}", f"{URL}/order/{{id}}", f"{URL}/order/{{id}}/finalize"])
def test_an_order_is_named_by_its_identifier_or_its_url(database, explained, form):
    order = add_order(database, add_account(database))
    assert explained(form.format(id=order.id))[1]["order"] == order.id


def test_the_policy_as_of_now_is_asked(database, explained, acme):
    account = add_account(database)
    order = add_order(database, account, "www.example.com", "www.example.net")
    code, document = explained(order.id)
    [failure] = document["failures"]
    assert (code, failure["check"]) == (1, "whitelist_names")
    assert "www.example.net" in failure["reason"]

    # These are the words that the client gets.
    client = Client(acme.http)
    account = add_account(database, client.key)
    client.account = f"{URL}/account/{account.id}"
    names = [{"type": "dns", "value": str(each)} for each in order.identifiers]
    answer = client.post("/new-order", {"identifiers": names}, status=400)
    assert f"whitelist_names: {failure['reason']}" in answer.json["detail"]


def test_a_ban_is_an_obstacle(database, explained, acme):
    order = add_order(database, add_account(database))
    acme.settings.acme["default"].bans.add(Ban(kind="name", value="www.example.com", since=NOW))
    code, document = explained(order.id)
    assert code == 1
    assert document["conclusion"].startswith("It gets no certificate: not_banned: the name is ban")


def test_an_order_with_a_certificate_names_it(database, explained, acme):
    account = add_account(database)
    order = add_order(database, account)
    issued = issue_for(acme.settings.acme["default"], account, order=order)
    code, document = explained(order.id)
    assert (code, document["status"], document["certificate"]) == (0, "valid", issued.fingerprint)
    assert document["conclusion"].endswith(f"valid until {timestamp(issued.not_after)}.")
    assert document["limits"]["issued"] == 1
    assert timestamp(issued.not_before) < document["limits"]["renew_from"]


def test_an_order_that_has_expired_says_so(database, explained):
    order = add_order(database, add_account(database), expires=NOW - DAY / 2)
    code, document = explained(order.id)
    assert (code, document["status"]) == (1, "invalid")
    assert f"expired at {timestamp(order.expires)}" in document["conclusion"]


def test_the_error_of_a_challenge_is_shown(database, explain, acme):
    account = add_account(database)
    error = AcmeProblem(ProblemType.CONNECTION, "192.0.2.1 does not answer at port 80").as_json()
    order = Order(
        id=new_id(),
        account_id=account.id,
        status=OrderStatus.INVALID,
        expires=NOW + DAY,
        identifiers=(Identifier("dns", "www.example.com"), Identifier("dns", "*.example.com")),
        error=error,
        created=NOW,
    )
    challenges = (
        Challenge(type="http-01", token="x", status=ChallengeStatus.INVALID, error=error),
        Challenge(type="dns-01", token="y"),
    )
    authorizations = [
        Authorization(
            id=new_id(),
            order_id=order.id,
            account_id=account.id,
            identifier=identifier,
            status=status,
            expires=NOW + DAY,
            challenges=offered,
        )
        for identifier, status, offered in (
            (order.identifiers[0], AuthorizationStatus.INVALID, challenges),
            (order.identifiers[1], AuthorizationStatus.PENDING, challenges[1:]),
        )
    ]
    acme.settings.acme["default"].orders.add(order, authorizations, delete_after=NOW + 2 * DAY)
    code, output, _ = explain("--acme", order.id)
    assert code == 1
    failed = "http-01 invalid (connection: 192.0.2.1 does not answer at port 80); dns-01 pending"
    assert f"  invalid     www.example.com  {failed}\n" in output
    assert "  pending     *.example.com    dns-01 pending\n" in output
    assert "invalid: It gets no certificate: 192.0.2.1 does not answer at port 80" in output


def pending_order(acme, database):
    """A pending order with the challenge http-01."""
    account = add_account(database)
    ready = add_order(database, account)
    order = dataclasses.replace(ready, id=new_id(), status=OrderStatus.PENDING)
    authorization = Authorization(
        id=new_id(),
        order_id=order.id,
        account_id=account.id,
        identifier=order.identifiers[0],
        status=AuthorizationStatus.PENDING,
        expires=order.expires,
        challenges=(Challenge(type="http-01", token="x"),),
    )
    acme.settings.acme["default"].orders.add(order, [authorization], delete_after=NOW + DAY)
    return order


def reconfigure(acme, document, **options):
    """Change the section ``acme`` after the order was created."""
    document["registration_authority"]["default"]["acme"] = {"challenges": [], "open": True}
    document["registration_authority"]["default"]["acme"] |= options
    (acme.path / "config.json").write_text(json.dumps(document))


def test_a_pending_order_waits_for_challenges(database, explained, acme, document):
    order = pending_order(acme, database)
    reconfigure(acme, document, challenges=["http-01"], networks=["192.0.2.0/24"])
    code, document = explained(order.id)
    assert code == 0
    assert document["conclusion"] == (
        f"The client has to pass a challenge for www.example.com until {timestamp(order.expires)}."
    )


def test_a_challenge_that_is_not_offered_any_more_is_an_obstacle(database, explained, acme):
    order = pending_order(acme, database)
    code, document = explained(order.id)
    [refusal] = document["refusals"]
    assert (code, refusal) == (
        1,
        "the directory offers no challenge for www.example.com any more",
    )
    assert document["conclusion"] == f"It gets no certificate: {refusal}."


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"challenges": ["http-01"], "networks": ["192.0.2.0/24"]}, "orderNotReady"),
        ({"profiles": {"day": {"description": "24 hours"}}}, "invalidProfile"),
    ],
)
def test_what_finalize_refuses_after_a_change_of_the_configuration_is_an_obstacle(
    database, explained, acme, document, serve, options, kind
):
    client = Client(acme.http)
    account = add_account(database, client.key)
    client.account = f"{URL}/account/{account.id}"
    order = add_order(database, account, profile="week")
    reconfigure(acme, document, **options)
    code, explanation = explained(order.id)
    assert (code, explanation["status"]) == (1, "ready")
    [refusal] = explanation["refusals"]
    assert explanation["conclusion"] == f"It gets no certificate: {refusal}."

    # These are the words that the client gets.
    client.http = serve(document, base_url=BASE_URL).http
    answer = client.post(f"/order/{order.id}/finalize", {"csr": csr_text("www.example.com")})
    assert (answer.json["type"].rpartition(":")[2], answer.json["detail"]) == (kind, refusal)


def test_the_limit_of_certificates_for_the_same_names_is_an_obstacle(database, explained, acme):
    account = add_account(database)
    order = add_order(database, account)
    services = acme.settings.acme["default"]
    for _ in range(services.settings.max_duplicates):
        issue_for(services, account)
    code, document = explained(order.id)
    assert code == 1
    assert "the account has 5 certificates for these names already" in document["conclusion"]
    assert document["account"]["refused"] == 0, "explaining counts nothing"
    assert services.accounts.find(account.id).refused == 0


def test_an_account_that_has_ended_is_an_obstacle(database, explained):
    account = add_account(database, status=AccountStatus.DEACTIVATED)
    code, document = explained(add_order(database, account).id)
    assert (code, document["account"]["status"]) == (1, "deactivated")
    assert "the account is deactivated" in document["conclusion"]


def test_the_token_of_an_account_and_its_limits_are_shown(database, explain):
    token_id, secret = add_binding_token(
        database, names=["www.example.com"], groups=["web"], expires=NOW + DAY
    )
    account = add_account(
        database, token_id=token_id, groups=("web",), allowed_names=("www.example.com",), refused=2
    )
    order = add_order(database, account)
    code, output, _ = explain("--acme", order.id)
    assert code == 0
    assert output.startswith("default: ordered by machines of web\n")
    for line in (
        f"  token               {token_id}",
        "  limited to          www.example.com",
        "  orders without one  1 of at most 300 orders",
        "  for these names     0 of 5 certificates",
        "  refused             2 orders that came too often",
    ):
        assert f"{line}\n" in output
    assert secret not in output

    Tokens(database).revoke(token_id)
    code, output, _ = explain("--acme", order.id)
    assert code == 1
    assert f"  token               {token_id}, revoked at " in output
    assert "It gets no certificate: the account is revoked" in output


def test_a_token_that_was_revoked_by_a_node_of_the_version_before_is_an_obstacle(
    database, explained
):
    token_id, _ = add_binding_token(database)
    order = add_order(database, add_account(database, token_id=token_id))
    # That version knew of no accounts.
    with database.write() as connection:
        connection.execute(update(TOKENS).values(revoked=NOW.timestamp()))
    code, document = explained(order.id)
    assert (code, document["account"]["status"]) == (1, "valid")
    end = f"the token of the account was revoked at {timestamp(NOW)}."
    assert document["conclusion"] == f"It gets no certificate: {end}"
    assert document["account"]["token_revoked"] == timestamp(NOW)


def test_a_token_that_does_not_exist_any_more_is_an_obstacle(database, explain):
    token_id, _ = add_binding_token(database)
    order = add_order(database, add_account(database, token_id=token_id))
    with database.write() as connection:
        connection.execute(delete(TOKENS))
    code, output, _ = explain("--acme", order.id)
    assert code == 1
    assert f"  token               {token_id}, which does not exist any more\n" in output
    assert "It gets no certificate: the token of the account does not exist any more." in output


def test_an_authority_that_accepts_no_tokens_any_more_is_an_obstacle(
    database, explain, acme, document
):
    token_id, _ = add_binding_token(database)
    order = add_order(database, add_account(database, token_id=token_id))
    authority = document["registration_authority"]["default"]
    authority["authentication"] = "static"
    authority["acme"] = {"challenges": [], "open": True}
    (acme.path / "config.json").write_text(json.dumps(document))
    code, output, _ = explain("--acme", order.id)
    assert code == 1
    assert "  failed" in output


def test_the_certificate_of_an_order_may_be_pruned(database, explained, acme):
    account = add_account(database)
    order = add_order(database, account)
    services = acme.settings.acme["default"]
    issued = issue_for(services, account, order=order)
    assert sum(services.authority.inventory.prune(NOW + 2 * DAY)) == 1
    code, document = explained(order.id)
    expected = f"It got the certificate {issued.fingerprint}, which was pruned since."
    assert (code, document["conclusion"]) == (0, expected)
    assert document["limits"]["renew_from"] is None


def test_an_order_whose_certificate_is_being_issued_says_so(database, explained, acme, monkeypatch):
    account = add_account(database)
    order = add_order(database, account)
    services = acme.settings.acme["default"]
    monkeypatch.setattr(services.orders, "complete", lambda *_: None)
    issue_for(services, account, order=order)
    code, document = explained(order.id)
    assert (code, document["status"]) == (0, "processing")
    assert document["conclusion"] == "A request issues its certificate at this moment."


@pytest.mark.parametrize("order", ["a" * 25, "1", "x\x00", f"{URL}/account/abc", ""])
def test_an_unknown_order_is_a_usage_error(explain, order):
    code, output, errors = explain("--acme", order)
    assert (code, output) == (2, "")
    assert errors.startswith("anchor explain: ")


def test_either_a_request_or_an_order_is_explained(explain):
    for arguments in (["request.csr", "--acme", "a" * 25], []):
        code, _, errors = explain(*arguments)
        assert code == 2
        assert "--acme" in errors


def test_explaining_changes_nothing(database, explained, acme):
    order = add_order(database, add_account(database), expires=NOW - datetime.timedelta(minutes=1))
    before = acme.settings.acme["default"].orders.find(order.id)
    explained(order.id)
    assert acme.settings.acme["default"].orders.find(order.id) == before


def test_without_a_database_nothing_is_made(tmp_path, document, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(acme_configuration(document)))
    assert main.main(["explain", "--acme", "a" * 25, "--config", str(config)]) == 2
    assert "there is no order: the service makes the database" in capsys.readouterr().err
    assert not (tmp_path / "anchor.db").exists()
