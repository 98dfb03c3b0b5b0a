"""The advice of ``anchor check``: each rule, its message, and the exit code."""

from __future__ import annotations

import copy
import json
import re
import shutil
from ipaddress import ip_network

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    DirectoryName,
    DNSName,
    IPAddress,
    Name,
    NameAttribute,
    RFC822Name,
    UniformResourceIdentifier,
)
from cryptography.x509.oid import NameOID
from docutils.nodes import make_id

from anchor.cli import check
from anchor.cli.main import main
from anchor.config_lint import database
from anchor.config_lint.rules import PAGE, RULES, Level
from tests.support.pki import (
    DAY,
    ca_certificate,
    key_pem,
    make_ca,
    now,
    shared_key,
    signed_with_sha1,
)
from tests.support.servers.anchor import ROOT
from tests.support.users import user_line, write_users

STRICT = {
    "standards_compliance": {},
    "source_cidrs": {"cidrs": ["127.0.0.0/8", "192.0.2.0/24"]},
    "common_name": {"allowed_domains": [".example.com"]},
    "alternative_names": {"allowed_domains": [".example.com"]},
    "ext_key_usage": {"allowed_usage": ["serverAuth", "clientAuth"]},
    "subject_attributes": {"allowed": {"O": ["Example"]}},
}
# Validators that do not check names.
NAMELESS = ("standards_compliance", "source_cidrs", "ext_key_usage", "subject_attributes")
OWN_NAMES = {"names": ["{username}.example.com"]}
LDAP = {
    "backend": "ldap",
    "host": "ldap.example.com",
    "base": "dc=example",
    "user_dn": "uid={user},dc=example",
}

OIDC = {
    "backend": "oidc",
    "issuer": "https://issuer.example.com",
    "audience": "anchor.example.com",
    "jwks_url": "https://issuer.example.com/keys",
}
LIMITED = {"require": {"sub": "system:serviceaccount:shop:*"}}
KEYSTONE = {"backend": "keystone", "url": "https://keystone.example.com"}
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.fixture
def good(document, tmp_path):
    """A configuration without advice."""
    (tmp_path / "secret").write_text("a-long-secret-that-nobody-guesses\n")
    (tmp_path / "state").mkdir()
    document["database"] = {"url": "sqlite:///state/anchor.db"}
    main(["audit", "init", str(tmp_path / "audit.key")])
    root = make_ca(tmp_path, name="Root")
    ca = make_ca(tmp_path, name="Intermediate", issuer=root)
    for name in ("secret", "audit.key"):
        (tmp_path / name).chmod(0o600)
    write_users(tmp_path / "users.jsonl", user_line("alice"))
    document["authentication"]["static"] = {"backend": "static", "users_file": "users.jsonl"}
    document["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "chain_path": str(root.cert_path),
    }
    document["registration_authority"]["default"]["validators"] = {
        **copy.deepcopy(STRICT),
        "requester_names": OWN_NAMES,
    }
    document["registration_authority"]["default"]["renewal"] = {"max_age_hours": 720}
    document["audit"] = {
        "target": "file",
        "path": "audit.jsonl",
        "checkpoint_key_path": "audit.key",
    }
    return document


MODULES = 'app = {"modules": ["anchor"]}'


@pytest.fixture
def advise(tmp_path, capsys, monkeypatch):
    """The advice on a configuration: paths and messages by identifier."""
    monkeypatch.delenv("PECAN_CONFIG", raising=False)

    def advise(document, config_py="", *words, code=0):
        (tmp_path / "config.py").write_text(f"{MODULES}\n{config_py}")
        config = tmp_path / "config.json"
        config.write_text(json.dumps(document))
        config.chmod(config.stat().st_mode & ~0o004)
        capsys.readouterr()
        assert code == main(["check", "--config", str(config), "--format", "json", *words])
        printed = capsys.readouterr()
        assert printed.err == ""
        found = json.loads(printed.out)
        advise.found = found
        return {each["identifier"]: each for each in found["advice"]}

    return advise


def test_a_good_configuration_gets_no_advice(good, advise, tmp_path, capsys):
    assert {} == advise(good, "", "--fail-on", "notice")
    assert main(["check", "--config", str(tmp_path / "config.json"), "--fail-on", "notice"]) == 0
    printed = capsys.readouterr()
    assert (f"{tmp_path}/config.json: good, for default\n", "") == (printed.out, printed.err)


def change(document, path, value):
    """Set the value at a dotted path; `...` removes it."""
    *parents, last = path.split("/")
    for parent in parents:
        document = document.setdefault(parent, {})
    if value is ...:
        del document[last]
    else:
        document[last] = value


