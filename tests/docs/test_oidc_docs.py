"""The examples for tokens of Kubernetes, CI systems and SPIFFE work with such tokens."""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import replace

import pytest
import yaml
from cryptography import x509

from anchor.auth.loading import load_authenticator
from anchor.errors import NotAuthenticated
from tests.support import jwt
from tests.support.documentation import blocks
from tests.support.oidc import ask
from tests.support.pki import assert_is_leaf, make_csr, names_of
from tests.support.policies import make_context, make_policy, refusals
from tests.support.servers.https_anchor import private_tls, running
from tests.support.servers.oidc_issuer import running_issuer, sending

__all__ = ["private_tls"]

# The claims of these issuers, as their documentation has them.
POD = {
    "aud": ["https://anchor.example.com"],
    "sub": "system:serviceaccount:shop:web",
    "kubernetes.io": {
        "namespace": "shop",
        "node": {"name": "node1", "uid": "5"},
        "pod": {"name": "web", "uid": "6"},
        "serviceaccount": {"name": "web", "uid": "7"},
    },
}
GITHUB = {
    "aud": "https://anchor.example.com",
    "sub": "repo:example/deploy-web:ref:refs/heads/main",
    "repository": "example/deploy-web",
    "repository_owner": "example",
    "repository_owner_id": "1234567",
    "ref": "refs/heads/main",
    "event_name": "push",
}
GITLAB = {
    "aud": "https://anchor.example.com",
    "sub": "project_path:example/deploy-web:ref_type:branch:ref:main",
    "namespace_id": "1234567",
    "project_path": "example/deploy-web",
    "ref": "main",
    "ref_type": "branch",
    "ref_protected": "true",
}
SVID = {"aud": ["https://anchor.example.com"], "sub": "spiffe://example.com/ns/shop/sa/web"}
STAFF = {
    "aud": "https://anchor.example.com",
    "preferred_username": "alice",
    "realm_access": {"roles": ["admin"]},
    "email_verified": True,
    "team": "db-main",
}


def examples(page):
    """The authentication sections in the configurations of a page."""
    found = [json.loads(block.text) for block in blocks(page, "json")]
    assert found
    return [section for each in found for section in each.get("authentication", {}).values()]


def validators(page):
    """The validators in the examples of a page."""
    found = [json.loads(block.text) for block in blocks(page, "json")]
    [policy] = [each for each in found if "authentication" not in each]
    return policy


EXAMPLES = [
    pytest.param(section, claims, user, id=f"{page} {number}")
    for page, claims, user in (
        ("howto/kubernetes.rst", [POD] * 3, POD["sub"]),
        ("howto/ci-jobs.rst", [GITHUB, GITLAB], None),
        ("howto/spiffe.rst", [SVID] * 2, SVID["sub"]),
        ("howto/oidc.rst", [STAFF, GITLAB], None),
    )
    for number, (section, claims) in enumerate(zip(examples(page), claims, strict=True))
]


def authenticator_of(section, directory):
    """The authentication of an example, with the keys of the tests."""
    (directory / "keys.json").write_bytes(jwt.key_set(jwt.public(jwt.make_key())))
    sources = {"discovery", "jwks_url", "ca_file", "bearer_file"}
    options = {name: value for name, value in section.items() if name not in sources}
    return load_authenticator("it", {**options, "jwks_file": "keys.json"}, directory)


@pytest.mark.parametrize(("section", "claims", "user"), EXAMPLES)
def test_an_example_accepts_the_tokens_that_it_is_for_and_no_others(
    section, claims, user, tmp_path
):
    authenticator = authenticator_of(section, tmp_path)
    token = {"iss": section["issuer"], **claims}

    identity = ask(authenticator, jwt.make_token(**token))

    assert identity.username == (user or claims.get("preferred_username") or claims["sub"])
    # The placeholders of the policies on the pages have values.
    assert identity.claims.keys() == section.get("claims", {}).keys()
    assert (identity.single_use is not None) is section.get("single_use", False)
    for reference in section["require"]:
        other = copy.deepcopy(token)
        parent = other
        *path, last = reference[1:].split("/") if reference.startswith("/") else [reference]
        for name in path:
            parent = parent[name]
        parent[last] = "spiffe://evil.example.com/x"
        with pytest.raises(NotAuthenticated):
            ask(authenticator, jwt.make_token(**other))
    with pytest.raises(NotAuthenticated):
        ask(authenticator, jwt.make_token(**{**token, "aud": "sts.amazonaws.com"}))


