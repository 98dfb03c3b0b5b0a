"""Coverage-guided fuzzing of the code that reads and checks requests, for `make fuzz`.

    python tools/fuzz_request.py [-runs=N] [CORPUS...]

The options are those of libFuzzer.  A finding is an error that is not a RequestError, or a
certificate that differs from the request or is a CA's.
"""

from __future__ import annotations

import datetime
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["anchor"]):
    from anchor.auth.results import AuthDetails
    from anchor.ca.profile import Profile
    from anchor.ca.template import build_template
    from anchor.ca.verify_issued import verify_issued
    from anchor.errors import RequestError
    from anchor.policy import checks, mandatory_checks
    from anchor.store.bans import NoBans, RequestBans
    from anchor.timestamps import utc_now
    from anchor.validators.standards import standards_compliance
    from anchor.X509 import weak_keys
    from anchor.X509.ca_certificate import CACertificate
    from anchor.X509.csr_reader import detect_encoding, read_csr

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.der_surgery import parse, positions, write  # it is not an installed package

MOMENT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
PROOF = "proof_of_possession"

KEY = ec.derive_private_key(4711, ec.SECP256R1())


def make_ca() -> CACertificate:
    """A CA in memory."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fuzzing CA")])
    certificate = (
        x509.CertificateBuilder(name, name, KEY.public_key(), 1, MOMENT, MOMENT + 24 * HOUR)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()), False)
        .sign(KEY, hashes.SHA256())
    )
    return CACertificate.of(certificate, ())


CA = make_ca()
PROFILE = Profile(HOUR, datetime.timedelta(), HOUR, hashes.SHA256())
CHECKS = (
    *mandatory_checks.key_checks(CA.public_keys(), weak_keys.Allowed(dsa=True)),
    *mandatory_checks.content_checks(intermediate=False),
    checks.Check("standards_compliance", lambda supplied: standards_compliance(supplied["csr"])),
)
CONTEXT = checks.Context(
    auth_result=AuthDetails(username="nobody", groups=[]),
    request=None,
    conf={},
    bans=RequestBans(NoBans(), utc_now()),
)


def fuzz_one_request(data: bytes) -> None:
    """Read and check the request, and issue a certificate if it is valid apart from its signature.

    A fuzzer cannot make valid signatures, so a failed proof_of_possession is ignored.
    """
    try:
        csr = read_csr(data, detect_encoding(data))
    except RequestError:
        return
    verdicts = checks.run_checks(CHECKS, csr, CONTEXT)
    assert not any(verdict.crash for verdict in verdicts)
    if any(verdict.failure and verdict.check != PROOF for verdict in verdicts):
        return
    template = build_template(csr, CA, PROFILE, MOMENT)
    certificate = template.sign(KEY, PROFILE.signing_hash)
    verify_issued(certificate, template)
    assert certificate.subject.public_bytes() == csr.submitted.request.subject.public_bytes()
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Mutate an input: half of the results are valid DER, with correct lengths."""
    source = random.Random(seed)
    try:
        tree = parse(data)
    except RecursionError:
        tree = None
    if not tree or source.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    siblings, index = source.choice(positions(tree))
    tag, contents = siblings[index]
    match source.randrange(5):
        case 0:
            del siblings[index]
        case 1:
            siblings.insert(index, [tag, contents])
        case 2:
            siblings[index] = [source.choice(siblings)[0], contents]
        case _:
            flat = contents if isinstance(contents, bytes) else write(contents)
            siblings[index] = [tag, bytes(atheris.Mutate(flat, len(flat) + 16))]
    return bytes(write(tree)[:max_size])


if __name__ == "__main__":
    atheris.Setup(sys.argv, fuzz_one_request, custom_mutator=mutate)
    atheris.Fuzz()