CA = "signing_ca/local"
RA = "registration_authority/default"
CHECKS = f"{RA}/validators"
SAMPLE = {"backend": "static", "user": "myusername", "secret": "simplepassword"}
ONE_USER = {"backend": "static", "user": "alice", "secret_file": "secret"}
HTTPS = 'web = {"base_url": "https://anchor.example.com"}'
CHALLENGES = {"challenges": ["tls-alpn-01", "dns-01"], "networks": ["10.0.0.0/8"], "open": True}
NETWORK_AND_NAMES = [".", "%.%", "10.0.0.0/8"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("identifier", "where", "changes", "config_py"),
    [
        (
            "sample-credentials",
            "authentication.static",
            {"authentication/static": SAMPLE},
            "",
        ),
        (
            "static-secret",
            "authentication.static",
            {"authentication/static": ONE_USER},
            "",
        ),
        (
            "short-secret",
            "authentication.static",
            {"authentication/static": {**SAMPLE, "user": "alice", "secret": "hunter2"}},
            "",
        ),
        (
            "directory-without-tls",
            "authentication.corp.allow_plaintext",
            {"authentication/corp": {**LDAP, "ssl": False, "allow_plaintext": True}},
            "",
        ),
        (
            "directory-not-verified",
            "authentication.corp.verify",
            {"authentication/corp": {**LDAP, "verify": False}},
            "",
        ),
        (
            "keystone-without-tls",
            "authentication.cloud.url",
            {"authentication/cloud": {"backend": "keystone", "url": "http://k.example.com"}},
            "",
        ),
        (
            "public-issuer",
            "authentication.ci",
            {"authentication/ci": {**OIDC, "issuer": GITHUB, "require": {"ref": ["main", "**"]}}},
            "",
        ),
        ("any-token", "authentication.ci", {"authentication/ci": OIDC}, ""),
        (
            "issuer-without-tls",
            "authentication.ci.issuer",
            {"authentication/ci": {**OIDC, **LIMITED, "issuer": "http://issuer.example.com"}},
            "",
        ),
        (
            "common-audience",
            "authentication.ci.audience",
            {"authentication/ci": {**OIDC, **LIMITED, "audience": ["mine", "sts.amazonaws.com"]}},
            "",
        ),
        (
            "groups-of-anyone",
            "authentication.static",
            {
                "authentication/static": LDAP,
                f"{CHECKS}/server_group": {"group_prefixes": {"Nova": "nv"}},
            },
            "",
        ),
        ("served-without-tls", "config.py.server.host", {}, 'server = {"host": "0.0.0.0"}'),
        (
            "forged-addresses",
            "config.py.web.trusted_proxies",
            {},
            'web = {"trusted_proxies": ["10.0.0.1", "0.0.0.0/0"]}',
        ),
        (
            "address-of-a-proxy",
            f"{CHECKS}/source_cidrs/cidrs/1",
            {f"{CHECKS}/source_cidrs/cidrs": ["::1", "10.0.0.0/8"]},
            'server = {"host": "127.0.0.1"}',
        ),
        (
            "no-est-label",
            "registration_authority/simplereenroll",
            {
                "registration_authority/simplereenroll": {
                    "authentication": "static",
                    "signing_ca": "local",
                    "validators": STRICT | {"requester_names": OWN_NAMES},
                }
            },
            "",
        ),
        (
            "metrics-for-everyone",
            "config.py.web.metrics_networks",
            {},
            'web = {"metrics_networks": ["::/0"]}',
        ),
        (
            "open-accounts",
            f"{RA}/acme/open",
            {f"{RA}/acme": {"challenges": [], "open": True}},
            HTTPS,
        ),
        (
            "acme-without-tls",
            "config.py.web.base_url",
            {f"{RA}/acme": {"challenges": ["dns-01"], "open": True}},
            'web = {"base_url": "http://anchor.example.com"}',
        ),
        (
            "challenge-ports",
            f"{RA}/acme/tls_port",
            {f"{RA}/acme": {**CHALLENGES, "tls_port": 8443, "http_port": 8080}},
            HTTPS,
        ),
        (
            "any-target",
            f"{RA}/acme/networks/1",
            {f"{RA}/acme": {**CHALLENGES, "networks": ["10.0.0.0/8", "::/0"]}},
            HTTPS,
        ),
        ("unlimited-failures", f"{RA}/max_failures", {f"{RA}/max_failures": 0}, ""),
        ("no-source-limit", CHECKS, {f"{CHECKS}/source_cidrs": ...}, ""),
        (
            "networks-of-a-trial",
            f"{CHECKS}/source_cidrs/cidrs",
            {f"{CHECKS}/source_cidrs/cidrs": ["127.0.0.0/8", "::1"]},
            'web = {"base_url": "https://anchor.example.com"}',
        ),
        (
            "any-source",
            f"{CHECKS}/source_cidrs/cidrs/0",
            {f"{CHECKS}/source_cidrs/cidrs": ["0.0.0.0/0"]},
            "",
        ),
        (
            "any-name",
            CHECKS,
            {
                f"{CHECKS}/common_name": ...,
                f"{CHECKS}/alternative_names": ...,
                f"{CHECKS}/requester_names": ...,
            },
            "",
        ),
        (
            "unchecked-names",
            CHECKS,
            {
                "authentication/static": ONE_USER,
                f"{CHECKS}/alternative_names": ...,
                f"{CHECKS}/requester_names": ...,
            },
            "",
        ),
        (
            "every-name-listed",
            f"{CHECKS}/common_name/allowed_domains/1",
            {f"{CHECKS}/common_name/allowed_domains": [".example.com", "."]},
            "",
        ),
        (
            "undefined-claim",
            f"{CHECKS}/requester_names/names/1",
            {f"{CHECKS}/requester_names": {"names": ["{username}.a", "{claim:project}.b"]}},
            "",
        ),
        (
            "overlapping-names",
            f"{CHECKS}/requester_names/names/0",
            {f"{CHECKS}/requester_names": {"names": ["{username}-%.a", "{username}.b"]}},
            "",
        ),
        (
            "users-of-any-domain",
            "authentication.static",
            {
                "authentication/static": KEYSTONE,
                f"{CHECKS}/requester_names": {"names": ["web.example.com", "{username}.b"]},
            },
            "",
        ),
        (
            "any-requester",
            CHECKS,
            {f"{CHECKS}/requester_names": ...},
            "",
        ),
        (
            "groups-of-anyone",
            "authentication.static",
            {
                "authentication/static": LDAP,
                f"{CHECKS}/requester_names": {"names": ["{group:name}.example.com"]},
            },
            "",
        ),
        (
            "renewals-without-end",
            f"{RA}/renewal",
            {"authentication/static": OIDC | LIMITED, f"{RA}/renewal": ...},
            "",
        ),
        ("any-extended-usage", CHECKS, {f"{CHECKS}/ext_key_usage": ...}, ""),
        (
            "powerful-usage",
            f"{CHECKS}/ext_key_usage/allowed_usage/1",
            {f"{CHECKS}/ext_key_usage": {"allowed_usage": ["serverAuth", "1.3.6.1.5.5.7.3.9"]}},
            "",
        ),
        (
            "powerful-usage",
            f"{RA}/fixups/default_extended_key_usage/usage/0",
            {f"{RA}/fixups": {"default_extended_key_usage": {"usage": ["msSmartcardLogin"]}}},
            "",
        ),
        (
            "subject-attributes-dropped",
            f"{RA}/fixups",
            {f"{CHECKS}/subject_attributes": ...},
            "",
        ),
        ("standards-not-required", CHECKS, {f"{CHECKS}/standards_compliance": ...}, ""),
        (
            "signs-intermediates",
            f"{CHECKS}/ca_status/ca_requested",
            {f"{CHECKS}/ca_status": {"ca_requested": True}},
            "",
        ),
        (
            "dsa-keys",
            f"{CHECKS}/public_key/allowed_keys/DSA",
            {f"{CHECKS}/public_key": {"allowed_keys": {"DSA": 2048, "EC": 0}}},
            "",
        ),
        (
            "small-exponents",
            f"{RA}/allowed_rsa_exponents/1",
            {f"{RA}/allowed_rsa_exponents": [65537, 3]},
            "",
        ),
        ("ca-ends-soon", CA, {f"{CA}/warn_lifetimes": 1000}, ""),
        ("long-validity", f"{CA}/valid_hours", {f"{CA}/valid_hours": 169}, ""),
        ("weak-signing-hash", f"{CA}/signing_hash", {f"{CA}/signing_hash": "sha224"}, ""),
        ("database-beside-configuration", "database.url", {"database": {}}, ""),
        (
            "database-not-verified",
            "database.url",
            {"database/url": "postgresql://anchor@db.example.com/anchor?sslmode=require"},
            "",
        ),
        ("audit-in-log-only", "audit.target", {"audit": {}}, ""),
        (
            "unused-section",
            "authentication.spare",
            {"authentication/spare": {**SAMPLE, "user": "x", "secret": "long enough for this"}},
            "",
        ),
        (
            "secrets-in-configuration",
            "authentication.static.secret",
            {"authentication/static": {**SAMPLE, "secret": "long enough for this"}},
            "",
        ),
    ],
)
def test_each_advice_has_the_path_of_its_option(
    good, advise, tmp_path, identifier, where, changes, config_py
):
    for path, value in changes.items():
        change(good, path, value)

    found = advise(good, config_py)

    assert where.replace("/", ".") == found[identifier]["path"]
    assert f"{PAGE}#{identifier}" == found[identifier]["link"]
    expected = next(rule for rule in RULES if rule.identifier == identifier)
    assert str(expected.level) == found[identifier]["level"]
    # The only other advice follows from it.
    others = {"secrets-in-configuration", "unused-section", "static-secret"}
    others = others if any(path.startswith("authentication") for path in changes) else set()
    assert {identifier} == found.keys() - (others - {identifier})
    for secret in ("simplepassword", "hunter2", "long enough for this"):
        assert secret not in json.dumps(advise.found)


