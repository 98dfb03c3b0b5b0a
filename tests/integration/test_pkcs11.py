"""CA keys in a token, with the real PKCS#11 module SoftHSM 2."""

from __future__ import annotations

import builtins
import json
import multiprocessing
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11 import module as pkcs11_module
from anchor.ca.pkcs11 import session as pkcs11_session
from anchor.errors import ConfigurationError, SigningError
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.pki import assert_is_leaf, make_ca, make_csr, shared_key
from tests.support.servers.anchor import serving
from tests.support.servers.softhsm import MODULE, PIN

KINDS = ("rsa-2048", "ec-p256", "ec-p384", "ec-p521")
BOTH_FORK_MODES = pytest.mark.parametrize("softhsm", ["true", "false"], indirect=True)


@pytest.fixture
def csr():
    return X509Csr.from_pem(make_csr("host.example.com", "host.example.com"))


@pytest.fixture
def configure(tmp_path):
    return lambda section: load_signing_ca("hsm", section, tmp_path, utc_now(), with_key=True)


@pytest.fixture
def config_errors_of(configure):
    def config_errors(section):
        with pytest.raises(ConfigurationError) as raised:
            configure(section)
        assert PIN not in str(raised.value)
        return [str(problem) for problem in raised.value.problems]

    return config_errors


# ---- signing


