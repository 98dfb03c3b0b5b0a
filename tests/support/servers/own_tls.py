"""The service under uwsgi or gunicorn that ends TLS itself, and behind the container's nginx."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil

from tests.support.documentation import blocks
from tests.support.pki import make_ca
from tests.support.servers.anchor import ROOT, serving, uwsgi_ini
from tests.support.servers.nginx_site import MACHINES, running_nginx
from tests.support.servers.processes import free_port, listens, program, running
from tests.support.servers.tls_client import TLSClient

OWN_TLS = ("uwsgi", "gunicorn")
_PAGE = "howto/client-certificates.rst"


def _arguments(server, directory, port, tls, ca):
    """The command line of the page, with other paths and another port."""
    replace = {
        "/etc/anchor/anchor.ini": str(ROOT / "tools/uwsgi/anchor.ini"),
        "/etc/anchor/tls/anchor.crt": str(tls.cert_path),
        "/etc/anchor/tls/anchor.key": str(tls.key_path),
        "/etc/anchor/CA/root-ca.crt": str(ca.cert_path),
        "/run/anchor/anchor.sock": f"{directory}/anchor.sock",
        "= :5443": f"= 127.0.0.1:{port}",
        "0.0.0.0:5443": f"127.0.0.1:{port}",
    }

    def adapted(text):
        for old, new in replace.items():
            text = text.replace(old, new)
        return text

    if server == "gunicorn":
        [text] = [b.text for b in blocks(_PAGE, "shell") if b.text.startswith("gunicorn")]
        _, *arguments = shlex.split(text.replace("\\\n", ""))
        return [program("gunicorn", "gunicorn, from PyPI"), *map(adapted, arguments)]
    [options] = blocks(_PAGE, "ini")
    ini = directory / "tls.ini"
    ini.write_text(adapted(options.text))
    *beginning, _shipped = uwsgi_ini(directory)
    return [*beginning, ini]


@contextlib.contextmanager
def own_tls(server, directory, document, ca):
    """Run the service under one of :data:`OWN_TLS`; return a client of it.

    Args:
        server: the name of the server.
        directory: a directory for its files.
        document: the configuration.
        ca: the CA of the server's certificate, and of the clients'.
    """
    (directory / "config.json").write_text(json.dumps(document))
    if not (directory / "config.py").exists():
        shutil.copy(ROOT / "config.py", directory)
    port = free_port()
    tls = make_ca(directory, name=MACHINES, issuer=ca, ca=False, usage=None)
    with running(
        _arguments(server, directory, port, tls, ca),
        log=directory / "server.log",
        ready=lambda: listens(port),
        cwd=directory,
    ):
        yield TLSClient(port, ca, MACHINES, directory)


@contextlib.contextmanager
def behind_container_nginx(directory, document, ca):
    """Run gunicorn behind nginx with the files of tools/docker.

    Returns a client of nginx, and the port of gunicorn.
    """
    (directory / "config.json").write_text(json.dumps(document))
    text = (ROOT / "tools/docker/config.py").read_text()
    text = text.replace("/opt/anchor/etc/anchor/config.py", str(ROOT / "config.py"))
    (directory / "config.py").write_text(text.replace("172.30.16.200", "127.0.0.1"))
    with (
        serving("gunicorn", directory) as service,
        compose_nginx(directory, ca, service.url) as client,
    ):
        yield client, service.port


@contextlib.contextmanager
def compose_nginx(directory, ca, url):
    """Run nginx with the file of tools/docker; return a client of it.

    Args:
        directory: the directory of nginx' files.
        ca: the CA of the server's certificate, and of the clients'.
        url: the URL of the service.
    """
    port = free_port()
    tls = make_ca(directory, name=MACHINES, issuer=ca, ca=False, usage=None)
    site = (ROOT / "tools/docker/nginx.conf").read_text()
    for old, new in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/nginx/tls/anchor.crt": str(tls.cert_path),
        "/etc/nginx/tls/anchor.key": str(tls.key_path),
        "http://anchor:5016": url,
        "burst=20": "burst=2000",
    }.items():
        assert old in site, f"nginx.conf does not say {old!r}"
        site = site.replace(old, new)
    with running_nginx(directory, site, lambda: listens(port)):
        yield TLSClient(port, ca, MACHINES, directory)
