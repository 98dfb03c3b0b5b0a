"""The commands on the front page get certificates as they are shown, whatever the policy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.pki import assert_is_leaf, make_ca
from tests.support.servers.anchor import serving

NAMES = {"allow_cn_id": True, "allow_dns_id": True}
LISTED = {"names": ["%.prod.example.org"], **NAMES}
POLICIES = {
    "none": {},
    "ec-only": {"public_key": {"allowed_keys": {"EC": 384}}, "whitelist_names": LISTED},
    "rsa-only": {
        "public_key": {"allowed_keys": {"RSA": 2048}},
        "common_name": {"allowed_domains": [".prod.example.org"]},
    },
    "ed25519-only": {"public_key": {"allowed_keys": {"ED25519": None}}},
    "requester": {"requester_names": {"names": ["{username}.example.org"]}},
    "attributes": {
        "subject_attributes": {
            "allowed": {"O": ["Jane's / Sons + Co"], "OU": ["%"], "C": ["%"]},
            "required": ["O", "OU", "C"],
        },
        "whitelist_names": LISTED,
    },
    "dns-only": {"whitelist_names": {"names": ["web-%.example.org"], "allow_dns_id": True}},
    "cn-only": {"whitelist_names": {"names": ["a.example.org"], "allow_cn_id": True}},
    "addresses": {"whitelist_names": {"names": ["192.0.2.0/24"], "allow_ip_id": True}},
    "uris": {"whitelist_names": {"names": ["spiffe://example.org/%"], "allow_uri_id": True}},
    "mail": {"whitelist_names": {"names": ["%@example.org"], "allow_email_id": True}},
    "no-extensions": {"extensions": {"allowed_extensions": []}},
    "server-group": {"server_group": {"group_prefixes": {"nova": "nv"}}},
    "third-party": {"third_party_label": {"longest": 9}, "whitelist_names": LISTED},
    "ca-status": {
        "ca_status": {"ca_requested": False},
        "standards_compliance": {},
        "blacklist_names": {"domains": [".com"]},
        "alternative_names": {"allowed_domains": [".example.org"]},
    },
}
# {"alg":"none"} . {"sub":"job"} . a signature that nobody verifies
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqb2IifQ.c2lnbmF0dXJl"
EXPECTED = {
    "ec-only": "host.prod.example.org",
    "rsa-only": "host.prod.example.org",
    "requester": "alice.example.org",
    "dns-only": "web-1.example.org",
    "addresses": "192.0.2.1",
    "uris": "spiffe://example.org/host",
    "mail": "host@example.org",
    "ca-status": "host.example.org",
}
# What the command `anchor` cannot request.
WITHOUT_ANCHOR = {
    *("attributes", "dns-only", "cn-only", "addresses", "uris", "mail", "no-extensions"),
}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    """The CA that signs for all authorities."""
    return make_ca(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def site(tmp_path_factory, issuer):
    """A service with an authority for each policy."""
    path = tmp_path_factory.mktemp("commands")
    section = {"authentication": "static", "signing_ca": "local"}
    document = {
        "authentication": {
            "static": {"backend": "static", "user": "alice", "secret": "s3cret"},
            "tokens": {"backend": "token"},
            "jobs": {"backend": "third_party_jwt", "jwt": JWT},
        },
        "signing_ca": {
            "local": {
                "backend": "anchor",
                "cert_path": str(issuer.cert_path),
                "key_path": str(issuer.key_path),
            }
        },
        "registration_authority": {
            name: section | {"validators": validators} for name, validators in POLICIES.items()
        }
        | {
            "for-tokens": section
            | {
                "authentication": "tokens",
                "validators": {"requester_names": {"credential_names": "any"}},
            },
            "for-jobs": section | {"authentication": "jobs", "validators": {}},
            "for-cas": section | {"validators": {"ca_status": {"ca_requested": True}}},
            "hopeless": section | {"validators": {"whitelist_names": {"names": []}}},
        },
    }
    (path / "config.json").write_text(json.dumps(document))
    with serving("pecan", path) as service:
        yield service


def commands(site, authority):
    """The commands on the page of an authority."""
    shown = shell(f"curl -s '{site.url}/?authority={authority}'", site.directory)
    found = re.findall(r"^ {6}(?!#)(.*)$", shown, re.MULTILINE)
    return [line.replace("-u USER ", "-u alice:s3cret ").replace("USER", "alice") for line in found]


def shell(command, directory, **environment):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", command],
        check=False,
        cwd=directory,
        env={**os.environ, "PATH": path, "HOME": str(directory), **environment},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
    return ran.stdout


def starting_with(found, start):
    return [command for command in found if command.startswith(start)]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_commands_get_a_certificate(site, issuer, tmp_path, policy):
    found = commands(site, policy)
    [make] = starting_with(found, "openssl req")
    by_form, by_est = starting_with(found, "curl -u")
    [decode] = starting_with(found, "openssl base64")

    shell(make, tmp_path)
    for send in ([by_form], [by_est, decode]):
        for command in send:
            shell(command, tmp_path)
        pem = (tmp_path / "host.crt").read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        assert_is_leaf(certificate, issued_by=issuer)
        assert EXPECTED.get(policy, "") in shell("openssl x509 -in host.crt -text", tmp_path)
        (tmp_path / "host.crt").unlink()


def test_anchor_request_is_shown_where_it_can_make_the_request(site):
    shown = {policy for policy in POLICIES if starting_with(commands(site, policy), "anchor ")}

    assert POLICIES.keys() - WITHOUT_ANCHOR == shown


@pytest.mark.parametrize("policy", ["none", "ec-only", "rsa-only", "ed25519-only", "requester"])
def test_anchor_request_gets_a_certificate(site, issuer, tmp_path, policy):
    write_private(tmp_path / "FILE", "s3cret")

    assert_is_leaf(certificate_of_anchor(site, policy, tmp_path), issued_by=issuer)


def write_private(path, text):
    path.write_text(text)
    path.chmod(0o600)


def certificate_of_anchor(site, authority, directory):
    """The certificate that the commands `anchor` of the page request and renew."""
    for command in starting_with(commands(site, authority), "anchor "):
        shell(command, directory, ANCHOR_STATE=str(directory / "state"))
    path = next((directory / "state").rglob("cert.pem"))
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_token_gets_a_certificate_for_its_names(site, issuer, tmp_path):
    token = shell(
        "anchor token create --requester web1 --authority for-tokens --name host.example.com "
        "--uses 3 --json",
        site.directory,
        ANCHOR_CONF=str(site.directory / "config.json"),
    )
    write_private(tmp_path / "FILE", token)
    parsed = json.loads(token)
    user = f"-u {parsed['id']}:{parsed['secret']} "
    found = [line.replace("-u alice:s3cret ", user) for line in commands(site, "for-tokens")]

    by_anchor = certificate_of_anchor(site, "for-tokens", tmp_path)
    for command in (*starting_with(found, "openssl req"), *starting_with(found, "curl -u")[:1]):
        shell(command, tmp_path)

    by_curl = x509.load_pem_x509_certificate((tmp_path / "host.crt").read_bytes())
    for certificate in (by_anchor, by_curl):
        assert_is_leaf(certificate, issued_by=issuer)


def test_a_jwt_gets_a_certificate(site, issuer, tmp_path):
    found = commands(site, "for-jobs")
    [send] = starting_with(found, "printf")
    write_private(tmp_path / "FILE", JWT)
    write_private(tmp_path / "JWT-FILE", JWT)

    for command in (*starting_with(found, "openssl req"), send):
        shell(command, tmp_path)

    certificate = x509.load_pem_x509_certificate((tmp_path / "host.crt").read_bytes())
    assert_is_leaf(certificate, issued_by=issuer)
    assert_is_leaf(certificate_of_anchor(site, "for-jobs", tmp_path), issued_by=issuer)
    assert [] == starting_with(found, "curl -u")


def test_an_authority_for_cas_gets_a_request_for_one(site, issuer, tmp_path):
    found = commands(site, "for-cas")

    for command in (*starting_with(found, "openssl req"), *starting_with(found, "curl -u")[:1]):
        shell(command, tmp_path)

    certificate = x509.load_pem_x509_certificate((tmp_path / "host.crt").read_bytes())
    certificate.verify_directly_issued_by(issuer.certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert [] == starting_with(found, "anchor ")


def test_without_a_name_that_the_policy_accepts_the_page_says_so(site):
    shown = shell(f"curl -s '{site.url}/?authority=hopeless'", site.directory)
    marked = shell(
        f"curl -s -H 'Accept: text/html' '{site.url}/?authority=hopeless'", site.directory
    )

    for page in (shown, marked):
        assert "Replace the marked words by what the authority allows." in page
    assert "/CN=<var>host.example.com</var>" in marked
    other = shell(f"curl -s '{site.url}/?authority=none'", site.directory)
    assert "Replace the marked words" not in other