@pytest.mark.parametrize("digest", ["sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_key_signs_with_each_hash(softhsm, configure, csr, kind, digest):
    ca = softhsm.make_ca(kind)

    issued = configure(softhsm.section(ca, signing_hash=digest)).issue(csr, utc_now())

    assert_is_leaf(issued.certificate, issued_by=ca)
    assert issued.certificate.signature_hash_algorithm.name == digest


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_are_the_same_as_with_a_key_in_a_file(
    softhsm, configure, csr, kind, monkeypatch
):
    ca = softhsm.make_ca(kind)
    file = {"backend": "anchor", "cert_path": str(ca.cert_path), "key_path": str(ca.key_path)}
    monkeypatch.setattr(x509, "random_serial_number", lambda: 4711)
    moment = utc_now()

    in_token = configure(softhsm.section(ca)).issue(csr, moment).certificate
    in_file = configure(file).issue(csr, moment).certificate

    assert in_file.tbs_certificate_bytes == in_token.tbs_certificate_bytes


def test_a_certificate_goes_out_through_the_whole_service(serve, document, softhsm):
    ca = softhsm.make_ca()
    document["signing_ca"]["local"] = softhsm.section(ca)

    assert_is_leaf(serve(document).issue(), issued_by=ca)


@pytest.mark.parametrize("how", ["slot", "serial", "label", "file", "environment"])
def test_token_key_and_pin_can_be_named_in_several_ways(
    softhsm, configure, csr, tmp_path, monkeypatch, how
):
    ca = softhsm.make_ca()
    section = softhsm.section(ca)
    match how:
        case "slot":
            del section["token_label"]
            section["slot"] = softhsm.slot()
        case "serial":
            # Another token with the same label is ignored then.
            serial = softhsm.serial()
            softhsm.init()
            del section["token_label"]
            section["token_serial"] = serial
        case "label":
            del section["key_id"]
            section["key_label"] = "ca"
        case "file":
            del section["pin"]
            (tmp_path / "pin").write_text(f"{PIN}\n")
            (tmp_path / "pin").chmod(0o400)
            section["pin_file"] = "pin"
        case "environment":
            del section["pin"]
            monkeypatch.setenv("ANCHOR_PIN", PIN)
            section["pin_env"] = "ANCHOR_PIN"

    assert_is_leaf(configure(section).issue(csr, utc_now()).certificate, issued_by=ca)


def test_a_key_pair_that_the_token_made_signs(softhsm, configure, csr, tmp_path):
    softhsm.generate("EC:prime256v1", "07", "made here")
    module = pkcs11_module.module_at(MODULE)
    session = module.library.openSession(softhsm.slot())
    p11 = module.pykcs11
    [public] = session.findObjects([(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY)])
    [point] = session.getAttributeValue(public, [p11.CKA_EC_POINT])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes(point)[2:])

    class Half:
        """A key with the interface that make_ca needs, certified by another key."""

        public_key = staticmethod(lambda: key)
        private_bytes = staticmethod(lambda *_: b"")

    root = make_ca(tmp_path, name="root")
    ca = make_ca(tmp_path, key=Half, issuer=root)
    section = softhsm.section(ca, key_id="07", chain_path=str(root.cert_path))

    issued = configure(section).issue(csr, utc_now())

    issued.certificate.verify_directly_issued_by(ca.certificate)


def test_a_token_need_not_have_the_public_key(softhsm, configure, csr):
    ca = softhsm.make_ca()
    module = pkcs11_module.module_at(MODULE)
    p11 = module.pykcs11
    session = module.library.openSession(softhsm.slot(), p11.CKF_RW_SESSION)
    session.login(PIN)
    [public] = session.findObjects([(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY)])
    session.destroyObject(public)
    session.closeSession()

    assert_is_leaf(configure(softhsm.section(ca)).issue(csr, utc_now()).certificate, issued_by=ca)


def test_a_key_in_a_token_does_nothing_but_sign(softhsm, configure):
    rsa_key = configure(softhsm.section(softhsm.make_ca("rsa-2048"))).generations[0].signer.key
    softhsm.import_key(shared_key(), "02")
    ca = make_ca(softhsm.directory.parent, key=shared_key(), name="second")
    ec_key = configure(softhsm.section(ca, key_id="02")).generations[0].signer.key

    for refused in (
        lambda: rsa_key.decrypt(b"", padding.PKCS1v15()),
        rsa_key.private_numbers,
        rsa_key.private_bytes,
        lambda: ec_key.exchange(ec.ECDH(), shared_key().public_key()),
        ec_key.private_numbers,
        ec_key.private_bytes,
    ):
        with pytest.raises(TypeError, match="signs, and does nothing else"):
            refused()
    with pytest.raises(SigningError):
        rsa_key.sign(b"", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


# ---- start-up


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pkcs11_path": "/nowhere/module.so"}, "pkcs11_path: there is no file /nowhere/module.so"),
        ({"pkcs11_path": __file__}, f"pkcs11_path: {__file__} cannot be loaded"),
        ({"token_label": "other"}, "token_label: no tokens are labelled 'other'; there are"),
        (
            {"token_label": None, "token_serial": "4711"},
            "token_serial: no tokens have the serial number '4711'; there are",
        ),
        ({"token_label": None, "slot": 99}, "slot: there is no token in slot 99"),
        ({"pin": "wrong-pin"}, "pin: the token 'anchor' refuses the PIN: CKR_PIN_INCORRECT"),
        ({"key_id": "0a"}, "key_id: no private keys in the token 'anchor' have the id 0a"),
        ({"key_label": "nil"}, "key_id: no private keys in the token 'anchor' have the id 01 and"),
        (
            {"key_id": None, "key_label": "nil"},
            "key_label: no private keys in the token 'anchor' have the label 'nil'",
        ),
        (
            {"token_serial": "4711"},
            "exactly one of 'slot', 'token_label' and 'token_serial' is needed",
        ),
        ({"slot": 1}, "exactly one of 'slot', 'token_label' and 'token_serial' is needed"),
        (
            {"token_label": None},
            "exactly one of 'slot', 'token_label' and 'token_serial' is needed",
        ),
        ({"key_id": None}, "'key_id' or 'key_label' is needed"),
        ({"pin": None}, "exactly one of 'pin', 'pin_file' and 'pin_env' is needed"),
        ({"pin_env": "PATH"}, "exactly one of 'pin', 'pin_file' and 'pin_env' is needed"),
        ({"pin": ""}, "pin: is empty"),
        ({"pin": 4711}, "pin: should be a valid string"),
        ({"key_id": 1}, "key_id: should be a string of hexadecimal bytes such as '01'"),
        ({"key_id": "1"}, "key_id: should be a string of hexadecimal bytes such as '01'"),
        ({"slot": "0", "token_label": None}, "slot: should be a valid integer"),
        ({"key_path": "x"}, "unknown option 'key_path'"),
    ],
)
def test_the_start_reports_the_option_that_is_wrong(softhsm, config_errors_of, options, message):
    section = softhsm.section(softhsm.make_ca()) | options
    section = {name: value for name, value in section.items() if value is not None}

    [found] = config_errors_of(section)

    assert found.startswith(message)
    assert "wrong-pin" not in found