@pytest.mark.parametrize("options", [{"challenges": []}, CHALLENGES])
def test_acme_with_tokens_or_challenges_gets_no_advice(good, advise, options):
    good["authentication"]["tokens"] = {"backend": "token"}
    good["registration_authority"]["default"] |= {
        "authentication": ["static", "tokens"],
        "acme": options,
    }
    assert advise(good, HTTPS) == {}


def test_acme_without_the_url_of_the_service_is_an_error(good, advise):
    good["registration_authority"]["default"]["acme"] = CHALLENGES

    advise(good, code=1)

    [error] = advise.found["errors"]
    assert error["path"] == "registration_authority.default.acme"
    assert error["message"].startswith("needs 'base_url' in the section 'web' of config.py")


def test_a_client_certificate_that_every_address_can_claim_is_a_danger(good, advise):
    web = {"trusted_proxies": ["::/0"], "client_certificate_header": "X-Client-Cert"}

    advise(good, f"web = {web}")

    options = ("client_certificate_header", "trusted_proxies")
    assert [("danger", f"config.py.web.{option}") for option in options] == [
        (each["level"], each["path"]) for each in advise.found["advice"]
    ]


@pytest.mark.parametrize("option", ["cert_path", "chain_path", "ca_file"])
def test_a_certificate_signed_with_sha1_is_reported_in_every_option(good, advise, tmp_path, option):
    key = shared_key("rsa-2048")
    root = make_ca(tmp_path, name="Old root", key=key)
    old = make_ca(tmp_path, name="Old", issuer=root)
    (tmp_path / "old.crt").write_bytes(signed_with_sha1(old.certificate, key))
    section = good["signing_ca"]["local"]
    match option:
        case "cert_path":
            # With its issuer in 'chain_path' the start would fail.
            section |= {"cert_path": "old.crt", "chain_path": None, "key_path": "Old.key"}
            path = "signing_ca.local.cert_path"
        case "chain_path":
            ca = make_ca(tmp_path, name="Leafward", issuer=old)
            section |= {"cert_path": str(ca.cert_path), "key_path": str(ca.key_path)}
            section["chain_path"] = "old.crt"
            path = "signing_ca.local.chain_path"
        case _:
            good["authentication"]["static"] = {**LDAP, "ca_file": "old.crt"}
            change(good, f"{CHECKS}/requester_names", OWN_NAMES)
            path = "authentication.static.ca_file"

    found = advise(good)

    assert {"broken-signature": path} == {name: each["path"] for name, each in found.items()}


