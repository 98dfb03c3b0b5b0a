"""config.json in both forms: all errors are reported at once, each with its path."""

from __future__ import annotations

import copy
import json
import logging

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from anchor.authorities import load_authorities
from anchor.cli.main import main
from anchor.config.document import find_config
from anchor.errors import ConfigurationError, SigningError
from anchor.X509.signing_request import X509Csr
from tests.support.pki import (
    DAY,
    certificate_with_invalid_version,
    make_ca,
    make_csr,
    now,
    shared_key,
    signed_with_sha1,
)


@pytest.fixture
def config_errors(tmp_path):
    """The errors of a configuration, as a list of lines."""

    def errors_of(document):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "config.json").write_text(text)
        try:
            load_authorities(tmp_path / "config.json")
        except ConfigurationError as error:
            return [str(problem) for problem in error.problems]
        return []

    return errors_of


@pytest.fixture
def short(ca):
    return {
        "auth": {"static": {"user": "alice", "secret": "s3cret"}},
        "ca": {"cert_path": str(ca.cert_path), "key_path": str(ca.key_path)},
        "validators": {"standards_compliance": {}},
    }


def test_the_short_form_means_one_authority_named_default(serve, short):
    service = serve(short)

    assert {"default"} == set(service.settings.authorities)
    assert service.issue()


def test_mixing_the_two_forms_is_rejected(config_errors, document, short):
    assert any("short form" in line for line in config_errors(document | {"ca": short["ca"]}))


def test_every_error_is_shown_at_once_with_its_path(config_errors, document, tmp_path):
    expired = make_ca(tmp_path, name="expired", not_after=now() - DAY, not_before=now() - 2 * DAY)
    document["nonsense"] = 1
    document["authentication"]["static"]["password"] = "x"
    document["signing_ca"]["local"] |= {"valid_hours": "24", "key_path": "nowhere.key"}
    document["signing_ca"]["other"] = {
        "backend": "anchor",
        "cert_path": str(expired.cert_path),
        "key_path": str(expired.key_path),
    }
    authority = document["registration_authority"]["default"]
    authority["authentication"] = "ldap"
    authority["validators"] = {
        "source_cidrs": {"cidr": ["10.0.0.0/8"]},
        "standards_compliance": {"label_re": "["},
        "missing_one": {},
    }
    document["audit"] = {"target": "paper"}

    lines = config_errors(document)

    for expected in (
        "unknown key 'nonsense'",
        "authentication.static: unknown option 'password'",
        "signing_ca.local.valid_hours: ",
        "signing_ca.local.key_path: ",
        "signing_ca.other.cert_path: ",
        "registration_authority.default.authentication: there is no authentication 'ldap'",
        "registration_authority.default.validators.source_cidrs: unknown option 'cidr'",
        "registration_authority.default.validators.source_cidrs: missing option 'cidrs'",
        "registration_authority.default.validators.standards_compliance.label_re: ",
        "registration_authority.default.validators.missing_one: no plug-in 'missing_one'",
        "audit.target: ",
    ):
        assert [line for line in lines if line.startswith(expected)], (expected, lines)
    assert "secret" not in "".join(lines)


