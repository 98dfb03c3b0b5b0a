"""A working key and certificate are never replaced by a certificate that was not requested."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.client import acceptance, certmonger
from anchor.X509 import create_ca
from anchor.X509.oids import USAGES
from tests.support.canned import response
from tests.support.pki import (
    CA,
    DAY,
    ca_certificate,
    hash_for,
    make_ca,
    make_csr,
    make_key,
    now,
    shared_key,
    subject,
)
from tests.support.signing_services import issue, pem, signing

pytestmark = pytest.mark.slow

HOUR = datetime.timedelta(hours=1)


def dns(*names):
    return [x509.DNSName(name) for name in names]


CRL_SIGN = x509.KeyUsage(
    **dict.fromkeys(
        [attribute for attribute in USAGES.values() if attribute != "crl_sign"],
        False,
    ),
    crl_sign=True,
)

BAD = {
    "expired": ({"not_before": now() - DAY, "not_after": now() - HOUR}, "that expired at 2"),
    "not yet valid": ({"not_before": now() + HOUR}, "that is not valid before 2"),
    "another key": ({"key": make_key().public_key()}, "for another key"),
    "another name": ({"names": dns("evil.example.com")}, "without the name 'www.example.com'"),
    "one name more": (
        {"names": dns("www.example.com", "evil.example.com")},
        "with the name 'evil.example.com', which was not asked for",
    ),
    "one address more": (
        {"names": [*dns("www.example.com"), x509.IPAddress(ipaddress.ip_address("192.0.2.9"))]},
        "with the name '192.0.2.9'",
    ),
    "a wildcard": ({"names": dns("*.example.com")}, "without the name 'www.example.com'"),
    "an email address more": (
        {"names": [*dns("www.example.com"), x509.RFC822Name("root@example.com")]},
        "with the name 'root@example.com'",
    ),
    "a URI more": (
        {"names": [*dns("www.example.com"), x509.UniformResourceIdentifier("spiffe://a/b")]},
        "spiffe://a/b",
    ),
    "no alternative name": ({"names": []}, "without the name 'www.example.com'"),
    "another common name": (
        {"subject": subject("evil.example.com")},
        "with the name 'evil.example.com'",
    ),
    "a second common name": (
        {"subject": subject("www.example.com", (NameOID.COMMON_NAME, "evil"))},
        "with the name 'evil'",
    ),
    "an email address in the subject": (
        {"subject": subject("www.example.com", (NameOID.EMAIL_ADDRESS, "root@example.com"))},
        "with the name 'root@example.com'",
    ),
    "a CA": ({"is_ca": True}, "the certificate of a CA"),
    "may sign certificates": ({"extensions": [create_ca.CA_USAGE]}, "the certificate of a CA"),
    "may sign CRLs": ({"extensions": [CRL_SIGN]}, "the certificate of a CA"),
}


@pytest.fixture
def keeping(machine, https_anchor, capsys):
    """Require that a renewal keeps the files, and reports the reason in one line."""
    assert 0 == machine.request("www.example.com")
    first = machine.certificate()

    def keeps(application, reason):
        https_anchor.wsgi = application
        capsys.readouterr()
        assert 75 == machine.renew("--force")
        err = capsys.readouterr().err
        assert reason in err
        assert "; valid until 2" in err
        assert 1 == err.count("\n")
        assert first == machine.certificate()
        assert reason in machine.tracked().history.error
        machine.assert_key_matches()
        assert [] == machine.leftovers()

    return keeps


@pytest.mark.parametrize("changes", BAD)
def test_a_bad_certificate_does_not_replace_a_good_one(keeping, ca, changes):
    difference, reason = BAD[changes]

    keeping(signing(ca, lambda _csr: difference), reason)


@pytest.fixture
def chains(ca, tmp_path, https_anchor):
    """Services that return a valid certificate with an invalid chain."""
    stranger = make_ca(tmp_path, name="Stranger")
    (tmp_path / "other").mkdir()
    same_name = make_ca(tmp_path / "other", name="Test CA")
    below = make_ca(tmp_path, name="Below", issuer=stranger)
    leaf = make_ca(tmp_path, name="Leaf", issuer=ca, ca=False, usage=None)
    expired = make_ca(
        tmp_path,
        name="Expired",
        issuer=ca,
        not_before=now() - 2 * DAY,
        not_after=now() - DAY,
    )
    working = https_anchor.wsgi
    down = response("503 Busy", b"")
    return {
        "none": (signing(ca, chain=[], otherwise=working), "without its chain"),
        "of another": (
            signing(ca, chain=[stranger.certificate], otherwise=working),
            "a chain that does not fit",
        ),
        "of the same name": (
            signing(ca, chain=[same_name.certificate], otherwise=working),
            "a chain that does not fit",
        ),
        "in the wrong order": (
            signing(below, chain=[stranger.certificate, below.certificate], otherwise=working),
            "a chain that does not fit",
        ),
        "not of a CA": (
            signing(leaf, chain=[leaf.certificate, ca.certificate], otherwise=working),
            "is no CA",
        ),
        "of an expired CA": (
            signing(expired, chain=[expired.certificate, ca.certificate], otherwise=working),
            "a CA certificate that expired at 2",
        ),
        "of a CA that is not the authority's": (
            signing(stranger, otherwise=working),
            "'CN=Stranger', which is not its CA 'default'",
        ),
        "of a CA with the name of the authority's": (
            signing(same_name, otherwise=working),
            "which is not its CA 'default'",
        ),
        "of a CA that is not confirmed": (
            signing(stranger, otherwise=down),
            "'CN=Stranger', another CA than before, and did not confirm it",
        ),
    }


@pytest.mark.parametrize(
    "which",
    [
        "none",
        "of another",
        "of the same name",
        "in the wrong order",
        "not of a CA",
        "of an expired CA",
        "of a CA that is not the authority's",
        "of a CA with the name of the authority's",
        "of a CA that is not confirmed",
    ],
)
def test_a_certificate_without_a_good_chain_does_not_replace_a_good_one(keeping, chains, which):
    keeping(*chains[which])


def test_the_next_ca_of_the_service_is_accepted(machine, https_anchor, ca, tmp_path):
    assert 0 == machine.request("www.example.com")
    successor = make_ca(tmp_path, name="Successor")
    bundle = {
        "certificate": pem(successor.certificate),
        "chain": [],
        "bundle": [pem(successor.certificate), pem(ca.certificate)],
    }
    https_anchor.wsgi = signing(successor, otherwise=response("200 OK", bundle))

    assert 0 == machine.renew("--force")

    machine.certificate().verify_directly_issued_by(successor.certificate)


def test_a_renewal_by_the_same_ca_sends_one_request(machine, https_anchor):
    assert 0 == machine.request("www.example.com")
    https_anchor.requests.clear()

    assert 0 == machine.renew("--force")

    assert [("POST", "/v1/renew/default")] == https_anchor.requests


def test_a_service_that_does_not_publish_its_ca_can_issue(machine, https_anchor, ca):
    https_anchor.wsgi = signing(ca)

    assert 0 == machine.request("www.example.com")
    assert 0 == machine.renew("--force")


@pytest.mark.parametrize("which", ["root", "intermediate"])
def test_the_configured_ca_takes_precedence(machine, https_anchor, ca, tmp_path, capsys, which):
    below = make_ca(tmp_path, name="Below", issuer=ca)
    stranger = make_ca(tmp_path, name="Stranger")
    trusted = ca if which == "root" else below
    machine.config = https_anchor.client_json(issuer_ca_file=str(trusted.cert_path))
    working = https_anchor.wsgi

    https_anchor.wsgi = signing(below)
    assert 0 == machine.request("www.example.com")
    https_anchor.wsgi = signing(below, chain=[below.certificate, ca.certificate])
    assert 0 == machine.renew("--force")
    first = machine.certificate()

    https_anchor.wsgi = signing(stranger, otherwise=working)
    assert 75 == machine.renew("--force")
    assert "by 'CN=Stranger', not in issuer_ca_file" in capsys.readouterr().err
    assert first == machine.certificate()


@pytest.mark.parametrize(
    ("contents", "reason"), [(None, "cannot be read"), ("x", "holds no certificates in PEM")]
)
def test_an_invalid_file_of_cas_is_reported(
    machine, https_anchor, tmp_path, capsys, contents, reason
):
    if contents:
        (tmp_path / "cas.pem").write_text(contents)
    machine.config = https_anchor.client_json(issuer_ca_file="cas.pem")

    assert 1 == machine.request("www.example.com")

    assert f"issuer_ca_file: {tmp_path / 'cas.pem'} {reason}" in capsys.readouterr().err
    assert [] == https_anchor.requests


@pytest.mark.parametrize("changes", ["expired", "another name", "a CA"])
def test_a_bad_first_certificate_is_rejected(machine, https_anchor, ca, capsys, changes):
    difference, reason = BAD[changes]
    https_anchor.wsgi = signing(ca, lambda _csr: difference, otherwise=https_anchor.wsgi)

    assert 75 == machine.request("www.example.com")

    assert reason in capsys.readouterr().err
    assert not (machine.directory / "cert.pem").exists()


@pytest.mark.parametrize("changes", BAD)
def test_certmonger_gets_no_bad_certificate(https_anchor, ca, monkeypatch, capsys, changes):
    difference, _ = BAD[changes]
    https_anchor.wsgi = signing(ca, lambda _csr: difference, otherwise=https_anchor.wsgi)
    monkeypatch.setenv("CERTMONGER_CSR", make_csr("www.example.com", "www.example.com").decode())

    assert 5 == certmonger.main(["--config", str(https_anchor.client_json())])

    assert "CERTIFICATE" not in capsys.readouterr().out


@pytest.mark.parametrize("which", ["none", "of a CA that is not the authority's", "not of a CA"])
def test_certmonger_gets_no_certificate_without_a_good_chain(
    https_anchor, chains, monkeypatch, capsys, which
):
    https_anchor.wsgi, _ = chains[which]
    monkeypatch.setenv("CERTMONGER_CSR", make_csr().decode())

    assert 5 == certmonger.main(["--config", str(https_anchor.client_json())])

    assert "CERTIFICATE" not in capsys.readouterr().out


# ---- changes by fixups


ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))


def csr_of(*attributes):
    """A request in PEM for a subject, given as pairs of an attribute's short name and a value."""
    oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "UID": NameOID.USER_ID}
    oids["emailAddress"] = NameOID.EMAIL_ADDRESS
    name = x509.Name([x509.NameAttribute(oids[short], value) for short, value in attributes])
    builder = x509.CertificateSigningRequestBuilder(name)
    return builder.sign(shared_key(), hash_for(shared_key())).public_bytes(Encoding.PEM)


