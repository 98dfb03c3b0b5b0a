"""doc/source/howto/plugins.rst: its files are a distribution that works."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import tomllib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from stevedore.extension import ExtensionManager

from tests.support.paths import DOC
from tests.support.pki import assert_is_leaf, make_ca, make_csr, names_of

PAGE = DOC / "howto/plugins.rst"

NUMBER = 0x1234567890ABCDEF


def files_on(page):
    """The code blocks of a page that have a caption, by their captions."""
    blocks = re.findall(
        r"^\.\. code-block:: \w+\n   :caption: (\S+)\n\n((?:   .*\n|\n)+)",
        page.read_text(),
        flags=re.MULTILINE,
    )
    return {name: textwrap.dedent(text) for name, text in blocks}


def install(directory, files):
    """Install the files: the modules, and the metadata that pip would write."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    known = directory / "example_plugins-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, names in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in names.items())]
    (known / "entry_points.txt").write_text("\n".join(lines))
    for name, text in files.items():
        if name.endswith(".py"):
            (directory / name).write_text(text)


@pytest.fixture
def example(tmp_path, monkeypatch, serve):
    """A service with the page's plug-ins and configuration."""
    files = files_on(PAGE)
    installed = tmp_path / "installed"
    installed.mkdir()
    install(installed, files)
    monkeypatch.syspath_prepend(installed)
    # stevedore caches the entry points of a process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    key = ec.derive_private_key(NUMBER, ec.SECP256R1())
    hex_ca = make_ca(tmp_path, name="ca", key=key)
    other_ca = make_ca(tmp_path, name="other")
    (tmp_path / "ca.hex").write_text(f"{NUMBER:x}\n")
    (tmp_path / "ca.hex").chmod(0o400)
    digest = hashlib.sha256(b"s3cret").hexdigest()
    (tmp_path / "users").write_text(f"alice:{digest}:staff,web\n")
    document = json.loads(files["config.json"])
    other = document["signing_ca"]["other"]
    other |= {"cert_path": str(other_ca.cert_path), "other_key": str(other_ca.key_path)}
    return serve(document), hex_ca, other_ca


def test_the_pages_first_authority_signs(example):
    service, ca, _ = example

    certificate = service.issue(make_csr("www.example.com", "www.example.com"))
    wrong_name = service.sign(make_csr("web.example.com"), status=400)
    service.sign(secret="wrong", status=401)
    service.sign(user="bob", status=401)

    assert_is_leaf(certificate, issued_by=ca)
    assert names_of(certificate) == ["www.example.com", "www"]
    assert "old_style: a common name is missing (name 'www.example.com')" in wrong_name.text


def test_the_pages_other_authority_signs(example):
    service, _, ca = example
    csr = make_csr("www.example.com", "www.example.com")
    other = {"authority": "other", "secret": "open sesame"}

    certificate = service.issue(csr, user="bob", **other)
    closed = service.sign(csr, status=400, **other)
    service.sign(csr, authority="other", status=401)

    assert_is_leaf(certificate, issued_by=ca)
    assert "office_hours: the office is closed (names 'www.example.com')" in closed.text
