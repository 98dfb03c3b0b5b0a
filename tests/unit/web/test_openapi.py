"""The OpenAPI description is valid and matches the service."""

from __future__ import annotations

import base64
import inspect
import io
import itertools
import json
import urllib.parse

import jsonschema
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.controllers.acme import door
from anchor.controllers.methods import READ
from anchor.errors import DatabaseUnavailable
from anchor.est.paths import Operation
from anchor.web import problems
from anchor.web.pages.front_page import MAX_DETAILED
from tests.support.est import EST
from tests.support.pki import DAY, make_ca, make_csr, now, shared_key
from tests.support.renewal import URL, make_proof
from tests.support.servers.anchor import ROOT

# Ten times faster than yaml.safe_load.
DESCRIPTION = yaml.load(
    (ROOT / "anchor/web/pages/openapi.yaml").read_text(), Loader=yaml.CSafeLoader
)

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
ACME = "/acme"
JSON = {"Accept": "application/json"}
EITHER = ({}, JSON)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"alice:s3cret").decode()}


def resolved(node):
    """The target of a reference in the description."""
    while "$ref" in node:
        target = DESCRIPTION
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/")]
        node = target
    return node


def operations():
    """The described operations by path and method."""
    return {
        (path, method): operation
        for path, item in DESCRIPTION["paths"].items()
        for method, operation in item.items()
        if method.upper() in METHODS
    }


def described():
    """Every described path, method and status."""
    return {
        (path, method, int(status))
        for (path, method), operation in operations().items()
        for status in operation["responses"]
        # test_openapi_acme.py sends the requests of ACME.
        if not path.startswith(ACME)
    }


def form(**fields):
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()} | fields
    return urllib.parse.urlencode({name: value for name, value in form.items() if value}).encode()


class ResponseValidator:
    """Sends requests to the service and validates each response against the description."""

    def __init__(self):
        self.seen = set()

    def ask(self, service, path, method="GET", *, at=None, **kwargs):
        """The response to a request for ``at``, which is described as ``path``."""
        at = at or path.replace("{ra}", "default")
        answer = service.http.request(at, method=method, expect_errors=True, **kwargs)
        self.validate(answer, path, method)
        return answer

    def validate(self, answer, path, method):
        """Compare a response with the description of the path."""
        self.seen.add((path, method.lower(), answer.status_int))
        responses = operations()[path, method.lower()]["responses"]
        response = resolved(responses.get(str(answer.status_int)) or responses["default"])
        for name, header in response.get("headers", {}).items():
            value = answer.headers[name]
            schema = resolved(header)["schema"]
            conform(int(value) if schema["type"] == "integer" else value, schema)
        if method != "HEAD" and answer.body:
            content = response["content"][answer.content_type]
            body = answer.json if "json" in answer.content_type else answer.body.decode("latin-1")
            conform(body, content.get("schema", {}))