MORE = [(NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COUNTRY_NAME, "DE")]

FINE = {
    "as asked": (make_csr("a.example.com", "a.example.com", "192.0.2.1"), {}),
    "common name copied": (make_csr("a.example.com"), {"names": dns("a.example.com")}),
    "common name in another case": (
        make_csr("A.Example.COM", "A.EXAMPLE.com"),
        {"subject": subject("a.example.com"), "names": dns("a.example.com")},
    ),
    "without its dot": (
        make_csr("a.example.com.", "a.example.com."),
        {"subject": subject("a.example.com"), "names": dns("a.example.com")},
    ),
    "names that became the same": (
        make_csr("a.example.com", "a.example.com", "A.example.com."),
        {"names": dns("a.example.com")},
    ),
    "common name dropped": (
        make_csr("a.example.com", "a.example.com"),
        {"subject": x509.Name([])},
    ),
    "an address as common name": (make_csr("192.0.2.1"), {"names": [ADDRESS]}),
    "an address as DNS name": (
        make_csr("a", "a", x509.DNSName("192.0.2.1")),
        {"names": [*dns("a"), ADDRESS]},
    ),
    "common name taken from an alternative name": (
        make_csr(None, "a.example.com"),
        {"subject": subject("a.example.com")},
    ),
    "attributes dropped": (
        make_csr("a.example.com", "a.example.com"),
        {"subject": subject("a.example.com")},
    ),
    "attributes added": (
        make_csr("a.example.com", "a.example.com"),
        {"subject": subject("a.example.com", *MORE)},
    ),
    "attributes set by the service": (
        csr_of(("O", "Asked"), ("CN", "a")),
        {"subject": subject("a", *MORE), "names": dns("a")},
    ),
    "an email address and a user dropped": (
        csr_of(("CN", "a"), ("emailAddress", "root@example.com"), ("UID", "root")),
        {"subject": subject("a")},
    ),
    "a common name in punycode": (
        make_csr("Bücher.example.com"),
        {"names": dns("xn--bcher-kva.example.com")},
    ),
    "a person": (make_csr("Alice Smith", x509.RFC822Name("Alice@Example.com")), {}),
    "five minutes of skew": (
        make_csr("a", "a"),
        {"not_before": now() + datetime.timedelta(minutes=4)},
    ),
}


