"""``anchor test-policy`` runs test cases against a configuration."""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from anchor.cli import main
from anchor.policy_tools.sample_csrs import CsrFactory, Description
from anchor.X509 import create_ca
from tests.support.paths import ROOT as REPOSITORY
from tests.support.pki import make_csr


@pytest.fixture
def run(tmp_path, document, capsys):
    """Runs cases or a whole file; returns the exit code, the output and the errors."""
    document["registration_authority"]["default"] |= {
        "validators": {
            "standards_compliance": {},
            "source_cidrs": {"cidrs": ["192.0.2.0/24", "127.0.0.1"]},
        },
        "fixups": {"enforce_alternative_names_present": {}},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))

    def run(cases, *options):
        path = tmp_path / "policy-tests.json"
        path.write_text(cases if isinstance(cases, str) else json.dumps({"cases": cases}))
        code = main.main(["test-policy", *options, str(path)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def case(**changes):
    """A passing case with changes; a key with the value None is removed."""
    whole = {
        "name": "a host",
        "csr": {"common_name": "www.example.com"},
        "expect": "signed",
    } | changes
    return {key: value for key, value in whole.items() if value is not None}


def test_cases_with_the_expected_result_pass(run):
    code, out, err = run(
        [
            case(name="signed", names=["DNS:www.example.com"]),
            case(
                name="refused",
                address="198.51.100.1",
                expect="refused",
                refused_by=["source_cidrs"],
            ),
        ]
    )

    assert (0, "") == (code, err)
    lines = out.splitlines()
    assert ["  ok      signed", "  ok      refused", "2 passed, 0 failed"] == lines[1:]


def test_a_requester_can_have_claims_and_a_limit(run, tmp_path, document):
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"requester_names": {"names": ["{claim:project}.example.com"]}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    web = {"user": "web1", "claims": {"project": "www"}}
    limited = web | {"allowed_names": ["www.example.com"]}
    other = web | {"allowed_names": ["db.example.com"]}
    code, out, err = run(
        [
            case(name="its project", requester=web),
            case(name="another", requester={}, expect="refused", refused_by="requester_names"),
            case(name="limited", requester=limited),
            case(name="to others", requester=other, expect="refused", refused_by="allowed_names"),
            case(
                name="to none",
                requester=web | {"allowed_names": []},
                expect="refused",
                refused_by="allowed_names",
            ),
        ]
    )
    assert (0, "", "5 passed, 0 failed") == (code, err, out.splitlines()[-1])


@pytest.mark.parametrize(
    ("requester", "error"),
    [
        ({"claims": {"project": 1}}, "requester.claims.project: should be a valid string"),
        ({"claims": ["a"]}, "requester.claims"),
        ({"allowed_names": ["%.example.com"]}, "requester.allowed_names.0: "),
        ({"allowed_names": "www.example.com"}, "requester.allowed_names"),
    ],
)
def test_malformed_claims_and_limits_are_errors(run, requester, error):
    code, _, err = run([case(requester=requester)])
    assert 1 == code
    assert error in err


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (case(address="198.51.100.1"), "should be signed, but is refused: source_cidrs: the req"),
        (
            case(expect="refused", refused_by="source_cidrs"),
            "should be refused, but would be signed",
        ),
        (
            case(address="198.51.100.1", expect="refused", refused_by="never_a_ca"),
            "should be refused by never_a_ca, but is refused: source_cidrs: the request's source",
        ),
        (
            case(
                address="198.51.100.1", expect="refused", refused_by=["source_cidrs", "never_a_ca"]
            ),
            "should be refused by source_cidrs, never_a_ca, but is refused: source_cidrs",
        ),
        (case(expect="unreadable"), "should be unreadable, but would be signed"),
        (
            case(names=["DNS:www.example.com", "IP:192.0.2.1"]),
            "should be for IP:192.0.2.1, but is for DNS:www.example.com",
        ),
    ],
)
def test_cases_with_another_result_fail_and_show_it(run, wrong, words):
    code, out, err = run([case(name="good"), wrong])

    assert (1, "") == (code, err)
    lines = out.splitlines()
    assert "1 passed, 1 failed" == lines[-1]
    assert lines[-2].startswith(f"  FAILED  a host: {words}")