KUBERNETES, CI, SPIFFE = "howto/kubernetes.rst", "howto/ci-jobs.rst", "howto/spiffe.rst"
WEB, DEPLOY_WEB = "web.shop.svc.example.com", "deploy-web.ci.example.com"
DB, DEPLOY_DB = "db.shop.svc.example.com", "deploy-db.ci.example.com"
ID_OF_WEB = x509.UniformResourceIdentifier("spiffe://example.com/ns/shop/sa/web")
ID_OF_DB = x509.UniformResourceIdentifier("spiffe://example.com/ns/shop/sa/db")


@pytest.mark.parametrize(
    ("page", "number", "claims", "own", "other"),
    [
        (KUBERNETES, 0, POD, WEB, DB),
        (KUBERNETES, 1, POD, WEB, "web.bank.svc.example.com"),
        (KUBERNETES, 2, POD, ID_OF_WEB, ID_OF_DB),
        (CI, 0, GITHUB, DEPLOY_WEB, DEPLOY_DB),
        (CI, 1, GITLAB, DEPLOY_WEB, DEPLOY_DB),
        (SPIFFE, 0, SVID, WEB, DB),
        (SPIFFE, 0, SVID, ID_OF_WEB, ID_OF_DB),
    ],
)
def test_the_policy_of_a_page_gives_a_token_its_names_and_no_others(
    page, number, claims, own, other, tmp_path
):
    section = examples(page)[number]
    token = jwt.make_token(iss=section["issuer"], **claims)
    identity = ask(authenticator_of(section, tmp_path), token)
    policy = make_policy(validators(page))
    context = replace(make_context(), auth_result=identity)

    assert refusals(policy, make_csr(None, own), context=context) == {}
    assert refusals(policy, make_csr(None, other), context=context).keys() == {"requester_names"}


