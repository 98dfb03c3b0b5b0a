"""Requests with several X-Forwarded-For headers, under real servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse

import pytest

from tests.support.pki import make_csr
from tests.support.servers.anchor import ROOT, serving


@pytest.mark.parametrize("server", ["uwsgi", "gunicorn"])
def test_several_forwarded_headers_are_one_list(tmp_path, document, server):
    authority = document["registration_authority"]["default"]
    authority["validators"]["source_cidrs"] = {"cidrs": ["192.0.2.0/24"]}
    (tmp_path / "config.json").write_text(json.dumps(document))
    config_py = (ROOT / "config.py").read_text()
    config_py += "\nweb = {'trusted_proxies': ['127.0.0.1']}\n"
    (tmp_path / "config.py").write_text(config_py)
    with serving(server, tmp_path) as service:
        for headers, status in [
            (["203.0.113.5", "192.0.2.9:4711"], 200),
            (["192.0.2.9", "203.0.113.5"], 400),
            (["192.0.2.9", "unknown"], 400),
            (["192.0.2.9", ""], 400),
        ]:
            assert status == post_with(service.port, headers)


def post_with(port, forwarded):
    """The status of a request with one X-Forwarded-For header for each value."""
    form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": make_csr()}
    body = urllib.parse.urlencode(form).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/v1/sign/default")
        connection.putheader("Content-Type", "application/x-www-form-urlencoded")
        connection.putheader("Content-Length", str(len(body)))
        for value in forwarded:
            connection.putheader("X-Forwarded-For", value)
        connection.endheaders(body)
        return connection.getresponse().status