def test_a_request_can_come_from_a_file_next_to_the_cases(run, tmp_path):
    (tmp_path / "csrs").mkdir()
    (tmp_path / "csrs/good.csr").write_bytes(make_csr())
    (tmp_path / "csrs/bad.csr").write_bytes(b"nonsense")

    code, out, _ = run(
        [
            case(csr=None, csr_file="csrs/good.csr"),
            case(name="junk", csr=None, csr_file="csrs/bad.csr", expect="unreadable"),
        ]
    )

    assert 0 == code
    assert "2 passed, 0 failed" in out


def test_an_unreadable_request_does_not_count_as_refused(run, tmp_path):
    (tmp_path / "bad.csr").write_bytes(b"nonsense")

    code, out, _ = run(
        [case(csr=None, csr_file="bad.csr", expect="refused", refused_by="source_cidrs")]
    )

    assert 1 == code
    assert "should be refused, but is unreadable: the request contains no PEM block" in out


def test_a_plug_in_that_crashes_fails_every_expectation(run, tmp_path, document, plugins):
    plugins(
        "def crash(csr):\n    raise RuntimeError('broken')\n",
        "[anchor.validators]\ncrash = trouble:crash\n",
    )
    document["registration_authority"]["default"]["validators"] = {"crash": {}}
    (tmp_path / "config.json").write_text(json.dumps(document))

    code, out, _ = run(
        [
            case(),
            case(name="refused", csr={}, expect="refused", refused_by="a_name"),
        ]
    )

    assert 1 == code
    assert 2 == out.count("the validator 'crash' failed: RuntimeError: broken")


def test_a_case_describes_the_requester(run, tmp_path, document, plugins):
    plugins(
        "from anchor.validators import ValidationError\n"
        "def members(auth_result):\n"
        "    known = auth_result.username, auth_result.groups, auth_result.user_id, "
        "auth_result.project_id\n"
        "    if known != ('bob', ('Nova', 'Glance'), 'u1', 'p1'):\n"
        "        raise ValidationError('is not bob')\n",
        "[anchor.validators]\nmembers = trouble:members\n",
    )
    document["registration_authority"]["default"]["validators"] = {"members": {}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    bob = {"user": "bob", "groups": ["Nova", "Glance"], "user_id": "u1", "project_id": "p1"}

    code, _, _ = run(
        [
            case(requester=bob),
            case(name="someone else", expect="refused", refused_by="members"),
        ]
    )

    assert 0 == code


def test_every_error_in_a_file_is_shown_at_once(run, tmp_path):
    code, out, err = run(
        [
            case(name="", expect="maybe"),
            case(colour="red", requester={"user": 1, "team": "x"}),
            case(authority="nobody", csr={"key": "dsa-512", "dns": []}),
            case(authority="nobody", csr={"common_name": "x" * 65}),
            case(name="c4", csr=None),
            case(name="c5", csr_file="x.csr"),
            case(name="c6", csr=None, csr_file="x.csr"),
            case(name="c7", expect="refused"),
            case(name="c8", refused_by="a_name"),
            case(name="c9", expect="refused", refused_by=["a_nmae", 3]),
            case(name="c10", expect="refused", refused_by="a_nmae"),
            case(name="c10", expect="unreadable", names=["DNS:x"]),
            case(name="c10"),
            case(
                name="c13",
                address="::g",
                csr={
                    "ip_addresses": ["1.2.3"],
                    "key_usage": ["sign"],
                    "extended_key_usage": ["sign"],
                    "extensions": [{"oid": "x", "value": "0"}],
                },
            ),
            case(name="c14", csr={"subject": "CN=a", "common_name": "a", "path_length": 0}),
            case(name="c15", csr={"dns_names": ["\u00fc.example.com"]}),
            case(name="c16", csr={"subject": "nonsense"}),
            case(name="c17", csr=None, csr_file="a\0b"),
        ]
    )

    assert (1, "") == (code, out)
    path = tmp_path / "policy-tests.json"
    places = [line.removeprefix(f"{path}: ").split(": ")[0] for line in err.splitlines()[:-1]]
    assert [
        "cases.0.name",
        "cases.0.expect",
        "cases.1.requester.user",
        "cases.1.requester",
        "cases.1",
        "cases.2.csr.key",
        "cases.2.csr",
        "cases.3.csr",
        "cases.3.authority",
        "cases.4",
        "cases.5",
        "cases.6.csr_file",
        "cases.7",
        "cases.8",
        "cases.9.refused_by.1",
        "cases.10.refused_by",
        "cases.11",
        "cases.12.name",
        "cases.13.address",
        "cases.13.csr.ip_addresses.0",
        "cases.13.csr.key_usage.0",
        "cases.13.csr.extended_key_usage.0",
        "cases.13.csr.extensions.0.oid",
        "cases.13.csr.extensions.0.value",
        "cases.14.csr",
        "cases.15.csr",
        "cases.16.csr.subject",
        "cases.17.csr_file",
    ] == places
    assert f"{len(places)} errors, no case was run" == err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"cases": [], "cases": []}', "the key 'cases' is in one object twice"),
        ('{"cases": []}', "cases: "),
        ("{}", "missing option 'cases'"),
        ('{"cases": [1]}', "cases.0: "),
        ('{"cases": [{}], "case": 1}', "unknown option 'case'"),
        ('{"config": "no-such.json", "cases": [{}]}', "no-such.json cannot be read"),
        ('{"cases": [{"name": "\\ud800\\u001b"}]}', "lone leading surrogate"),
    ],
)
def test_an_invalid_file_is_rejected(run, text, words):
    code, out, err = run(text)

    assert (1, "") == (code, out)
    assert words in err
    assert "no case was run" in err
    assert "\x1b" not in err


