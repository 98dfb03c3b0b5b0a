"""Keystone tokens as the secret of the client, from the environment or clouds.yaml."""

from __future__ import annotations

import json

import pytest

from anchor.client import keystone
from anchor.client.errors import Misconfigured, Unavailable
from tests.support.servers.https_anchor import running


@pytest.fixture
def stub(tmp_path):
    """As much of Keystone's version 3 as giving out a token takes; it is about what the client
    makes of its settings, and Keystone's own answers are few."""
    asked = []

    def application(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["REQUEST_METHOD"] == "GET":
            link = {"rel": "self", "href": f"{server.url}/v3/"}
            version = {"id": "v3.14", "status": "stable", "links": [link]}
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"version": version}).encode()]
        asked.append(json.loads(body)["auth"])
        good = "right" in body.decode()
        headers = [("Content-Type", "application/json")]
        if not good:
            start_response("401 Unauthorized", headers)
            return [b'{"error": {"code": 401, "message": "no", "title": "Unauthorized"}}']
        start_response("201 Created", [*headers, ("X-Subject-Token", "s3cret")])
        token = {"methods": ["password"], "expires_at": "2099-01-01T00:00:00.000000Z"}
        return [json.dumps({"token": token}).encode()]

    directory = tmp_path / "keystone"
    directory.mkdir()
    with running(directory, None, None, application) as server:
        server.asked = asked
        yield server


def environment(stub, **changes):
    return {
        "OS_AUTH_URL": f"{stub.url}/v3",
        "OS_USERNAME": "alice",
        "OS_PASSWORD": "right",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_NAME": "web",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
    } | changes


def test_the_usual_environment_gets_a_token(stub):
    assert "s3cret" == keystone.fetch_token(None, 20, environment(stub))

    (asked,) = stub.asked
    assert "alice" == asked["identity"]["password"]["user"]["name"]
    assert "web" == asked["scope"]["project"]["name"]


def test_an_application_credential_gets_a_token(stub):
    variables = {
        "OS_AUTH_URL": f"{stub.url}/v3",
        "OS_APPLICATION_CREDENTIAL_ID": "abc",
        "OS_APPLICATION_CREDENTIAL_SECRET": "right",
    }

    assert "s3cret" == keystone.fetch_token(None, 20, variables)
    assert ["application_credential"] == stub.asked[0]["identity"]["methods"]


def test_an_existing_token_is_used_unchanged():
    assert "token" == keystone.fetch_token(None, 20, {"OS_TOKEN": "token"})


@pytest.mark.parametrize("secret_location", ["together", "apart"])
@pytest.mark.parametrize("named", ["by argument", "by environment"])
def test_clouds_yaml_gets_a_token(stub, tmp_path, secret_location, named):
    secret = "      password: right\n"
    clouds = (
        "clouds:\n  home:\n    region_name: one\n    auth:\n"
        f"      auth_url: {stub.url}/v3\n      username: alice\n      user_domain_name: Default\n"
    )
    path = tmp_path / "clouds.yaml"
    path.write_text(clouds + (secret if secret_location == "together" else ""))
    if secret_location == "apart":
        (tmp_path / "secure.yaml").write_text(f"clouds:\n  home:\n    auth:\n{secret}")
    variables = {"OS_CLIENT_CONFIG_FILE": str(path)}

    if named == "by argument":
        token = keystone.fetch_token("home", 20, variables)
    else:
        token = keystone.fetch_token(None, 20, variables | {"OS_CLOUD": "home"})

    assert "s3cret" == token


def test_wrong_credentials_are_a_configuration_error(stub):
    with pytest.raises(Misconfigured, match="keystone refused the credentials") as caught:
        keystone.fetch_token(None, 20, environment(stub, OS_PASSWORD="hunter2"))

    assert "hunter2" not in str(caught.value)


def test_an_unavailable_keystone_is_retried_later(stub):
    stub.stop()

    with pytest.raises(Unavailable, match="keystone is not available"):
        keystone.fetch_token(None, 20, environment(stub))


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OS_AUTH_URL": "nonsense", "OS_PASSWORD": "hunter2"},
        {"OS_AUTH_URL": "http://127.0.0.1:1", "OS_AUTH_TYPE": "nonsense"},
        {"OS_CLOUD": "x", "OS_CLIENT_CONFIG_FILE": "/dev/null"},
    ],
)
def test_invalid_settings_are_reported_without_secrets(variables):
    with pytest.raises((Misconfigured, Unavailable), match="keystone") as caught:
        keystone.fetch_token(None, 5, variables)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", "clouds: 1", "clouds: {home: 1}", "- x", "clouds: {b: {}}"])
def test_an_invalid_clouds_yaml_is_reported(tmp_path, text):
    path = tmp_path / "clouds.yaml"
    path.write_text(text)

    with pytest.raises(Misconfigured, match=r"clouds\.yaml"):
        keystone.fetch_token("home", 5, {"OS_CLIENT_CONFIG_FILE": str(path)})


def test_a_request_is_sent_with_a_token(stub, machine, https_anchor, monkeypatch):
    for name, value in environment(stub).items():
        monkeypatch.setenv(name, value)
    machine.config = https_anchor.client_json(secret_file=None, keystone={})

    assert 0 == machine.request("www.example.com")
    assert 1 == len(stub.asked)
