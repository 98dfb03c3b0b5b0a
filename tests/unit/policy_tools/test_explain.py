"""``anchor explain`` shows how a request would be handled, without signing it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from anchor.authorities import load_authorities
from anchor.cli import main
from anchor.errors import ConfigurationError
from tests.support.pki import DAY, make_ca, make_csr, names_of, now, shared_key

ANCHOR = Path(sys.executable).with_name("anchor")
DIGITAL_SIGNATURE = x509.KeyUsage(True, *[False] * 8)
CERT_SIGN = x509.KeyUsage(False, False, False, False, False, True, False, False, False)


@pytest.fixture
def policy(document):
    """A configuration with checks and fixups."""
    document["registration_authority"]["default"] |= {
        "validators": {
            "standards_compliance": {},
            "source_cidrs": {"cidrs": ["192.0.2.0/24"]},
        },
        "fixups": {"enforce_alternative_names_present": {}},
    }
    return document


@pytest.fixture
def explain(tmp_path, capsys):
    """Runs the command on a request; returns the exit code, the output and the errors."""

    def run(document, csr, *options):
        config, request = tmp_path / "config.json", tmp_path / "request.csr"
        config.write_text(json.dumps(document))
        request.write_bytes(csr)
        code = main.main(
            ["explain", "--config", str(config), "--from", "192.0.2.7", *options, str(request)]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def explain_in_json(explain):
    """Runs the command with --json; returns the object too."""

    def run(document, csr, *options):
        code, out, err = explain(document, csr, "--json", *options)
        assert "" == err
        return code, json.loads(out)

    return run


def test_an_acceptable_request_would_be_signed(explain, policy):
    csr = make_csr("www.example.com", extensions=[DIGITAL_SIGNATURE])

    code, out, err = explain(policy, csr, "--user", "bob", "--group", "Nova", "--group", "Glance")

    assert 0 == code
    assert "" == err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "default: asked by bob of Nova, Glance from 192.0.2.7" == lines[0]
    assert 2 == lines.count("ok standards_compliance")
    assert 1 == lines.count("ok proof_of_possession")
    assert 1 == lines.count("ok source_cidrs")
    assert "changed enforce_alternative_names_present adds DNS:www.example.com" in lines
    assert "subject CN=www.example.com" in lines
    assert "names DNS:www.example.com" in lines
    assert "key usage digitalSignature" in lines
    assert "issuer CN=Test CA" in lines
    assert "It would be signed." == lines[-1]


def test_fixups_without_effect_are_shown_and_checks_run_once(explain, policy):
    code, out, _ = explain(policy, make_csr("www.example.com", "www.example.com"))

    assert 0 == code
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "ok enforce_alternative_names_present" in lines
    assert 1 == lines.count("ok standards_compliance")


REFUSED = {
    "a CA": make_csr("ca.example.com", extensions=[(x509.BasicConstraints(True, None), True)]),
    "a key for signing certificates": make_csr(extensions=[(CERT_SIGN, True)]),
    "a name that is none": make_csr("www.example.com", "www.*.example.com", "x_y.example.com"),
    "nobody": make_csr(None),
    "an unknown critical extension": make_csr(
        extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0"), True)]
    ),
    "a common name that a fixup makes a bad DNS name of": make_csr("www-.example.com"),
    "a common name that no fixup makes a DNS name of": make_csr("www..example.com"),
    "control characters": make_csr("a\x1b[31m\r\nb.example.com"),
    "an address that is written as a name": make_csr("a", x509.DNSName("192.0.2.1")),
}


@pytest.mark.parametrize("csr", REFUSED.values(), ids=REFUSED)
def test_failures_match_those_of_the_service(serve, explain_in_json, policy, csr):
    answer = serve(policy).sign(csr, status=400, headers={"Accept": "application/json"})
    code, report = explain_in_json(policy, csr)

    assert (1, "refused") == (code, report["outcome"])
    refused = [
        {"check": check.get("check") or check["fixup"], "reason": check["reason"]}
        for check in (*report["fixups"], *(report["rechecks"] or report["checks"]))
        if check["verdict"] == "refused"
    ]
    assert answer.json["failures"] == refused
    assert report["certificate"] is None


@pytest.mark.parametrize("csr", REFUSED.values(), ids=REFUSED)
def test_the_text_contains_the_reasons_of_the_service(serve, explain, policy, csr):
    answer = serve(policy).sign(csr, status=400)
    code, out, _ = explain(policy, csr)

    assert 1 == code
    assert f"It would not be signed: {answer.text}" in out


def test_validators_see_the_given_address_and_requester(explain_in_json, policy, plugins):
    plugins(
        "from anchor.validators import ValidationError\n"
        "def nosy(auth_result, request, conf):\n"
        "    raise ValidationError('seen', user=auth_result.username,"
        " groups='+'.join(auth_result.groups), address=request.client_addr,"
        " path=request.path, ca=conf['signing_ca'])\n",
        "[anchor.validators]\nnosy = trouble:nosy\n",
    )
    policy["registration_authority"]["default"]["validators"] = {"nosy": {}}

    _, report = explain_in_json(
        policy, make_csr(), "--user", "bob", "--group", "Nova", "--from", "::ffff:198.51.100.1"
    )

    expected = (
        "seen (user 'bob', groups 'Nova', address '198.51.100.1', "
        "path '/v1/sign/default', ca 'local')"
    )
    assert expected == report["checks"][-1]["reason"]


NAMES = ["{username}.example.com", "{group}-%.svc.example.com", "{claim:project}.ci.example.com"]


def test_the_patterns_of_the_requester_are_shown(explain, explain_in_json, document):
    validators = {"requester_names": {"names": NAMES}}
    document["registration_authority"]["default"]["validators"] = validators
    who = ("--user", "web1", "--group", "Web", "--group", "a b", "--claim", "project=shop=1")
    _, out, _ = explain(document, make_csr("web1.example.com"), *who)
    lines = out.splitlines()
    assert "  claims: project=shop=1" in lines
    assert "  requester_names: web1.example.com, Web-%.svc.example.com" in lines
    assert "It would be signed." == lines[-1]

    code, found = explain_in_json(document, make_csr("web2.example.com"), *who)
    assert 1 == code
    assert found["requester"]["claims"] == {"project": "shop=1"}
    assert found["requester"]["allowed_names"] is None
    assert found["requester_names"] == ["web1.example.com", "Web-%.svc.example.com"]
    [reason] = [each["reason"] for each in found["checks"] if each["check"] == "requester_names"]
    assert "{claim:project} is not one label" in reason


def test_many_patterns_are_cut(explain, explain_in_json, document):
    validators = {"requester_names": {"names": ["{group}.example.com"]}}
    document["registration_authority"]["default"]["validators"] = validators
    groups = [option for number in range(1000) for option in ("--group", f"g{number}")]
    _, out, _ = explain(document, make_csr("g999.example.com"), *groups)
    assert "g99.example.com, ..." in out
    assert "It would be signed." in out
    _, found = explain_in_json(document, make_csr("g999.example.com"), *groups)
    assert len(found["requester_names"]) == 100


def test_without_a_value_that_fits_there_is_no_pattern(explain, document):
    validators = {"requester_names": {"names": NAMES}}
    document["registration_authority"]["default"]["validators"] = validators
    _, out, _ = explain(document, make_csr("web1.example.com"), "--user", "a\x1b[31m.b")
    assert "  requester_names: none" in out.splitlines()
    assert "\x1b" not in out


def test_a_credential_can_be_limited_to_names(explain, explain_in_json, document):
    limit = ("--allow-name", "web1.example.com", "--allow-name", "10.0.0.1")
    csr = make_csr("web1.example.com", "10.0.0.1")
    code, out, _ = explain(document, csr, *limit)
    assert 0 == code
    assert "  limited to: web1.example.com, 10.0.0.1" in out.splitlines()
    code, found = explain_in_json(document, make_csr("web2.example.com"), *limit)
    assert 1 == code
    assert found["requester"]["allowed_names"] == ["web1.example.com", "10.0.0.1"]
    assert found["requester_names"] is None
    assert ["allowed_names"] == [
        each["check"] for each in found["checks"] if each["verdict"] == "refused"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--claim", "project"], "use 'project=web'"),
        (["--claim", "=web"], "use 'project=web'"),
        (["--allow-name", "%.example.com"], "no pattern"),
        (["--allow-name", ""], "is empty"),
    ],
)
def test_a_malformed_claim_or_name_is_a_usage_error(explain, document, capsys, options, words):
    with pytest.raises(SystemExit) as caught:
        explain(document, make_csr(), *options)
    assert 2 == caught.value.code
    assert words in capsys.readouterr().err


def test_a_claim_that_is_given_twice_is_a_usage_error(explain, document):
    twice = ("--claim", "project=shop", "--claim", "project=shop")

    code, _, errors = explain(document, make_csr(), *twice)

    assert code == 2
    assert "a claim twice" in errors


def test_the_described_certificate_matches_the_issued_one(serve, explain_in_json, policy):
    extended = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH, x509.ObjectIdentifier("1.2.3.4")]
    )
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
    )
    csr = make_csr(
        "www.example.com",
        "www.example.org",
        "2001:db8::1",
        key=shared_key("rsa-2048"),
        extensions=[(DIGITAL_SIGNATURE, True), extended, policies],
    )

    code, report = explain_in_json(policy, csr)
    certificate = serve(policy).issue(csr)

    contents = report["certificate"]
    assert 0 == code
    assert contents["subject"] == certificate.subject.rfc4514_string()
    assert contents["issuer"] == certificate.issuer.rfc4514_string()
    assert [name.partition(":")[2] for name in contents["names"]] == names_of(certificate)
    assert "RSA, 2048 bits" == contents["key"]
    assert ["digitalSignature"] == contents["key_usage"]
    assert ["serverAuth", "1.2.3.4"] == contents["extended_key_usage"]
    assert contents["ca"] is False
    assert ["2.5.29.32"] == contents["dropped_extensions"]
    told_not_after = datetime.datetime.fromisoformat(contents["not_after"])
    assert abs((certificate.not_valid_after_utc - told_not_after).total_seconds()) < 600


def test_keys_secrets_and_directories_are_not_needed_or_created(
    explain, policy, tmp_path, monkeypatch
):
    monkeypatch.delenv("ANCHOR_NO_SUCH_SECRET", raising=False)
    policy["authentication"]["static"] = {
        "backend": "static",
        "user": "alice",
        "secret_env": "ANCHOR_NO_SUCH_SECRET",
    }
    policy["authentication"]["other"] = {
        "backend": "static",
        "user": "alice",
        "secret_file": "no-such-secret",
    }
    policy["signing_ca"]["local"] |= {
        "key_path": "no-such-key",
        "passphrase_file": "no-such-passphrase",
        "output_path": "made/by/the/service",
    }
    policy["audit"] = {"target": "log"}

    code, out, err = explain(policy, make_csr())

    assert (0, "") == (code, err)
    assert "It would be signed." in out
    assert not (tmp_path / "made").exists()


def test_backends_are_not_created(explain, policy, plugins):
    plugins(
        "class Absent:\n"
        "    def __init__(self, host: str):\n"
        "        raise RuntimeError('there is no such host')\n",
        "[anchor.authentication]\nabsent = trouble:Absent\n"
        "[anchor.signing_backends]\nabsent = trouble:Absent\n",
    )
    policy["authentication"]["static"] = {"backend": "absent", "host": "ldap.example.com"}
    ca = policy["signing_ca"]["local"]
    policy["signing_ca"]["local"] = {
        "backend": "absent",
        "host": "hsm.example.com",
        "cert_path": ca["cert_path"],
    }

    code, _, err = explain(policy, make_csr())

    assert (0, "") == (code, err)


def test_unknown_options_are_errors_offline_too(document, tmp_path):
    document["authentication"]["static"]["colour"] = "red"
    document["signing_ca"]["local"]["pin"] = "1234"
    document["registration_authority"]["default"]["validators"]["source_cidrs"] = {"cidr": []}
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))

    with pytest.raises(ConfigurationError) as caught:
        load_authorities(config, offline=True)

    assert {
        "authentication.static: unknown option 'colour'",
        "signing_ca.local: unknown option 'pin'",
        "registration_authority.default.validators.source_cidrs: unknown option 'cidr'"
        ": did you mean 'cidrs'?",
        "registration_authority.default.validators.source_cidrs: missing option 'cidrs'",
    } == set(map(str, caught.value.problems))


def test_an_authority_loaded_offline_cannot_authenticate_or_sign(document, tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    authority = load_authorities(config, offline=True).authorities["default"]

    with pytest.raises(Exception, match="loaded offline"):
        authority.methods.authenticators[0].authenticate("default", "alice", "s3cret")
    assert [None] == [each.signer for each in authority.signing_ca.generations]


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no PEM block"),
        (b"hello", "no PEM block"),
        (make_csr() * 2, "more than one PEM block"),
        (b"\x30\x03\x02\x01", "not a valid certificate signing request"),
        (b"\x00\xff\x1b[2J", "no PEM block"),
    ],
)
def test_an_unreadable_request_is_shown_as_unreadable(
    explain, explain_in_json, policy, octets, words
):
    code, out, _ = explain(policy, octets)
    json_code, report = explain_in_json(policy, octets)

    assert (1, 1, "unreadable") == (code, json_code, report["outcome"])
    assert words in out
    assert words in report["fault"]
    assert [] == report["checks"]


def test_a_request_in_der_is_read_too(explain, policy):
    der = x509.load_pem_x509_csr(make_csr()).public_bytes(Encoding.DER)

    code, _, _ = explain(policy, der)

    assert 0 == code


def test_a_crashing_validator_is_shown_with_the_others(serve, explain, policy, plugins):
    plugins(
        "def crash(csr):\n    raise RuntimeError('\\x1b[31mthe validator is broken')\n",
        "[anchor.validators]\ncrash = trouble:crash\n",
    )
    validators = {"crash": {}} | policy["registration_authority"]["default"]["validators"]
    policy["registration_authority"]["default"]["validators"] = validators

    code, out, _ = explain(policy, make_csr(None))

    assert 1 == code
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "crashed crash RuntimeError: \\x1b[31mthe validator is broken" in lines
    assert "ok source_cidrs" in lines
    assert "It would not be signed: the validator 'crash' failed" == lines[-1]
    assert "\x1b" not in out
    assert "internal error" in serve(policy).sign(make_csr(None), status=500).text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("return None", "the fixup 'mend' did not return a request"),
    ],
)
def test_a_fixup_that_fails_is_shown(explain, explain_in_json, policy, plugins, body, words):
    plugins(f"def mend(csr):\n    {body}\n", "[anchor.fixups]\nmend = trouble:mend\n")
    policy["registration_authority"]["default"]["fixups"] = {"mend": {}}

    code, out, _ = explain(policy, make_csr())
    _, report = explain_in_json(policy, make_csr())

    assert 1 == code
    assert words in out
    assert "failed" == report["outcome"]
    assert ("crashed", words) == (report["fixups"][0]["verdict"], report["fixups"][0]["reason"])


def test_a_fixup_can_reject_like_a_check(serve, explain, explain_in_json, policy, plugins):
    plugins(
        "from anchor.validators import ValidationError\n"
        "def mend(csr):\n    raise ValidationError('cannot be mended', name='a')\n",
        "[anchor.fixups]\nmend = trouble:mend\n",
    )
    policy["registration_authority"]["default"]["fixups"] = {"mend": {}}

    answer = serve(policy).sign(make_csr(), status=400)
    code, out, _ = explain(policy, make_csr())
    _, report = explain_in_json(policy, make_csr())

    assert 1 == code
    assert "mend: cannot be mended (name 'a')\n" == answer.text
    assert f"It would not be signed: {answer.text}" in out
    assert ("refused", None) == (report["outcome"], report["certificate"])


def test_every_kind_of_change_by_a_fixup_is_shown(explain_in_json, policy, plugins):
    plugins(
        "from cryptography import x509\n"
        "from cryptography.x509.oid import ExtendedKeyUsageOID\n"
        "def mend(csr):\n"
        "    usage = x509.KeyUsage(True, *[False] * 8)\n"
        "    name = x509.Name.from_rfc4514_string('CN=new.example.com')\n"
        "    return (csr.with_subject(name)\n"
        "        .with_alternative_names([x509.DNSName('new.example.com')])\n"
        "        .without_extensions([x509.OCSPNoCheck.oid])\n"
        "        .with_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))\n"
        "        .with_extension(usage, True))\n",
        "[anchor.fixups]\nmend = trouble:mend\n",
    )
    policy["registration_authority"]["default"]["fixups"] = {"mend": {}}
    csr = make_csr(
        "old.example.com",
        "old.example.com",
        extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), x509.OCSPNoCheck()],
    )

    _, report = explain_in_json(policy, csr)

    assert [
        "makes the subject CN=new.example.com",
        "adds DNS:new.example.com",
        "removes DNS:old.example.com",
        "makes extendedKeyUsage (clientAuth) extendedKeyUsage (serverAuth)",
        "adds keyUsage (digitalSignature, critical)",
        "removes the extension 1.3.6.1.5.5.7.48.1.5",
    ] == report["fixups"][0]["changes"]


def test_control_characters_in_names_are_escaped(explain, document):
    hostile = "\x1b]0;owned\x07\x9b31m\u202e\r\n"
    name = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostile)]))

    _, out, err = explain(document, make_csr(hostile, name), "--user", hostile, "--group", hostile)

    assert "" == err
    assert all(" " <= character <= "~" for line in out.split("\n") for character in line)
    assert "\\u202e" in out


def test_letters_that_resemble_ascii_are_escaped(explain, document):
    code, out, _ = explain(document, make_csr("\u0435xample.com", "example.com"))

    assert 0 == code
    assert "CN=\\u0435xample.com" in out


def test_an_authority_is_required_if_there_are_several(explain, policy):
    authorities = policy["registration_authority"]
    authorities["second"] = authorities["default"]

    assert 2 == explain(policy, make_csr())[0]
    code, _, err = explain(policy, make_csr(), "--ra", "third\x1b")
    assert code == 2
    assert err == (
        "anchor explain: there is no registration authority 'third\\x1b': the configuration has "
        "default, second\n"
    )
    assert explain(policy, make_csr(), "--ra", "secnod")[2].endswith(": did you mean 'second'?\n")
    assert 0 == explain(policy, make_csr(), "--ra", "second")[0]


@pytest.mark.parametrize(
    "options",
    [
        ["no-such-file.csr"],
        ["."],
        ["/dev/zero"],
        ["--from", "nowhere", "x.csr"],
        [],
        ["--colour", "x.csr"],
    ],
)
def test_invalid_options_are_a_usage_error(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    try:
        code = main.main(["explain", *options])
    except SystemExit as error:
        code = error.code

    assert 2 == code
    assert "" != capsys.readouterr().err


def test_an_invalid_configuration_is_rejected(explain, document, capsys):
    document["registration_authority"]["default"]["validators"] = {"no_such_check": {}}

    code, out, err = explain(document, make_csr())

    assert (1, "") == (code, out)
    assert "registration_authority.default.validators.no_such_check" in err


def test_a_ca_that_expires_too_soon_is_reported(explain, document, tmp_path):
    ca = make_ca(tmp_path, name="ending", not_after=now() + DAY / 48)
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
    }

    code, out, _ = explain(document, make_csr())

    assert 1 == code
    assert "It would not be signed: the CA, or its chain, ends at" in out


def _run(config, octets, *, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [ANCHOR, "explain", "--config", config, "-"],
        input=octets,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        check=False,
        timeout=60,
    )


@pytest.fixture
def config(document, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.slow
def test_the_request_can_come_from_standard_input(config):
    done = _run(config, make_csr())

    assert (0, b"") == (done.returncode, done.stderr)
    assert done.stdout.endswith(b"It would be signed.\n")


@pytest.mark.slow
def test_a_closed_output_pipe_is_not_an_error(config):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = _run(config, make_csr(), stdout=theirs)
    finally:
        os.close(theirs)

    assert (1, b"") == (done.returncode, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"NO_COLOR": "", "TERM": "xterm"}, True),
        ({"NO_COLOR": "1", "TERM": "xterm"}, False),
        ({"NO_COLOR": "", "TERM": "dumb"}, False),
    ],
)
def test_colour_is_used_only_on_terminals_that_allow_it(config, environment, coloured):
    ours, theirs = os.openpty()
    try:
        _run(config, make_csr(), stdout=theirs, **environment)
        shown = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)

    assert coloured == (b"\x1b[32mok" in shown)
    assert coloured == (b"\x1b" in shown)