def test_error_paths_use_the_form_of_the_configuration(config_errors, short):
    short["ca"]["valid_hours"] = True
    short["auth"]["static"]["groups"] = "staff"
    short["validators"] = {"source_cidrs": {"cidrs": ["10.0.0.1/8"]}}

    starts = [line.split(": ")[0] for line in config_errors(short)]

    assert ["auth.static.groups", "ca.valid_hours", "validators.source_cidrs.cidrs.0"] == starts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not JSON: it is empty"),
        ("\ufeff{}", "is not JSON: it begins with a byte order mark; save it as UTF-8 without one"),
        ("[]", "does not hold a JSON object"),
        ("{" * 100000, "is not JSON: Expecting property name enclosed in double quotes, in line 1"),
        ("[" * 100000, "is not JSON: its objects or arrays are nested too deeply"),
        ('{"ca": ' + "9" * 5000 + "}", "is not JSON: a number has too many digits"),
        # The words are Python's, and differ between its versions.
        ('{"ca": {},\n}', ", in line "),
        ('{"ca": 1, "ca": 2}', "the key 'ca' is in one object twice"),
        ('{"audit": NaN}', "NaN is not JSON"),
        ("{}", "missing key 'authentication'"),
        ('{"authentication": {}, "signing_ca": [], "registration_authority": {"a/b": {}}}', "a/b"),
    ],
)
def test_a_document_that_is_not_a_configuration_is_rejected(config_errors, text, expected):
    assert any(expected in line for line in config_errors(text))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("valid_hours", "24"),
        ("valid_hours", 0),
        ("valid_hours", -1),
        ("valid_hours", True),
        ("valid_hours", None),
        ("valid_hours", 1e400),
        ("backdate_seconds", 1.5),
        ("signing_hash", "sha1"),
        ("signing_hash", "md5"),
        ("output_path", 7),
        ("cert_path", ["a"]),
    ],
)
def test_options_of_a_wrong_type_are_rejected(config_errors, document, option, value):
    document["signing_ca"]["local"][option] = value
    text = json.dumps(document).replace("Infinity", "1e400")

    lines = config_errors(text)

    assert [line for line in lines if line.startswith(f"signing_ca.local.{option}: ")], lines


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"not_before": now() + DAY}, "is not valid before"),
        ({"ca": False}, "CA:TRUE"),
        ({"usage": None}, None),
    ],
)
def test_a_certificate_that_is_not_a_ca_certificate_is_rejected(
    config_errors, document, tmp_path, broken, expected
):
    other = make_ca(tmp_path, name="other", **broken)
    document["signing_ca"]["local"] |= {
        "cert_path": str(other.cert_path),
        "key_path": str(other.key_path),
    }

    lines = config_errors(document)

    if expected is None:
        assert [] == lines
    else:
        assert [line for line in lines if expected in line]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, ": should be a valid string or a valid array"),
        ({"static": 1}, ": should be a valid string or a valid array"),
        (5, ": should be a valid string or a valid array"),
        (["static", 5], ".1: should be a valid string"),
        ([], ": should have at least 1 item, not 0"),
        (["static", "static"], "both accept a password"),
    ],
)
def test_an_option_of_several_types_has_one_problem_in_the_words_of_the_file(
    config_errors, document, value, problem
):
    document["registration_authority"]["default"]["authentication"] = value

    [line] = config_errors(document)

    assert line.startswith("registration_authority.default.authentication")
    assert problem in line
    assert "[" not in line
    assert ".str" not in line


def test_a_key_of_another_certificate_is_rejected(config_errors, document, tmp_path):
    document["signing_ca"]["local"]["key_path"] = str(make_ca(tmp_path, name="other").key_path)

    assert ["signing_ca.local: the private key does not match the certificate in 'cert_path'"] == (
        config_errors(document)
    )


@pytest.mark.parametrize(("mode", "good"), [(0o644, False), (0o660, False), (0o440, True)])
def test_a_key_that_others_can_read_is_rejected(config_errors, document, ca, mode, good):
    ca.key_path.chmod(mode)

    lines = config_errors(document)

    assert good == (lines == [])
    assert all("key_path" in line for line in lines)


def test_a_chain_with_a_wrong_issuer_is_rejected(config_errors, document, tmp_path):
    document["signing_ca"]["local"]["chain_path"] = str(make_ca(tmp_path, name="alien").cert_path)

    assert any("did not issue the one before it" in line for line in config_errors(document))


def test_a_chain_with_a_broken_hash_is_rejected(config_errors, document, tmp_path):
    key = shared_key("rsa-2048")
    root = make_ca(tmp_path, name="root", key=key)
    middle = make_ca(tmp_path, name="middle", issuer=root)
    middle.cert_path.write_bytes(signed_with_sha1(middle.certificate, key))
    document["signing_ca"]["local"] |= {
        "cert_path": str(middle.cert_path),
        "key_path": str(middle.key_path),
        "chain_path": str(root.cert_path),
    }

    assert any("over sha1, which is broken" in line for line in config_errors(document))


def test_a_certificate_with_an_invalid_version_is_rejected(config_errors, document, ca):
    ca.cert_path.write_text(certificate_with_invalid_version())

    assert any("holds no certificate in PEM" in line for line in config_errors(document))


