"""The service on several nodes, behind nginx, with one database server and its replica."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from tests.support.paths import ROOT
from tests.support.pki import make_csr
from tests.support.servers.anchor import uwsgi_ini
from tests.support.servers.nodes import nodes
from tests.support.servers.postgresql import postgresql
from tests.support.servers.processes import alive, descendants, program, running, wait_for

_PORT = 5016

_NGINX = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  include {directory}/uwsgi_params;
  uwsgi_param REMOTE_ADDR 192.0.2.7;
  uwsgi_connect_timeout 2s;
  {sites}
}}
"""
_SITE = """
  upstream {name} {{ {servers} }}
  server {{
    listen unix:{directory}/{name}.sock;
    location / {{ uwsgi_pass {name}; }}
  }}
"""


@dataclass
class ServiceNode:
    """A node with the service under uwsgi.

    Attributes:
        node: the network namespace.
        directory: the service's directory.
        gateway: a socket of nginx, for requests to this node only.
    """

    node: object
    directory: Path
    gateway: Gateway
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _process: object = None

    def start(self):
        """Start uwsgi with the shipped configuration, and wait for a worker."""
        log = self.directory / "uwsgi.log"
        self._process = self._stack.enter_context(
            running(
                [
                    *self.node.command,
                    *uwsgi_ini(self.directory, "--socket", f"{self.node.address}:{_PORT}"),
                ],
                log=log,
                ready=lambda: "WSGI app 0" in log.read_text(),
                cwd=self.directory,
                stop=signal.SIGKILL,
            )
        )

    def workers(self):
        """The ids of the workers."""
        return descendants(self._process.pid)[1:] if self._process else []

    def kill(self):
        """Kill all processes at once."""
        processes = descendants(self._process.pid)
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
        wait_for(lambda: not alive(processes), what="the service's processes to end")

    def kill_worker(self):
        """Kill one worker."""
        os.kill(self.workers()[0], signal.SIGKILL)

    def stop(self):
        self._stack.close()


@dataclass(frozen=True)
class Gateway:
    """A Unix socket on which nginx listens."""

    path: Path

    def request(self, body, timeout=30):
        """Send a request for a certificate; return status and body, or 0 without a response."""
        connection = _UnixConnection(self.path, timeout)
        headers = {"Host": "anchor", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request("POST", "/v1/sign/default", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def sign(self, *names, secret="s3cret", user="alice"):
        form = {"user": user, "secret": secret, "encoding": "pem", "csr": make_csr(*names)}
        return self.request(urlencode(form))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Cluster:
    """Nodes that share a database.

    Attributes:
        nodes: the nodes with the service.
        gateway: a socket of nginx, which distributes requests over the nodes.
        primary: the database server.
        replica: its synchronous replica.
    """

    nodes: list[ServiceNode]
    gateway: Gateway
    primary: object
    replica: object

    @property
    def database(self):
        """The server that is used now."""
        return self.primary if self.primary.process else self.replica


@contextlib.contextmanager
def cluster(directory, document, count=3):
    """Run the service on some nodes, each in a network namespace, until the end of the block."""
    with contextlib.ExitStack() as stack:
        *services, first, second = stack.enter_context(nodes(count + 2))
        primary = stack.enter_context(
            postgresql(directory, address=first.address, under=first.command)
        )
        replica = primary.replica(
            directory, address=second.address, under=second.command, synchronous=True
        )
        hosts = "&".join(f"host={server.host}:{server.port}" for server in (primary, replica))
        document["database"] = {
            "url": f"postgresql://anchor@/anchor?{hosts}&target_session_attrs=read-write",
            "timeout_seconds": 3,
            "connect_timeout_seconds": 2,
        }
        made = []
        for number, node in enumerate(services, 1):
            own = directory / f"node{number}"
            own.mkdir()
            (own / "config.json").write_text(json.dumps(document))
            shutil.copy(ROOT / "config.py", own)
            made.append(ServiceNode(node, own, Gateway(directory / f"node{number}.sock")))
        for each in made:
            stack.callback(each.stop)
            each.start()
        _write_nginx(directory, services)
        gateway = Gateway(directory / "all.sock")
        nginx = [*services[0].command, program("nginx", "nginx-light")]
        nginx += ["-c", directory / "nginx.conf"]
        stack.enter_context(running(nginx, log=directory / "nginx.log", ready=gateway.path.exists))
        yield Cluster(made, gateway, primary, replica)


def _write_nginx(directory, services):
    servers = [f"server {node.address}:{_PORT} max_fails=0;" for node in services]
    upstreams = {"all": "".join(servers)}
    upstreams |= {f"node{number}": server for number, server in enumerate(servers, 1)}
    sites = [
        _SITE.format(name=name, servers=each, directory=directory)
        for name, each in upstreams.items()
    ]
    # The requests come through a Unix socket, which has no address.
    lines = Path("/etc/nginx/uwsgi_params").read_text().splitlines()
    kept = [line for line in lines if "REMOTE_ADDR" not in line]
    (directory / "uwsgi_params").write_text("\n".join(kept))
    (directory / "nginx.conf").write_text(
        _NGINX.format(
            user="user root;" if os.geteuid() == 0 else "",
            directory=directory,
            sites="".join(sites),
        )
    )