def conform(value, schema):
    jsonschema.Draft202012Validator(
        schema | {"components": DESCRIPTION["components"]},
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(value)


class Late(io.RawIOBase):
    """A client that stops sending; with a socket the test would have to wait."""

    def read(self, size=-1):
        raise TimeoutError


@pytest.mark.slow
def test_the_description_is_valid_openapi():
    import openapi_spec_validator  # it is slow to import

    openapi_spec_validator.validate(DESCRIPTION)


def test_every_component_is_used():
    text = json.dumps(DESCRIPTION)

    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in DESCRIPTION["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text


def exposed(controller, prefix=""):
    """The paths of a Pecan controller's methods, and of those below it."""
    for name, member in inspect.getmembers(controller, lambda member: not isinstance(member, type)):
        if name.startswith("_"):
            continue
        path = prefix if name == "index" else f"{prefix}/{name}"
        if path == EST:
            yield from (f"{path}/{{ra}}/{operation}" for operation in Operation)
        elif path == ACME:
            yield from acme_paths()
        elif getattr(member, "exposed", False):
            arguments = len(inspect.signature(member).parameters)
            yield path + "/{ra}" * arguments if path else "/"
        elif type(member).__module__.startswith("anchor.controllers."):
            yield from exposed(member, path)


def acme_paths():
    """The paths of ACME, with the names of the handlers' arguments."""

    def named(handler):
        return [f"{{{name}}}" for name in [*inspect.signature(handler).parameters][1:]]

    for (first, count), handler in door._RESOURCES.items():
        yield "/".join([f"{ACME}/{{ra}}/{first}", *named(handler)[:count]])
    for (first, word, count), handler in door._NAMED.items():
        identifier, *more = named(handler)
        yield "/".join([f"{ACME}/{{ra}}/{first}", identifier, word, *more[: count - 2]])


def test_every_path_of_the_controllers_is_described(service):
    assert set(exposed(service.http.app.root)) == set(DESCRIPTION["paths"])


@pytest.mark.parametrize("path", [path for path in DESCRIPTION["paths"] if ACME not in path])
def test_exactly_the_described_methods_are_allowed(service, path):
    allowed = {method.upper() for at, method in operations() if at == path}

    for method in METHODS:
        answer = service.http.request(
            path.replace("{ra}", "default"), method=method, expect_errors=True
        )
        assert (answer.status_int == 405) == (method not in allowed)
        if answer.status_int == 405:
            assert allowed == set(answer.headers["Allow"].split(", "))
    assert allowed in ({"POST"}, set(READ))


def test_every_status_is_described():
    every = {int(status) for status in problems.STATUSES.values()}
    statuses = {status for path, _, status in described() if path == "/v1/sign/{ra}"}

    assert every - {403} | {200} == statuses
    renewals = {status for path, _, status in described() if path == "/v1/renew/{ra}"}
    assert every | {200} == renewals
    assert every <= {status for _, _, status in described()}


def test_responses_and_descriptions_match(serve, document, tmp_path, monkeypatch):
    validator = ResponseValidator()
    second = make_ca(tmp_path, name="Second CA", not_after=now() + 800 * DAY)
    document["signing_ca"]["local"]["next"] = {
        "from": (now() + 10 * DAY).isoformat(),
        "cert_path": str(second.cert_path),
        "key_path": str(second.key_path),
    }
    document["authentication"]["down"] = {
        "backend": "ldap",
        "host": "127.0.0.1",
        "port": 1,
        "base": "dc=example",
        "domain": "example",
        "allow_plaintext": True,
    }
    default = document["registration_authority"]["default"]
    default["fixups"] = {"enforce_alternative_names_present": {}}
    document["registration_authority"]["closed"] = default | {"renewal": {"enabled": False}}
    document["registration_authority"]["down"] = default | {"authentication": "down"}
    document["registration_authority"]["few"] = default | {"max_failures": 1}
    service = serve(document, metrics_networks=("192.0.2.7",))

    submissions_are_answered(validator, service)
    renew = renewals_are_answered(validator, service, monkeypatch)
    documents_are_answered(validator, service)
    faults_are_answered(validator, service, renew, tmp_path, monkeypatch)

    assert without_est(described()) == without_est(validator.seen)


def without_est(operations):
    """The operations, except for those of EST, which test_openapi_est.py sends.

    No middleware reads the path, so every method that is not allowed is a 405.
    """
    return {each for each in operations if each[2] != 405 and not each[0].startswith(EST)}


def submissions_are_answered(validator, service):
    sign = "/v1/sign/{ra}"

    def post(at="default", headers=None, **kwargs):
        for accept in EITHER:
            answer = validator.ask(
                service,
                sign,
                "POST",
                at=f"/v1/sign/{at}",
                headers={**FORM, **(headers or {}), **accept},
                **kwargs,
            )
        return answer

    csr = x509.load_pem_x509_csr(make_csr())
    assert 200 == post(body=form()).status_int
    for encoding in (Encoding.PEM, Encoding.DER):
        bare = {"Content-Type": "application/pkcs10", **BASIC}
        assert 200 == post(body=csr.public_bytes(encoding), headers=bare).status_int
    assert 400 == post(body=form(csr="nonsense")).status_int
    refused = post(body=form(csr=make_csr("a\x07b"))).json
    assert "printable_names" == refused["failures"][0]["check"]
    assert 401 == post(body=form(secret="wrong")).status_int
    assert 404 == post("other", body=form()).status_int
    late = {"wsgi.input": Late(), "CONTENT_LENGTH": "10"}
    assert 408 == post(environ=late).status_int
    assert 411 == post(body=form(), headers={"Transfer-Encoding": "chunked"}).status_int
    assert 413 == post(body=form(user="x" * 70_000)).status_int
    assert 415 == post(body=b"{}", headers={"Content-Type": "application/json"}).status_int
    post("few", body=form(secret="wrong"))
    assert 429 == post("few", body=form()).status_int
    assert 503 == post("down", body=form()).status_int


def renewals_are_answered(validator, service, monkeypatch):
    """Send all kinds of renewals; return a function that sends a good one."""
    csr = make_csr("www.example.com", "www.example.com")

    def issue(at="default"):
        return x509.load_pem_x509_certificate(service.sign(csr, authority=at, status=200).body)

    def post(at="default", *, certificate=None, headers=None, **kwargs):
        for accept in EITHER:
            if certificate is not None:
                url = URL.replace("default", at)
                proof = make_proof(certificate, shared_key(), csr, url=url)
                kwargs["body"] = form(user=None, secret=None, csr=csr, proof=proof)
            answer = validator.ask(
                service,
                "/v1/renew/{ra}",
                "POST",
                at=f"/v1/renew/{at}",
                headers={**FORM, **(headers or {}), **accept},
                **kwargs,
            )
        return answer

    certificate = issue()
    assert 200 == post(certificate=certificate).status_int
    assert 400 == post(body=form(csr=None, proof="nonsense")).status_int
    assert 401 == post(body=form(proof="nonsense")).status_int
    assert 403 == post("closed", certificate=issue("closed")).status_int
    assert 404 == post("other", body=form()).status_int
    late = {"wsgi.input": Late(), "CONTENT_LENGTH": "10"}
    assert 408 == post(environ=late).status_int
    assert 411 == post(body=form(), headers={"Transfer-Encoding": "chunked"}).status_int
    assert 413 == post(body=form(proof="x" * 70_000)).status_int
    assert 415 == post(body=b"{}", headers={"Content-Type": "application/json"}).status_int
    # The certificate is of another authority, which counts as a failure.
    assert 429 == post("few", certificate=certificate).status_int
    with monkeypatch.context() as patched:
        patched.setattr("anchor.store.database.certificates.Inventory.find", unavailable)
        assert 503 == post(certificate=certificate).status_int
    return lambda: post(certificate=certificate)


def unavailable(*_):
    raise DatabaseUnavailable("the database is away")


def documents_are_answered(validator, service):
    for method, accept in itertools.product(READ, EITHER):
        headers = dict(accept)
        for path in (
            "/robots.txt",
            "/openapi.yaml",
            "/healthz",
            "/readyz",
            "/metrics",
            "/v1/ca/{ra}",
            "/",
        ):
            assert 200 == validator.ask(service, path, method, headers=headers).status_int
        for query in ("encoding=der", "chain=1", "bundle=1"):
            at = f"/v1/ca/default?{query}"
            validator.ask(service, "/v1/ca/{ra}", method, at=at, headers=headers)
        for at, status in (("/v1/ca/default?encoding=x", 400), ("/v1/ca/other", 404)):
            answer = validator.ask(service, "/v1/ca/{ra}", method, at=at, headers=headers)
            assert status == answer.status_int
        tag = validator.ask(service, "/", method, headers=headers).headers["ETag"]
        same = validator.ask(service, "/", method, headers={**headers, "If-None-Match": tag})
        assert 304 == same.status_int
        gone = validator.ask(service, "/", method, at="/?authority=other", headers=headers)
        assert 404 == gone.status_int
        outside = {"REMOTE_ADDR": "198.51.100.1"}
        answer = validator.ask(service, "/metrics", method, headers=headers, environ=outside)
        assert 403 == answer.status_int
    html = validator.ask(service, "/", headers={"Accept": "text/html"})
    assert "text/html" == html.content_type


def faults_are_answered(validator, service, renew, tmp_path, monkeypatch):
    (tmp_path / "certs").rename(tmp_path / "elsewhere")
    (tmp_path / "certs").write_text("in the way")
    for method, accept in itertools.product(READ, EITHER):
        service.http.app.root._readiness._expires = 0
        assert 503 == validator.ask(service, "/readyz", method, headers=accept).status_int
    for accept in EITHER:
        answer = validator.ask(
            service, "/v1/sign/{ra}", "POST", body=form(), headers={**FORM, **accept}
        )
        assert 500 == answer.status_int
    assert 500 == renew().status_int

    def broken(*_):
        raise RuntimeError

    # A mock, because real parts cannot be made to fail like this.
    monkeypatch.setattr("anchor.web.dispatch.StrictDispatch.route", broken)
    others = [each for each in operations() if not each[0].startswith(ACME)]
    for (path, method), accept in itertools.product(others, EITHER):
        answer = validator.ask(service, path, method.upper(), headers=accept)
        assert 500 == answer.status_int


def test_the_page_of_many_authorities_matches_its_description(serve, document):
    section = document["registration_authority"]["default"]
    document["registration_authority"] = {f"ra-{n}": section for n in range(MAX_DETAILED + 1)}
    service = serve(document)
    short = serve(document, front_page="short")

    assert "page" in ResponseValidator().ask(service, "/", headers=JSON).json["authorities"][0]
    for each in (service, short):
        ResponseValidator().ask(each, "/", at="/?authority=ra-3", headers=JSON)
