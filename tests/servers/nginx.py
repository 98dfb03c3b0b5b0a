"""The service as it runs in production: uwsgi behind nginx with TLS."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.certmonger import needed, wait_until
from tests.servers.https_anchor import HTTPSAnchor

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
    """The small configuration's service; only ``url`` and ``client_json`` are of use."""
    directory = tmp_path / "nginx"
    directory.mkdir()
    (tmp_path / "config.json").write_text(json.dumps(document))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "nginx.conf").write_text(
        _CONFIGURATION.format(
            # Its workers have to get at a directory that is for us alone.
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            port=port,
            certificate=private_tls.certificate,
            key=private_tls.key,
        )
    )
    log = directory / "uwsgi.log"
    with contextlib.ExitStack() as stack:
        for command in (
            [
                *(Path(sys.executable).with_name("uwsgi"), "--socket", directory / "app.sock"),
                *("--chmod-socket=666", "--pecan", Path("config.py").absolute()),
                *("--master", "--die-on-term", "-p", "2", "--virtualenv", sys.prefix),
            ],
            [needed("nginx", "nginx-light"), "-c", directory / "nginx.conf"],
        ):
            process = subprocess.Popen(
                [*map(str, command)],
                env=os.environ | {"ANCHOR_CONF": str(tmp_path / "config.json")},
                stdout=stack.enter_context(log.open("ab")),
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        wait_until((directory / "app.sock").exists, f"uwsgi, see {log}")
        wait_until(lambda: _listens(port), f"nginx, see {log}")
        anchor = HTTPSAnchor(tmp_path, private_tls, None)
        anchor.port = port
        yield anchor


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
