"""The service under uwsgi, behind nginx with TLS."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.servers.https_anchor import HTTPSAnchor
from tests.support.servers.processes import free_port, listens, program, running

_CONFIGURATION = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  limit_req_zone $binary_remote_addr zone=few:1m rate=1r/m;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {verify_clients}
    client_max_body_size 64k;
    location / {{
      include /etc/nginx/uwsgi_params;
      uwsgi_param ANCHOR_CLIENT_CERTIFICATE $ssl_client_escaped_cert if_not_empty;
      uwsgi_pass unix:{directory}/app.sock;
    }}
    location /few/ {{
      limit_req zone=few;
      limit_req_status 429;
      error_page 429 = @busy;
      rewrite ^/few(/.*)$ $1 break;
      include /etc/nginx/uwsgi_params;
      uwsgi_param PATH_INFO $uri;
      uwsgi_pass unix:{directory}/app.sock;
    }}
    location @busy {{
      add_header Retry-After 77 always;
      return 429 "busy";
    }}
  }}
}}
"""


@pytest.fixture
def nginx_anchor(tmp_path, document, private_tls):
    """The service of the fixture ``document``; only ``url`` and ``client_json`` can be used."""
    with behind_nginx(tmp_path, document, private_tls) as anchor:
        yield anchor


@contextlib.contextmanager
def behind_nginx(path, document, tls, *, client_ca=None):
    """Run the service until the end of the block.

    Args:
        path: an empty directory.
        document: the configuration.
        tls: the certificate of nginx.
        client_ca: the file with the CAs of client certificates, which nginx then asks for.
    """
    directory = path / "nginx"
    directory.mkdir()
    (path / "config.json").write_text(json.dumps(document))
    port = free_port()
    verify_clients = (
        client_ca and f"ssl_verify_client optional; ssl_client_certificate {client_ca};"
    )
    (directory / "nginx.conf").write_text(
        _CONFIGURATION.format(
            # The directory is private, and nginx' workers run as another user by default.
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            port=port,
            certificate=tls.certificate,
            key=tls.key,
            verify_clients=verify_clients or "",
        )
    )
    socket = directory / "app.sock"
    uwsgi = [
        *(program("uwsgi", "uwsgi, from PyPI"), "--socket", socket, "--chmod-socket=666"),
        *("--venv", sys.prefix, "--pecan", ROOT / "config.py", "-p", "2"),
        # A client certificate is longer than the default of 4096 bytes.
        *("--master", "--die-on-term", "--need-app", "--buffer-size", "65535"),
    ]
    nginx = [program("nginx", "nginx-light"), "-c", directory / "nginx.conf"]
    environment = os.environ | {"ANCHOR_CONF": str(path / "config.json")}
    with (
        running(uwsgi, log=directory / "uwsgi.log", ready=socket.exists, env=environment),
        running(nginx, log=directory / "nginx.log", ready=lambda: listens(port)),
    ):
        anchor = HTTPSAnchor(path, tls, None)
        anchor.port = port
        yield anchor
