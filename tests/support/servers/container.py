"""The container image, built from the Dockerfile and run without a Docker engine.

The base image in the Dockerfile is replaced by one with Debian's Python, which has this machine's
settings for pip.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers.anchor import ROOT
from tests.support.servers.processes import free_port, program, wait_for

# The base image, with the name of its registry.
[BASE] = {
    f"docker.io/library/{name}"
    for name in re.findall(r"(?m)^FROM (\S+)", (ROOT / "Dockerfile").read_text())
}
BASE_TAR = ROOT / ".cache/container-base.tar"
# The Debian release in the name of the base image.
SUITE = "bookworm"

_ENVIRONMENT = {**os.environ, "STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
# Newer versions of buildah raise limits by default, which needs a privilege.
_CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
"""


@dataclass(frozen=True)
class Engine:
    """buildah and podman, with their own directory for images and containers."""

    directory: Path

    def _call(self, command, *arguments, check=True):
        finished = subprocess.run(
            [*command, *map(str, arguments)],
            env={**_ENVIRONMENT, "CONTAINERS_CONF": str(self.directory / "containers.conf")},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if check and finished.returncode:
            pytest.fail(
                f"{command[0]} {arguments[0]}: {finished.stdout[-4000:]}{finished.stderr[-4000:]}"
            )
        return finished

    def _command(self, name):
        return [program(name, name), f"--root={self.directory}/r", f"--runroot={self.directory}/rr"]

    @property
    def podman_command(self):
        """podman with its global options."""
        return [
            *self._command("podman"),
            *("--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "runc"),
        ]

    def buildah(self, *arguments):
        return self._call(self._command("buildah"), *arguments).stdout.strip()

    def podman(self, *arguments, check=True):
        return self._call(self.podman_command, *arguments, check=check)


def make_base(engine):
    """Make the base image for the Dockerfile."""
    if not BASE_TAR.exists():
        BASE_TAR.parent.mkdir(exist_ok=True)
        partial = BASE_TAR.with_name(f"{uuid.uuid4().hex}.tar")
        packages = "python3,python3-venv,ca-certificates"
        subprocess.run(
            [
                *(program("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--quiet"),
                *(f"--include={packages}", SUITE, partial),
            ],
            check=True,
            timeout=600,
        )
        partial.rename(BASE_TAR)
    container = engine.buildah("from", "scratch")
    engine.buildah("add", "--quiet", container, BASE_TAR, "/")
    link = "ln -s /usr/bin/python3 /usr/local/bin/python3"
    engine.buildah("run", container, "--", "/bin/sh", "-c", link)
    settings = ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        engine.buildah("copy", "--quiet", container, certificates, certificates)
        settings.append(f"PIP_CERT={certificates}")
    settings += [f"{key}={value}" for key, value in os.environ.items() if key == "PIP_INDEX_URL"]
    for setting in settings:
        engine.buildah("config", "--env", setting, container)
    engine.buildah("config", "--cmd", "python3", container)
    engine.buildah("commit", "--quiet", container, BASE)


@pytest.fixture(scope="session")
def engine():
    """buildah and podman without images."""
    # A short path: it contains sockets, whose paths are limited to 108 bytes.
    directory = Path(tempfile.mkdtemp(prefix="anchor-c-"))
    (directory / "containers.conf").write_text(_CONTAINERS_CONF)
    made = Engine(directory)
    yield made
    made.podman("rm", "--all", "--force", "--time", "0", check=False)
    made.podman("volume", "rm", "--all", "--force", check=False)
    made.podman("rmi", "--all", "--force", check=False)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def image(engine):
    """The name of the image, built from the Dockerfile."""
    make_base(engine)
    engine.buildah("build", "--pull-never", "--format", "docker", "-t", "anchor:test", ROOT)
    return "localhost/anchor:test"


@dataclass(frozen=True)
class Container:
    """A running container."""

    engine: Engine
    name: str
    port: int

    def run(self, *command, check=True):
        return self.engine.podman("exec", self.name, *command, check=check)

    @property
    def log(self):
        finished = self.engine.podman("logs", self.name)
        return finished.stdout + finished.stderr


@pytest.fixture
def run_container(engine, image):
    """Runs the image with the documented options, and with fewer privileges."""
    with contextlib.ExitStack() as stack:

        def run(*options):
            port = free_port()
            container = Container(engine, f"anchor-{uuid.uuid4().hex[:8]}", port)
            engine.podman(
                *("run", "--detach", "--name", container.name, "--health-interval", "disable"),
                *("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"),
                *("--network", "slirp4netns", "--publish", f"127.0.0.1:{port}:5016"),
                *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"),
                *("--security-opt", "no-new-privileges", *options, image),
            )
            stack.callback(
                engine.podman, "rm", "--force", "--time", "0", container.name, check=False
            )
            healthy = ("healthcheck", "run", container.name)
            wait_for(
                lambda: engine.podman(*healthy, check=False).returncode == 0,
                what=f"the container to be healthy, its log: {container.log}",
            )
            return container

        yield run
