"""CA keys behind p11-kit, whose modules have a separate function list for each caller."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from cryptography import x509

from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11 import module
from anchor.ca.pkcs11.sign_functions import has_one_function_list
from anchor.cli.main import main
from anchor.timestamps import utc_now
from anchor.X509.signing_request import X509Csr
from tests.support.pki import assert_is_leaf, make_csr
from tests.support.servers.anchor import serving
from tests.support.servers.softhsm import MODULE, PIN


@pytest.fixture
def csr():
    return X509Csr.from_pem(make_csr("host.example.com", "host.example.com"))


def configured(section, directory):
    return load_signing_ca("hsm", section, directory, utc_now(), with_key=True)


def test_modules_with_one_function_list_are_told_from_others(p11_kit):
    assert has_one_function_list(MODULE)
    assert not has_one_function_list(p11_kit)


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256", "ec-p384"])
def test_each_kind_of_key_signs(softhsm, p11_kit, csr, tmp_path, kind, digest):
    ca = softhsm.make_ca(kind)
    section = softhsm.section(ca, pkcs11_path=str(p11_kit), signing_hash=digest)

    signing_ca = configured(section, tmp_path)

    for _ in range(3):
        assert_is_leaf(signing_ca.issue(csr, utc_now()).certificate, issued_by=ca)


def test_a_key_is_found_again_after_the_module_was_finalised(softhsm, p11_kit, csr, tmp_path):
    ca = softhsm.make_ca()
    signing_ca = configured(softhsm.section(ca, pkcs11_path=str(p11_kit)), tmp_path)

    for _ in range(2):
        module.module_at(p11_kit).library.lib.C_Finalize()
        assert_is_leaf(signing_ca.issue(csr, utc_now()).certificate, issued_by=ca)


def test_init_makes_a_key_that_signs(softhsm, p11_kit, csr, tmp_path):
    pin_file = tmp_path / "pin"
    pin_file.write_text(PIN)
    pin_file.chmod(0o400)
    words = ["--pkcs11", str(p11_kit), "--token", "anchor", "--pin-file", str(pin_file)]

    assert 0 == main(["init", str(tmp_path / "new"), *words])

    section = json.loads((tmp_path / "new/config.json").read_text())["signing_ca"]["local"]
    issued = configured(section, tmp_path / "new").issue(csr, utc_now())
    ca = x509.load_pem_x509_certificate((tmp_path / "new/CA/root-ca.crt").read_bytes())
    issued.certificate.verify_directly_issued_by(ca)


@pytest.mark.parametrize("server", ["pecan", "uwsgi", "uwsgi.ini", "gunicorn"])
def test_each_server_signs(softhsm, p11_kit, document, tmp_path, server):
    ca = softhsm.make_ca()
    document["signing_ca"]["local"] = softhsm.section(ca, pkcs11_path=str(p11_kit))
    (tmp_path / "config.json").write_text(json.dumps(document))
    form = urlencode({"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()})

    with serving(server, tmp_path) as service, ThreadPoolExecutor(4) as pool:

        def post(_):
            url = f"{service.url}/v1/sign/default"
            with urllib.request.urlopen(url, form.encode(), timeout=60) as answer:
                return answer.read()

        answers = list(pool.map(post, range(24)))
        log = service.log

    for answer in answers:
        assert_is_leaf(x509.load_pem_x509_certificate(answer), issued_by=ca)
    assert PIN not in log