def test_an_expired_ca_of_a_directory_is_reported(good, advise, tmp_path):
    expired = make_ca(tmp_path, name="Gone", not_before=now() - 2 * DAY, not_after=now() - DAY)
    good["authentication"]["static"] = {**LDAP, "ca_file": str(expired.cert_path)}
    change(good, f"{CHECKS}/requester_names", OWN_NAMES)

    assert {"expired-trust"} == advise(good).keys()


@pytest.mark.parametrize(
    ("more", "names"),
    [({"user_domains": ["Default"]}, ["{username}.b"]), ({}, ["{group}.b"])],
)
def test_users_of_keystone_with_one_meaning_get_no_advice(good, advise, more, names):
    good["authentication"]["static"] = KEYSTONE | more
    change(good, f"{CHECKS}/requester_names", {"names": names})

    assert "users-of-any-domain" not in advise(good)


def test_tokens_with_required_claims_for_this_service_get_no_advice(good, advise):
    good["authentication"]["static"] = OIDC | LIMITED

    assert {} == advise(good)


SERVICE_ACCOUNT = {"service_dn": "cn=anchor,dc=example", "service_secret_file": "secret"}
APPLICATION = {"application_credential_id": "1", "service_secret_file": "secret"}
THIRD_PARTY = {"backend": "third_party_class", "users": ["alice"], "secret": "long-enough-for-it"}


@pytest.mark.parametrize(
    ("section", "can_look_up"),
    [
        (ONE_USER, True),
        ({"backend": "static", "users_file": "users.jsonl"}, True),
        ({"backend": "token"}, True),
        (LDAP, False),
        ({**LDAP, "user_dn": None, **SERVICE_ACCOUNT}, True),
        (KEYSTONE, False),
        (KEYSTONE | APPLICATION, True),
        (OIDC | LIMITED, False),
        (THIRD_PARTY, True),
        ({"backend": "third_party_bare_function"}, False),
    ],
    ids=lambda value: value["backend"] if isinstance(value, dict) else None,
)
def test_renewals_without_an_end_need_a_backend_that_looks_requesters_up(
    good, advise, section, can_look_up
):
    good["authentication"]["static"] = {
        name: value for name, value in section.items() if value is not None
    }
    good["registration_authority"]["default"]["renewal"] = {}

    assert ("renewals-without-end" in advise(good)) != can_look_up


@pytest.mark.parametrize("renewal", [{"max_renewals": 9}, {"max_age_hours": 1}, {"enabled": False}])
def test_renewals_with_an_end_need_no_look_up(good, advise, renewal):
    good["authentication"]["static"] = OIDC | LIMITED
    good["registration_authority"]["default"]["renewal"] = renewal

    assert {} == advise(good)


def test_the_advice_on_renewals_names_the_authentications(good, advise):
    good["authentication"] |= {"ci": OIDC | LIMITED, "staff": LDAP, "tokens": {"backend": "token"}}
    authority = good["registration_authority"]["default"]
    authority |= {"authentication": ["tokens", "ci", "staff"], "renewal": {}}

    message = advise(good)["renewals-without-end"]["message"]

    assert message.startswith("'ci' and 'staff' cannot tell ")


def test_an_audience_that_is_the_issuer_is_reported(good, advise):
    good["authentication"]["static"] = OIDC | LIMITED | {"audience": f"{OIDC['issuer']}/"}

    assert {"common-audience"} == advise(good).keys()


def test_keys_that_everyone_can_replace_are_reported(good, advise, tmp_path):
    (tmp_path / "keys.json").write_text('{"keys": []}')
    (tmp_path / "keys.json").chmod(0o666)
    section = {**OIDC, **LIMITED, "jwks_file": "keys.json"}
    del section["jwks_url"]
    good["authentication"]["static"] = section

    assert "authentication.static.jwks_file" == advise(good)["writable-by-others"]["path"]


