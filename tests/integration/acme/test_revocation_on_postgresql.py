"""Renewal information, revocation and the end of accounts on PostgreSQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.acme.problems import AcmeProblem, ProblemType
from anchor.acme.replacements import check_replaces
from anchor.cli import main
from anchor.store.acme_records import AccountStatus, Identifier
from anchor.store.database.tokens import Tokens
from anchor.timestamps import utc_now
from tests.support.acme import (
    BASE_URL,
    DAY,
    acme_configuration,
    add_account,
    add_binding_token,
    add_order,
    certificate_id,
    issue_for,
)
from tests.support.database import anchor_url
from tests.unit.acme.test_revocation import add_client, bans, revoke

WWW = Identifier("dns", "www.example.com")


@pytest.fixture
def acme(serve, document, postgresql_url):
    document["database"] = {"url": anchor_url(postgresql_url)}
    service = serve(acme_configuration(document), base_url=BASE_URL)
    yield service
    service.settings.database.close()


@pytest.fixture
def services(acme):
    return acme.settings.acme["default"]


def test_a_certificate_is_revoked_and_its_window_has_passed(acme, services):
    client = add_client(acme)
    issued = issue_for(services, client.row)
    path = f"/acme/default/renewal-info/{certificate_id(issued.certificate)}"
    before = acme.http.get(path, status=200).json["suggestedWindow"]
    revoke(client, issued, reason=4)
    assert bans(services) == [("certificate", issued.fingerprint)]
    after = acme.http.get(path, status=200).json["suggestedWindow"]
    assert after["end"] < before["start"]
    revoke(client, issued, status=400)


def test_of_many_revocations_at_once_one_succeeds(acme, services):
    client = add_client(acme)
    issued = issue_for(services, client.row)
    clients = [type(client)(acme.http, client.key) for _ in range(6)]
    for each in clients:
        each.account = client.account
        each.nonces = [each.nonce()]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(lambda each: revoke(each, issued, status="*"), clients))
    assert sorted(answer.status_int for answer in answers) == [200, *[400] * 5]
    assert len(bans(services)) == 1


def test_an_account_with_authorizations_for_all_names_may_revoke(acme, services):
    names = ("a.example.com", "*.b.example.com", "192.0.2.1")
    issued = issue_for(services, add_client(acme).row, *names)
    other = add_client(acme)
    add_order(acme.settings.database, other.row, *names[:2])
    revoke(other, issued, status=403)
    add_order(acme.settings.database, other.row, names[2])
    revoke(other, issued)


def test_a_certificate_is_replaced_once(acme, services):
    account = add_account(acme.settings.database)
    identifier = certificate_id(issue_for(services, account).certificate)
    check_replaces(services, account, [WWW], identifier)
    add_order(acme.settings.database, account, replaces=identifier, expires=utc_now() - DAY / 2)
    check_replaces(services, account, [WWW], identifier)
    add_order(acme.settings.database, account, replaces=identifier)
    with pytest.raises(AcmeProblem) as refused:
        check_replaces(services, account, [WWW], identifier)
    assert refused.value.kind is ProblemType.ALREADY_REPLACED


def test_the_accounts_of_a_revoked_token_end(acme, services, capsys):
    database = acme.settings.database
    token_id, _ = add_binding_token(database)
    account = add_account(database, token_id=token_id)
    order = add_order(database, account)
    issue_for(services, account, order=order)
    config = ["--config", str(acme.path / "config.json"), "--json"]
    tokens = Tokens(database)
    assert tokens.count_ended(utc_now() + 2 * DAY) == 0

    assert main.main(["token", "revoke", token_id, *config]) == 0
    assert json.loads(capsys.readouterr().out)["accounts"] == [account.id]
    assert services.accounts.find(account.id).status is AccountStatus.REVOKED
    assert tokens.count_ended(utc_now() + 2 * DAY) == 1

    assert main.main(["acme", "clients", *config]) == 0
    client = json.loads(capsys.readouterr().out)
    assert (client["account"], client["status"]) == (account.id, "revoked")
    assert client["certificates"] == 1
    assert main.main(["explain", "--acme", order.id, *config]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert (explained["status"], explained["limits"]["issued"]) == ("valid", 1)
