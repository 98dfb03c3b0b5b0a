"""Fixups run before the checks; a certified request has passed every check."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from anchor.cli.main import main
from anchor.policy.checks import run_checks
from anchor.X509.signing_request import X509Csr
from tests.support.pki import make_csr
from tests.support.policies import make_context, make_policy

CERT_SIGN = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0")
POLICIES = x509.CertificatePolicies(
    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
)
SERVER = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])


@pytest.fixture
def traced(plugins, tmp_path):
    """Third-party fixups that record their calls."""
    trace = tmp_path / "trace"
    plugins(
        "from pathlib import Path\n"
        "from anchor.validators import ValidationError\n"
        f"TRACE = Path({str(trace)!r})\n"
        "def trace(csr):\n"
        "    TRACE.write_text('asked')\n"
        "    return csr.with_subject(csr.subject)\n"
        "def cannot(csr):\n"
        "    raise ValidationError('this cannot be mended')\n"
        "def crashes(csr):\n"
        "    raise RuntimeError('broken')\n"
        "def crashes_later(csr):\n"
        "    if not csr.alternative_names:\n"
        "        return\n"
        "    raise RuntimeError('broken')\n",
        "[anchor.fixups]\ntrace = trouble:trace\ncannot = trouble:cannot\n"
        "crashes = trouble:crashes\n"
        "[anchor.validators]\ncrashes_later = trouble:crashes_later\n"
        "crashes_now = trouble:crashes\n",
    )
    return trace


@pytest.fixture
def authority(document):
    return document["registration_authority"]["default"]


@pytest.mark.parametrize(
    ("validators", "fixups", "csr"),
    [
        (
            {"extensions": {"allowed_extensions": ["subjectAltName"]}},
            {"drop_extensions": {"extensions": ["certificatePolicies"]}},
            make_csr("a", "a.example.com", extensions=[POLICIES]),
        ),
        (
            {"ext_key_usage": {"allowed_usage": []}},
            {"drop_extensions": {"extensions": ["extKeyUsage"]}},
            make_csr("a", "a.example.com", extensions=[SERVER]),
        ),
        (
            {"whitelist_names": {"names": ["%.example.com"], "allow_dns_id": True}},
            {"enforce_alternative_names_present": {}, "drop_common_name": {}},
            make_csr("a.example.com"),
        ),
        (
            {"standards_compliance": {}},
            {"normalize_names": {}},
            make_csr("www.example.com.", "WWW.example.com."),
        ),
    ],
)
def test_a_request_that_a_fixup_corrects_is_signed(
    serve, document, authority, validators, fixups, csr
):
    authority["validators"] = validators
    assert 400 == serve(document).sign(csr).status_int

    authority["fixups"] = fixups
    serve(document).issue(csr)


@pytest.mark.parametrize(
    "csr",
    [
        make_csr("a", extensions=[(x509.BasicConstraints(True, None), True)]),
        make_csr("a", extensions=[(CERT_SIGN, True)]),
        make_csr("a", extensions=[(UNKNOWN, True)]),
        make_csr("a\x1b.example.com"),
        make_csr(None),
    ],
    ids=["CA", "keyCertSign", "critical", "control character", "no name"],
)
def test_fixups_do_not_run_if_a_mandatory_check_fails(serve, document, authority, traced, csr):
    authority["fixups"] = {"drop_extensions": {"extensions": ["1.2.3"]}, "trace": {}}
    service = serve(document)

    service.sign(csr, status=400)
    assert not traced.exists()

    service.issue(make_csr("a"))
    assert traced.exists()


def test_fixups_do_not_run_for_a_disallowed_address(serve, document, authority, traced):
    authority["validators"] = {"source_cidrs": {"cidrs": ["10.0.0.0/8"]}}
    authority["fixups"] = {"trace": {}}

    refused = serve(document).sign(status=400)

    assert "source_cidrs: " in refused.text
    assert not traced.exists()


def test_the_response_describes_the_request_after_the_fixups(serve, document, authority):
    authority["validators"] = {
        "standards_compliance": {},
        "common_name": {"allowed_domains": [".example.com"]},
    }
    authority["fixups"] = {"normalize_names": {}}

    refused = serve(document).sign(make_csr("www.example.org."), status=400)

    assert "standards_compliance" not in refused.text
    assert "(name 'www.example.org')" in refused.text


def test_the_failures_of_fixups_and_checks_are_shown_together(serve, document, authority, traced):
    authority["validators"] = {"common_name": {"allowed_domains": [".example.com"]}}
    authority["fixups"] = {"cannot": {}}

    refused = serve(document).sign(make_csr("www.example.org"), status=400)

    assert "cannot: this cannot be mended" in refused.text
    assert "common_name: " in refused.text


@pytest.mark.parametrize(
    ("validators", "fixups"),
    [
        ({"crashes_now": {}}, {}),
        ({"crashes_later": {}}, {"enforce_alternative_names_present": {}}),
        ({}, {"crashes": {}}),
        ({"common_name": {"allowed_domains": []}}, {"crashes": {}}),
    ],
)
def test_a_crash_in_any_check_or_fixup_is_an_internal_error(
    serve, document, authority, traced, validators, fixups
):
    authority |= {"validators": validators, "fixups": fixups}

    assert "internal error" in serve(document).sign(make_csr("a"), status=500).text


def test_explain_marks_failures_that_the_fixups_corrected(document, authority, tmp_path, capsys):
    authority |= {"validators": {"standards_compliance": {}}, "fixups": {"normalize_names": {}}}
    config, request = tmp_path / "config.json", tmp_path / "request.csr"
    config.write_text(json.dumps(document))
    request.write_bytes(make_csr("www.example.com."))

    assert 0 == main(["explain", "--config", str(config), str(request)])
    text = " ".join(capsys.readouterr().out.split())
    assert 0 == main(["explain", "--config", str(config), "--json", str(request)])
    report = json.loads(capsys.readouterr().out)

    assert "mended standards_compliance the common name 'www.example.com.' has an empty" in text
    assert "ok standards_compliance" in text
    verdicts = {each["check"]: each["verdict"] for each in report["checks"]}
    assert "mended" == verdicts["standards_compliance"]
    assert "signed" == report["outcome"]


LABELS = st.sampled_from(
    ["www.example.com", "WWW.Example.com.", "a.example.org", "x..y", "Two words"]
)
VALIDATORS = {
    "standards_compliance": {},
    "common_name": {"allowed_domains": [".example.com"]},
    "alternative_names": {"allowed_domains": [".example.com", ".example.org"]},
    "ext_key_usage": {"allowed_usage": ["serverAuth"]},
    "extensions": {"allowed_extensions": ["subjectAltName", "extKeyUsage"]},
}
FIXUPS = {
    "enforce_alternative_names_present": {},
    "normalize_names": {},
    "drop_common_name": {},
    "drop_extensions": {"extensions": ["certificatePolicies"]},
    "default_extended_key_usage": {"usage": ["clientAuth"]},
}


def chosen(sections):
    return st.lists(st.sampled_from(list(sections)), unique=True).map(
        lambda names: {name: sections[name] for name in names}
    )


@given(
    chosen(VALIDATORS),
    chosen(FIXUPS),
    st.none() | LABELS,
    st.lists(LABELS.filter(str.isascii), max_size=3),
    st.lists(st.sampled_from([POLICIES, SERVER]), unique_by=type),
)
def test_an_approved_request_passes_every_check(validators, fixups, common_name, names, extensions):
    alternative = [x509.DNSName(name) for name in names]
    csr = X509Csr.from_pem(make_csr(common_name, *alternative, extensions=extensions))
    policy = make_policy(validators, fixups)

    judgement = policy.evaluate(csr, make_context())
    again = (
        []
        if judgement.result is None
        else run_checks(policy.checks, judgement.result, make_context())
    )
    failures = [verdict.failure for verdict in again if verdict.failure]

    if judgement.approved is not None:
        assert [] == failures
    elif judgement.result is not None:
        # The failures are those of the result.
        assert {each.check for each in failures} == {each.check for each in judgement.failures}
    else:
        assert judgement.failures