@pytest.mark.parametrize("case", FINE)
def test_changes_by_fixups_are_accepted(ca, case):
    csr, changes = FINE[case]
    csr = x509.load_pem_x509_csr(csr)
    certificate = issue(csr, ca, **changes)

    acceptance.check(certificate, [ca.certificate], csr, now())


def test_each_link_of_a_chain_must_be_allowed_to_issue_the_next(ca, tmp_path):
    csr = x509.load_pem_x509_csr(make_csr("a", "a"))
    crl_only = make_ca(tmp_path, name="CRLs only", issuer=ca, usage=CRL_SIGN)
    with pytest.raises(acceptance.Unacceptable, match="'CN=CRLs only' may not sign certificates"):
        acceptance.check(issue(csr, crl_only), [crl_only.certificate, ca.certificate], csr, now())

    # All certificates have the same key.
    root = ca_certificate("Root", path_length=1)
    below = ca_certificate("Below", issuer=root, path_length=0)
    signer = CA(below, shared_key(), None, None)
    acceptance.check(issue(csr, signer), [below, root], csr, now())
    root = ca_certificate("Root", path_length=0)
    with pytest.raises(
        acceptance.Unacceptable, match="'CN=Root' has a pathLenConstraint of 0, and 1 CAs below it"
    ):
        acceptance.check(issue(csr, signer), [below, root], csr, now())


def test_a_dropped_common_name_that_is_no_alternative_name_is_rejected(ca):
    csr = x509.load_pem_x509_csr(make_csr("Alice Smith", "a.example.com"))
    certificate = issue(csr, ca, subject=x509.Name([]))

    with pytest.raises(acceptance.Unacceptable, match="without the name 'alice smith'"):
        acceptance.check(certificate, [ca.certificate], csr, now())


def test_a_requested_ca_certificate_is_accepted(ca):
    constraints = x509.BasicConstraints(True, 0)
    csr = x509.load_pem_x509_csr(make_csr("a", "a", extensions=[(constraints, True)]))

    acceptance.check(issue(csr, ca, is_ca=True), [ca.certificate], csr, now())