def test_a_ca_with_a_weak_key_is_a_danger(good, advise, tmp_path):
    root = make_ca(tmp_path, "rsa-1024", name="Old root")
    ca = make_ca(tmp_path, name="Leafward", issuer=root)
    good["signing_ca"]["local"] |= {
        "cert_path": str(ca.cert_path),
        "key_path": str(ca.key_path),
        "chain_path": str(root.cert_path),
    }

    [(identifier, found)] = advise(good).items()

    assert ("weak-ca-key", "danger") == (identifier, found["level"])
    assert "signing_ca.local.chain_path" == found["path"]
    assert "CN=Old root" in found["message"]
    assert "bits" in found["message"]


def test_a_root_that_signs_is_reported(good, advise, ca):
    section = good["signing_ca"]["local"]
    del section["chain_path"]
    section |= {"cert_path": str(ca.cert_path), "key_path": str(ca.key_path)}

    assert {"online-root"} == advise(good).keys()


def test_files_that_others_can_read_or_write_are_reported(good, advise, tmp_path, capsys):
    config = tmp_path / "config.json"
    good["authentication"]["static"] = {**SAMPLE, "user": "alice"}
    advise(good)
    config.chmod(0o604)
    assert 1 == main(["check", "--config", str(config), "--fail-on", "danger"])
    stderr = capsys.readouterr().err
    assert "danger: authentication.static.secret: everyone on this machine can read" in stderr
    assert "secrets-in-configuration" not in stderr

    config.chmod(0o602)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o777)
    keys.chmod(0o777)
    good["signing_ca"]["local"]["key_path"] = "keys/key"
    (keys / "key").write_bytes((tmp_path / "Intermediate.key").read_bytes())
    (keys / "key").chmod(0o400)
    config.write_text(json.dumps(good))
    main(["check", "--config", str(config)])
    stderr = capsys.readouterr().err
    assert f"danger: everyone on this machine can write to {config}," in stderr
    assert f"signing_ca.local.key_path: everyone on this machine can write to {keys}," in stderr

    keys.chmod(0o1777)
    main(["check", "--config", str(config)])
    assert str(keys) not in capsys.readouterr().err


def test_a_directory_in_which_others_can_replace_the_users_file_is_a_danger(good, advise, tmp_path):
    users = tmp_path / "users"
    users.mkdir()
    (tmp_path / "users.jsonl").rename(users / "users.jsonl")
    users.chmod(0o777)
    good["authentication"]["static"]["users_file"] = "users/users.jsonl"

    found = advise(good)

    assert {"writable-by-others"} == found.keys()
    assert found["writable-by-others"]["path"] == "authentication.static.users_file"
    assert str(users) in found["writable-by-others"]["message"]


def test_a_directory_of_the_database_that_others_can_write_is_a_danger(good, advise, tmp_path):
    (tmp_path / "state").chmod(0o1777)

    found = advise(good)

    assert {"database-writable-by-others"} == found.keys()
    assert str(tmp_path / "state") in found["database-writable-by-others"]["message"]


@pytest.mark.parametrize(
    ("kind", "advised"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)],
)
def test_sqlite_on_a_network_file_system_is_reported(
    good, advise, tmp_path, monkeypatch, kind, advised
):
    state = tmp_path / "on a share"
    state.mkdir()
    good["database"]["url"] = f"sqlite:///{state}/anchor.db"
    mounted = str(state).replace(" ", "\\040")
    mounts = f"/dev/sda / ext4 rw 0 0\nserver:/x {mounted} {kind} rw 0 0\n"
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(database, "MOUNTS", tmp_path / "mounts")

    assert ({"database-on-a-network"} if advised else set()) == advise(good).keys()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anchor@/anchor",
        "postgresql://anchor@/anchor?host=/run/postgresql",
        "postgresql://anchor@localhost/anchor",
        "postgresql://anchor@/anchor?host=127.0.0.1:5432&host=127.0.0.2:5432",
        "postgresql://anchor@db.example.com/anchor?sslmode=verify-full",
    ],
)
def test_connections_to_postgresql_that_nobody_can_forge_get_no_advice(good, advise, url):
    good["database"]["url"] = url

    assert {} == advise(good)


def test_one_of_several_database_hosts_without_verification_is_enough(good, advise):
    hosts = "host=127.0.0.1:5432&host=b.example.com:5432"
    good["database"]["url"] = f"postgresql://anchor@/anchor?{hosts}"

    found = advise(good)

    assert {"database-not-verified"} == found.keys()
    assert "b.example.com is" in found["database-not-verified"]["message"]


@pytest.mark.parametrize(
    "url",
    ["postgresql://a:pa55word@localhost/a", "postgresql://a@localhost/a?password=pa55word"],
)
def test_a_password_in_the_url_of_the_database_is_reported(good, advise, tmp_path, url):
    good["database"]["url"] = url

    found = advise(good)

    assert {"secrets-in-configuration"} == found.keys()
    assert "'password_file'" in found["secrets-in-configuration"]["message"]
    assert "pa55word" not in json.dumps(advise.found)


