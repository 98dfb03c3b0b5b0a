"""A token as the secret in the form: the certificate, and every refusal."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import jwt
from tests.support.pki import assert_is_leaf, make_csr, shared_key
from tests.support.renewal import renew
from tests.support.servers.oidc_issuer import running_issuer, sending


@pytest.fixture
def issuer():
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def cluster(serve, document, issuer):
    """A service that accepts the tokens of one namespace."""
    document["authentication"]["static"] = {
        "backend": "oidc",
        "issuer": issuer.url,
        "audience": jwt.AUDIENCE,
        "discovery": True,
        "timeout": 2,
        "claims": {"namespace": "/kubernetes.io/namespace"},
        "require": {"/kubernetes.io/namespace": "shop"},
    }
    return serve(document)


POD = {"sub": "system:serviceaccount:shop:web", "kubernetes.io": {"namespace": "shop"}}


@pytest.mark.parametrize("user", ["", "token", "system:serviceaccount:shop:web", "\u202e%s"])
def test_a_token_gets_a_certificate_with_any_user_name(cluster, issuer, ca, audit, user):
    token = issuer.token(**POD)

    certificate = cluster.issue(
        make_csr("web.example.com", "web.example.com"), user=user or "-", secret=token
    )

    assert_is_leaf(certificate, issued_by=ca)
    assert {"system:serviceaccount:shop:web"} == {event["user"] for event in audit.events()}
    assert token.rpartition(".")[2] not in str(audit.events())


def test_a_renewal_has_the_recorded_claims_and_does_not_ask_the_issuer(cluster, issuer, audit):
    csr = make_csr("web.example.com", "web.example.com")
    certificate = cluster.issue(csr, secret=issuer.token(**POD))
    seen = list(issuer.seen)
    issuer.answers["/keys"] = sending(b"", 500)

    assert renew(cluster, certificate, shared_key(), csr).status_int == 200

    event = audit.events()[-1]
    assert event["user"] == "system:serviceaccount:shop:web"
    assert event["claims"] == {"namespace": "shop"}
    assert issuer.seen == seen


def test_a_refused_token_is_a_401_that_does_not_say_why(cluster, issuer, caplog, audit):
    caplog.set_level("INFO")
    token = issuer.token(**{**POD, "kubernetes.io": {"namespace": "other"}})

    answer = cluster.sign(secret=token, status=401)

    assert "the credentials were not accepted" in answer.text
    assert "other" not in answer.text
    assert "'/kubernetes.io/namespace' is 'other'" in caplog.text
    assert token.rpartition(".")[2] not in caplog.text


def test_an_issuer_that_is_away_is_a_503_with_a_time_to_try_again(cluster, issuer):
    issuer.answers["/keys"] = sending(b"", 500)

    answer = cluster.sign(secret=issuer.token(**POD), status=503)

    assert answer.headers["Retry-After"] == "10"
    assert issuer.url not in answer.text


def test_an_issuer_that_is_away_counts_no_failures_and_bad_tokens_do(cluster, issuer):
    issuer.answers["/keys"] = sending(b"", 500)
    for _ in range(11):
        cluster.sign(secret=issuer.token(**POD), status=503)
    for _ in range(10):
        cluster.sign(secret=issuer.token(**POD, aud="other"), status=401)

    assert "Retry-After" in cluster.sign(secret=issuer.token(**POD), status=429).headers


def test_a_subject_with_wrong_tokens_does_not_lock_out_others_at_its_address(cluster, issuer):
    for _ in range(10):
        cluster.sign(user="x", secret=issuer.token(sub="broken"), status=401)

    # Another user name is no way around the limit.
    cluster.sign(user="y", secret=issuer.token(sub="broken"), status=429)
    cluster.sign(secret=issuer.token(**POD), status=200)


def test_many_subjects_reach_the_limit_of_the_address(serve, document, cluster, issuer):
    document["registration_authority"]["default"]["max_address_failures"] = 5
    cluster = serve(document)
    for number in range(5):
        cluster.sign(secret=issuer.token(sub=f"broken{number}"), status=401)
    cluster.sign(secret=issuer.token(**POD), status=429)


@pytest.mark.parametrize("subject", [None, 7, ["a"], "\ud800", "x" * 5000])
def test_a_token_without_a_usable_subject_is_refused(cluster, issuer, subject):
    cluster.sign(secret=issuer.token(**{**POD, "sub": subject}), status=401)


@pytest.mark.parametrize(
    "secret", ["", "s3cret", "a.b.c", "eyJ.eyJ.", "\0", "\ud800", "x" * 40_000]
)
def test_a_secret_that_is_no_token_is_a_4xx(cluster, issuer, secret):
    form = secret.encode("utf-8", "surrogatepass")

    answer = cluster.sign(secret=form, status="*")

    assert answer.status_int in (400, 401)
    assert issuer.seen == []


def test_the_policy_can_be_explained_without_the_issuer(cluster, issuer, capsys):
    from anchor.cli.main import main

    (cluster.path / "web.csr").write_bytes(make_csr("web.example.com", "web.example.com"))
    config = str(cluster.path / "config.json")

    assert main(["check", "--config", config]) == 0
    main(["explain", "--config", config, str(cluster.path / "web.csr")])
    assert issuer.seen == []


@pytest.mark.slow
def test_a_missing_package_is_an_error_that_names_the_extra():
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules['requests'] = None\n"
        "from anchor.auth.loading import load_authenticator\n"
        "from anchor.errors import ConfigurationError\n"
        "try:\n"
        "    load_authenticator('it', {'backend': 'oidc'}, Path())\n"
        "except ConfigurationError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "`pip install anchor[oidc]` installs what it needs" in done.stdout
