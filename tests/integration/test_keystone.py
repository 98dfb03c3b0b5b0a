"""Authentication by tokens of a real Keystone."""

from __future__ import annotations

import json
import logging
import os

import pytest

from anchor.auth.loading import load_authenticator
from anchor.auth.results import AuthDetails
from anchor.errors import BackendUnavailable, NotAuthenticated, RequesterGone
from anchor.store.database.certificates import Selection
from tests.support.pki import make_csr, shared_key
from tests.support.refused_renewals import refused_renewal
from tests.support.renewal import renew
from tests.support.servers.broken import broken_server
from tests.support.servers.keystone import COMPUTE


@pytest.fixture(scope="module")
def application_credential(keystone):
    """Options with an application credential of the service account."""
    token = keystone.token("anchor", "anchor-secret", COMPUTE)
    made = keystone.call(
        "POST",
        f"/users/{keystone.id('user', 'anchor')}/application_credentials",
        {"application_credential": {"name": "anchor"}},
        token,
    )[1]["application_credential"]
    return {"application_credential_id": made["id"], "service_secret": made["secret"]}


PASSWORD = {
    "service_user": "anchor",
    "service_project": "compute",
    "service_secret": "anchor-secret",
}


@pytest.fixture(params=["by itself", "application credential", "password"])
def service_account(request):
    """The account that validates tokens; the test runs with each."""
    match request.param:
        case "by itself":
            return {}
        case "password":
            return PASSWORD
        case _:
            return request.getfixturevalue("application_credential")


@pytest.fixture
def configure(keystone, tmp_path):
    """Loads a backend with changed options."""

    def make(**changes):
        section = {"backend": "keystone", "url": keystone.url} | changes
        return load_authenticator("cloud", section, tmp_path)

    return make


@pytest.fixture
def authenticate(configure):
    """Authenticates a token with changed options of the backend."""
    return lambda token, **changes: configure(**changes).authenticate("default", "any", token)


@pytest.fixture
def token(keystone):
    """A token for a project."""
    return keystone.token("nora", "nora-secret", COMPUTE)


def test_a_token_has_a_name_roles_and_ids(keystone, authenticate, token, service_account):
    expected = AuthDetails(
        "nora",
        # The role "member" implies the role "reader".
        ("Nova", "member", "reader"),
        keystone.id("user", "nora"),
        keystone.id("project", "compute"),
    )
    assert expected == authenticate(token, **service_account)
    # The library caches Keystone's answers about the service account.
    assert expected == authenticate(token, **service_account)


def test_the_url_may_leave_out_the_version(keystone, authenticate, token):
    for url in (keystone.url, f"{keystone.url}/", keystone.url.removesuffix("/v3")):
        assert authenticate(token, url=url).username == "nora"


@pytest.mark.parametrize(
    "garbage",
    ["garbage", "gAAAAA" + "x" * 180, "a b", "a\nX-Auth-Token: b", "é", "x" * 5000, "\0", "\udcff"],
    ids=lambda garbage: ascii(garbage)[:20],
)
def test_garbage_is_refused(authenticate, service_account, garbage):
    with pytest.raises(NotAuthenticated):
        authenticate(garbage, **service_account)


@pytest.fixture(scope="module")
def expired_token(keystone):
    """A token that was valid for a second."""
    return keystone.expired_token("nora", "nora-secret", COMPUTE)


def test_an_expired_token_is_refused(expired_token, authenticate, service_account):
    with pytest.raises(NotAuthenticated):
        authenticate(expired_token, **service_account)


def test_a_revoked_token_is_refused(keystone, configure, token, service_account):
    authenticator = configure(**service_account)
    assert authenticator.authenticate("default", "", token).username == "nora"

    keystone.revoke(token)

    with pytest.raises(NotAuthenticated):
        authenticator.authenticate("default", "", token)


def test_a_disabled_users_token_is_refused(keystone, authenticate, service_account):
    name = f"gone-{len(service_account)}-{'service_user' in service_account}"
    user = keystone.make("user", name, password="gone-secret", domain_id="default")
    keystone.grant(name, "member", f"projects/{keystone.id('project', 'compute')}")
    token = keystone.token(name, "gone-secret", COMPUTE)

    keystone.admin("PATCH", f"/users/{user}", {"user": {"enabled": False}})

    with pytest.raises(NotAuthenticated):
        authenticate(token, **service_account)


