"""A directory or Keystone that is down, slow or broken: a 503 in bounded time, logged once."""

from __future__ import annotations

import contextlib
import json
import logging
import time

import pytest
from keystoneauth1 import token_endpoint

from anchor.auth.keystone_connection import Connections
from anchor.auth.keystone_requesters import find_requester
from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, RequesterGone
from tests.support.pki import make_ca
from tests.support.servers.broken import BEHAVIOURS, broken_server
from tests.support.servers.processes import free_port

LDAP = {
    "backend": "ldap",
    "host": "127.0.0.1",
    "base": "dc=example,dc=com",
    "domain": "example.com",
    "connect_timeout": 0.4,
    "timeout": 0.4,
}
PLAIN = {"ssl": False, "allow_plaintext": True}
START_TLS = {"ssl": False, "start_tls": True}
BOUND = 10  # far longer than the configured timeouts, even on a busy machine


def assert_unavailable(path, options):
    authenticator = load_authenticator("it", options, path)
    start = time.monotonic()
    with pytest.raises(BackendUnavailable) as unavailable:
        authenticator.authenticate("default", "alice", "alice-secret")
    assert time.monotonic() - start < BOUND
    assert "alice-secret" not in str(unavailable.value)
    return str(unavailable.value)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("tls", [{}, PLAIN, START_TLS], ids=["ldaps", "plain", "start_tls"])
def test_a_broken_directory_is_unavailable(tmp_path, behaviour, tls):
    with broken_server(behaviour) as port:
        assert_unavailable(tmp_path, LDAP | tls | {"port": port})


def test_a_directory_where_nobody_listens_is_unavailable(tmp_path):
    text = assert_unavailable(tmp_path, LDAP | {"port": free_port()})
    assert "Connection refused" in text


def test_a_black_hole_is_unavailable(tmp_path, black_hole):
    assert "timed out" in assert_unavailable(tmp_path, LDAP | {"port": black_hole})


def test_a_host_without_an_address_is_unavailable(tmp_path):
    assert_unavailable(tmp_path, LDAP | {"host": "nowhere.invalid"})


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_broken_keystone_is_unavailable(tmp_path, behaviour):
    with broken_server(behaviour) as port:
        options = {"backend": "keystone", "url": f"http://127.0.0.1:{port}", "timeout": 0.4}
        assert_unavailable(tmp_path, options)


def test_a_keystone_in_a_black_hole_is_unavailable(tmp_path, black_hole):
    options = {"backend": "keystone", "url": f"http://127.0.0.1:{black_hole}", "timeout": 0.4}
    assert_unavailable(tmp_path, options)


def test_a_keystone_where_nobody_listens_is_unavailable(tmp_path):
    options = {"backend": "keystone", "url": f"https://127.0.0.1:{free_port()}"}
    assert "ConnectFailure" in assert_unavailable(tmp_path, options)


@pytest.mark.parametrize("behaviour", ["silent", "garbage"])
def test_a_broken_backend_looks_nobody_up(tmp_path, behaviour):
    ldap = {**LDAP, "domain": None, "service_dn": "cn=a", "service_secret": "alice-secret"}
    keystone = {"backend": "keystone", "timeout": 0.4, "application_credential_id": "1"}
    keystone["service_secret"] = "alice-secret"
    with broken_server(behaviour) as port:
        places = (ldap, {"port": port}), (keystone, {"url": f"http://127.0.0.1:{port}"})
        for options, place in places:
            given = {name: value for name, value in (options | place).items() if value is not None}
            authenticator = load_authenticator("it", given, tmp_path)
            with pytest.raises(BackendUnavailable) as unavailable:
                authenticator.look_up("default", AuthDetails("alice", user_id="1", project_id="2"))
            assert "alice-secret" not in str(unavailable.value)


GOOD_USER = {"user": {"id": "1", "name": "alice", "enabled": True, "domain_id": "d"}}
GOOD_PROJECT = {"project": {"enabled": True, "domain_id": "d"}}
GOOD_DOMAIN = {"domain": {"id": "d", "name": "Default", "enabled": True}}
ROLES = {"role_assignments": [{"role": {"id": "3", "name": "Nova"}, "scope": {"project": {}}}]}


