"""The commands in the documents work, and the documents list every option."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from anchor.auth.keystone import KeystoneAuthentication
from anchor.auth.ldap import LdapAuthentication
from anchor.auth.oidc.authentication import OidcAuthentication
from anchor.auth.static import StaticAuthentication
from anchor.authorities import AuthoritySettings
from anchor.ca.settings import CASettings
from anchor.config.plugins import Signature
from anchor.web.settings import WebSettings
from tests.support import reference_pages
from tests.support.documentation import blocks
from tests.support.servers.anchor import ROOT, serving
from tests.support.servers.processes import answers, free_port, running
from tests.support.terminal import Terminal, assert_shows

README = (ROOT / "README.rst").read_text()
CONFIGURATION = reference_pages.text("configuration")


def commands(text):
    """The lines of all literal blocks."""
    blocks = re.findall(r"::\n\n((?: {4}.*\n|\n)+)", text)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


def command(start):
    """The command in the README that begins with this text."""
    [found] = [line for line in commands(README) if line.startswith(start)]
    return found


def run(line, directory):
    return subprocess.run(
        line, shell=True, cwd=directory, check=True, capture_output=True, timeout=60
    ).stdout


@pytest.fixture
def clone(tmp_path):
    """A copy of the files that the README's commands need."""
    (tmp_path / "CA").mkdir()
    for name in ("config.py", "config.json"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("server", ["pecan", "uwsgi", "anchor"])
def test_the_readme_leads_from_nothing_to_a_certificate(clone, server):
    run(command("openssl req -out CA/root-ca.crt"), clone)
    run(command("chmod 0400 CA/"), clone)
    run(command("openssl req -out anchor-test.example.com.csr"), clone)
    with serving(server, clone) as service:
        curl = command("curl ").replace("0.0.0.0:5016", f"0.0.0.0:{service.port}")
        answer = run(f"{curl} --silent --fail", clone)
        [typed] = blocks("README.rst", "sh")
        at_loopback = typed.text.strip().replace("127.0.0.1:5016", f"127.0.0.1:{service.port}")
        # The newest certificate is the one that the next command shows.
        answer = run(f"{at_loopback} --silent --fail", clone)

    certificate = x509.load_pem_x509_certificate(answer)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    assert answer == (clone / f"certs/{fingerprint}.crt").read_bytes()
    shown = run(command("openssl x509 -in "), clone).decode()
    _, text = blocks("README.rst", "text")
    assert_shows(text.text, shown)
    run(
        f"openssl verify -x509_strict -CAfile CA/root-ca.crt -purpose sslserver "
        f"-verify_hostname anchor-test.example.com certs/{fingerprint}.crt",
        clone,
    )


def test_make_serve_makes_a_ca_serves_and_shows_the_readmes_commands(tmp_path):
    """In a clone that already has a virtual environment."""
    for name in ("Makefile", "config.json", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    port = free_port()
    text = (ROOT / "config.py").read_text().replace("5016", str(port))
    (tmp_path / "config.py").write_text(text)
    stamp = f"{sys.prefix}/serve.stamp"
    line = f"{command('make serve')} --old-file={stamp} VENV={sys.prefix}"

    with running(
        line.split(), log=tmp_path / "log", ready=lambda: answers(port), cwd=tmp_path
    ) as process:
        log = (tmp_path / "log").read_text()
        # make waits for its child processes.
        os.killpg(process.pid, signal.SIGTERM)

    assert (tmp_path / "CA/root-ca.crt").exists()
    assert 0o400 == (tmp_path / "CA/root-ca-unwrapped.key").stat().st_mode & 0o777
    shown = set(re.sub(r"['\"\\]", "", log).split())
    for start in ("openssl req -out anchor-test", "curl "):
        assert set() == set(re.sub(r"['\"]", "", command(start)).split()) - shown


def test_the_readmes_anchor_init_makes_a_valid_directory(tmp_path):
    with Terminal(tmp_path) as terminal:
        terminal.run(command("anchor init"))
        terminal.run("cd my-anchor && anchor check")


@pytest.mark.parametrize("page", ["README.rst", "CONTRIBUTING.rst"])
def test_targets_and_files_that_are_named_are_there(page):
    text = " ".join((ROOT / page).read_text().split())
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"``((?:doc|tests|tools|anchor|CA)/[\w./-]*)``", text)

    assert set() == set(re.findall(r"``make (\w+)", text)) - targets
    # `make docs` makes this directory.
    named = [name for name in named if name != "doc/build/"]
    assert [] == [name for name in named if not (ROOT / name).exists()]


def test_the_readme_starts_the_servers_as_the_tests_do():
    assert "pecan serve config.py" in commands(README)
    assert "uwsgi --http-socket :5016 --venv path/to/venv --pecan config.py -p 4" in (
        commands(README)
    )


@pytest.mark.parametrize("model", [CASettings, AuthoritySettings, WebSettings])
def test_every_option_is_in_the_reference_with_its_exact_name(model):
    missing = [name for name in model.model_fields if f"``{name}``" not in CONFIGURATION]

    assert [] == missing


def test_the_json_examples_of_the_reference_are_good_json():
    blocks = re.findall(r"code-block:: json\n\n((?: {4}.*\n|\n)+)", CONFIGURATION)

    assert len(blocks) >= 2
    for block in blocks:
        json.loads(block)


@pytest.mark.parametrize(
    "backend",
    [StaticAuthentication, LdapAuthentication, KeystoneAuthentication, OidcAuthentication],
)
def test_every_option_of_an_authentication_is_in_the_reference(backend):
    names = Signature.of(backend, frozenset(getattr(backend, "from_anchor", ()))).names()

    assert [] == sorted(name for name in names if f"``{name}``" not in CONFIGURATION)