@pytest.mark.parametrize(
    ("scope", "option", "groups"),
    [
        ("unscoped", "allow_unscoped", ()),
        ({"system": {"all": True}}, "allow_system_scoped", ("member",)),
        ({"domain": {"id": "default"}}, "allow_domain_scoped", ("member",)),
    ],
    ids=["unscoped", "system", "domain"],
)
def test_a_token_without_a_project_needs_a_setting(
    keystone, authenticate, service_account, scope, option, groups
):
    token = keystone.token("nora", "nora-secret", scope)

    with pytest.raises(NotAuthenticated):
        authenticate(token, **service_account)

    identity = authenticate(token, **service_account, **{option: True})
    assert identity.username == "nora"
    assert identity.project_id is None
    assert set(groups) <= set(identity.groups)


def test_a_service_account_that_keystone_does_not_know_is_the_operators_problem(
    authenticate, token
):
    with pytest.raises(BackendUnavailable, match="service account"):
        authenticate(token, **PASSWORD | {"service_secret": "wrong-secret"})


def test_tokens_and_secrets_are_in_no_log_even_of_libraries(
    keystone, authenticate, token, service_account, caplog
):
    caplog.set_level(logging.DEBUG)

    authenticate(token, **service_account)
    with pytest.raises(NotAuthenticated):
        authenticate(token + "x", **service_account)
    with pytest.raises(BackendUnavailable):
        authenticate(token, **service_account | {"url": keystone.url.replace("/v3", "/elsewhere")})

    assert caplog.records
    for secret in (token, service_account.get("service_secret")):
        assert secret is None or secret not in caplog.text


# Renewals.


@pytest.fixture(scope="module")
def reader(keystone):
    """Options for a service account that may look users up."""
    keystone.make("user", "lookup", password="lookup-secret", domain_id="default")
    keystone.grant("lookup", "reader", "system")
    return {"service_user": "lookup", "service_system": True, "service_secret": "lookup-secret"}


@pytest.fixture
def renewing(keystone, serve, document):
    """Makes a service, and a user with a project who gets a certificate from it."""

    def begin(user, **options):
        document["authentication"]["static"] = {
            "backend": "keystone",
            "url": keystone.url,
            **options,
        }
        authority = document["registration_authority"]["default"]
        authority["validators"] = {"server_group": {"group_prefixes": {"Nova": "nv"}}}
        project = keystone.make("project", f"{user}-project", domain_id="default")
        keystone.make("user", user, password="secret", domain_id="default")
        keystone.grant(user, "Nova", f"projects/{project}")
        keystone.grant(user, "member", f"projects/{project}")
        scope = {"project": {"id": project}}
        service = serve(document)
        csr = make_csr("nv-1.example.com")
        token = keystone.token(user, "secret", scope)
        return service, service.issue(csr, user="any", secret=token), csr

    return begin


@pytest.mark.parametrize("written", ["{}", " {}", "Token:{}"])
def test_a_token_as_the_user_name_is_not_recorded(
    keystone, serve, document, token, audit, caplog, written
):
    caplog.set_level(logging.DEBUG)
    document["authentication"]["static"] = {"backend": "keystone", "url": keystone.url}

    serve(document).sign(user=written.format(token), secret="x", status=401)

    [event] = audit.events()
    assert "audit.auth" == event["event"]
    assert token not in caplog.text + json.dumps(audit.events())


def test_a_renewal_needs_the_user_the_project_and_a_role(keystone, renewing, reader):
    service, certificate, csr = renewing("renews", **reader)
    user, project = keystone.id("user", "renews"), keystone.id("project", "renews-project")
    roles = f"/projects/{project}/users/{user}/roles"

    def set_user(**values):
        keystone.admin("PATCH", f"/users/{user}", {"user": values})

    assert renew(service, certificate, shared_key(), csr).status_int == 200
    [record] = list(service.settings.authorities["default"].inventory.select(Selection()))[1:]
    # The role "member" implies the role "reader".
    assert record.issuance.groups == ("Nova", "member", "reader")

    keystone.admin("DELETE", f"{roles}/{keystone.id('role', 'Nova')}")
    assert "server_group" in refused_renewal(service, certificate, csr, status=400)
    keystone.admin("DELETE", f"{roles}/{keystone.id('role', 'member')}")
    assert "no role any more" in refused_renewal(service, certificate, csr)
    keystone.grant("renews", "Nova", f"projects/{project}")
    assert renew(service, certificate, shared_key(), csr).status_int == 200

    keystone.admin("PATCH", f"/projects/{project}", {"project": {"enabled": False}})
    assert "project is disabled" in refused_renewal(service, certificate, csr)
    keystone.admin("PATCH", f"/projects/{project}", {"project": {"enabled": True}})
    set_user(enabled=False)
    assert "account is disabled" in refused_renewal(service, certificate, csr)
    set_user(enabled=True, name="renamed")
    assert "another name" in refused_renewal(service, certificate, csr)
    keystone.admin("DELETE", f"/users/{user}")
    assert "not known any more" in refused_renewal(service, certificate, csr)


