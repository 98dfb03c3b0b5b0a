"""Benchmark: the time for a certificate with the CA's key in a token, and for a bare C_Sign.

Needs SoftHSM 2 (Debian: softhsm2) and PyKCS11:

    python tools/bench_hsm.py [SECONDS]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from anchor.ca.loading import load_signing_ca
from anchor.ca.pkcs11 import module as pkcs11_module
from anchor.ca.pkcs11.generate import new_key_pair
from anchor.ca.pkcs11.key import DIGEST_INFO
from anchor.ca.pkcs11.key_location import KeyLocation
from anchor.ca.pkcs11.module import Module
from anchor.timestamps import utc_now
from anchor.X509 import create_ca
from anchor.X509.signing_request import X509Csr

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"
KINDS = ("rsa-2048", "rsa-4096", "ec-p256")
# Alternate bare calls and certificates, so that other load on the machine affects both alike.
ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """The seconds for a certificate, and for a signature by the module alone."""

    kind: str
    issue_elapsed: float
    issue_cpu: float
    bare_elapsed: float
    bare_cpu: float

    @property
    def ratio(self) -> float:
        """The time for a certificate, divided by the time for its signature."""
        return self.issue_elapsed / self.bare_elapsed

    def __str__(self) -> str:
        return (
            f"{self.kind:9} certificate {self.issue_elapsed * 1e6:7.0f} us elapsed "
            f"{self.issue_cpu * 1e6:7.0f} us CPU   "
            f"C_Sign {self.bare_elapsed * 1e6:7.0f} us elapsed "
            f"{self.bare_cpu * 1e6:7.0f} us CPU   ratio {self.ratio:.2f}"
        )


def measure(seconds: float = 2.0) -> Iterator[Row]:
    """Measure each kind of key for this many seconds."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _make_token(directory)
        module = pkcs11_module.module_at(MODULE)
        csr = _request()
        for number, kind in enumerate(KINDS, start=1):
            location = KeyLocation(None, "bench", bytes([number]), kind)
            cert_path = directory / f"{kind}.crt"
            with new_key_pair(module, location, PIN, kind) as key:
                cert_path.write_bytes(create_ca.certify(kind, key, 365).public_bytes(Encoding.PEM))
            section = {
                "backend": "pkcs11",
                "cert_path": str(cert_path),
                "pkcs11_path": str(MODULE),
                "token_label": "bench",
                "pin": PIN,
                "key_id": f"{number:02x}",
            }
            ca = load_signing_ca(kind, section, directory, utc_now(), with_key=True)
            yield _row(
                kind, lambda ca=ca: ca.issue(csr, utc_now()), _bare(module, location), seconds
            )


def _make_token(directory: Path) -> None:
    (directory / "tokens").mkdir()
    conf = directory / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    subprocess.run(
        [
            *("softhsm2-util", "--init-token", "--free", "--label", "bench"),
            *("--pin", PIN, "--so-pin", "12345678"),
        ],
        check=True,
        capture_output=True,
    )


def _request() -> X509Csr:
    name = "host.example.com"
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    )
    return X509Csr.from_der(request.public_bytes(Encoding.DER))


def _bare(module: Module, location: KeyLocation) -> Callable[[], Any]:
    """A function that only calls C_SignInit and C_Sign, with as many bytes as Anchor signs."""
    p11 = module.pykcs11
    session = module.log_in(location, PIN)
    [private_key] = session.findObjects(
        [(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), (p11.CKA_ID, location.key_id)]
    )
    rsa = location.key_label is not None and location.key_label.startswith("rsa")
    mechanism = p11.CKM_RSA_PKCS if rsa else p11.CKM_ECDSA
    signed = (DIGEST_INFO["sha256"] if rsa else b"") + bytes(32)
    handle, key, sign = session.session.value(), private_key.value(), module.sign_functions.sign
    assert sign(handle, mechanism, key, signed)[0] == p11.CKR_OK
    return lambda: sign(handle, mechanism, key, signed)


def _row(kind: str, issue: Callable[[], Any], bare: Callable[[], Any], seconds: float) -> Row:
    best: dict[Callable[[], Any], tuple[float, float]] = {}
    for _ in range(ROUNDS):
        for action in (bare, issue):
            best[action] = min(best.get(action, (1e9, 1e9)), _once(action, seconds / ROUNDS / 2))
    return Row(kind, *best[issue], *best[bare])


def _once(action: Callable[[], Any], seconds: float) -> tuple[float, float]:
    count, cpu, started = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        action()
        count += 1
    return (time.perf_counter() - started) / count, (time.process_time() - cpu) / count


if __name__ == "__main__":
    for row in measure(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0):
        print(row)
