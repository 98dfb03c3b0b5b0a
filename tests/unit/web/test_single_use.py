"""Credentials that are good for some certificates: when they are spent, and when not."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from anchor.store.database.certificates import Selection
from tests.support import jwt
from tests.support.pki import make_csr
from tests.support.tokens import add_token, token_configuration


@pytest.fixture
def document(document, tmp_path):
    """An authority that accepts each JWT once, for names in example.com."""
    document["authentication"]["jobs"] = jwt.oidc_section(tmp_path, single_use=True)
    document["registration_authority"]["default"] |= {
        "authentication": ["static", "jobs"],
        "validators": {"common_name": {"allowed_domains": [".example.com"]}},
        "max_failures": 3,
    }
    return document


def outcomes(audit):
    return [(event["event"], event["outcome"]) for event in audit.events()]


def test_a_replay_is_refused_before_anything_is_signed(service, audit):
    token = jwt.make_token()

    service.sign(secret=token, status=200)
    answer = service.sign(secret=token, status=401)

    assert "was used before" in answer.text
    assert outcomes(audit) == [
        ("audit.auth", "success"),
        ("audit.sign", "success"),
        ("audit.auth", "failure"),
    ]
    service.sign(secret=jwt.make_token(jti="another"), status=200)


def test_replays_count_as_failures(service):
    token = jwt.make_token()
    service.sign(secret=token, status=200)

    assert [service.sign(secret=token).status_int for _ in range(5)] == [401] * 3 + [429] * 2


def test_a_request_that_is_refused_spends_nothing(service):
    token = jwt.make_token()

    service.sign(make_csr("web.elsewhere.org"), secret=token, status=400)
    service.sign("no request", secret=token, status=400)

    service.sign(make_csr("web.example.com"), secret=token, status=200)


def test_a_certificate_that_cannot_be_written_spends_nothing(service, tmp_path):
    token = jwt.make_token()
    shutil.rmtree(tmp_path / "certs")

    service.sign(secret=token, status=500)

    (tmp_path / "certs").mkdir()
    service.sign(secret=token, status=200)


def test_of_sixteen_requests_at_once_one_gets_a_certificate(service):
    token = jwt.make_token()
    csrs = [make_csr() for _ in range(16)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda csr: service.sign(csr, secret=token), csrs))

    statuses = sorted(answer.status_int for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {401, 429}
    [authority] = service.settings.authorities.values()
    assert authority.inventory.count(Selection()) == 1


def test_sixteen_machines_that_start_at_once_with_one_token_get_a_certificate_each(serve, document):
    service = serve(token_configuration(document))
    token = add_token(service.settings.database, uses=16)
    csrs = [make_csr() for _ in range(17)]

    with ThreadPoolExecutor(17) as pool:
        answers = list(pool.map(lambda csr: service.sign(csr, **token), csrs))

    assert sorted(answer.status_int for answer in answers) == [200] * 16 + [401]


def test_a_token_whose_id_and_secret_are_exchanged_leaves_no_secret_in_the_record(
    serve, document, audit, caplog
):
    service = serve(token_configuration(document))
    token = add_token(service.settings.database)

    answer = service.sign(user=token["secret"], secret=token["user"], status=401)

    assert [event["user"] for event in audit.events()] == [""]
    assert token["secret"] not in caplog.text + answer.text
