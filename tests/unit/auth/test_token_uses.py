"""The uses of a token in a service: only a certificate that is answered costs one."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from cryptography import x509

from anchor.cli import main
from anchor.errors import AuditError, ConfigurationError, DatabaseUnavailable, StorageError
from anchor.store.certificate_files import CertificateDirectory
from anchor.store.database.certificates import Inventory
from anchor.store.database.tokens import Tokens
from tests.support.pki import assert_is_leaf, make_csr
from tests.support.tokens import add_token, token_configuration

CSR = make_csr("web1.example.com", "web1.example.com")


@pytest.fixture
def document(document):
    """A configuration with two authorities that accept tokens."""
    token_configuration(document)
    authorities = document["registration_authority"]
    names = {"names": ["%.example.com"], "allow_cn_id": True, "allow_dns_id": True}
    authorities["default"]["validators"] = {"whitelist_names": names}
    authorities["other"] = dict(authorities["default"])
    return document


@pytest.fixture
def database(service):
    return service.settings.database


def left(database, token):
    stored = Tokens(database).find(token["user"])
    return stored.uses - stored.used


def test_a_token_gets_one_certificate(service, database, ca):
    token = add_token(database)

    certificate = service.issue(CSR, **token)
    answer = service.sign(CSR, status=401, **token)

    assert_is_leaf(certificate, issued_by=ca)
    assert answer.text.strip() == "the credentials were not accepted"
    assert "WWW-Authenticate" in answer.headers


def test_a_token_works_in_the_authorization_header(service, database):
    token = add_token(database)
    pair = base64.b64encode("{user}:{secret}".format(**token).encode()).decode()
    headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/pkcs10"}

    def post(status):
        return service.http.post("/v1/sign/default", CSR, headers=headers, status=status)

    assert x509.load_pem_x509_certificate(post(200).body)
    post(401)


def test_a_token_is_refused_by_another_authority_and_keeps_its_use(service, database):
    token = add_token(database, authority="other")

    service.sign(CSR, status=401, **token)

    service.issue(CSR, authority="other", **token)


@pytest.mark.parametrize(
    "csr", [b"nonsense", make_csr("db.example.org", "db.example.org")], ids=["unreadable", "policy"]
)
def test_a_refusal_takes_no_use(service, database, csr):
    token = add_token(database)

    for _ in range(3):
        service.sign(csr, status=400, **token)

    assert left(database, token) == 1
    service.issue(CSR, **token)


def test_a_signing_error_takes_no_use(service, database, monkeypatch):
    token = add_token(database)
    with monkeypatch.context() as patched:
        patched.setattr("anchor.ca.signing_ca.SigningCA.issue", fail(StorageError("broken")))
        service.sign(CSR, status=500, **token)

    assert left(database, token) == 1
    service.issue(CSR, **token)


def fail(error):
    def failing(*_arguments, **_options):
        raise error

    return failing


def test_a_use_is_given_back_if_the_file_of_the_certificate_cannot_be_written(
    service, database, monkeypatch
):
    token = add_token(database)
    with monkeypatch.context() as patched:
        patched.setattr(CertificateDirectory, "put", fail(StorageError("the disk is full")))
        service.sign(CSR, status=500, **token)

    assert left(database, token) == 1
    service.issue(CSR, **token)


def test_a_use_is_given_back_if_the_event_cannot_be_recorded(service, database, monkeypatch):
    token = add_token(database)
    audit = type(service.settings.authorities["default"].audit)
    record = audit.record

    def failing(self, event):
        if event.kind == "audit.sign":
            raise AuditError("the disk is full")
        return record(self, event)

    with monkeypatch.context() as patched:
        patched.setattr(audit, "record", failing)
        service.sign(CSR, status=500, **token)

    assert left(database, token) == 1
    service.issue(CSR, **token)


def test_a_commit_whose_outcome_is_unknown_gives_nothing_back(service, database, monkeypatch):
    token = add_token(database)
    add = Inventory.add

    def unknown(*arguments, **options):
        add(*arguments, **options)
        raise DatabaseUnavailable("the server does not respond")

    with monkeypatch.context() as patched:
        patched.setattr(Inventory, "add", unknown)
        service.sign(CSR, status=503, **token)

    assert left(database, token) == 0


def test_a_use_that_cannot_be_given_back_is_logged_and_the_first_error_counts(
    service, database, monkeypatch, caplog
):
    token = add_token(database)
    caplog.set_level(logging.ERROR)
    with monkeypatch.context() as patched:
        patched.setattr(CertificateDirectory, "put", fail(StorageError("the disk is full")))
        patched.setattr(Tokens, "give_back", fail(DatabaseUnavailable("it is away")))
        service.sign(CSR, status=500, **token)

    assert "a use of the credential of 'web1' is lost: it is away" in caplog.text
    assert "the disk is full" in caplog.text
    assert token["secret"] not in caplog.text
    assert left(database, token) == 0


def test_a_token_that_is_used_up_between_authentication_and_issue_is_a_401(
    service, database, monkeypatch, audit
):
    token = add_token(database)
    find = Tokens.find

    def find_and_lose(self, token_id):
        found = find(self, token_id)
        self.revoke(token_id)
        return found

    monkeypatch.setattr(Tokens, "find", find_and_lose)
    answer = service.sign(CSR, status=401, headers={"Accept": "application/json"}, **token)

    assert answer.json["detail"] == "the token was used up, revoked or expired meanwhile"
    assert audit.events()[-1]["reasons"] == [answer.json["detail"]]


@pytest.mark.parametrize("method", ["find", "now"])
def test_a_database_that_is_away_is_a_503(service, database, monkeypatch, method):
    token = add_token(database)
    monkeypatch.setattr(Tokens, method, fail(DatabaseUnavailable("it is away")))

    answer = service.sign(CSR, status=503, **token)

    assert "away" not in answer.text and int(answer.headers["Retry-After"]) > 0


def test_a_revoked_token_gets_nothing_more(service, database):
    token = add_token(database, uses=5)
    service.issue(CSR, **token)

    Tokens(database).revoke(token["user"])

    service.sign(CSR, status=401, **token)


def test_guesses_of_a_secret_are_slowed_down(serve, document):
    document["registration_authority"]["default"]["max_failures"] = 2
    service = serve(document)
    token = add_token(service.settings.database)

    for _ in range(2):
        service.sign(CSR, status=401, user=token["user"], secret="x" * 43)
    service.sign(CSR, status=429, **token)


@pytest.mark.parametrize(
    ("user", "secret"),
    [
        ("tk_" + "a" * 16, "\0"),
        ("tk_\0", "x"),
        ("tk_' OR 1=1 --", "x" * 43),
        ("tk_" + "a" * 16, "x" * 16_000),
        ("ŧk_" + "a" * 16, "é" * 43),
    ],
)
def test_hostile_credentials_are_a_401(service, user, secret):
    service.sign(CSR, status=401, user=user, secret=secret)


def test_no_secret_is_in_the_log_the_audit_or_the_database(service, database, caplog, audit):
    caplog.set_level(logging.DEBUG)
    token = add_token(database)
    service.issue(CSR, **token)
    service.sign(CSR, status=401, **token)
    database.close()

    assert token["secret"] not in caplog.text + json.dumps(audit.events())
    for path in service.path.glob("anchor.db*"):
        assert token["secret"].encode() not in path.read_bytes()


@pytest.mark.parametrize("written", ["{}", " {}", "{}\n"])
@pytest.mark.parametrize("change", [str, str.upper])
def test_a_secret_in_the_place_of_the_identifier_is_not_recorded(
    service, database, caplog, audit, written, change
):
    caplog.set_level(logging.DEBUG)
    token = add_token(database)

    service.sign(
        CSR, status=401, user=token["secret"], secret=written.format(change(token["user"]))
    )

    [event] = audit.events()
    assert "audit.auth" == event["event"]
    assert token["secret"] not in caplog.text + json.dumps(audit.events())


def test_a_policy_is_explained_without_the_tokens(serve, document, tmp_path, capsys):
    serve(document)
    (tmp_path / "web1.csr").write_bytes(CSR)
    config = ("--config", str(tmp_path / "config.json"))

    assert main.main(["explain", "--ra", "default", *config, str(tmp_path / "web1.csr")]) == 0

    assert "web1.example.com" in capsys.readouterr().out
    assert not (tmp_path / "anchor.db").exists()


@pytest.mark.parametrize("options", [{}, {"unknown": 1}])
def test_a_broken_database_is_reported_with_all_other_problems(serve, document, options):
    document["database"] = {"url": "mysql://x/y"}
    document["authentication"]["tokens"] |= options

    with pytest.raises(ConfigurationError) as caught:
        serve(document)

    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"database.url"} | ({"authentication.tokens"} if options else set())
