"""Pecan's documented features work: exposed controllers, hooks, ``pecan.request``."""

from __future__ import annotations

import tempfile

import pecan
import pytest
import webtest
from pecan.hooks import HookController, PecanHook
from pecan.util import iscontroller

from anchor.app import Application
from anchor.controllers.root import RootController
from anchor.controllers.v1 import V1Controller
from anchor.web.request import Request
from anchor.web.settings import WebSettings
from tests.support.pki import make_csr


class Recorder(PecanHook):
    """Records its calls."""

    def __init__(self):
        self.calls = []

    def on_route(self, state):
        self.calls.append(("on_route", state.request.path))

    def before(self, state):
        self.calls.append(("before", state.controller.__name__, state.arguments.args))

    def after(self, state):
        self.calls.append(("after", state.response.status_int))

    def on_error(self, state, error):
        self.calls.append(("on_error", type(error).__name__))


FORM = {"user": "alice", "secret": "s3cret", "encoding": "pem"}


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def http(service, recorder):
    """The service with a hook."""
    application = Application(service.settings.authorities, WebSettings(), hooks=[recorder])
    return webtest.TestApp(application, extra_environ={"REMOTE_ADDR": "192.0.2.7"}, lint=False)


def test_the_entry_points_are_exposed_controllers():
    for method in (V1Controller.sign, V1Controller.ca, RootController.index):
        assert iscontroller(method)


def test_hooks_see_a_request_from_routing_to_response(http, recorder):
    http.post("/v1/sign/default", FORM | {"csr": make_csr()})

    assert recorder.calls == [
        ("on_route", "/v1/sign/default"),
        ("before", "sign", ["default"]),
        ("after", 200),
    ]


def test_hooks_see_errors(http, recorder):
    http.post("/v1/sign/default", FORM | {"secret": "wrong", "csr": make_csr()}, status=401)
    http.get("/v1/sign/default", status=405)
    http.get("/nothing", status=404)

    assert [call[1] for call in recorder.calls if call[0] == "on_error"] == [
        "NotAuthenticated",
        "WrongMethod",
        "UnknownPath",
    ]


@pytest.mark.parametrize("attribute", ["POST", "params", "body", "text"])
@pytest.mark.parametrize("when", ["on_route", "before", "after"])
def test_a_hook_can_read_the_body(service, attribute, when):
    found = []

    class Reader(PecanHook):
        def read(self, state):
            found.append(getattr(state.request, attribute))

    setattr(Reader, when, Reader.read)
    application = Application(service.settings.authorities, WebSettings(), hooks=[Reader()])
    csr = make_csr().decode()

    webtest.TestApp(application).post("/v1/sign/default", FORM | {"csr": csr}, status=200)

    [value] = found
    assert value["csr"] == csr if attribute in ("POST", "params") else len(value) > len(csr)


def test_a_hook_can_read_a_body_that_webob_puts_into_a_file(http):
    body = b"x" * 20_000
    environ = http.RequestClass.blank("/", method="POST", body=body).environ
    with tempfile.TemporaryFile() as file:
        file.write(body)
        request = Request(environ | {"wsgi.input": file, "webob.is_body_seekable": True})

        assert request.read_body(1 << 16, 1) == body
        assert request.body == body


def test_a_validator_can_read_the_form(serve, document, plugins):
    plugins(
        "from anchor.validators import ValidationError\n"
        "def form(request):\n"
        "    if request.POST['encoding'] != 'pem' or 'csr' not in request.params:\n"
        "        raise ValidationError('not the form')\n",
        "[anchor.validators]\nform = trouble:form\n",
    )
    document["registration_authority"]["default"]["validators"] = {"form": {}}

    assert serve(document).issue()


def test_a_hook_can_respond_instead_of_a_controller(service):
    class Closed(PecanHook):
        def before(self, state):
            pecan.abort(403, "closed")

    application = Application(service.settings.authorities, WebSettings(), hooks=[Closed()])

    assert webtest.TestApp(application).get("/healthz", status=403)


def test_a_hook_that_fails_is_an_internal_error(service):
    class Broken(PecanHook):
        def after(self, state):
            raise RuntimeError("with a secret in it")

    application = Application(service.settings.authorities, WebSettings(), hooks=[Broken()])
    answer = webtest.TestApp(application).get("/healthz", status=500)

    assert "internal error" in answer.text
    assert "secret" not in answer.text


def test_hooks_come_from_config_py(tmp_path, document, monkeypatch):
    import json

    (tmp_path / "config.json").write_text(json.dumps(document))
    monkeypatch.setenv("ANCHOR_CONF", str(tmp_path / "config.json"))
    hook = Recorder()

    application = pecan.load_app({"app": {"modules": ["anchor"], "hooks": [hook]}})
    webtest.TestApp(application).get("/healthz")

    assert hook.calls[0] == ("on_route", "/healthz")


class Greeting(HookController):
    """A controller in the documented style of Pecan."""

    hook = Recorder()
    __hooks__ = [hook]  # noqa: RUF012  # Pecan's name for it

    @pecan.expose()
    def index(self):
        return f"hello from {pecan.request.path}"

    @pecan.expose("json")
    def greet(self, name, *more):
        return {"hello": [name, *more]}


@pytest.fixture
def extended(http):
    http.app.root.greeting = Greeting()
    return http


def test_a_controller_is_added_as_an_attribute(extended):
    assert extended.get("/greeting").text == "hello from /greeting"
    assert extended.get("/greeting/greet/a/b").json == {"hello": ["a", "b"]}
    assert ("before", "greet", ["a", "b"]) in Greeting.hook.calls
    extended.get("/greeting/greet", status=404)


@pytest.mark.parametrize(
    "path",
    [
        "/index",
        "/v1",
        "/v1/",
        "/v1/sign",
        "/v1/sign/default/more",
        "//v1/sign/default",
        "/healthz/",
        "/healthz/x",
        "/robots.txt/index",
        "/__class__",
        "/__class__/v1/sign/default",
        "/v1/__init__",
        "/v1/sign/__class__",
        "/v1/_authorities",
        "/v1/_authority/default",
        "/_front/page",
        "/greeting/__hooks__",
        "/greeting/hook/calls",
        "/greeting/index",
        "/v1/sign/%00",
    ],
)
def test_other_attributes_are_not_paths(extended, path):
    assert extended.get(path, status=404)


@pytest.mark.parametrize("path", ["", "*", "healthz", "x/healthz", "x/v1/sign/default"])
def test_a_path_without_a_leading_slash_is_not_found(service, path):
    request = webtest.TestRequest.blank("/")
    request.environ["PATH_INFO"] = path

    assert request.get_response(service.http.app).status_int == 404


def test_a_path_that_is_not_utf_8_is_a_client_error(service, http):
    assert service.http.get("/%ff%fe", status=404)
    # The service has a hook that reads the path.
    assert http.get("/%ff%fe", status=400)


def test_neither_query_nor_body_becomes_an_argument(extended):
    assert extended.get("/greeting/greet/a?name=b&self=c&more=d").json == {"hello": ["a"]}
    answer = extended.post("/greeting/greet/a", b'{"name": "b"}', content_type="application/json")
    assert answer.json == {"hello": ["a"]}
    extended.get("/greeting/greet/a?%ff=%fe")