def test_an_encrypted_key_takes_its_passphrase_from_a_file_or_the_environment(
    config_errors, document, ca, tmp_path, monkeypatch
):
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        ca.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
        )
    )
    encrypted.chmod(0o400)
    (tmp_path / "passphrase").write_text("open sesame\n")
    (tmp_path / "passphrase").chmod(0o400)
    monkeypatch.setenv("PASSPHRASE", "open sesame")
    monkeypatch.setenv("WRONG", "open barley")
    local = document["signing_ca"]["local"]
    local["key_path"] = str(encrypted)

    found = {}
    for name, options in {
        "none": {},
        "file": {"passphrase_file": "passphrase"},
        "env": {"passphrase_env": "PASSPHRASE"},
        "wrong": {"passphrase_env": "WRONG"},
        "both": {"passphrase_file": "passphrase", "passphrase_env": "PASSPHRASE"},
        "unset": {"passphrase_env": "NO_SUCH_VARIABLE"},
    }.items():
        changed = copy.deepcopy(document)
        changed["signing_ca"]["local"] |= options
        found[name] = config_errors(changed)

    assert [] == found["file"] == found["env"]
    assert "is encrypted" in found["none"][0]
    assert "passphrase is wrong" in found["wrong"][0]
    assert "exactly one" in found["both"][0]
    assert "NO_SUCH_VARIABLE" in found["unset"][0]
    assert "barley" not in str(found)


@pytest.mark.parametrize(
    ("options", "good"),
    [
        ({"secret_file": "secret"}, True),
        ({"secret_env": "ANCHOR_TEST_SECRET"}, True),
        # Kubernetes sets variables with such names.
        ({"secret_env": "anchor-test.secret"}, True),
        ({"secret": "s3cret", "secret_env": "ANCHOR_TEST_SECRET"}, False),
        ({"secret": ""}, False),
        ({}, False),
    ],
)
def test_the_static_secret_can_be_outside_of_the_json(
    config_errors, serve, document, tmp_path, monkeypatch, options, good
):
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("ANCHOR_TEST_SECRET", "s3cret")
    monkeypatch.setenv("anchor-test.secret", "s3cret")
    document["authentication"]["static"] = {"backend": "static", "user": "alice", **options}

    assert good == (config_errors(document) == [])
    if good:
        assert serve(document).issue()


@pytest.mark.parametrize(
    "written", ["correct-horse battery", "3jK9=", ["barley"], {"a": "barley"}, 7]
)
def test_a_secret_in_the_place_of_a_variable_is_not_repeated(config_errors, document, written):
    document["authentication"]["static"] = {
        "backend": "static",
        "user": "alice",
        "secret_env": written,
    }

    assert [
        "authentication.static.secret_env: should be the name of an environment variable, such as "
        "ANCHOR_SECRET"
    ] == config_errors(document)


def test_the_sample_credentials_cause_a_warning(config_errors, document, caplog):
    document["authentication"]["static"] |= {"user": "myusername", "secret": "simplepassword"}

    assert [] == config_errors(document)
    # This process does not listen, so it is treated as reachable from anywhere.
    assert [logging.CRITICAL] == [record.levelno for record in caplog.records]
    assert "simplepassword" not in caplog.text


def test_config_json_is_searched_in_the_documented_order(tmp_path, monkeypatch):
    home, environment, here = tmp_path / "home", tmp_path / "venv", tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    variables = {"VIRTUAL_ENV": str(environment)}
    paths = [
        environment / "etc/anchor/config.json",
        home / ".config/anchor/config.json",
        here / "config.json",
    ]

    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        assert path == find_config(variables).absolute()
    named = {**variables, "ANCHOR_CONF": str(tmp_path / "named.json")}
    assert tmp_path / "named.json" == find_config(named)


def test_a_named_configuration_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_authorities(tmp_path / "nowhere.json")


def test_relative_paths_are_relative_to_the_configuration(config_errors, document, ca, monkeypatch):
    document["signing_ca"]["local"] |= {
        "cert_path": ca.cert_path.name,
        "key_path": ca.key_path.name,
    }
    monkeypatch.chdir("/")

    assert [] == config_errors(document)


def test_a_running_service_never_reads_configuration(serve, document, tmp_path, ca):
    service = serve(document)
    for path in (tmp_path / "config.json", ca.cert_path, ca.key_path):
        path.unlink()

    assert service.issue()


def test_check_shows_every_error_and_exits_with_1(document, tmp_path, capsys):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    assert main(["check", "--config", str(config)]) == 0
    assert "good" in capsys.readouterr().out

    config.write_text(json.dumps(document | {"x": 1, "y": 2}))
    assert main(["check", "--config", str(config)]) == 1
    errors = capsys.readouterr().err
    assert "unknown key 'x'" in errors
    assert "unknown key 'y'" in errors
    assert "2 errors" in errors


def test_a_ca_that_expires_while_the_service_runs_signs_nothing(service):
    signing_ca = service.settings.authorities["default"].signing_ca

    with pytest.raises(SigningError, match="replace the CA"):
        signing_ca.issue(X509Csr.from_pem(make_csr()), now() + 400 * DAY)