@pytest.fixture
def issuer():
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def run(tmp_path, document, private_tls, issuer, ca):
    """Runs the commands of a page, for a service that has the page's configuration."""

    def run(commands, page, number, policy=None, **environment):
        section = {**examples(page)[number], "issuer": issuer.url, "discovery": True}
        for name in ("jwks_file", "jwks_url", "ca_file", "bearer_file"):
            section.pop(name, None)
        document["authentication"]["static"] = section
        document["registration_authority"]["default"]["validators"] |= policy or {}
        with running(tmp_path, document, private_tls) as service:
            script = commands.replace("--cacert /etc/anchor/tls-ca.pem", "")
            for path in ("pods", "github", "gitlab", "staff"):
                script = script.replace(
                    f"https://anchor.example.com/v1/sign/{path}", f"{service.url}/v1/sign/default"
                )
            done = subprocess.run(
                ["sh", "-e", "-c", script],
                cwd=tmp_path,
                env={
                    "PATH": "/usr/bin:/bin",
                    "CURL_CA_BUNDLE": str(private_tls.ca.cert_path),
                    **environment,
                },
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def assert_certified(path, ca, name):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    assert_is_leaf(certificate, issued_by=ca)
    assert [name] == names_of(certificate)


def test_a_job_of_github_gets_a_certificate(run, issuer, ca, tmp_path):
    workflow = yaml.safe_load(blocks("howto/ci-jobs.rst", "yaml")[0].text)
    [step] = workflow["jobs"]["certificate"]["steps"]
    assert workflow["permissions"]["id-token"] == "write"
    token = issuer.token(**GITHUB)
    path = "/token?api-version=1&audience=https://anchor.example.com"
    issuer.answers[path] = sending(json.dumps({"count": 1, "value": token}).encode())

    run(
        step["run"],
        "howto/ci-jobs.rst",
        0,
        validators("howto/ci-jobs.rst"),
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-the-runner",
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{issuer.url}/token?api-version=1",
    )

    assert_certified(tmp_path / "certificate.pem", ca, "deploy-web.ci.example.com")
    assert (path, "Bearer of-the-runner") in issuer.seen
    assert not (tmp_path / "token").exists()


def test_a_job_of_gitlab_gets_a_certificate(run, issuer, ca, tmp_path):
    job = yaml.safe_load(blocks("howto/ci-jobs.rst", "yaml")[1].text)["certificate"]
    page = "howto/ci-jobs.rst"
    assert examples(page)[1]["audience"] == job["id_tokens"]["ANCHOR_TOKEN"]["aud"]

    run("\n".join(job["script"]), page, 1, validators(page), ANCHOR_TOKEN=issuer.token(**GITLAB))

    assert_certified(tmp_path / "certificate.pem", ca, "deploy-web.ci.example.com")
    assert not (tmp_path / "token").exists()


def test_a_pod_without_the_client_gets_a_certificate(run, issuer, ca, tmp_path):
    [block] = blocks("howto/kubernetes.rst", "sh")
    (tmp_path / "token").write_text(issuer.token(**POD))
    script = block.text.replace("/var/run/secrets/anchor", str(tmp_path))

    page = "howto/kubernetes.rst"

    run(script.replace("/certificates", str(tmp_path)), page, 0, validators(page))

    assert_certified(tmp_path / "certificate.pem", ca, "web.shop.svc.example.com")


def test_a_token_in_a_file_is_sent_with_curl(run, issuer, tmp_path):
    [_, curl] = blocks("howto/oidc.rst", "shell")
    (tmp_path / "token.jwt").write_text(issuer.token(**STAFF))
    (tmp_path / "host.csr").write_bytes(make_csr())

    assert "BEGIN CERTIFICATE" in run(curl.text, "howto/oidc.rst", 0)


def test_the_pod_of_the_example_is_consistent():
    [block] = blocks("howto/kubernetes.rst", "yaml")
    account, config_map, pod = yaml.safe_load_all(block.text)
    sections = examples("howto/kubernetes.rst")
    spec = pod["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    containers = {each["name"]: each for each in spec["initContainers"] + spec["containers"]}

    assert ["v1"] * 3 == [each["apiVersion"] for each in (account, config_map, pod)]
    assert {account["metadata"]["namespace"]} == {
        each["metadata"]["namespace"] for each in (config_map, pod)
    }
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    for container in containers.values():
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes
    [source] = volumes["token"]["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert {token["audience"]} == {section["audience"] for section in sections}
    # Kubernetes adds a year to tokens with this lifetime for old clients.
    assert token["expirationSeconds"] != 3607
    command = dict(
        part.removeprefix("--").split("=", 1)
        for part in containers["certificate"]["command"]
        if part.startswith("--")
    )
    mounts = {mount["mountPath"]: mount for mount in containers["certificate"]["volumeMounts"]}
    assert command["jwt-file"] == "/var/run/secrets/anchor/" + token["path"]
    assert mounts["/var/run/secrets/anchor"]["name"] == "token"
    assert command["ca-file"] in mounts
    assert mounts[command["ca-file"]]["subPath"] in config_map["data"]
    assert command["state"] in mounts
    assert config_map["metadata"]["name"] == volumes["client"]["configMap"]["name"]
    assert f"--state={command['state']}" in containers["renewal"]["command"]
    made = containers["directory"]["command"][-1]
    base = containers["directory"]["volumeMounts"][0]["mountPath"]
    assert made == f"{base}/{mounts[command['state']]['subPath']}"