@pytest.mark.parametrize(("kind", "other"), [("ec-p256", "ec-p256"), ("ec-p256", "rsa-2048")])
def test_a_key_that_is_not_the_certificates_is_refused(
    softhsm, config_errors_of, tmp_path, kind, other
):
    softhsm.make_ca(kind)
    ca = make_ca(tmp_path, other, name="other")

    found = config_errors_of(softhsm.section(ca))

    assert ["the private key does not match the certificate in 'cert_path'"] == found


def test_two_keys_of_one_name_are_refused(softhsm, config_errors_of):
    ca = softhsm.make_ca()
    softhsm.import_key(shared_key(), "02", "ca")
    section = softhsm.section(ca, key_label="ca")
    del section["key_id"]

    [found] = config_errors_of(section)

    assert "key_label: 2 private keys in the token 'anchor' have the label 'ca'" == found


def test_two_tokens_of_one_label_are_refused(softhsm, config_errors_of):
    ca = softhsm.make_ca()
    softhsm.init()

    [found] = config_errors_of(softhsm.section(ca))

    assert found.startswith("token_label: 2 tokens are labelled 'anchor'")


def test_a_wrong_pin_shows_when_another_ca_has_logged_in_already(
    softhsm, configure, config_errors_of
):
    ca = softhsm.make_ca()
    first = configure(softhsm.section(ca))

    assert ["pin: the token 'anchor' is logged in to with another PIN"] == config_errors_of(
        softhsm.section(ca, pin="wrong-pin")
    )
    del first


def test_without_pykcs11_the_start_says_how_to_install_it(softhsm, config_errors_of, monkeypatch):
    ca = softhsm.make_ca()
    real_import = builtins.__import__

    # A mock, because PyKCS11 is installed in this environment.
    def without_pykcs11(name, *args, **kwargs):
        if name == "PyKCS11":
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pykcs11)
    pkcs11_module.module_at.cache_clear()

    try:
        found = config_errors_of(softhsm.section(ca))
    finally:
        monkeypatch.undo()
    assert [
        "backend: 'pkcs11' needs PyKCS11, which is not installed: pip install 'anchor[pkcs11]'"
    ] == found


# ---- processes and threads


def _issue_some(ca, csr, results, count=5):
    try:
        for _ in range(count):
            ca.issue(csr, utc_now())
        results.put(None)
    except SigningError as error:
        results.put(repr(error))


@BOTH_FORK_MODES
@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_forked_processes_sign(softhsm, configure, csr, kind):
    ca = configure(softhsm.section(softhsm.make_ca(kind)))
    ca.issue(csr, utc_now())
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=_issue_some, args=(ca, csr, results)) for _ in range(4)]
    for child in children:
        child.start()

    assert [None] * 4 == [results.get() for _ in children]

    for child in children:
        child.join()
    ca.issue(csr, utc_now())


