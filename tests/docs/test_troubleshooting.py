"""Every message on the troubleshooting page exists, in Anchor or in another program."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
import sqlite3
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.documentation import SOURCE
from tests.support.paths import ROOT
from tests.support.pki import DAY, make_ca, now
from tests.support.servers.certificates import make_server_certificate
from tests.support.servers.processes import program
from tests.support.servers.tls_in_memory import handshake

PAGE = (SOURCE / "howto/troubleshooting.rst").read_text()

# The terms of the definition lists.
MESSAGES = re.findall(r"^``([^`]+)``\n    ", PAGE, re.MULTILINE)

# Messages of other programs; tests below have the programs print them.
OF_OPENSSL = {
    "unable to get local issuer certificate",
    "self-signed certificate in certificate chain",
    "certificate has expired",
    "certificate is not yet valid",
    "Hostname mismatch, certificate is not valid for …",
}
OF_SQLITE = {"database is locked", "database or disk is full"}
# Newer versions of curl add the rest of the sentence while they run.
OF_CURL = {"SSL: no alternative certificate subject name matches target host name …"}
ELSEWHERE = OF_OPENSSL | OF_SQLITE | OF_CURL


def _text(node):
    """A message in the code, with … for the parts that vary; None for other nodes."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts)
    return None


@functools.cache
def texts():
    """All texts in the code, with … for the parts that vary."""
    return [
        re.sub(r"%[sdrg]", "…", text)
        for path in (ROOT / "anchor").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (text := _text(node))
    ]


def _exists(message):
    """True if a text has all parts of the message, in this order, and begins and ends alike."""
    first, *others = [part.strip() for part in message.split("…")]
    return any(
        text.startswith(first) and _has(text[len(first) :], others)
        for text in texts()
        if not others or text.rstrip("…: ").endswith(others[-1].rstrip("…: "))
    )


def _has(text, parts):
    for part in parts:
        _, found, text = text.partition(part) if part else ("", "-", text)
        if not found:
            return False
    return bool(parts) or not text


# A refusal begins with the name of the check.
OF_ANCHOR = [re.sub(r"^[a-z_]+: ", "", m) for m in MESSAGES if m not in ELSEWHERE]


@pytest.mark.parametrize("message", OF_ANCHOR)
def test_every_message_is_in_the_code(message):
    assert _exists(message)


def test_a_message_that_nothing_prints_is_noticed():
    assert not _exists("the moon is in the wrong …")
    assert len(MESSAGES) > 60


@pytest.mark.parametrize("check", re.findall(r"^``([a-z_]+): ", PAGE, re.MULTILINE))
def test_every_check_on_the_page_exists(check):
    assert check in texts() or check in (ROOT / "setup.cfg").read_text()


def test_every_message_of_another_program_is_on_the_page():
    assert set() == ELSEWHERE - set(MESSAGES)


def test_openssl_prints_its_messages(tmp_path):
    root = make_ca(tmp_path, name="root")
    other = make_ca(tmp_path, name="other")
    certificate, key = make_server_certificate(tmp_path, root, "www.example.com")
    with_root = tmp_path / "with-root.pem"
    with_root.write_bytes(certificate.read_bytes() + root.cert_path.read_bytes())
    printed = set()

    for chain, name, ca in [
        (certificate, "www.example.com", other),
        (certificate, "www2.example.com", root),
        (with_root, "www.example.com", other),
    ]:
        with pytest.raises(ssl.SSLCertVerificationError) as raised:
            handshake(chain, key, name, ca.cert_path)
        printed.add(raised.value.verify_message)
    for then in (now() - 400 * DAY, now() + 400 * DAY):
        checked = subprocess.run(
            [
                "openssl",
                "verify",
                "-attime",
                str(int(then.timestamp())),
                "-CAfile",
                root.cert_path,
                certificate,
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        printed |= set(re.findall(r"lookup: (.*)", checked.stderr))

    for message in OF_OPENSSL:
        start = message.split("…")[0]
        assert any(text.startswith(start) for text in printed), (message, printed)


def test_sqlite_prints_its_messages(tmp_path):
    first = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    second = sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0)
    printed = set()
    with contextlib.closing(first), contextlib.closing(second):
        first.execute("CREATE TABLE t (x)")
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as raised:
            second.execute("BEGIN IMMEDIATE")
        printed.add(str(raised.value))
        first.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as raised:
            first.execute("INSERT INTO t VALUES (zeroblob(1000000))")
        printed.add(str(raised.value))

    assert OF_SQLITE == printed


def test_curl_has_its_message():
    libraries = subprocess.run(
        ["ldd", program("curl", "curl")], check=True, capture_output=True, text=True
    ).stdout
    [library] = re.findall(r"(/\S*libcurl\.so\S*)", libraries)
    contents = Path(library).read_bytes()

    for message in OF_CURL:
        assert message.split(" host name")[0].encode() in contents
