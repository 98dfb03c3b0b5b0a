"""Headers of a proxy whose names differ from those of a client in punctuation only."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse

import pytest

from tests.support.pki import make_csr, make_key
from tests.support.servers.anchor import ROOT, serving


def post(port, path, form, headers):
    """The status and the body of the response to a form."""
    body = urllib.parse.urlencode({"encoding": "pem", **form}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, body, {**kind, **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize("server", ["uwsgi", "pecan", "gunicorn"])
def test_a_header_without_hyphens_has_no_other_name(tmp_path, document, server):
    (tmp_path / "config.json").write_text(json.dumps(document))
    web = {"trusted_proxies": ["127.0.0.1"], "client_certificate_header": "XClientCert"}
    (tmp_path / "config.py").write_text(f"{(ROOT / 'config.py').read_text()}\nweb = {web}\n")
    with serving(server, tmp_path) as service:
        form = {"user": "alice", "secret": "s3cret", "csr": make_csr()}
        _, pem = post(service.port, "/v1/sign/default", form, {})
        certificate = urllib.parse.quote(pem)
        csr = make_csr(key=make_key())
        for name in ("X_Client_Cert", "X-Client-Cert", "XClient_Cert", "_XClientCert"):
            headers = {name: certificate}
            assert 401 == post(service.port, "/v1/renew/default", {"csr": csr}, headers)[0]
        headers = {"xclientcert": certificate}
        assert 200 == post(service.port, "/v1/renew/default", {"csr": csr}, headers)[0]
    assert "without hyphens" not in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize(
    ("server", "warns"), [("uwsgi", True), ("pecan", True), ("gunicorn", False)]
)
def test_a_name_with_hyphens_causes_a_warning_if_the_server_is_lax(
    tmp_path, document, server, warns
):
    (tmp_path / "config.json").write_text(json.dumps(document))
    web = {"trusted_proxies": ["127.0.0.1"], "client_certificate_header": "X-Client-Cert"}
    (tmp_path / "config.py").write_text(f"{(ROOT / 'config.py').read_text()}\nweb = {web}\n")
    with serving(server, tmp_path):
        log = (tmp_path / "server.log").read_text()

    assert warns == ("does not tell X-Client-Cert from X_Client_Cert" in log)
    assert warns == ("such as XClientCert" in log)