def test_a_database_in_a_directory_that_does_not_exist_is_an_error(good, advise, tmp_path):
    good["database"]["url"] = "sqlite:///nowhere/anchor.db"

    advise(good, code=1)

    [error] = advise.found["errors"]
    assert ("database.url", f"{tmp_path}/nowhere is no directory") == (
        error["path"],
        error["message"],
    )


@pytest.mark.parametrize(
    ("validators", "fixups", "expected"),
    [
        ({}, {}, "any-name"),
        ({"blacklist_names": {"domains": [".a"]}}, {}, "any-name"),
        ({"server_group": {"group_prefixes": {"Nova": "nv"}}}, {}, "any-name"),
        ({"common_name": {}}, {}, "unchecked-names"),
        ({"alternative_names_ip": {}}, {}, "unchecked-names"),
        ({"alternative_names": {}}, {"enforce_alternative_names_present": {}}, None),
        ({"common_name": {}, "alternative_names_ip": {}}, {}, None),
        ({"whitelist_names": {"names": ["%.example.com", "10.0.0.0/8"]}}, {}, None),
        ({"whitelist_names": {"names": ["%.%.%"]}}, {}, "every-name-listed"),
        ({"requester_names": {"names": ["{username}.example.com"]}}, {}, None),
        ({"requester_names": {"credential_names": "any"}}, {}, None),
        ({"requester_names": {"names": ["{username}.a", "%"]}}, {}, "every-name-listed"),
        ({"whitelist_names": {"names": ["::/0"]}}, {}, "every-name-listed"),
    ],
)
def test_name_restrictions_are_recognised_by_their_effect(
    good, advise, validators, fixups, expected
):
    authority = good["registration_authority"]["default"]
    kept = {name: STRICT[name] for name in NAMELESS}
    authority |= {"validators": kept | validators, "fixups": fixups}
    # With one user, no advice is about the names of others.
    good["authentication"]["static"] = ONE_USER

    assert ({expected} if expected else set()) == advise(good).keys() - {"static-secret"}


@pytest.mark.parametrize("options", [{"group_base": "ou=x"}, {"group_name": "whole"}])
def test_restricted_groups_get_no_advice(good, advise, options):
    good["authentication"]["static"] = {**LDAP, **options}
    validators = good["registration_authority"]["default"]["validators"]
    validators["server_group"] = {"group_prefixes": {"Nova": "nv"}}

    assert {} == advise(good)


@pytest.mark.parametrize(
    ("validators", "expected"),
    [
        ({}, True),
        ({"whitelist_names": {"names": ["%.example.com"]}}, True),
        ({"requester_names": {"names": ["%.example.com"]}}, True),
        ({"requester_names": {"names": ["%.example.com", "{username}.example.com"]}}, False),
        ({"requester_names": {"credential_names": "all"}}, False),
        ({"server_group": {"group_prefixes": {"Nova": "nv"}}}, False),
    ],
)
def test_names_of_any_requester_are_reported(good, advise, validators, expected):
    good["authentication"]["static"] = {**LDAP, "group_base": "ou=x"}
    good["registration_authority"]["default"]["validators"] = STRICT | validators

    assert ({"any-requester"} if expected else set()) == advise(good).keys()


def test_one_user_can_have_every_name(good, advise):
    good["authentication"]["static"] = ONE_USER
    good["registration_authority"]["default"]["validators"] = STRICT
    other = good["registration_authority"]["default"]
    assert {"static-secret"} == advise(good).keys()
    good["authentication"]["corp"] = LDAP
    good["registration_authority"]["other"] = {**other, "authentication": "corp"}
    found = advise(good)["any-requester"]
    assert found["path"] == "registration_authority.other.validators"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{username}-%.example.com", "'web-1' too, such as 'web-1-a'"),
        ("%-{group}.example.com", "the group '1-web' too, such as 'a-1-web'"),
        ("spiffe://a/x-{username}-%", "such as 'x-web-1-a'"),
        ("%.{username}.example.com", None),
        ("web-{username}.example.com", None),
    ],
)
def test_overlapping_names_have_an_example(good, advise, name, expected):
    validators = good["registration_authority"]["default"]["validators"]
    validators["requester_names"] = {"names": [name]}
    found = advise(good)
    assert (expected is not None) == ("overlapping-names" in found)
    if expected:
        assert expected in found["overlapping-names"]["message"]


def test_a_third_party_backend_may_define_any_claim(good, advise, plugins):
    plugins("def mine(ra, user, secret): ...", "[anchor.authentication]\nmine = trouble:mine\n")
    good["authentication"]["static"] = {"backend": "mine"}
    validators = good["registration_authority"]["default"]["validators"]
    validators["requester_names"] = {"names": ["{claim:project}.example.com"]}

    assert {} == advise(good)


def test_a_pattern_with_a_placeholder_is_compared_with_the_cas_constraints(good, advise, tmp_path):
    constrain(good, tmp_path, False, [DNSName("example.com")])
    validators = good["registration_authority"]["default"]["validators"]
    validators["requester_names"] = {"names": ["{username}.example.com", "{username}.example.org"]}

    found = advise(good)
    assert {"outside-name-constraints"} == found.keys()
    assert found["outside-name-constraints"]["path"].endswith("requester_names.names.1")