def test_a_missing_file_is_reported_with_the_others(run, tmp_path, capsys):
    code, out, err = run([case(expect="maybe")], str(tmp_path / "nowhere.json"))

    assert (1, "") == (code, out)
    assert "nowhere.json cannot be read: No such file or directory" in err
    assert "cases.0.expect" in err


def test_the_authority_is_required_if_there_are_several(run, document, tmp_path):
    authorities = document["registration_authority"]
    authorities["second"] = authorities["default"] | {"validators": {}}
    (tmp_path / "config.json").write_text(json.dumps(document))

    assert "missing option 'authority', one of default, second" in run([case()])[2]
    assert 0 == run([case(authority="second", address="198.51.100.1")])[0]


def test_another_configuration_can_be_tested(run, document, tmp_path):
    document["registration_authority"]["default"]["validators"] = {}
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "other.json").write_text(json.dumps(document))
    stranger = case(address="198.51.100.1")

    assert 1 == run([stranger])[0]
    assert 0 == run([stranger], "--config", str(other / "other.json"))[0]
    assert 0 == run(json.dumps({"config": "elsewhere/other.json", "cases": [stranger]}))[0]


def test_configuration_errors_are_shown_with_the_file_name(run, document, tmp_path):
    document["registration_authority"]["default"]["validators"]["source_cidrs"] = {}
    (tmp_path / "config.json").write_text(json.dumps(document))

    code, _, err = run([case(expect="maybe")])

    assert 1 == code
    assert (
        f"config: {tmp_path / 'config.json'}: registration_authority.default.validators."
        "source_cidrs: missing option 'cidrs'" in err
    )
    assert "cases.0.expect" in err


def test_junit_results_are_written_for_any_text(run, tmp_path):
    report = tmp_path / "report.xml"

    code, _, _ = run(
        [
            case(name="fine"),
            case(name='<&"\x00\x1b]\u202e', address="198.51.100.1"),
        ],
        "--junit",
        str(report),
    )

    assert 1 == code
    root = ET.parse(report).getroot()
    assert ("testsuites", "2", "1") == (root.tag, root.get("tests"), root.get("failures"))
    [suite] = root
    fine, failed = suite
    assert ("2", "1", "0") == (suite.get("tests"), suite.get("failures"), suite.get("errors"))
    assert ("fine", []) == (fine.get("name"), list(fine))
    assert '<&"\\x00\\x1b]\\u202e' == failed.get("name")
    assert "source_cidrs" in failed.find("failure").get("message")


def test_a_report_that_cannot_be_written_is_an_error(run, tmp_path):
    code, _, err = run([case()], "--junit", str(tmp_path / "no/such/place.xml"))

    assert 1 == code
    assert "cannot be written: No such file or directory" in err