@BOTH_FORK_MODES
def test_the_workers_of_uwsgi_sign(softhsm, document, tmp_path):
    ca = softhsm.make_ca()
    document["signing_ca"]["local"] = softhsm.section(ca)
    (tmp_path / "config.json").write_text(json.dumps(document))
    form = urlencode({"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()})

    with serving("uwsgi", tmp_path) as service, ThreadPoolExecutor(8) as pool:

        def post(_):
            with urllib.request.urlopen(
                f"{service.url}/v1/sign/default", form.encode(), timeout=60
            ) as answer:
                return answer.read()

        answers = list(pool.map(post, range(60)))
        log = service.log

    for answer in answers:
        assert_is_leaf(x509.load_pem_x509_certificate(answer), issued_by=ca)
    assert PIN not in log


def test_threads_share_the_session(softhsm, configure, csr):
    ca = configure(softhsm.section(softhsm.make_ca()))

    with ThreadPoolExecutor(8) as pool:
        issued = list(pool.map(lambda _: ca.issue(csr, utc_now()), range(100)))

    assert 100 == len({each.certificate.serial_number for each in issued})


def test_a_process_logs_in_and_looks_for_the_key_once(softhsm, configure, csr, monkeypatch):
    import PyKCS11

    calls = []

    def counting(name, real):
        def counted(*args, **kwargs):
            calls.append(name)
            return real(*args, **kwargs)

        return counted

    for name in ("login", "findObjects"):
        monkeypatch.setattr(PyKCS11.Session, name, counting(name, getattr(PyKCS11.Session, name)))
    ca = configure(softhsm.section(softhsm.make_ca()))

    for _ in range(20):
        ca.issue(csr, utc_now())

    assert ["login", "findObjects"] == calls


def test_waiting_for_a_module_that_hangs_has_a_time_limit(softhsm, configure, csr, monkeypatch):
    monkeypatch.setattr(pkcs11_module, "LOCK_SECONDS", 0.05)
    ca = configure(softhsm.section(softhsm.make_ca()))

    with (
        pkcs11_module.module_at(MODULE).locked(),
        pytest.raises(SigningError, match="has been busy for"),
    ):
        ca.issue(csr, utc_now())


# ---- removing and inserting the token


def test_without_its_token_a_request_is_an_internal_error_with_the_cause_in_the_log(
    serve, document, softhsm, caplog
):
    document["signing_ca"]["local"] = softhsm.section(softhsm.make_ca())
    service = serve(document)
    service.issue()
    softhsm.remove_tokens()

    before = time.monotonic()
    answers = [service.sign(status=500) for _ in range(3)]
    took = time.monotonic() - before

    assert took < 5
    assert all(answer.text.startswith("internal error") for answer in answers)
    assert "CKR_" in caplog.text
    assert PIN not in caplog.text
    assert 1 == len(list((service.path / "certs").iterdir()))
    softhsm.insert_tokens()
    service.issue()
    service.issue()


def test_a_module_that_other_code_finalised_is_initialised_again(softhsm, configure, csr):
    ca = configure(softhsm.section(softhsm.make_ca()))
    library = pkcs11_module.module_at(MODULE).library.lib

    library.C_Finalize()
    ca.issue(csr, utc_now())
    library.C_Finalize()
    library.C_Initialize()
    ca.issue(csr, utc_now())


def test_a_session_that_other_code_closed_is_opened_again(softhsm, configure, csr):
    ca = configure(softhsm.section(softhsm.make_ca()))
    library = pkcs11_module.module_at(MODULE).library

    library.openSession(softhsm.slot()).logout()
    ca.issue(csr, utc_now())
    library.closeAllSessions(softhsm.slot())
    ca.issue(csr, utc_now())


def test_after_a_new_initialisation_no_key_signs_for_another(softhsm, configure, csr):
    first_ca = softhsm.make_ca()
    softhsm.import_key(shared_key("ec-p384"), "02", "second")
    second_ca = make_ca(softhsm.directory.parent, key=shared_key("ec-p384"), name="second")
    first = configure(softhsm.section(first_ca))
    second = configure(softhsm.section(second_ca, key_id="02"))

    for _ in range(3):
        pkcs11_module.module_at(MODULE).library.lib.C_Finalize()
        assert_is_leaf(second.issue(csr, utc_now()).certificate, issued_by=second_ca)
        assert_is_leaf(first.issue(csr, utc_now()).certificate, issued_by=first_ca)


def test_a_pin_that_was_refused_is_tried_once(softhsm, configure, csr, logins):
    import PyKCS11

    ca = configure(softhsm.section(softhsm.make_ca()))
    library = pkcs11_module.module_at(MODULE).library
    session = library.openSession(softhsm.slot(), PyKCS11.CKF_RW_SESSION)
    session.setPin(PIN, "another-pin")
    library.lib.C_Finalize()
    logins.clear()

    for _ in range(5):
        with pytest.raises(SigningError, match="refuse") as raised:
            ca.issue(csr, utc_now())
        assert PIN not in str(raised.value)

    assert 1 == len(logins)


# ---- a module that returns wrong signatures


def test_a_wrong_signature_is_never_sent(serve, document, softhsm, monkeypatch, caplog):
    document["signing_ca"]["local"] = softhsm.section(softhsm.make_ca("rsa-2048"))
    service = serve(document)
    real = pkcs11_session.TokenKey.sign

    # A mock, because SoftHSM signs correctly.
    def faulty(self, mechanism, octets):
        signature = real(self, mechanism, octets)
        return signature[:-1] + bytes([signature[-1] ^ 1])

    monkeypatch.setattr(pkcs11_session.TokenKey, "sign", faulty)

    service.sign(status=500)

    assert "the CA's key does not verify the certificate" in caplog.text
    assert [] == list((service.path / "certs").iterdir())


def test_a_signature_of_a_wrong_length_is_never_sent(softhsm, configure, csr, monkeypatch):
    ca = configure(softhsm.section(softhsm.make_ca()))
    monkeypatch.setattr(pkcs11_session.TokenKey, "sign", lambda *_: b"\1" * 63)

    with pytest.raises(SigningError, match="63 bytes"):
        ca.issue(csr, utc_now())
