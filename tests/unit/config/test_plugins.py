"""Plug-ins of another distribution (tests/support/plugins), loaded by their entry points."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest
from cryptography import x509
from stevedore.extension import ExtensionManager

from anchor.errors import ConfigurationError
from tests.support.paths import CACHE, ROOT, TYPING
from tests.support.pki import assert_is_leaf, make_csr, names_of


@pytest.fixture
def authority(document):
    """The section of the only authority."""
    return document["registration_authority"]["default"]


def refusal(serve, document):
    """The errors of a configuration."""
    with pytest.raises(ConfigurationError) as caught:
        serve(document)
    return str(caught.value)


# ---- validators


def test_a_validator_of_another_distribution_works(serve, document, authority):
    authority["validators"] = {"third_party_label": {"longest": 7}}
    service = serve(document)

    service.issue(make_csr("x", "www.example.com"))
    answer = service.sign(make_csr("x", "www.examples.com"), status=400)

    assert "third_party_label: a label is too long" in answer.text
    assert "'www.examples.com'" in answer.text
    assert "'alice'" in answer.text


def test_defaults_of_a_validator_apply(serve, document, authority):
    authority["validators"] = {"third_party_label": {}}
    service = serve(document)

    service.issue(make_csr("x", "www.examples.com"))
    service.sign(make_csr("x", x509.DNSName("a" * 64)), status=400)


def test_an_old_style_validator_gets_all_arguments(serve, document, authority):
    options = {"wanted": "a.example.com", "allowed": ["192.0.2.7"]}
    authority["validators"] = {"third_party_old_style": options}
    service = serve(document)

    service.issue(make_csr("a.example.com"))
    answer = service.sign(make_csr("b.example.com"), status=400)

    assert "third_party_old_style: not the wanted name" in answer.text


def test_a_plugin_that_marks_a_check_by_request_alone_still_works(
    serve, document, authority, plugins, caplog
):
    plugins(
        "from anchor.validators import ValidationError, by_request_alone\n"
        "@by_request_alone\n"
        "def short(csr):\n"
        "    if any(len(name) > 15 for name in csr.dns_names):\n"
        "        raise ValidationError('a name is too long')\n",
        "[anchor.validators]\nshort = trouble:short\n",
    )
    authority["validators"] = {"short": {}}
    service = serve(document)

    service.issue(make_csr("x", "a.example.com"))
    answer = service.sign(make_csr("x", "another.example.com"), status=400)

    assert "short: a name is too long" in answer.text
    assert "trouble.short uses anchor.validators.by_request_alone" in caplog.text


def test_a_validator_can_use_the_request_in_threads(serve, document, authority, plugins):
    plugins(
        "import threading\n"
        "import pecan\n"
        "from anchor.validators import ValidationError\n"
        "def threaded(csr, request, wanted: str):\n"
        "    found = [isinstance(request, pecan.Request)]\n"
        "    look = lambda: found.append(request.client_addr == wanted)\n"
        "    thread = threading.Thread(target=look)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    if found != [True, True]:\n"
        "        raise ValidationError('not the request', found=found)\n",
        "[anchor.validators]\nthreaded = trouble:threaded\n",
    )
    authority["validators"] = {"threaded": {"wanted": "192.0.2.7"}}

    assert serve(document).issue()


@pytest.mark.parametrize(
    ("validator", "options", "message"),
    [
        ("third_party_label", {"shortest": 1}, ": unknown option 'shortest'"),
        ("third_party_label", {"longest": "7"}, ".longest: "),
        ("third_party_label", {"longest": True}, ".longest: "),
        ("third_party_label", {"longest": 0}, ".longest: "),
        ("third_party_broken", {}, ": the plug-in 'third_party_broken' for anchor.validators"),
        ("third_party_absent", {}, ": the plug-in 'third_party_absent' for anchor.validators"),
        ("third_party_number", {}, "is not callable"),
        ("third_party_positional", {}, "cannot be given by name"),
        ("third_party_coroutine", {}, "is a coroutine or a generator"),
        ("third_party_generator", {}, "is a coroutine or a generator"),
        ("third_party_missing", {}, ": no plug-in 'third_party_missing' is installed"),
        ("third_party_organisation", {}, ": no plug-in 'third_party_organisation' is installed"),
    ],
)
def test_a_broken_validator_prevents_the_start(
    serve, document, authority, validator, options, message
):
    authority["validators"] = {validator: options}

    found = refusal(serve, document)

    assert found.startswith(f"registration_authority.default.validators.{validator}")
    assert message in found


UNFIT = """
import asyncio, functools
from anchor.validators import ValidationError