@pytest.mark.parametrize(
    ("user", "project", "domain", "roles"),
    [
        ([], {}, {}, {}),
        ({}, {}, {}, {}),
        ({"user": None}, {}, {}, {}),
        ({"user": {"id": "1", "name": "alice"}}, {}, {}, {}),
        ({"user": GOOD_USER["user"] | {"name": ""}}, {}, {}, {}),
        ({"user": GOOD_USER["user"] | {"enabled": "yes"}}, {}, {}, {}),
        ({"user": GOOD_USER["user"] | {"domain_id": None}}, {}, {}, {}),
        (GOOD_USER, {}, {}, {}),
        (GOOD_USER, {"project": {"enabled": None}}, {}, {}),
        (GOOD_USER, GOOD_PROJECT, {}, {}),
        (GOOD_USER, GOOD_PROJECT, {"domain": GOOD_DOMAIN["domain"] | {"enabled": None}}, {}),
        (GOOD_USER, GOOD_PROJECT, {"domain": {"enabled": True}}, {}),
        (GOOD_USER, GOOD_PROJECT, GOOD_DOMAIN, {}),
        (GOOD_USER, GOOD_PROJECT, GOOD_DOMAIN, {"role_assignments": {"a": "b"}}),
        (GOOD_USER, GOOD_PROJECT, GOOD_DOMAIN, {"role_assignments": ["Nova"]}),
        (GOOD_USER, GOOD_PROJECT, GOOD_DOMAIN, {"role_assignments": [{"role": {}}]}),
    ],
)
def test_a_keystone_whose_answers_about_users_make_no_sense_is_unavailable(
    user, project, domain, roles
):
    recorded = AuthDetails("alice", user_id="1", project_id="2")
    with (
        keystone_with(user, project, domain, roles) as (client, url),
        pytest.raises(BackendUnavailable, match="cannot be read"),
    ):
        find_requester(client, recorded, url)


def test_a_user_without_an_identifier_is_none_of_keystones(tmp_path):
    options = {"backend": "keystone", "url": f"http://127.0.0.1:{free_port()}"}
    options |= {"application_credential_id": "1", "service_secret": "alice-secret"}

    with pytest.raises(RequesterGone):
        load_authenticator("it", options, tmp_path).look_up("default", AuthDetails("alice"))


def test_a_keystone_with_the_user_the_project_and_roles_knows_the_requester():
    recorded = AuthDetails("alice", user_id="1", project_id="2")
    with keystone_with(GOOD_USER, GOOD_PROJECT, GOOD_DOMAIN, ROLES) as (client, url):
        assert find_requester(client, recorded, url).groups == ("Nova",)
        assert find_requester(client, recorded, url, {"Default"}).groups == ("Nova",)
        with pytest.raises(RequesterGone, match="domain are not accepted"):
            find_requester(client, recorded, url, {"d", "default"})


@contextlib.contextmanager
def keystone_with(user, project, domain, roles):
    """A client of a Keystone that answers this, and its URL."""
    bodies = {
        "/users/": user,
        "/projects/": project,
        "/domains/": domain,
        "/role_assignments": roles,
    }

    def behave(connection, _stop):
        while request := connection.recv(65536).decode():
            path = request.split()[1]
            body = json.dumps(next(bodies[key] for key in bodies if key in path))
            headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
            connection.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}".encode())

    with broken_server(behave) as port:
        url = f"http://127.0.0.1:{port}/v3"
        yield Connections(url, True, 5).client(token_endpoint.Token(url, "alice-secret")), url