def test_nobody_renews_while_the_domain_of_the_user_or_of_the_project_is_disabled(
    keystone, configure, reader
):
    domains = {name: keystone.make("domain", name) for name in ("people", "machines")}
    user = keystone.make("user", "dora", domain_id=domains["people"])
    project = keystone.make("project", "racks", domain_id=domains["machines"])
    keystone.grant("dora", "Nova", f"projects/{project}")
    recorded = AuthDetails("dora", ["Nova"], user, project)
    backend = configure(**reader)
    assert backend.look_up("default", recorded).groups == ("Nova",)

    for domain in domains.values():
        keystone.admin("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
        with pytest.raises(RequesterGone, match="domain"):
            backend.look_up("default", recorded)
        keystone.admin("PATCH", f"/domains/{domain}", {"domain": {"enabled": True}})
    assert backend.look_up("default", recorded).groups == ("Nova",)


def test_a_user_of_another_domain_with_the_same_name_is_refused(
    keystone, configure, reader, token, caplog
):
    domain = keystone.make("domain", "tenant")
    nora = {"name": "nora", "password": "nora-secret", "domain_id": domain}
    user = keystone.admin("POST", "/users", {"user": nora})["user"]["id"]
    project = keystone.make("project", "tenants-own", domain_id=domain)
    role = keystone.id("role", "member")
    keystone.admin("PUT", f"/projects/{project}/users/{user}/roles/{role}")
    other = keystone.token("nora", "nora-secret", {"project": {"id": project}}, domain=domain)

    recorded = configure(**reader).authenticate("default", "", other)
    assert recorded.username == "nora"
    limited = configure(**reader, user_domains=["Default"])
    assert limited.authenticate("default", "", token).username == "nora"
    with caplog.at_level(logging.INFO), pytest.raises(NotAuthenticated):
        limited.authenticate("default", "", other)
    assert "the domain 'tenant' of 'nora' is not in 'user_domains'" in caplog.text

    # A certificate from before the option was set.
    with pytest.raises(RequesterGone, match="domain are not accepted"):
        limited.look_up("default", recorded)
    both = configure(**reader, user_domains=["Default", "tenant"])
    assert both.authenticate("default", "", other) == both.look_up("default", recorded) == recorded


def test_a_service_account_without_the_permission_is_the_operators_problem(renewing, caplog):
    service, certificate, csr = renewing("unasked", **PASSWORD)

    answer = refused_renewal(service, certificate, csr, status=403)

    assert "the service may not look up the requester" in answer
    assert "the service account lacks the permission identity:get_user" in caplog.text
    assert "anchor-secret" not in caplog.text


@pytest.mark.parametrize("scope", ["unscoped", {"domain": {"id": "default"}}], ids=str)
def test_a_user_without_a_project_is_looked_up_with_the_other_roles(
    keystone, configure, reader, scope
):
    backend = configure(**reader, allow_unscoped=True, allow_domain_scoped=True)
    token = keystone.token("nora", "nora-secret", scope)
    recorded = backend.authenticate("default", "", token)

    current = backend.look_up("default", recorded)

    assert set(recorded.groups) <= set(current.groups)
    assert current.project_id is None and "Nova" not in current.groups


def test_without_a_service_account_nobody_may_ask(keystone, configure):
    recorded = AuthDetails("nora", user_id=keystone.id("user", "nora"))

    assert configure().look_up("default", recorded) is None


def test_connections_are_kept_and_not_shared_with_a_forked_process(tmp_path):
    """A stand-in, because Keystone under uWSGI's --http-socket closes every connection."""
    token = {"user": {"id": "1", "name": "nora"}, "project": {"id": "2", "name": "compute"}}
    body = json.dumps({"token": token})
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    connections = []

    def behave(connection, _stop):
        connections.append(connection)
        while connection.recv(65536):
            connection.sendall(answer)

    with broken_server(behave) as port:
        section = {"backend": "keystone", "url": f"http://127.0.0.1:{port}"}
        authenticator = load_authenticator("cloud", section, tmp_path)
        for _ in range(3):
            assert authenticator.authenticate("default", "", "token").username == "nora"
        assert len(connections) == 1

        child = os.fork()
        if child == 0:
            try:
                authenticator.authenticate("default", "", "token")
                os._exit(0)
            finally:
                os._exit(1)
        assert (child, 0) == os.waitpid(child, 0)
        assert len(connections) == 2

        assert authenticator.authenticate("default", "", "token").username == "nora"
        assert len(connections) == 2