class Check:
    def __init__(self, csr=None): pass
    def __call__(self, csr): raise ValidationError("never reached")

class AsyncCheck:
    async def __call__(self, csr): raise ValidationError("never reached")

class Yields:
    def __call__(self, csr): yield "never reached"

async def refuse(csr, wanted=""):
    raise ValidationError("never reached")

def yields(csr):
    yield "never reached"

async_object, yielding_object = AsyncCheck(), Yields()
partial = functools.partial(refuse, wanted="x")

def delegates(csr): return refuse(csr)
def iterates(csr): return yields(csr)
"""


@pytest.mark.parametrize(
    ("validator", "message"),
    [
        ("Check", "is a class"),
        ("async_object", "is a coroutine or a generator"),
        ("yielding_object", "is a coroutine or a generator"),
        ("partial", "is a coroutine or a generator"),
    ],
)
def test_a_validator_whose_call_would_check_nothing_prevents_the_start(
    serve, document, authority, plugins, validator, message
):
    plugins(UNFIT, f"[anchor.validators]\nunfit = trouble:{validator}\n")
    authority["validators"] = {"unfit": {}}

    assert message in refusal(serve, document)


NEEDS_MORE = """
class Address:
    @classmethod
    def __get_pydantic_core_schema__(cls, source, handler):
        raise ImportError("email-validator is not installed")

def check(csr, sender: Address): ...
"""


def test_an_option_whose_type_needs_another_distribution_prevents_the_start(
    serve, document, authority, plugins
):
    plugins(NEEDS_MORE, "[anchor.validators]\nunfit = trouble:check\n")
    authority["validators"] = {"unfit": {"sender": "a@example.com"}}

    assert refusal(serve, document) == (
        "registration_authority.default.validators.unfit: its options cannot be validated: "
        "email-validator is not installed"
    )


@pytest.mark.filterwarnings("ignore:coroutine 'refuse' was never awaited:RuntimeWarning")
@pytest.mark.parametrize(
    ("validator", "answer"), [("delegates", "coroutine"), ("iterates", "generator")]
)
def test_a_validator_that_returns_what_nobody_runs_is_an_internal_error(
    serve, document, authority, plugins, caplog, validator, answer
):
    plugins(UNFIT, f"[anchor.validators]\nunfit = trouble:{validator}\n")
    authority["validators"] = {"unfit": {}}

    assert_internal_error(serve(document), caplog, blames="unfit")
    assert f"answered a {answer}" in caplog.text


def test_a_broken_plugin_that_is_not_configured_is_harmless(service):
    service.issue()


def test_a_plugin_name_that_is_registered_twice_prevents_the_start(
    serve, document, authority, tmp_path, monkeypatch
):
    other = tmp_path / "other_plugins-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other-plugins\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text(
        "[anchor.validators]\nthird_party_label = anchor_test_plugins.validators:raises\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # stevedore caches entry points.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    authority["validators"] = {"third_party_label": {}}

    assert "more than one plug-in 'third_party_label'" in refusal(serve, document)


def assert_internal_error(service, caplog, *, blames):
    """Require that nothing is signed, the log has the reason, and the response does not."""
    answer = service.sign(make_csr("a.example.com", "a.example.com"), status=500)

    assert "internal error" in answer.text
    assert blames not in answer.text
    assert "hunter2" not in answer.text
    assert blames in caplog.text
    certs = service.path / "certs"
    assert not certs.exists() or not list(certs.iterdir())


@pytest.mark.parametrize(
    "validator", ["third_party_raises", "third_party_exits", "third_party_answers_false"]
)
def test_a_faulty_validator_is_an_internal_error(serve, document, authority, caplog, validator):
    authority["validators"] = {validator: {}}

    assert_internal_error(serve(document), caplog, blames=validator)


REFUSES = """
from anchor.plugin_api import ValidationError

