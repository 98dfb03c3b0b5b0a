"""From a user of a real directory to a certificate, with a policy about groups."""

from __future__ import annotations

import pytest

from tests.support.pki import assert_is_leaf, make_csr
from tests.support.servers.keystone import COMPUTE

OPENLDAP = ("slapd", "alice", "alice-secret", "bob", "bob-secret")
ACTIVE_DIRECTORY = ("samba", "alice", "Al1ce-Passw0rd!", "bob", "B0b-Passw0rd!")


def assert_groups_decide(service, ca, audit, member, stranger):
    """Require that only members of Nova may use Nova's prefix."""
    name = "nv-compute1.example.com"
    certificate = service.issue(make_csr(name, name), **member)
    refusal = service.sign(make_csr(name, name), **stranger, status=400)
    service.issue(make_csr("compute1.example.com"), **stranger)

    assert_is_leaf(certificate, issued_by=ca)
    assert "server_group" in refusal.text
    signing = [event for event in audit.events() if event["event"] == "audit.sign"]
    assert "Nova" in signing[0]["groups"]
    assert "failure" == signing[1]["outcome"]


@pytest.fixture
def by_group(document):
    """A configuration in which members of Nova may use names that begin with ``nv-``."""
    validators = document["registration_authority"]["default"]["validators"]
    validators["server_group"] = {"group_prefixes": {"Nova": "nv"}}
    return document


@pytest.mark.parametrize("directory", [OPENLDAP, ACTIVE_DIRECTORY], ids=lambda it: it[0])
def test_a_directorys_groups_decide_who_gets_a_certificate(
    request, serve, by_group, ca, audit, directory
):
    server, member, secret, stranger, other_secret = directory
    by_group["authentication"]["static"] = request.getfixturevalue(server).options()

    assert_groups_decide(
        serve(by_group),
        ca,
        audit,
        {"user": member, "secret": secret},
        {"user": stranger, "secret": other_secret},
    )


@pytest.mark.parametrize("directory", [OPENLDAP, ACTIVE_DIRECTORY], ids=lambda it: it[0])
def test_a_directorys_user_gets_the_names_that_belong_to_the_user(
    request, serve, document, ca, directory
):
    server, member, secret, stranger, other_secret = directory
    document["authentication"]["static"] = request.getfixturevalue(server).options()
    names = ["{username}.example.com", "{group}.svc.example.com"]
    authority = document["registration_authority"]["default"]
    authority["validators"] = {"requester_names": {"names": names}}
    service = serve(document)

    csr = make_csr("alice.example.com", "ALICE.example.com", "nova.svc.example.com")
    # Directories ignore the case of user names.
    certificate = service.issue(csr, user=member.upper(), secret=secret)
    refusal = service.sign(csr, user=stranger, secret=other_secret, status=400)
    service.issue(make_csr("bob.example.com"), user=stranger, secret=other_secret)

    assert_is_leaf(certificate, issued_by=ca)
    assert "CN:alice.example.com" in refusal.text
    assert "DNS:nova.svc.example.com" in refusal.text


def test_keystones_roles_decide_who_gets_a_certificate(keystone, serve, by_group, ca, audit):
    by_group["authentication"]["static"] = {"backend": "keystone", "url": keystone.url}

    assert_groups_decide(
        serve(by_group),
        ca,
        audit,
        {"user": "any", "secret": keystone.token("nora", "nora-secret", COMPUTE)},
        {"user": "any", "secret": keystone.token("anchor", "anchor-secret", COMPUTE)},
    )

    signing = [event for event in audit.events() if event["event"] == "audit.sign"]
    assert keystone.id("user", "nora") == signing[0]["user_id"]
    assert keystone.id("project", "compute") == signing[0]["project_id"]
    assert "nora" == signing[0]["user"]