def test_control_characters_in_names_are_escaped(run):
    hostile = "\x1b]0;owned\x07\r\n\u202e"

    _, out, err = run([case(name=hostile, csr={"dns_names": ["\x1b[31m"]})])
    assert "FAILED" in out
    assert not any(character in out + err for character in "\x1b\x07\r\u202e")

    _, out, err = run([{"name": "x", hostile: 1}])
    assert "unknown option" in err
    assert not any(character in out + err for character in "\x1b\x07\r\u202e")


def test_a_request_contains_everything_in_its_description():
    description = Description.model_validate_json(
        json.dumps(
            {
                "subject": "CN=a+OU=b,O=c",
                "dns_names": ["a.example.com"],
                "ip_addresses": ["192.0.2.1", "2001:db8::1"],
                "emails": ["a@example.com"],
                "uris": ["spiffe://example.com/a"],
                "key_usage": ["digitalSignature", "cRLSign"],
                "extended_key_usage": ["clientAuth", "1.2.3.4"],
                "ca": True,
                "path_length": 1,
                "extensions": [{"oid": "1.2.3.5", "critical": True, "value": "040101"}],
            }
        )
    )

    request = x509.load_pem_x509_csr(CsrFactory().make(description))

    values = {extension.value.__class__: extension for extension in request.extensions}
    assert request.is_signature_valid
    assert "CN=a+OU=b,O=c" == request.subject.rfc4514_string()
    names = [str(name.value) for name in values[x509.SubjectAlternativeName].value]
    assert [
        "a.example.com",
        "a@example.com",
        "spiffe://example.com/a",
    ] == [name for name in names if not name[0].isdigit()]
    assert {"192.0.2.1", "2001:db8::1"} <= set(names)
    usage = values[x509.KeyUsage].value
    assert (True, True, False) == (usage.digital_signature, usage.crl_sign, usage.key_agreement)
    assert ["1.3.6.1.5.5.7.3.2", "1.2.3.4"] == [
        oid.dotted_string for oid in values[x509.ExtendedKeyUsage].value
    ]
    assert x509.BasicConstraints(True, 1) == values[x509.BasicConstraints].value
    extra = values[x509.UnrecognizedExtension]
    assert ("1.2.3.5", True, b"\x04\x01\x01") == (
        extra.oid.dotted_string,
        extra.critical,
        extra.value.value,
    )


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("rsa-1024", rsa.RSAPublicKey),
        ("rsa-2048", rsa.RSAPublicKey),
        ("ec-p256", ec.EllipticCurvePublicKey),
        ("ec-p384", ec.EllipticCurvePublicKey),
        ("ec-p521", ec.EllipticCurvePublicKey),
        ("ec-secp256k1", ec.EllipticCurvePublicKey),
        ("ed25519", ed25519.Ed25519PublicKey),
        ("ed448", ed448.Ed448PublicKey),
    ],
)
def test_each_kind_of_key_is_generated_once(kind, family):
    maker = CsrFactory()

    first, second = (
        x509.load_pem_x509_csr(maker.make(Description(key=kind, common_name=name))).public_key()
        for name in ("a", "b")
    )

    assert first == second
    assert isinstance(first, family)
    if kind.startswith("rsa"):
        assert kind == f"rsa-{first.key_size}"


def test_the_sample_configuration_has_cases_that_pass(tmp_path, capsys):
    (tmp_path / "tests").mkdir()
    shutil.copytree(REPOSITORY / "tests/policy", tmp_path / "tests/policy")
    shutil.copy(REPOSITORY / "config.json", tmp_path)
    (tmp_path / "CA").mkdir()
    # Policy tests do not need the key of the CA.
    certificate = create_ca.make_root("Anchor Test CA", "ec-p256", 1).certificate_pem
    (tmp_path / "CA/root-ca.crt").write_bytes(certificate)

    code = main.main(["test-policy", str(tmp_path / "tests/policy/sample.json")])

    captured = capsys.readouterr()
    assert (0, "") == (code, captured.err)
    assert " passed, 0 failed" in captured.out
    assert not (tmp_path / "certs").exists()