def test_a_third_party_validator_counts_as_a_restriction(good, advise, plugins):
    plugins("def mine(csr): ...", "[anchor.validators]\nmine = trouble:mine\n")
    authority = good["registration_authority"]["default"]
    authority["validators"] = {
        "mine": {},
        **{name: STRICT[name] for name in NAMELESS if name != "ext_key_usage"},
    }

    assert {} == advise(good)


@pytest.mark.parametrize(
    ("level", "code"), [(None, 0), ("notice", 1), ("warning", 1), ("danger", 0)]
)
def test_advice_fails_the_check_from_the_named_level(good, advise, level, code):
    good["signing_ca"]["local"]["valid_hours"] = 1000

    found = advise(good, "", *(["--fail-on", level] if level else []), code=code)

    assert {"long-validity"} <= found.keys()


def test_advice_uses_the_paths_of_the_short_form(good, advise, tmp_path, ca):
    short = {
        "auth": {"static": {"user": "alice", "secret": "s3cret"}},
        "ca": {"cert_path": str(ca.cert_path), "key_path": str(ca.key_path), "valid_hours": 200},
        "validators": {},
    }

    paths = {name: each["path"] for name, each in advise(short).items()}

    assert paths["short-secret"] == "auth.static"
    assert paths["secrets-in-configuration"] == "auth.static.secret"
    assert paths["long-validity"] == "ca.valid_hours"
    assert paths["any-name"] == "validators"


def test_each_advice_is_given_once(good, tmp_path, capsys, caplog):
    """The command suppresses the warnings that backends log at start-up."""
    good["authentication"]["static"] = SAMPLE
    good["authentication"]["cloud"] = {"backend": "keystone", "url": "http://k.example.com"}
    good["authentication"]["corp"] = {**LDAP, "verify": False}
    (tmp_path / "config.json").write_text(json.dumps(good))

    main(["check", "--config", str(tmp_path / "config.json")])

    stderr = capsys.readouterr().err
    assert "" == caplog.text
    assert 1 == stderr.count("the user and the secret are those of the sample")
    assert "simplepassword" not in stderr


def test_configuration_errors_are_in_the_json_output(good, advise):
    good["registration_authority"]["default"]["nonsense"] = 1

    assert {} == advise(good, 'web = {"max_body_bytes": "x"}', code=1)
    assert {"good": False, "authorities": []}.items() <= advise.found.items()
    assert [
        ("registration_authority.default", "unknown option 'nonsense'"),
        ("config.py.web.max_body_bytes", "should be a valid integer"),
    ] == [(error["path"], error["message"]) for error in advise.found["errors"]]