TOKEN = {"user": {"id": "1", "name": "alice"}, "project": {"id": "2", "name": "compute"}}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("200 OK", "<html>Welcome</html>"),
        ("200 OK", ""),
        ("200 OK", "[]"),
        ("200 OK", "null"),
        ("200 OK", '"token"'),
        ("200 OK", "{}"),
        ("200 OK", '{"token": null}'),
        ("200 OK", '{"token": {}}'),
        ("200 OK", json.dumps({"token": TOKEN | {"user": {"id": "1"}}})),
        ("200 OK", json.dumps({"token": TOKEN | {"user": {"id": "1", "name": ""}}})),
        ("200 OK", json.dumps({"token": TOKEN | {"user": {"id": 1, "name": "alice"}}})),
        ("200 OK", json.dumps({"token": TOKEN | {"roles": "admin"}})),
        ("200 OK", json.dumps({"token": TOKEN | {"project": "compute"}})),
        ("204 No Content", ""),
        ("302 Found", ""),
        ("400 Bad Request", "alice-secret"),
        ("401 Unauthorized", "<html>Who are you?</html>"),
        ("404 Not Found", "<html>alice-secret</html>"),
        ("404 Not Found", "[]"),
        ("429 Too Many Requests", ""),
        ("500 Internal Server Error", '{"error": {"message": "alice-secret", "code": 500}}'),
        ("502 Bad Gateway", "<html></html>"),
    ],
)
def test_a_keystone_that_answers_nonsense_is_unavailable(tmp_path, caplog, status, body):
    caplog.set_level(logging.DEBUG)
    answer = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Echo: alice-secret\r\n"
        f"Location: http://127.0.0.1:1/\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )

    def behave(connection, _stop):
        connection.recv(65536)
        connection.sendall(answer.encode())

    with broken_server(behave) as port:
        options = {"backend": "keystone", "url": f"http://127.0.0.1:{port}"}
        assert_unavailable(tmp_path, options)
    assert "alice-secret" not in caplog.text


@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "start_tls"])
def test_a_directory_with_another_cas_certificate_is_rejected(slapd, tmp_path, tls):
    another = make_ca(tmp_path, name="another")
    port = slapd.port if tls else slapd.tls_port
    options = slapd.options(ca_file=str(another.cert_path), port=port) | tls

    assert "certificate verify failed" in assert_unavailable(tmp_path, options)
    del options["ca_file"]
    assert "certificate verify failed" in assert_unavailable(tmp_path, options)


@pytest.mark.parametrize("tls", [{}, START_TLS], ids=["ldaps", "start_tls"])
def test_a_directory_with_another_names_certificate_is_rejected(slapd, tmp_path, tls):
    port = slapd.port if tls else slapd.tls_port
    options = slapd.options(port=port, host="127.1") | tls

    assert "certificate verify failed" in assert_unavailable(tmp_path, options)


def test_verification_can_be_switched_off_with_a_warning(slapd, tmp_path, caplog):
    another = make_ca(tmp_path, name="another")
    options = slapd.options(ca_file=str(another.cert_path), verify=False)

    authenticator = load_authenticator("it", options, tmp_path)

    assert "not verified" in caplog.text
    assert authenticator.authenticate("default", "bob", "bob-secret") == AuthDetails("bob")


def test_the_next_host_is_asked_when_one_is_down(slapd, tmp_path):
    hosts = ["127.0.0.3", "nowhere.invalid", "localhost"]
    authenticator = load_authenticator("it", slapd.options(host=hosts), tmp_path)

    assert authenticator.authenticate("default", "bob", "bob-secret") == AuthDetails("bob")


def test_a_refused_service_account_is_a_503(slapd, tmp_path):
    text = assert_unavailable(tmp_path, slapd.options(service_secret="wrong"))
    assert "service account" in text


def test_the_requester_gets_a_503_and_the_log_has_the_reason(serve, document, audit, caplog):
    document["authentication"]["static"] = LDAP | {"port": free_port()}

    answer = serve(document).sign(secret="alice-secret", status=503)

    assert int(answer.headers["Retry-After"]) > 0
    assert "cannot be checked now" in answer.text
    [logged] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "'static' is not available" in logged.getMessage()
    assert "Connection refused" in logged.getMessage()
    assert "alice-secret" not in caplog.text
    [event] = audit.events()
    assert event["outcome"] == "failure"
