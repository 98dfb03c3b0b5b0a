"""Benchmark: the time of each step of a request, in one process.

All requests differ.  The best of several rounds counts, so that a busy machine has little effect.
The steps are those of the service; the last step is the rest of the request.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pecan
from bench import BOUNDARY, bare_signature, request_body
from bench_load import make_csrs
from bench_scale import records
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anchor.app import Application
from anchor.audit.events import SIGNING, Event, describe_certificate
from anchor.authorities import load_authorities
from anchor.authority import RegistrationAuthority
from anchor.ca.backends import KeySigner
from anchor.ca.issued import IssuedCertificate
from anchor.ca.template import build_template
from anchor.ca.verify_issued import verify_issued
from anchor.web.forms import read_form
from anchor.web.request import Request
from anchor.X509.csr_reader import read_csr
from anchor.X509.signing_request import X509Csr

ROUNDS = 7


def split(directory: Path, repeated: int) -> list[tuple[str, float]]:
    """Measure the steps of a request, in CPU seconds.

    Args:
        directory: contains the configuration of the service.
        repeated: how often each step runs in each round.
    """
    os.chdir(directory)
    # Without a level for the logger of audit events, the service does not start.
    logging.getLogger("anchor").setLevel(logging.ERROR)
    application = pecan.load_app("config.py")
    authority = load_authorities(Path("config.json")).authorities["default"]
    signer = authority.signing_ca.generations[0].signer
    assert isinstance(signer, KeySigner)
    pems = make_csrs(ROUNDS * repeated)
    named = [(name, cpu(step, repeated)) for name, step in _steps(authority, signer, pems)]
    bodies = iter(map(request_body, make_csrs(ROUNDS * repeated)))
    whole = cpu(lambda: answer(application, next(bodies)), repeated)
    return [
        *named,
        ("the rest: Pecan, WebOb, glue", whole - sum(seconds for _, seconds in named)),
        ("the whole request", whole),
        ("the bare signature, for comparison", bare_signature(signer.key)),
    ]


def _steps(
    authority: RegistrationAuthority, signer: KeySigner, pems: list[bytes]
) -> list[tuple[str, Callable[[], object]]]:
    body = request_body(pems[0])
    request = Request(environment(body))
    ca, profile = authority.signing_ca.generations[0].ca, authority.signing_ca.profile
    [authenticator] = authority.methods.authenticators
    identity = authenticator.authenticate("default", "myusername", "simplepassword")
    context = authority.policy.context(identity, request, authority.conf)
    unread = itertools.cycle(pems)
    # New objects for each run, without cached values.
    fresh = iter([read_csr(pem, "pem") for pem in pems])
    approved = [
        authority.policy.evaluate(read_csr(pem, "pem"), context).require_approved() for pem in pems
    ]
    templates = [build_template(csr, ca, profile, authority.clock()) for csr in approved]
    unsigned, unverified = itertools.cycle(templates), itertools.cycle(templates)
    der = {
        id(each): each.sign(signer.key, profile.signing_hash).public_bytes(Encoding.DER)
        for each in templates
    }
    certificate = x509.load_der_x509_certificate(der[id(templates[0])])
    issued = IssuedCertificate(certificate=certificate, ca=ca)
    stored = iter(records(len(pems)))

    def read_and_verify() -> None:
        assert X509Csr.from_pem(next(unread)).submitted.signature_is_valid

    def build() -> None:
        build_template(approved[0], ca, profile, authority.clock())

    def verify() -> None:
        template = next(unverified)
        verify_issued(x509.load_der_x509_certificate(der[id(template)]), template)

    def audit() -> None:
        details = describe_certificate(issued, approved[0])
        for _ in ("authentication", "signing"):
            event = Event(SIGNING, authority.clock(), "bench", "u", "a", "r", details=details)
            authority.audit.record(event)

    return [
        ("HTTP form", lambda: read_form(Request(environment(body)), body)),
        (
            "authentication",
            lambda: authenticator.authenticate("d", "myusername", "simplepassword"),
        ),
        ("parsing and proof of possession", read_and_verify),
        ("validation and fixups", lambda: authority.policy.evaluate(next(fresh), context)),
        ("building", build),
        ("signing", lambda: next(unsigned).sign(signer.key, profile.signing_hash)),
        ("verifying what was signed", verify),
        ("storage", lambda: authority.inventory.add(*next(stored))),
        ("audit", audit),
    ]


def cpu(step: Callable[[], object], repeated: int) -> float:
    """The CPU seconds of a step, user and system."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(repeated):
            step()
        best = min(best, (time.process_time() - started) / repeated)
    return best


def environment(body: bytes) -> dict[str, object]:
    """The WSGI environment of a request, as uwsgi makes it."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/sign/default",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT": "*/*",
        "HTTP_HOST": "127.0.0.1:5016",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "5016",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }


def answer(application: Application, body: bytes) -> None:
    """Send one request to the WSGI application."""
    statuses: list[str] = []
    chunks = application(environment(body), lambda status, *_: statuses.append(status))
    assert statuses[0].startswith("200"), b"".join(chunks)