@pytest.mark.parametrize(
    ("config_py", "message"),
    [
        ("server = {", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("web = 7", "should be an object"),
        ("del app", "needs a dictionary with 'modules'"),
        ("app = {}", "needs a dictionary with 'modules'"),
        ("app = 'anchor'", "needs a dictionary with 'modules'"),
    ],
)
def test_a_config_py_that_cannot_be_used_is_an_error(good, advise, config_py, message):
    advise(good, config_py, code=1)

    assert [message in error["message"] for error in advise.found["errors"]] == [True]


def test_a_missing_configuration_lists_the_searched_paths_in_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ANCHOR_CONF", str(tmp_path / "nowhere.json"))

    assert 1 == main(["check", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert "nowhere.json cannot be read" in found["errors"][0]["message"]

    monkeypatch.delenv("ANCHOR_CONF")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert 1 == main(["check", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (None, False) == (found["config"], found["good"])
    assert "anchor init" in found["errors"][0]["message"]


def test_the_sample_configuration_gets_the_expected_advice(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("PECAN_CONFIG", raising=False)
    for name in ("config.json", "config.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "config.json").chmod(0o600)
    main(["init", str(tmp_path), "--ca-only"])
    capsys.readouterr()

    words = ["check", "--config", str(tmp_path / "config.json"), "--format", "json"]
    assert 1 == main([*words, "--fail-on", "danger"])

    found = json.loads(capsys.readouterr().out)
    assert {
        "sample-credentials": "danger",
        "any-name": "warning",
        "any-extended-usage": "warning",
        "subject-attributes-dropped": "notice",
        "address-of-a-proxy": "notice",
        "online-root": "notice",
        "database-beside-configuration": "notice",
        "secrets-in-configuration": "notice",
        "audit-in-log-only": "notice",
    } == {each["identifier"]: each["level"] for each in found["advice"]}


@pytest.mark.parametrize(
    "usage",
    [
        "OCSPSigning",
        "codeSigning",
        "timeStamping",
        "anyExtendedKeyUsage",
        "msSmartcardLogin",
        "pkInitKDC",
        "pkInitClientAuth",
    ],
)
def test_every_powerful_usage_is_reported(good, advise, usage):
    change(good, f"{CHECKS}/ext_key_usage/allowed_usage", ["clientAuth", usage])

    assert {"powerful-usage"} == advise(good).keys()
    assert usage in json.dumps(advise.found)


def constrain(good, tmp_path, in_chain, permitted):
    """Put name constraints into the CA's certificate or into the root's."""
    root = ca_certificate("Root", permitted if in_chain else None)
    ca = ca_certificate("Issuing", None if in_chain else permitted, issuer=root)
    for name, certificate in (("ca.pem", ca), ("root.pem", root)):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.key").write_bytes(key_pem(shared_key()))
    (tmp_path / "ca.key").chmod(0o400)
    good["signing_ca"]["local"] |= {
        "cert_path": "ca.pem",
        "chain_path": "root.pem",
        "key_path": "ca.key",
    }


@pytest.mark.parametrize("in_chain", [False, True])
@pytest.mark.parametrize(
    ("validators", "entry"),
    [
        ({"common_name": {"allowed_domains": [".example.com", ".org"]}}, "allowed_domains.1"),
        ({"alternative_names": {"allowed_domains": [".com"]}}, "allowed_domains.0"),
        ({"whitelist_names": {"names": ["%.example.com", "%.com"]}}, "names.1"),
        ({"whitelist_names": {"names": ["192.0.2.0/25", "192.0.2.0/23"]}}, "names.1"),
        ({"whitelist_names": {"names": ["a%.b.example.com", "192.0.2.1"]}}, None),
        ({"whitelist_names": {"names": ["spiffe://a.b/%", "spiffe://b.org/%"]}}, "names.1"),
        ({"requester_names": {"names": ["{username}@b.org", "{username}@c.org"]}}, "names.1"),
    ],
)
def test_names_outside_the_ca_constraints_are_reported(
    good, advise, tmp_path, in_chain, validators, entry
):
    permitted = [
        DNSName("example.com"),
        IPAddress(ip_network("192.0.2.0/24")),
        UniformResourceIdentifier("a.b"),
        RFC822Name("b.org"),
    ]
    constrain(good, tmp_path, in_chain, permitted)
    for name, options in validators.items():
        change(good, f"{CHECKS}/{name}", options)

    found = advise(good)

    if entry is None:
        assert {} == found
    else:
        assert {"outside-name-constraints"} == found.keys()
        assert found["outside-name-constraints"]["path"].endswith(entry)


def test_a_policy_with_subjects_outside_the_constraints_is_reported(good, advise, tmp_path):
    permitted = [DirectoryName(Name([NameAttribute(NameOID.ORGANIZATION_NAME, "Example")]))]
    constrain(good, tmp_path, False, permitted)
    change(good, f"{CHECKS}/subject_attributes", ...)

    assert {"outside-name-constraints", "subject-attributes-dropped"} == advise(good).keys()


def test_the_named_config_py_is_used(good, advise, tmp_path, monkeypatch):
    named = tmp_path / "other.py"
    named.write_text(f'{MODULES}\nserver = {{"host": "::"}}')
    advise(good)
    monkeypatch.setenv("PECAN_CONFIG", str(named))

    assert 1 == main(["check", "--config", str(tmp_path / "config.json"), "--fail-on", "warning"])


def test_advice_and_documented_sections_match():
    page = (ROOT / "doc/source/reference/advice.rst").read_text()
    sections = dict(re.findall(r"^([a-z0-9-]+)\n-+\n\n(\w+)\.", page, re.MULTILINE))

    assert {rule.identifier: str(rule.level).capitalize() for rule in RULES} == sections
    assert len(RULES) == len({rule.identifier for rule in RULES})
    # Sphinx derives the anchor of a section from its title and removes other characters.
    assert [] == [rule for rule in RULES if make_id(rule.identifier) != rule.identifier]
    assert [str(level) for level in Level] == re.findall(r"^``(\w+)``$", page, re.MULTILINE)[::-1]


def test_the_command_accepts_the_levels():
    assert list(check.LEVELS) == [str(level) for level in sorted(Level)]


LOOPBACK = ["127.0.0.0/8", "::1"]
SAMPLE_NETWORKS = json.loads((ROOT / "config.json").read_text())["registration_authority"][
    "default"
]["validators"]["source_cidrs"]["cidrs"]


@pytest.mark.parametrize(
    ("config_py", "reason"),
    [
        ('server = {"host": "0.0.0.0"}', "listens on 0.0.0.0"),
        ('server = {"host": "192.0.2.1"}', "listens on 192.0.2.1"),
        ('web = {"trusted_proxies": ["127.0.0.1"]}', "'trusted_proxies'"),
        ('web = {"base_url": "https://ca.example.com"}', "at https://ca.example.com"),
    ],
)
@pytest.mark.parametrize("cidrs", [LOOPBACK, SAMPLE_NETWORKS])
def test_networks_of_a_trial_are_named_where_other_machines_use_the_service(
    good, advise, config_py, reason, cidrs
):
    change(good, f"{CHECKS}/source_cidrs/cidrs", cidrs)

    assert reason in advise(good, config_py)["networks-of-a-trial"]["message"]
    change(good, f"{CHECKS}/source_cidrs/cidrs", [*cidrs, "2001:db8::/32"])
    assert "networks-of-a-trial" not in advise(good, config_py)


def test_uwsgis_settings_show_that_other_machines_use_the_service(good, advise, tmp_path):
    change(good, f"{CHECKS}/source_cidrs/cidrs", LOOPBACK)

    assert {} == advise(good)
    (tmp_path / "anchor.ini").touch()
    assert {"networks-of-a-trial"} == advise(good).keys()
