"""A proof is good once: when it is spent, and when not."""

from __future__ import annotations

import datetime
import shutil
from concurrent.futures import ThreadPoolExecutor

from anchor.errors import AuditError, SigningError
from anchor.store.bans import Ban
from anchor.store.database.bans import Bans
from anchor.store.database.certificates import Selection
from tests.support.pki import make_csr, now, shared_key
from tests.support.renewal import make_proof
from tests.support.service import Service

NAME = "www.example.com"


def proof_form(service, **changes):
    """A form with a good proof, for a certificate that is issued now."""
    csr = make_csr(NAME)
    old = service.issue(csr)
    proof = make_proof(old, shared_key(), csr, **changes)
    return {"encoding": "pem", "csr": csr, "proof": proof}


def renew(service, form, status=None):
    return service.http.post("/v1/renew/default", form, status=status or "*")


def count(service):
    return service.settings.authorities["default"].inventory.count(Selection())


def test_a_request_that_is_refused_spends_nothing(service):
    form = proof_form(service)
    bans = Bans(service.settings.database)
    bans.add(Ban(kind="name", value=NAME, since=now()))

    renew(service, form, 400)
    bans.remove("name", NAME)

    renew(service, form, 200)
    renew(service, form, 401)


def test_a_certificate_that_cannot_be_written_spends_nothing(service, tmp_path):
    form = proof_form(service)
    shutil.rmtree(tmp_path / "certs")

    renew(service, form, 500)
    (tmp_path / "certs").mkdir()

    renew(service, form, 200)
    renew(service, form, 401)


def failing(error):
    def fail(*_arguments):
        raise error

    return fail


def test_an_audit_that_fails_spends_nothing(service, monkeypatch):
    form = proof_form(service)
    audit = type(service.settings.authorities["default"].audit)
    record = audit.record

    def record_no_certificate(self, event):
        if event.kind == "audit.sign":
            raise AuditError("the disk is full")
        record(self, event)

    with monkeypatch.context() as patched:
        patched.setattr(audit, "record", record_no_certificate)
        renew(service, form, 500)

    renew(service, form, 200)
    renew(service, form, 401)


def test_a_signer_that_fails_spends_nothing(service, monkeypatch):
    form = proof_form(service)
    with monkeypatch.context() as patched:
        patched.setattr("anchor.ca.signing_ca.SigningCA.issue", failing(SigningError("no")))
        renew(service, form, 500)

    renew(service, form, 200)
    renew(service, form, 401)


def test_of_sixteen_requests_at_once_one_gets_a_certificate(service):
    form = proof_form(service)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: renew(service, form), range(16)))

    statuses = sorted(answer.status_int for answer in answers)
    assert statuses[0] == 200 and set(statuses[1:]) <= {401, 429}
    assert count(service) == 2


def test_two_proofs_of_one_certificate_are_good_for_two(service):
    csr = make_csr(NAME)
    old = service.issue(csr)

    for _ in range(2):
        form = {"encoding": "pem", "csr": csr, "proof": make_proof(old, shared_key(), csr)}
        renew(service, form, 200)


def test_a_proof_that_is_used_after_its_end_has_expired(tmp_path, document):
    moment = [now()]
    service = Service(tmp_path, document, clock=lambda: moment[0])
    form = proof_form(service)
    renew(service, form, 200)

    moment[0] += datetime.timedelta(seconds=200)
    assert "was used before" in renew(service, form, 401).text
    for seconds in (110, 600, 601, 80_000):
        moment[0] += datetime.timedelta(seconds=seconds)
        assert "it has expired" in renew(service, form, 401).text
