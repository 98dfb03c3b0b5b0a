"""The responses of EST match the OpenAPI description."""

from __future__ import annotations

import itertools
import urllib.parse

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.controllers.methods import READ
from anchor.errors import DatabaseUnavailable
from tests.support.est import BASIC, CSR, EST, body_of
from tests.unit.web.test_openapi import EITHER, Late, ResponseValidator, described

PATH = EST + "/{ra}"
LATE = {"wsgi.input": Late(), "CONTENT_LENGTH": "10"}
ENROLLMENTS = ("simpleenroll", "simplereenroll")


def away(*_, **_options):
    raise DatabaseUnavailable("the database is away")


@pytest.fixture
def est(serve, document):
    """A service with an authority that requires a key, and one that renews nothing."""
    default = document["registration_authority"]["default"]
    document["registration_authority"] |= {
        "keys": default | {"validators": {"public_key": {"allowed_keys": {"EC": 384}}}},
        "closed": default | {"renewal": {"enabled": False}},
        "few": default | {"max_failures": 1},
    }
    return serve(document)


def test_responses_and_descriptions_match(est, tmp_path, monkeypatch):
    validator = ResponseValidator()
    certificate = urllib.parse.quote(est.issue(CSR).public_bytes(Encoding.PEM))

    def post(operation, at="default", *, environ=None, headers=None, **kwargs):
        if environ is not LATE:
            kwargs.setdefault("body", body_of(CSR))
        for accept in EITHER:
            answer = validator.ask(
                est,
                f"{PATH}/{operation}",
                "POST",
                at=f"{EST}/{at}/{operation}",
                **kwargs,
                headers={
                    "Content-Type": "application/pkcs10",
                    **BASIC,
                    **(headers or {}),
                    **accept,
                },
                environ={"ANCHOR_CLIENT_CERTIFICATE": certificate, **(environ or {})},
            )
        return answer.status_int

    for method, accept in itertools.product(READ, EITHER):
        for operation, at, status in (
            ("cacerts", "default", 200),
            ("cacerts", "other", 404),
            ("csrattrs", "default", 204),
            ("csrattrs", "keys", 200),
            ("csrattrs", "other", 404),
        ):
            path = f"{PATH}/{operation}"
            answer = validator.ask(est, path, method, at=path.format(ra=at), headers=accept)
            assert status == answer.status_int
    for operation in ENROLLMENTS:
        assert 200 == post(operation)
        assert 400 == post(operation, body=b"nonsense")
        assert 404 == post(operation, "other")
        assert 408 == post(operation, environ=LATE)
        assert 411 == post(operation, headers={"Transfer-Encoding": "chunked"})
        assert 413 == post(operation, body=b"M" * 70_000)
        assert 415 == post(operation, headers={"Content-Type": "text/plain"})
    assert 401 == post("simplereenroll", environ={"ANCHOR_CLIENT_CERTIFICATE": ""})
    assert 403 == post("simplereenroll", "closed")
    wrong = {"Authorization": "Basic YWxpY2U6d3Jvbmc="}
    assert 401 == post("simpleenroll", headers=wrong)
    assert 429 == post("simpleenroll", "few", headers=wrong)
    assert 429 == post("simplereenroll", "few")
    with monkeypatch.context() as patched:
        for method in ("find", "add"):
            path = f"anchor.store.database.certificates.Inventory.{method}"
            patched.setattr(path, away)
        assert [503, 503] == [post(operation) for operation in ENROLLMENTS]
    (tmp_path / "certs").rename(tmp_path / "elsewhere")
    (tmp_path / "certs").write_text("in the way")
    assert [500, 500] == [post(operation) for operation in ENROLLMENTS]

    of_est = {each for each in described() if each[0].startswith(EST) and each[2] != 405}
    # test_openapi.py sends what makes every GET fail.
    assert of_est - {(path, method, 500) for path, method, _ in of_est if method != "post"} == {
        each for each in validator.seen if each[2] != 405
    }
