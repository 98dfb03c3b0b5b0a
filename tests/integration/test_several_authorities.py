"""Authorities with different backends in one service, started as in production."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from cryptography import x509

from tests.support.pki import assert_is_leaf, make_csr
from tests.support.servers.anchor import serving
from tests.support.servers.keystone import COMPUTE


def test_every_backend_works_in_every_worker(tmp_path, document, ca, slapd, samba, keystone):
    document["authentication"] |= {
        "ldap": slapd.options(),
        "ad": samba.options(),
        "keystone": {"backend": "keystone", "url": keystone.url},
    }
    authority = document["registration_authority"]["default"]
    document["registration_authority"] = {
        name: authority | {"authentication": name} for name in document["authentication"]
    }
    secrets = {
        "static": "s3cret",
        "ldap": "alice-secret",
        "ad": "Al1ce-Passw0rd!",
        "keystone": keystone.token("nora", "nora-secret", COMPUTE),
    }
    (tmp_path / "config.json").write_text(json.dumps(document))

    def post(name, secret):
        form = {"user": "alice", "secret": secret, "encoding": "pem", "csr": make_csr()}
        url = f"{service.url}/v1/sign/{name}"
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), 60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    with serving("uwsgi", tmp_path) as service, ThreadPoolExecutor(8) as clients:
        right = [clients.submit(post, name, secret) for name, secret in [*secrets.items()] * 8]
        wrong = [clients.submit(post, name, f"{secret}x") for name, secret in secrets.items()]
        answers = [future.result() for future in right]
        refusals = [future.result() for future in wrong]
        log = service.log

    assert {200} == {status for status, _ in answers}
    for _, pem in answers:
        assert_is_leaf(x509.load_pem_x509_certificate(pem), issued_by=ca)
    assert {(401, b"the credentials were not accepted\n")} == set(refusals)
    for secret in secrets.values():
        assert secret not in log
