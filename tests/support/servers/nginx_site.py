"""The shipped nginx site and the shipped uwsgi.ini."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.pki import make_ca, make_csr
from tests.support.servers.anchor import ROOT, uwsgi_ini
from tests.support.servers.processes import free_port, listens, program, running

SITE = ROOT / "tools/nginx/anchor.conf"
HOST = "anchor.example.com"
MACHINES = "anchor-machines.example.com"
"""The server that asks for client certificates."""

_NGINX_CONF = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  include {directory}/site.conf;
}}
"""


@dataclass(frozen=True)
class Site:
    """A service that accepts requests over TLS."""

    port: int
    directory: Path
    tls: ssl.SSLContext
    uwsgi: object

    @property
    def log(self):
        return (self.directory / "uwsgi.log").read_text()

    def connect(self, source="127.0.0.1"):
        """A connection from one of the machine's loopback addresses."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=60, context=self.tls, source_address=(source, 0)
        )
        connection.connect()
        return connection

    def ask(self, method, path, body=None, headers=None, *, source="127.0.0.1"):
        """Send a request; return status, headers and body of the response."""
        with contextlib.closing(self.connect(source)) as connection:
            connection.request(method, path, body, {"Host": HOST, **(headers or {})})
            with connection.getresponse() as answer:
                return answer.status, answer.headers, answer.read()

    def sign(self, csr=None, *, headers=None, source="127.0.0.1", **fields):
        form = {"user": "alice", "secret": "s3cret", "encoding": "pem", "csr": csr or make_csr()}
        return self.ask(
            "POST",
            "/v1/sign/default",
            urlencode(form | fields),
            {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})},
            source=source,
        )


@contextlib.contextmanager
def nginx(directory, ca, uwsgi_socket, replace=None):
    """Run nginx with the shipped site, except for paths and replacements; return its port.

    Args:
        directory: the directory of nginx' files.
        ca: the CA of the server's certificate.
        uwsgi_socket: the socket of uwsgi.
        replace: texts in the site, and what to replace them with.
    """
    port = free_port()
    tls = make_ca(directory, name=HOST, issuer=ca, ca=False, usage=None)
    site = adapted(
        {
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "listen [::]:443 ssl;": f"listen [::1]:{port} ssl;" if _has_ipv6() else "",
            "/run/anchor/anchor.sock": str(uwsgi_socket),
            "/etc/anchor/tls/anchor.crt": str(tls.cert_path),
            "/etc/anchor/tls/anchor.key": str(tls.key_path),
            **(replace or {}),
        }
    )
    with running_nginx(directory, site, lambda: listens(port)):
        yield port


def _has_ipv6():
    """True if this machine has the address ::1, which some clients prefer for localhost."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


def adapted(replace):
    """The shipped site, by default for IPv4 only, with other texts.

    Args:
        replace: texts in the site, and what to replace them with.
    """
    site = SITE.read_text()
    for old, new in {"listen [::]:443 ssl;": "", **replace}.items():
        assert old in site, f"{SITE} does not say {old!r}"
        site = site.replace(old, new)
    return site


@contextlib.contextmanager
def running_nginx(directory, site, ready, under=()):
    """Run nginx with a site.

    Args:
        directory: the directory of nginx' files.
        site: the text of the site.
        ready: a function that returns true if nginx listens.
        under: a program that runs nginx, with its arguments.
    """
    (directory / "site.conf").write_text(site)
    (directory / "nginx.conf").write_text(
        _NGINX_CONF.format(
            # The directory is private, and nginx' workers run as another user by default.
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
        )
    )
    shutil.copy("/etc/nginx/uwsgi_params", directory)
    with running(
        [*under, program("nginx", "nginx-light"), "-c", directory / "nginx.conf"],
        log=directory / "nginx.log",
        ready=ready,
    ):
        yield


@contextlib.contextmanager
def site(directory, document, ca, *uwsgi_options, replace=None):
    """Run nginx and uwsgi with the shipped configuration, except for paths and replacements."""
    (directory / "config.json").write_text(json.dumps(document))
    if not (directory / "config.py").exists():
        shutil.copy(ROOT / "config.py", directory)
    uwsgi = running(
        uwsgi_ini(directory, *uwsgi_options),
        log=directory / "uwsgi.log",
        ready=lambda: "WSGI app 0" in (directory / "uwsgi.log").read_text(),
        cwd=directory,
    )
    trust = ssl.create_default_context(cafile=ca.cert_path)
    trust.check_hostname = False
    with uwsgi as process, nginx(directory, ca, directory / "anchor.sock", replace) as port:
        yield Site(port, directory, trust, process)


@pytest.fixture
def nginx_site(tmp_path, document, ca):
    """The service of the fixture ``document``, behind nginx."""
    with site(tmp_path, document, ca) as served:
        yield served
