"""Failures of certificates as credentials are counted apart from those of secrets."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.renewal import renew, renew_over_tls

STRANGER = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def service(serve, document):
    """A service that accepts three failures."""
    document["registration_authority"]["default"]["max_failures"] = 3
    return serve(document)


def guess(service):
    """Show a wrong secret."""
    return service.sign(secret="guess").status_int


def forge(service, certificate):
    """Show a certificate, which is public, without its key."""
    return renew(service, certificate, STRANGER).status_int


def test_a_renewal_does_not_clear_the_count_of_wrong_secrets(service):
    certificate = service.issue()
    assert [guess(service), guess(service)] == [401, 401]
    renew_over_tls(service, certificate, status=200)
    assert [guess(service), guess(service)] == [401, 429]


def test_wrong_secrets_do_not_stop_the_renewals_of_their_user(service):
    certificate = service.issue()
    assert [guess(service) for _ in range(4)] == [401, 401, 401, 429]
    renew_over_tls(service, certificate, status=200)


def test_a_certificate_that_is_refused_stops_itself_only(service):
    certificate, other = service.issue(), service.issue()
    assert [forge(service, certificate) for _ in range(4)] == [401, 401, 401, 429]
    renew_over_tls(service, certificate, status=429)
    renew_over_tls(service, other, status=200)
    service.issue()


def test_certificates_at_one_address_have_one_limit_together(serve, document):
    document["registration_authority"]["default"]["max_address_failures"] = 3
    service = serve(document)
    certificates = [service.issue() for _ in range(4)]
    answers = [forge(service, certificate) for certificate in certificates]
    assert answers == [401, 401, 401, 429]
