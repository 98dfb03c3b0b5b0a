"""EST: a certificate for a secret, and the next one for a certificate."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.est import BASIC, certificates_in, post
from tests.support.pki import make_ca, make_csr

# {"alg":"none"} . {"sub":"job"} . a signature that nobody verifies
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl"
WRONG = {"Authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}
ISSUED = "application/pkcs7-mime; smime-type=certs-only"


def records_of(service, *certificates):
    inventory = service.settings.authorities["default"].inventory
    return [inventory.find(each.fingerprint(SHA256()).hex()) for each in certificates]


def test_a_requester_with_a_secret_enrolls_and_renews_by_certificate(service, audit):
    answer = post(service, "simpleenroll", headers=BASIC)
    [first] = certificates_in(answer)
    again = post(service, "default/simplereenroll", certificate=first)
    [second] = certificates_in(again)

    assert answer.headers["Content-Type"] == again.headers["Content-Type"] == ISSUED
    assert second.subject == first.subject and second.serial_number != first.serial_number
    doors = [record.issuance.door for record in records_of(service, first, second)]
    assert doors == ["est-enroll", "est-reenroll"]
    assert [event["event"] for event in audit.events()] == ["audit.auth", "audit.sign"] * 2


def test_a_certificate_can_enroll_again(service):
    [first] = certificates_in(post(service, "simpleenroll", headers=BASIC))

    [second] = certificates_in(post(service, "simpleenroll", certificate=first))

    [record] = records_of(service, second)
    assert (record.issuance.door, record.issuance.renewals) == ("est-enroll", 1)


def test_the_header_decides_if_there_is_a_certificate_too(service, ca):
    [first] = certificates_in(post(service, "simpleenroll", headers=BASIC))

    post(service, "simpleenroll", headers=WRONG, certificate=first, status=401)
    answer = post(service, "simpleenroll", headers=BASIC, certificate=ca.certificate)

    [record] = records_of(service, *certificates_in(answer))
    assert record.issuance.renewals == 0


def test_a_header_does_not_replace_the_certificate_at_a_renewal(service):
    answer = post(service, "simplereenroll", headers=BASIC, status=401)

    assert "use simpleenroll" in answer.text
    assert answer.headers["WWW-Authenticate"] == 'Certificate realm="anchor"'


def test_other_names_are_no_renewal(service):
    [first] = certificates_in(post(service, "simpleenroll", headers=BASIC))
    other = make_csr("www.example.com", "www.example.com")

    answer = post(service, "simplereenroll", other, certificate=first, status=400)

    assert "renewed_names" in answer.text and "b.example.com" in answer.text


def test_an_authority_that_renews_nothing_asks_for_a_secret_at_an_enrollment(serve, document):
    document["registration_authority"]["default"]["renewal"] = {"enabled": False}
    service = serve(document)
    [first] = certificates_in(post(service, "simpleenroll", headers=BASIC))

    enrolled = post(service, "simpleenroll", certificate=first, status=401)
    post(service, "simplereenroll", certificate=first, status=403)

    assert enrolled.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_certificate_of_another_ca_is_no_credential(service, tmp_path):
    stranger = make_ca(tmp_path, name="Another CA").certificate
    curl = {"User-Agent": "curl/8.0"}

    for operation in ("simpleenroll", "simplereenroll"):
        answer = post(service, operation, headers=curl, certificate=stranger, status=401)
        assert "was not issued by this registration authority" in answer.text


def test_a_jwt_enrolls(serve, document):
    document["authentication"]["static"] = {"backend": "third_party_jwt", "jwt": JWT}
    service = serve(document)
    header = {"Authorization": f"Bearer {JWT}"}

    assert certificates_in(post(service, "simpleenroll", headers=header))
    refused = post(service, "simpleenroll", status=401)
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="anchor"'


def test_too_many_failures_are_answered_429(serve, document):
    document["registration_authority"]["default"]["max_failures"] = 1
    service = serve(document)
    post(service, "simpleenroll", headers=WRONG, status=401)

    assert int(post(service, "simpleenroll", headers=BASIC, status=429).headers["Retry-After"]) > 0


def test_outcomes_are_counted_as_at_the_other_doors(serve, document):
    service = serve(document, metrics_networks=("192.0.2.7",))
    [certificate] = certificates_in(post(service, "simpleenroll", headers=BASIC))
    post(service, "simplereenroll", certificate=certificate, status=200)
    post(service, "simplereenroll", status=401)
    post(service, "simpleenroll", b"nonsense", headers=BASIC, status=400)

    counts = service.http.get("/metrics").text
    for outcome, number in (("issued", 2), ("unauthenticated", 1), ("malformed", 1)):
        assert f'requests_total{{authority="default",outcome="{outcome}"}} {number}' in counts
