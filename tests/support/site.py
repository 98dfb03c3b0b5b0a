"""The documentation, built as HTML and served on the loopback interface."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.paths import DOC, ROOT


@dataclass(frozen=True)
class Site:
    """The built documentation.

    Attributes:
        directory: the built files.
        url: the address of the directory, without a slash at the end.
    """

    directory: Path
    url: str

    def pages(self):
        """The paths of all pages but the decisions, which all have the same form."""
        found = [str(path.relative_to(self.directory)) for path in self.directory.rglob("*.html")]
        first, *_ = sorted(path for path in found if path.startswith("adr/"))
        return sorted(path for path in found if not path.startswith("adr/") or path == first)

    def html(self, page):
        return (self.directory / page).read_text()

    def links(self, page):
        """The addresses of what a page contains or links to."""
        return re.findall(r'(?:href|src)="([^"#?]*)', self.html(page))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def _served(directory):
    handler = functools.partial(_Handler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation of this source."""
    directory = tmp_path_factory.mktemp("documentation") / "build"
    # Sphinx builds only what has changed since `make docs`.
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(ROOT / "doc/build", directory)
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet"]
    subprocess.run([*sphinx, DOC, directory], check=True, timeout=300)
    with _served(directory) as url:
        yield Site(directory, url)
