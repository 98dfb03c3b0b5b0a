"""Starting a server, waiting until it answers, and stopping it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki import DAY, general_name, key_pem, make_key, now, subject

PATIENCE = 60  # seconds; other tests may keep the machine busy


def find_program(name, package):
    """Where a program is; a test that needs it fails if its Debian package is not installed."""
    found = shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
    if found is None:
        pytest.fail(f"{name} is missing: install the Debian package {package}")
    return found


def free_port(address="127.0.0.1"):
    """A port that nobody listens on now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        return listener.getsockname()[1]


def is_open(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


def wait_until(condition, what, *, seconds=PATIENCE):
    """Wait for a condition; how long does not matter, as long as it comes."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds} seconds")
        time.sleep(0.02)


@contextlib.contextmanager
def running(command, log, ready, **kwargs):
    """A process, from when ``ready()`` holds to the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **kwargs
        )

    def is_up():
        if process.poll() is not None:
            text = log.read_text(errors="replace")[-3000:]
            pytest.fail(f"{command[0]} ended with {process.returncode}: {text}")
        return ready()

    try:
        wait_until(is_up, f"the start of {command[0]}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def make_server_certificate(directory, ca, *names):
    """A certificate and its key for a server of these names and addresses, in two files."""
    key = make_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject(names[0]))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + 30 * DAY)
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False
        )
        .sign(ca.key, hashes.SHA256())
    )
    cert_path, key_path = directory / "server.crt", directory / "server.key"
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key_pem(key))
    key_path.chmod(0o600)
    return cert_path, key_path
