"""OpenStack Keystone, in a virtual environment that is kept in .cache/."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.paths import CACHE
from tests.support.servers.processes import free_port, program, running

RELEASE = "keystone==30.*"
VENV = CACHE / f"keystone-30-python{sys.version_info.major}.{sys.version_info.minor}"

_CONFIGURATION = """
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
expiration = {expiration}
[fernet_tokens]
key_repository = {directory}/fernet
[fernet_receipts]
key_repository = {directory}/receipts
[credential]
key_repository = {directory}/credential
[identity]
password_hash_rounds = 4
[cache]
enabled = true
backend = oslo_cache.dict
"""

# One request to a Keystone in another process, with another lifetime for tokens.
_ISSUE = """
import io, json, sys
from keystone.wsgi.api import application
body = sys.stdin.buffer.read()
environ = {
    "REQUEST_METHOD": "POST", "PATH_INFO": "/v3/auth/tokens", "SCRIPT_NAME": "",
    "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
    "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)),
    "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
    "wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": False,
    "wsgi.run_once": True,
}
def start_response(status, headers, exc_info=None):
    sys.stdout.write("TOKEN " + dict(headers)["X-Subject-Token"])
list(application(environ, start_response))
"""


@dataclass
class Keystone:
    """A running Keystone, and requests of its administrator."""

    url: str
    directory: Path
    log: Path
    _admin: str = ""
    _ids: dict = field(default_factory=dict)

    def call(self, method, path, body=None, token=None, headers=()):
        """Send a request; return the token in the response's header, and the JSON."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **dict(headers)},
            method=method,
        )
        if token:
            request.add_header("X-Auth-Token", token)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return answer.headers.get("X-Subject-Token"), json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def token(self, user, password, scope="unscoped", *, domain="default"):
        """Get a token with a password, for a user in the domain with an id."""
        return self.call("POST", "/auth/tokens", _password(user, password, scope, domain))[0]

    def token_by_application_credential(self, identifier, secret):
        body = {"id": identifier, "secret": secret}
        identity = {"methods": ["application_credential"], "application_credential": body}
        return self.call("POST", "/auth/tokens", {"auth": {"identity": identity}})[0]

    def expired_token(self, user, password, scope):
        """Get a token that has just expired."""
        configuration = self.directory / "short.conf"
        configuration.write_text(_CONFIGURATION.format(directory=self.directory, expiration=1))
        done = subprocess.run(
            [VENV / "bin/python", "-c", _ISSUE],
            input=json.dumps(_password(user, password, scope)).encode(),
            env=os.environ | {"OS_KEYSTONE_CONFIG_FILES": str(configuration)},
            capture_output=True,
            check=True,
            timeout=120,
        )
        # Keystone counts whole seconds.  The running Keystone must not see the token before it
        # expires, because it caches valid tokens.
        time.sleep(2)
        return done.stdout.decode().rpartition("TOKEN ")[2]

    def revoke(self, token):
        """Revoke a token."""
        self.call("DELETE", "/auth/tokens", token=self._admin, headers={"X-Subject-Token": token})

    def admin(self, method, path, body=None):
        """Send a request as the administrator; return the JSON."""
        return self.call(method, path, body, self._admin)[1]

    def id(self, kind, name):
        """The id of a user, a project or a role."""
        return self._ids[kind, name]

    def make(self, kind, name, **more):
        """Create a user, a project or a role."""
        made = self.admin("POST", f"/{kind}s", {kind: {"name": name, **more}})
        self._ids[kind, name] = made[kind]["id"]
        return self._ids[kind, name]

    def grant(self, user, role, where):
        """Give a user a role on a project, on a domain or on the system."""
        user, role = self.id("user", user), self.id("role", role)
        self.admin("PUT", f"/{where}/users/{user}/roles/{role}")

    def log_in(self):
        """Log in as the administrator, and read the ids of existing objects."""
        self._admin = self.token("admin", "adminpw", _project("admin"))
        for kind in ("user", "project", "role"):
            for found in self.admin("GET", f"/{kind}s")[f"{kind}s"]:
                self._ids[kind, found["name"]] = found["id"]


def _project(name):
    return {"project": {"name": name, "domain": {"id": "default"}}}


def _password(user, password, scope, domain="default"):
    who = {"name": user, "domain": {"id": domain}, "password": password}
    identity = {"methods": ["password"], "password": {"user": who}}
    return {"auth": {"identity": identity, "scope": scope}}


COMPUTE = _project("compute")


@pytest.fixture(scope="session")
def keystone(tmp_path_factory):
    """Keystone with a project ``compute``; the user ``nora`` is a member with the role ``Nova``."""
    _install()
    directory = tmp_path_factory.mktemp("keystone")
    for repository in ("fernet", "receipts", "credential"):
        (directory / repository).mkdir(mode=0o700)
        for number in "01":
            key = base64.urlsafe_b64encode(os.urandom(32))
            (directory / repository / number).write_bytes(key)
    configuration = directory / "keystone.conf"
    configuration.write_text(_CONFIGURATION.format(directory=directory, expiration=3600))
    port = free_port()
    url = f"http://127.0.0.1:{port}/v3"
    manage = [VENV / "bin/keystone-manage", "--config-file", configuration]
    _run([*manage, "db_sync"])
    bootstrap = ["bootstrap", "--bootstrap-password", "adminpw"]
    bootstrap += ["--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", url]
    _run([*manage, *bootstrap])
    command = [program("uwsgi", "uwsgi, from PyPI"), "--http-socket", f"127.0.0.1:{port}"]
    command += ["--module", "keystone.wsgi.api:application", "--virtualenv", str(VENV)]
    command += ["--master", "--processes", "1", "--threads", "4", "--enable-threads"]
    command += ["--lazy-apps", "--die-on-term", "--buffer-size", "65535"]
    command += ["--add-header", "Connection: close"]
    environment = os.environ | {"OS_KEYSTONE_CONFIG_FILES": str(configuration)}
    keystone = Keystone(url, directory, directory / "keystone.log")

    def answers():
        with contextlib.suppress(OSError, AssertionError):
            keystone.call("GET", "")
            return True
        return False

    with running(command, log=keystone.log, ready=answers, cwd=directory, env=environment):
        _fill(keystone)
        yield keystone


def _fill(keystone):
    keystone.log_in()
    project = keystone.make("project", "compute", domain_id="default")
    keystone.make("role", "Nova")
    for user in ("nora", "anchor"):
        keystone.make("user", user, password=f"{user}-secret", domain_id="default")
    keystone.grant("nora", "Nova", f"projects/{project}")
    keystone.grant("nora", "member", f"projects/{project}")
    keystone.grant("nora", "member", "system")
    keystone.grant("nora", "member", "domains/default")
    keystone.grant("anchor", "service", f"projects/{project}")


def _install():
    """Install Keystone, once even if several processes need it at the same time."""
    CACHE.mkdir(exist_ok=True)
    done = VENV / "installed"
    with (CACHE / "keystone.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return
        shutil.rmtree(VENV, ignore_errors=True)
        _run([sys.executable, "-m", "venv", VENV])
        _run([VENV / "bin/python", "-m", "pip", "install", "--quiet", RELEASE])
        done.touch()


def _run(command):
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900
    )
    if done.returncode:
        text = done.stdout.decode(errors="replace")[-2000:]
        pytest.fail(f"{' '.join(map(str, command))}: {text}")
