"""The service under uwsgi, with several worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers.processes import end, free_port


class Workers:
    """A service with four worker processes; a worker that dies is replaced."""

    def __init__(self, path, document, *options):
        config = path / "config.json"
        config.write_text(json.dumps(document))
        self.log = path / "uwsgi.log"
        self._url = f"http://127.0.0.1:{free_port()}"
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                [
                    Path(sys.executable).with_name("uwsgi"),
                    *("--http-socket", self._url.removeprefix("http://")),
                    *("--pecan", ROOT / "config.py", "-p", "4"),
                    *("--master", "--die-on-term", "--need-app"),
                    *options,
                ],
                cwd=path,
                env=os.environ | {"ANCHOR_CONF": str(config)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._answers():
            assert self._server.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _answers(self):
        try:
            urllib.request.urlopen(f"{self._url}/robots.txt", timeout=10).close()
        except OSError:
            return False
        return True

    def sign(self, csr, secret="s3cret"):
        """Send a request; return the status and the body, or no status if the worker died."""
        form = {"user": "alice", "secret": secret, "encoding": "pem", "csr": csr}
        body = urllib.parse.urlencode(form).encode()
        try:
            with urllib.request.urlopen(f"{self._url}/v1/sign/default", body, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, ValueError):
            return None, b""

    def log_size(self):
        return self.log.stat().st_size

    def answering(self, since=0):
        """The ids of the processes that handled a POST, from uwsgi's log."""
        with self.log.open(errors="replace") as log:
            log.seek(since)
            return {
                int(line.split("pid: ")[1].split("|")[0])
                for line in log
                if "pid: " in line and "POST" in line
            }

    def stop(self):
        end(self._server, signal.SIGTERM)


@pytest.fixture
def workers(tmp_path):
    """Starts :class:`Workers` with a configuration."""
    running = []

    def start(document, *options):
        running.append(Workers(tmp_path, document, *options))
        return running[-1]

    yield start
    for server in running:
        server.stop()
