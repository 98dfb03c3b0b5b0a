"""The service under uwsgi, behind nginx with TLS."""

from __future__ import annotations

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
    client_max_body_size 64k;
    location / {{
      include /etc/nginx/uwsgi_params;
      # Debian's file drops the port, which the proof of a renewal has.
      uwsgi_param HTTP_HOST $http_host;
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
    directory = tmp_path / "nginx"
    directory.mkdir()
    (tmp_path / "config.json").write_text(json.dumps(document))
    port = free_port()
    (directory / "nginx.conf").write_text(
        _CONFIGURATION.format(
            # The directory is private, and nginx' workers run as another user by default.
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            port=port,
            certificate=private_tls.certificate,
            key=private_tls.key,
        )
    )
    socket = directory / "app.sock"
    uwsgi = [
        *(program("uwsgi", "uwsgi, from PyPI"), "--socket", socket, "--chmod-socket=666"),
        *("--venv", sys.prefix, "--pecan", ROOT / "config.py", "-p", "2"),
        *("--master", "--die-on-term", "--need-app"),
    ]
    nginx = [program("nginx", "nginx-light"), "-c", directory / "nginx.conf"]
    environment = os.environ | {"ANCHOR_CONF": str(tmp_path / "config.json")}
    with (
        running(uwsgi, log=directory / "uwsgi.log", ready=socket.exists, env=environment),
        running(nginx, log=directory / "nginx.log", ready=lambda: listens(port)),
    ):
        anchor = HTTPSAnchor(tmp_path, private_tls, None)
        anchor.port = port
        yield anchor
