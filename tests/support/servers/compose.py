"""The stack of tools/docker/compose.yaml, in its own network namespace.

podman-compose runs it, since there is no Docker engine.  The images are made here instead of being
downloaded: ``anchor`` from the Dockerfile, and nginx from this machine's files.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.servers.anchor import ROOT
from tests.support.servers.processes import program, wait_for

NGINX = "docker.io/library/nginx:stable"
_NGINX_CONF = """
error_log /dev/stderr;
events {}
http {
    include /etc/nginx/mime.types;
    include /etc/nginx/conf.d/*.conf;
}
"""

# netavark on Debian 13 would use nftables, on Debian 12 it supports iptables only.  podman does not
# run health checks here, so "wait" runs the command of the Dockerfile's HEALTHCHECK.
_PODMAN = """#!/bin/sh
export NETAVARK_FW=iptables
podman() {{
    nsenter --net=/run/netns/{namespace} {podman} \\
        --network-backend netavark --network-config-dir "{networks}" "$@"
}}
if [ "$1 $2" = "wait --condition=healthy" ]; then
    for _ in $(seq 300); do
        podman exec "$3" {healthcheck} && exit
        sleep 1
    done
    exit 1
fi
podman "$@"
"""


@dataclass(frozen=True)
class Compose:
    """The stack, running or not."""

    engine: object
    directory: Path
    namespace: str

    def __call__(self, *arguments, check=True):
        finished = subprocess.run(
            [
                *(program("podman-compose", "podman-compose, from PyPI"), "--no-ansi"),
                *("--podman-path", self.directory / "podman"),
                # The same limits as for single containers; there are no health checks here.
                "--podman-run-args=--no-healthcheck "
                "--ulimit nofile=1024:4096 --ulimit nproc=4096:4096",
                *("-p", self.namespace, "-f", "compose.yaml", *arguments),
            ],
            cwd=self.directory / "tools/docker",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check and finished.returncode:
            pytest.fail(f"{arguments}: {finished.stdout[-4000:]}{finished.stderr[-4000:]}")
        return finished

    def curl(self, path, *options):
        """Send a request from the host; return status and body, or None without a response."""
        certificate = self.directory / "tools/docker/tls/anchor.crt"
        finished = self._inside(
            *(program("curl", "curl"), "--silent", "--cacert", certificate),
            *("--write-out", "\n%{http_code}", *options, f"https://localhost:8443{path}"),
        )
        body, _, status = finished.stdout.rpartition("\n")
        return (int(status), body) if finished.returncode == 0 else None

    def renew_without_nginx(self, certificate, form):
        """Send a renewal from the host to Anchor, with a certificate in nginx' header."""
        script = "import socket; print(socket.gethostbyname(socket.gethostname()))"
        address = self("exec", "-T", "anchor", "python3", "-c", script).stdout.strip()
        return self._inside(
            *(program("curl", "curl"), "--silent", "--data", form),
            *("--header", f"X-Client-Cert: {quote(certificate)}"),
            f"http://{address}:5016/v1/renew/default",
        ).stdout

    def up(self):
        self("up", "--detach", "--no-build")
        wait_for(
            lambda: (self.curl("/readyz") or (0,))[0] == 200,
            what=f"the stack to be ready: {self.log}",
        )

    @property
    def log(self):
        finished = self("logs", check=False)
        return finished.stdout + finished.stderr

    def _inside(self, *command):
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.namespace}", *map(str, command)],
            capture_output=True,
            text=True,
            check=False,
        )


def _healthcheck():
    """The command in HEALTHCHECK of the Dockerfile."""
    [command] = re.findall(
        r"(?m)^HEALTHCHECK .*\\\n +CMD (\[.*\])$", (ROOT / "Dockerfile").read_text()
    )
    return json.loads(command)


def make_nginx(engine, directory):
    """Make an image of this machine's nginx, with the configuration paths of the official image."""
    root = directory / "nginx"
    nginx = program("nginx", "nginx-light")
    linked = subprocess.run(["ldd", nginx], capture_output=True, text=True, check=True).stdout
    for file in (nginx, "/etc/nginx/mime.types", *re.findall(r"(/\S+) \(0x", linked)):
        path = root / Path(file).relative_to("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
    for path in ("var/log/nginx", "var/lib/nginx", "run", "tmp", "etc/nginx/conf.d"):
        (root / path).mkdir(parents=True)
    (root / "etc/passwd").write_text(
        "root:x:0:0::/:/\nwww-data:x:33:33::/:/\nnobody:x:65534:33::/:/\n"
    )
    (root / "etc/group").write_text("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")
    (root / "etc/nginx/nginx.conf").write_text(_NGINX_CONF)
    container = engine.buildah("from", "scratch")
    engine.buildah("copy", "--quiet", container, root, "/")
    engine.buildah("config", "--cmd", f'["{nginx}", "-g", "daemon off;"]', container)
    engine.buildah("commit", "--quiet", container, NGINX)


@pytest.fixture
def compose(engine, image, tmp_path):
    """The stack of compose.yaml, not started yet; its files are copies."""
    namespace = f"anchor-{uuid.uuid4().hex[:8]}"
    stack = Compose(engine, tmp_path, namespace)
    shutil.copytree(ROOT / "tools/docker", tmp_path / "tools/docker")
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    make_nginx(engine, tmp_path)
    engine.podman("tag", image, "localhost/anchor:latest")
    wrapper = tmp_path / "podman"
    wrapper.write_text(
        _PODMAN.format(
            namespace=namespace,
            podman=" ".join(engine.podman_command),
            networks=tmp_path / "networks",
            healthcheck=shlex.join(_healthcheck()),
        )
    )
    wrapper.chmod(0o755)
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        yield stack
    finally:
        stack("down", "--volumes", "--timeout", "0", check=False)
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