class TooShort(ValidationError):
    def __init__(self, length):
        self.length = length

    def __str__(self):
        return f"only {self.length} characters"

def too_short(csr):
    raise TooShort(3)

def file_name(csr):
    raise ValidationError("no file caf\\udce9.pem")
"""


@pytest.mark.parametrize(
    ("validator", "text"),
    [
        ("too_short", "refuses: only 3 characters\n"),
        ("file_name", "refuses: no file caf\\udce9.pem\n"),
    ],
)
def test_a_validator_can_refuse_with_any_text_and_with_a_subclass_of_the_error(
    serve, document, authority, plugins, validator, text
):
    plugins(REFUSES, f"[anchor.validators]\nrefuses = trouble:{validator}\n")
    authority["validators"] = {"refuses": {}}

    assert text == serve(document).sign(status=400).text


@pytest.mark.parametrize(
    ("fixup", "words"),
    [
        ("third_party_nonsense", "did not return a request"),
        ("third_party_other_key", "returned another request's bytes"),
        ("third_party_fixup_raises", "failed"),
    ],
)
def test_a_fixup_with_an_invalid_result_is_an_internal_error(
    serve, document, authority, caplog, fixup, words
):
    authority["fixups"] = {fixup: {}}

    assert_internal_error(serve(document), caplog, blames=f"{fixup!r} {words}")


def test_a_fixup_of_another_distribution_works(serve, document, authority, ca):
    authority["fixups"] = {"third_party_organisation": {"name": "Example"}}
    authority["validators"] = {"subject_attributes": {"allowed": {"O": ["Example"]}}}

    certificate = serve(document).issue(make_csr("a.example.com"))

    assert_is_leaf(certificate, issued_by=ca)
    assert certificate.subject.rfc4514_string() == "O=Example,CN=a.example.com"


def test_a_fixup_can_reject_a_request(serve, document, authority):
    authority["fixups"] = {"third_party_fixup_refuses": {}}

    answer = serve(document).sign(status=400)

    assert "third_party_fixup_refuses: this cannot be mended" in answer.text


@pytest.mark.parametrize(
    ("options", "message"),
    [({}, "missing option 'name'"), ({"name": 1}, ".name: "), ({"n": "x"}, "unknown option 'n'")],
)
def test_options_of_a_fixup_are_validated(serve, document, authority, options, message):
    authority["fixups"] = {"third_party_organisation": options}

    found = refusal(serve, document)
    assert "registration_authority.default.fixups.third_party_organisation" in found
    assert message in found


# ---- authentication


def test_an_authentication_function_gets_its_section_as_conf(serve, document, authority, audit):
    document["authentication"]["static"] = {
        "backend": "third_party_function",
        "secrets": {"default": "open sesame"},
    }
    service = serve(document)

    service.issue(user="bob", secret="open sesame")
    service.sign(secret="wrong", status=401)

    assert ("bob", ["staff"]) == (audit.events()[0]["user"], audit.events()[0]["groups"])


def test_a_function_without_conf_takes_no_options(serve, document):
    document["authentication"]["static"] = {"backend": "third_party_bare_function"}
    service = serve(document)

    service.issue(secret="default")
    service.sign(secret="other", status=401)
    document["authentication"]["static"]["realm"] = "x"
    assert "authentication.static: unknown option 'realm'" in refusal(serve, document)


def test_a_class_authenticates_with_its_options(serve, document):
    section = {"backend": "third_party_class", "users": ["alice"], "secret": "s3cret"}
    document["authentication"]["static"] = section
    service = serve(document)

    service.issue()
    service.sign(user="mallory", status=401)
    del section["users"]
    assert "authentication.static: missing option 'users'" in refusal(serve, document)
    section |= {"users": "alice"}
    assert "authentication.static.users: " in refusal(serve, document)


@pytest.mark.parametrize("backend", ["third_party_wrong_answer", "third_party_auth_raises"])
def test_a_faulty_authentication_plugin_authenticates_no_user(serve, document, caplog, backend):
    document["authentication"]["static"] = {"backend": backend}

    assert_internal_error(serve(document), caplog, blames="'static'")


@pytest.mark.parametrize(
    "identity",
    [
        "AuthDetails('')",
        "AuthDetails(None)",
        "AuthDetails(user, 'Nova')",
        "AuthDetails(user, allowed_names='a.example.com')",
    ],
)
def test_an_identity_without_a_user_name_or_with_a_text_as_a_list_is_an_error(
    serve, document, plugins, caplog, identity
):
    plugins(
        "from anchor.auth.results import AuthDetails\n"
        f"def check(ra_name, user, secret): return {identity}\n",
        "[anchor.authentication]\nwrong = trouble:check\n",
    )
    document["authentication"]["static"] = {"backend": "wrong"}

    assert_internal_error(serve(document), caplog, blames="'static'")


# ---- signing backends


def foreign(document, ca, backend, **options):
    """A configuration with a plug-in as its signing backend."""
    document["signing_ca"]["local"] = {
        "backend": backend,
        "cert_path": str(ca.cert_path),
        "output_path": "certs",
        **options,
    }
    return document


def test_a_signing_function_issues_certificates(serve, document, ca):
    foreign(document, ca, "third_party_function", foreign_key=str(ca.key_path))

    certificate = serve(document).issue(make_csr("a.example.com", "a.example.com"))

    assert_is_leaf(certificate, issued_by=ca)
    assert names_of(certificate) == ["a.example.com"]


@pytest.mark.parametrize(
    ("backend", "options", "words"),
    [
        ("third_party_wrong_names", {}, "not what was approved"),
        ("third_party_function", {"foreign_hours": 48}, "not what was approved"),
        ("third_party_function", {"foreign_key": "/nonexistent"}, "failed to sign"),
        ("third_party_wrong_type", {}, "did not answer a certificate"),
    ],
)
def test_the_result_of_a_signing_function_is_verified(
    serve, document, ca, caplog, backend, options, words
):
    foreign(document, ca, backend, **{"foreign_key": str(ca.key_path), **options})

    assert_internal_error(serve(document), caplog, blames=words)


def test_a_class_provides_the_key(serve, document, ca):
    foreign(document, ca, "third_party_key", vault=ca.key_path.name)

    certificate = serve(document).issue(make_csr("a.example.com", "a.example.com"))

    assert_is_leaf(certificate, issued_by=ca)


def test_options_of_a_key_backend_are_validated(serve, document, ca):
    foreign(document, ca, "third_party_key", vault=ca.key_path.name, attempts="1", retries=2)

    found = refusal(serve, document)

    assert "signing_ca.local: unknown option 'retries'" in found
    assert "signing_ca.local.attempts: " in found


# ---- types


@pytest.mark.slow
def test_third_party_plugins_type_check_against_the_installed_package(tmp_path):
    """Uses a real installation, because an editable one hides its types."""
    source, environment = tmp_path / "source", tmp_path / "environment"
    unwanted = shutil.ignore_patterns(".*", "build", "*.egg-info", "CA", "certs", "__pycache__")
    shutil.copytree(ROOT, source, ignore=unwanted)
    venv.create(environment, symlinks=True)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages]
    subprocess.run([*pip, source], check=True, capture_output=True)
    # In the current directory mypy would import the source tree first.
    shutil.copy(TYPING / "third_party.py", tmp_path)

    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--cache-dir", CACHE / "mypy-third-party"),
            *("--python-executable", environment / "bin/python", "third_party.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
