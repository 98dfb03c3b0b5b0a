"""Keys in files, and third-party signing backends: classes with a key, and functions."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import re
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from anchor.ca import backends
from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11.key import Pkcs11RSAKey
from anchor.ca.template import INTERMEDIATE_USAGE
from anchor.config.plugins import load_plugin
from anchor.errors import ConfigurationError, SigningError
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.pki import (
    DAY,
    assert_is_leaf,
    key_pem,
    make_ca,
    make_csr,
    now,
    shared_key,
    subject,
)
from tests.support.servers.anchor import ROOT

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def csr():
    return X509Csr.from_pem(make_csr("host.example.com", "host.example.com"))


@pytest.fixture
def backend(monkeypatch):
    """Registers a backend under a name, as an installed distribution would."""
    offered = {}
    real = load_plugin

    def load(namespace, name):
        if namespace == backends.NAMESPACE and name in offered:
            return offered[name]
        return real(namespace, name)

    monkeypatch.setattr(backends, "load_plugin", load)
    return lambda thing: offered.setdefault("custom", thing)


@pytest.fixture
def configure(ca, tmp_path):
    def configure(**options):
        section = {"cert_path": str(ca.cert_path)} | options
        return load_signing_ca("custom", section, tmp_path, utc_now(), with_key=True)

    return configure


# ---- a key in a file


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_traditional_key_is_read(configure, csr, tmp_path, monkeypatch, kind, encrypted):
    ca = make_ca(tmp_path, kind, name="traditional")
    encryption = BestAvailableEncryption(b"open sesame") if encrypted else NoEncryption()
    pem = ca.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encryption)
    assert re.match(rb"-----BEGIN (RSA|EC) PRIVATE KEY-----", pem)
    assert encrypted is (b"Proc-Type: 4,ENCRYPTED" in pem)
    key_path = tmp_path / "traditional.pem"
    key_path.write_bytes(pem)
    key_path.chmod(0o400)
    monkeypatch.setenv("PASSPHRASE", "open sesame")
    options = {"passphrase_env": "PASSPHRASE"} if encrypted else {}

    made = configure(
        backend="anchor", cert_path=str(ca.cert_path), key_path=str(key_path), **options
    )
    key_path.unlink()

    for _ in range(2):
        assert_is_leaf(made.issue(csr, utc_now()).certificate, issued_by=ca)


# ---- a class that provides a key


class Vault:
    """A key outside of the process."""

    def __init__(self, key_name: str, certificate: x509.Certificate):
        self.certificate = certificate
        self.key_name = key_name

    keys: dict = {}  # noqa: RUF012  # where the key is kept, for this test

    def private_key(self):
        return self.keys[self.key_name]


def test_a_class_provides_a_key_and_gets_the_ca_certificate(
    backend, configure, csr, ca, monkeypatch
):
    made = []

    class RecordingVault(Vault):
        def __init__(self, key_name: str, certificate: x509.Certificate):
            super().__init__(key_name, certificate)
            made.append(certificate)

    monkeypatch.setattr(Vault, "keys", {"ca": ca.key})
    backend(RecordingVault)

    issued = configure(backend="custom", key_name="ca").issue(csr, utc_now())

    assert_is_leaf(issued.certificate, issued_by=ca)
    assert [ca.certificate] == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "missing option 'key_name'"),
        ({"key_name": 1}, "key_name: should be a valid string"),
        ({"key_name": "nowhere"}, "the signing backend failed: KeyError"),
        ({"key_name": "ca", "colour": "red"}, "unknown option 'colour'"),
        ({"key_name": "other"}, "the private key does not match the certificate in 'cert_path'"),
        (
            {"key_name": "ca", "certificate": "x"},
            "unknown option 'certificate': did you mean 'cert_path'?",
        ),
    ],
)
def test_the_options_of_a_class_are_validated(
    backend, configure, ca, monkeypatch, options, message
):
    monkeypatch.setattr(Vault, "keys", {"ca": ca.key, "other": shared_key()})
    backend(Vault)

    with pytest.raises(ConfigurationError) as raised:
        configure(backend="custom", **options)

    assert [message] == [str(problem) for problem in raised.value.problems]


def test_a_function_with_other_arguments_prevents_the_start(backend, configure):
    def sign(request):
        return ""

    backend(sign)

    with pytest.raises(ConfigurationError, match="does not take the arguments csr and conf"):
        configure(backend="custom")


@pytest.mark.parametrize("answer", [None, "key", shared_key().public_key(), SystemExit()])
def test_a_class_without_a_key_prevents_the_start(backend, configure, answer):
    class Keyless:
        def private_key(self):
            if isinstance(answer, BaseException):
                raise answer
            return answer

    backend(Keyless)

    with pytest.raises(ConfigurationError, match=r"returned no private key|failed: SystemExit"):
        configure(backend="custom")


@pytest.mark.parametrize(
    ("sign", "message"),
    [
        (lambda _: b"\1" * 256, "the private key does not match the certificate in 'cert_path'"),
        (lambda _: 1 / 0, "the key does not sign: ZeroDivisionError"),
    ],
)
def test_a_key_that_does_not_match_its_public_key_prevents_the_start(
    backend, configure, monkeypatch, tmp_path, sign, message
):
    ca = make_ca(tmp_path, "rsa-2048", name="rsa")
    monkeypatch.setattr(Vault, "keys", {"ca": Pkcs11RSAKey(ca.key.public_key(), sign)})
    backend(Vault)

    with pytest.raises(ConfigurationError) as raised:
        configure(backend="custom", cert_path=str(ca.cert_path), key_name="ca")

    assert [message] == [str(problem) for problem in raised.value.problems]


# ---- a function that obtains certificates


class RemoteCA:
    """A CA that issues certificates with any contents."""

    def __init__(self, ca):
        self.ca = ca
        self.seen = []

    def __call__(self, csr, conf):
        self.seen.append((csr, dict(conf)))
        return self.certificate(csr).public_bytes(Encoding.PEM).decode()

    def certificate(self, csr, **changes):
        wanted = {
            "subject": csr.subject,
            "issuer": self.ca.certificate.subject,
            "public_key": csr.public_key,
            "serial": x509.random_serial_number(),
            "not_before": -HOUR / 60,
            "not_after": HOUR,
            "extensions": [(each.value, each.critical) for each in csr.extensions],
            "key": self.ca.key,
            "hash": hashes.SHA256(),
        } | changes
        builder = (
            x509.CertificateBuilder()
            .subject_name(wanted["subject"])
            .issuer_name(wanted["issuer"])
            .public_key(wanted["public_key"])
            .serial_number(wanted["serial"])
            .not_valid_before(now() + wanted["not_before"])
            .not_valid_after(now() + wanted["not_after"])
        )
        for value, critical in wanted["extensions"]:
            builder = builder.add_extension(value, critical)
        return builder.sign(wanted["key"], wanted["hash"])


@pytest.fixture
def remote(ca):
    return RemoteCA(ca)


def remote_function(remote, **changes):
    """A signing function, as in a plug-in."""

    def sign(csr, conf):
        return remote.certificate(csr, **changes).public_bytes(Encoding.PEM)

    return sign


SAN = x509.SubjectAlternativeName([x509.DNSName("host.example.com")])
LEAF = x509.BasicConstraints(False, None)


def test_a_function_gets_the_request_and_its_configuration(backend, configure, csr, remote, ca):
    backend(remote)

    made = configure(backend="custom", url="https://ca.example.com", valid_hours=2)
    issued = made.issue(csr, utc_now())

    assert_public_is(csr, issued.certificate)
    [(request, conf)] = remote.seen
    assert csr is request
    assert {
        "backend": "custom",
        "cert_path": str(ca.cert_path),
        "url": "https://ca.example.com",
        "valid_hours": 2,
    } == conf


def assert_public_is(csr, certificate):
    assert csr.public_key == certificate.public_key()
    assert csr.subject == certificate.subject


def test_the_certificate_of_a_function_is_issued_by_the_service(
    backend, serve, document, remote, ca
):
    backend(remote)
    document["signing_ca"]["local"] = {
        "backend": "custom",
        "cert_path": str(ca.cert_path),
        "output_path": "certs",
    }
    service = serve(document)

    certificate = service.issue(make_csr("host.example.com", "host.example.com"))

    certificate.verify_directly_issued_by(ca.certificate)
    assert 1 == len(list((service.path / "certs").iterdir()))


@pytest.mark.parametrize(
    "extensions",
    [
        [(SAN, False)],
        [(SAN, False), (LEAF, True)],
        [(SAN, False), (LEAF, False)],
        [(SAN, False), (x509.SubjectKeyIdentifier(b"other kinds are fine"), False)],
        [(SAN, False), (x509.PrecertPoison(), False)],
    ],
)
def test_extra_extensions_of_a_remote_ca_are_accepted(backend, configure, csr, remote, extensions):
    backend(remote_function(remote, extensions=extensions))

    assert configure(backend="custom").issue(csr, utc_now())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"subject": subject("evil.example.com")}, "subject"),
        ({"public_key": shared_key("ec-p384").public_key()}, "public key"),
        ({"not_before": HOUR}, "not before"),
        ({"not_after": 2 * DAY}, "not after"),
        ({"not_after": -HOUR / 120}, "not after"),
        ({"key": shared_key("ec-p521")}, "does not verify"),
        ({"issuer": subject("another")}, "not issued in the CA's name"),
        ({"extensions": []}, "subjectAltName"),
        (
            {"extensions": [(x509.SubjectAlternativeName([x509.DNSName("evil")]), False)]},
            "subjectAltName",
        ),
        ({"extensions": [(SAN, False), (x509.BasicConstraints(True, None), True)]}, "basicCons"),
        ({"extensions": [(SAN, False), (INTERMEDIATE_USAGE, True)]}, "keyUsage"),
        (
            {
                "extensions": [
                    (SAN, False),
                    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
                ]
            },
            "extendedKeyUsage",
        ),
        (
            {
                "extensions": [
                    (SAN, False),
                    (x509.AuthorityKeyIdentifier(b"another", None, None), False),
                ]
            },
            "authorityKeyIdentifier",
        ),
        ({"extensions": [(SAN, False), (x509.OCSPNoCheck(), True)]}, "1.3.6.1.5.5.7.48.1.5"),
    ],
)
def test_a_certificate_that_differs_from_the_approved_one_is_rejected(
    backend, configure, csr, remote, changes, field
):
    backend(remote_function(remote, **changes))

    with pytest.raises(SigningError, match=field):
        configure(backend="custom").issue(csr, utc_now())


def test_a_certificate_that_outlives_the_ca_is_rejected(backend, configure, csr, tmp_path):
    ending = make_ca(tmp_path, name="ending", not_after=now() + 2 * HOUR)
    backend(remote_function(RemoteCA(ending), not_after=2 * HOUR + HOUR / 60))

    with pytest.raises(SigningError, match="the CA's end"):
        configure(backend="custom", cert_path=str(ending.cert_path)).issue(csr, utc_now())


@pytest.mark.parametrize(
    "answer",
    [None, True, "", b"", "certificate", "\u00e9", b"-----BEGIN CERTIFICATE-----\n", 1 << 70],
)
def test_a_result_that_is_not_a_certificate_is_rejected(backend, configure, csr, answer):
    def sign(csr, conf):
        return answer

    backend(sign)

    with pytest.raises(SigningError):
        configure(backend="custom").issue(csr, utc_now())


@pytest.mark.parametrize("kind", [ConnectionError, SystemExit])
def test_an_error_in_a_function_is_an_internal_error_with_its_cause(
    backend, serve, document, ca, caplog, kind
):
    def sign(csr, conf):
        raise kind("the remote CA is down")

    backend(sign)
    document["signing_ca"]["local"] = {
        "backend": "custom",
        "cert_path": str(ca.cert_path),
        "output_path": "certs",
    }
    service = serve(document)

    answer = service.sign(status=500)

    assert "remote" not in answer.text
    assert "the remote CA is down" in caplog.text
    assert [] == list((service.path / "certs").iterdir())


def test_the_next_ca_of_a_function_gets_a_separate_configuration(
    backend, configure, csr, remote, ca, tmp_path
):
    following = make_ca(tmp_path, name="following")
    seen = []

    def sign(csr, conf):
        seen.append(dict(conf))
        return RemoteCA(following)(csr, conf)

    backend(sign)
    made = configure(
        backend="custom",
        url="one",
        valid_hours=2,
        next={
            "from": (utc_now() - HOUR).isoformat(),
            "cert_path": str(following.cert_path),
            "url": "two",
        },
    )

    assert_public_is(csr, made.issue(csr, utc_now()).certificate)
    assert [
        {
            "backend": "custom",
            "cert_path": str(following.cert_path),
            "url": "two",
            "valid_hours": 2,
        }
    ] == seen


# ---- the documentation's examples


@pytest.fixture
def remote_url():
    """The URL of a web server that passes posted bytes to a function."""
    with contextlib.ExitStack() as stack:

        def start(function):
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_POST(self):
                    answer = function(self.rfile.read(int(self.headers["Content-Length"])))
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(answer)

                def log_message(self, *_):
                    pass

            server = stack.enter_context(http.server.HTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


def examples():
    """The Python examples of the how-to by the name that they define."""
    text = (ROOT / "doc/source/howto/signing-backends.rst").read_text()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    namespace: dict = {}
    for block in blocks:
        exec(re.sub(r"^    ", "", block, flags=re.M), namespace)
    return namespace


def test_the_documented_class_works(backend, configure, csr, ca, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "web.pem").write_bytes(key_pem(ca.key))
    backend(examples()["Keyring"])

    made = configure(backend="custom", directory="keys", name="web")

    assert_is_leaf(made.issue(csr, utc_now()).certificate, issued_by=ca)


def test_the_documented_function_works(backend, configure, csr, remote, ca, remote_url):
    backend(examples()["sign"])
    url = remote_url(lambda octets: remote(X509Csr.from_der(octets), {}).encode())

    made = configure(backend="custom", url=url)

    assert_public_is(csr, made.issue(csr, utc_now()).certificate)
